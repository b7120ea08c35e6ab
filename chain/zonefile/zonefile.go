// Package zonefile reads and writes the zone files of names.
package zonefile

import "errors"

// MaxSize is the size of the largest zone file.
const MaxSize = 4096

// A File says which key signs for a name and where its storage starts.
type File struct {
	Origin  string // the name, without a final dot
	TTL     uint32
	DataKey []byte // 33 or 65 bytes, nil if the file names none or several
	URIs    []URI  // in the order of the file
}

// A URI is one place of storage.
type URI struct {
	Name             string // such as _https._tcp; Format derives it if empty
	Priority, Weight uint16
	Target           string
}

// Parse reads a zone file.
func Parse(data []byte) (*File, error) { return nil, errors.New("todo") }

// Format writes a zone file.
func Format(f *File) []byte { return nil }

// Hash is the value hash of a zone file: RIPEMD-160 of SHA-256 of its exact bytes.
func Hash(data []byte) [20]byte { return [20]byte{} }

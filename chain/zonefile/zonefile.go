// Package zonefile reads and writes the zone files of names.
//
// A zone file is the text of a DNS zone. Its hash stands on the chain, so the
// bytes count and not what they mean. Of what a zone can hold these matter:
//
//	$ORIGIN alice.id
//	$TTL 3600
//	pubkey TXT "pubkey:data:<33- or 65-byte key, hex>"
//	_https._tcp URI 10 1 "https://example.com/alice"
//
// The key signs the name's profile, the targets are where its storage starts, in
// the order of the file. Zone files in the wild are looser than DNS wants:
// $ORIGIN has no final dot, strings are longer than 255 bytes or go over
// several lines, records have types nobody knows. All that is read.
package zonefile

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/btcsuite/btcd/address/v2"
)

// Limits of size: of a file that may be published, and of one that is read,
// since later releases of the old registry allowed more.
const (
	MaxSize = 4096
	maxRead = 40960
)

// A File says which key signs for a name and where its storage starts.
type File struct {
	Origin  string // the name, without a final dot
	TTL     uint32
	DataKey []byte // 33 or 65 bytes; nil if the file has none, several or a broken one
	URIs    []URI  // in the order of the file
}

// A URI is one place of storage.
type URI struct {
	Name             string // such as _https._tcp; Format derives it from Target if it is empty
	Priority, Weight uint16
	Target           string // with a scheme: Parse reads one without as https
}

// Hash is the value hash of a zone file: RIPEMD-160 of SHA-256 of its exact
// bytes.
func Hash(data []byte) [20]byte { return [20]byte(address.Hash160(data)) }

// keyPrefix begins the text that tells the data key.
const keyPrefix = "pubkey:data:"

// Format writes a zone file. Parse gives back what it is given, where that can
// be said in one.
func Format(f *File) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "$ORIGIN %s\n$TTL %d\n", f.Origin, f.TTL)
	if len(f.DataKey) > 0 {
		fmt.Fprintf(&b, "pubkey TXT %s\n", quote(keyPrefix+hex.EncodeToString(f.DataKey)))
	}
	for _, u := range f.URIs {
		name := u.Name
		if !plain.MatchString(name) {
			name = serviceOf(u.Target)
		}
		fmt.Fprintf(&b, "%s URI %d %d %s\n", name, u.Priority, u.Weight, quote(u.Target))
	}
	return []byte(b.String())
}

// plain matches names that need no escaping.
var plain = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// serviceOf returns the record name for a URL: _https._tcp for https, _dht._udp
// for dht+udp, _file for file.
func serviceOf(target string) string {
	scheme, _, _ := strings.Cut(target, "://")
	a, b, two := strings.Cut(strings.ToLower(scheme), "+")
	switch {
	case a == "https" || a == "http" || a == "ftp":
		b, two = "tcp", true
	}
	name := "_" + a
	if two {
		name += "._" + b
	}
	if !plain.MatchString(name) {
		return "_uri"
	}
	return name
}

// quote writes a string as zones do.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, "\\%03d", c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// unquote undoes the escapes that quote makes.
func unquote(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		if n, ok := decimal(s[i+1:]); ok {
			b = append(b, n)
			i += 3
			continue
		}
		i++
		b = append(b, s[i])
	}
	return string(b)
}

// decimal reads three digits below 256.
func decimal(s string) (n byte, ok bool) {
	if len(s) < 3 {
		return 0, false
	}
	v := 0
	for _, c := range []byte(s[:3]) {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = 10*v + int(c-'0')
	}
	return byte(v), v < 256
}

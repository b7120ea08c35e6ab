package tree

import "satchel/crypto"

// A Kind says what an identity is.
type Kind uint8

// The kinds, by their numbers in the format.
const (
	File Kind = iota
	Dir
	Symlink
	Fifo
	Socket
	Char
	Block
	kinds // how many there are
)

// An Attr is what chmod, chown, utimes (but for mtime) and setxattr change.
type Attr struct {
	Mode                uint32 // permission, setuid, setgid and sticky bits: 07777
	UID, GID            uint32
	Atime, Ctime, Btime int64 // ns since 1970 UTC
	Xattrs              map[string][]byte
}

// An Info is what the view shows of one name: a file, a directory, or a
// conflict copy.
type Info struct {
	ID                         Identity // of a copy that is not real yet: the one it will have
	Dir                        Identity
	Name                       string
	Kind                       Kind
	Mode                       uint32
	UID, GID                   uint32
	Atime, Ctime, Btime, Mtime int64
	Xattrs                     map[string][]byte // not to be changed
	Links                      uint32            // names under which it is shown; of a directory 1
	Size                       uint64
	Content                    Content
	DataDot                    Dot             // zero for a directory
	Dot                        Dot             // of the last change
	By                         crypto.DeviceID // who wrote what is shown
	Conflict                   bool            // shown under a name that says so
}

// A Spec says what Create makes.
type Spec struct {
	ID       Identity // random
	Kind     Kind
	Mode     uint32
	UID, GID uint32
	Now      int64
	Xattrs   map[string][]byte
	Content  Content // none for a directory
}

// A Change is what a join changed in the view of one identity. Old is nil for
// what was not shown before, New for what is not shown any more.
type Change struct {
	ID       Identity
	Old, New *Info
}

// A Head is what another writer published: a tree, and what is merged in it.
type Head struct {
	Writer crypto.DeviceID
	Name   string // of the writer
	Seq    uint64
	Hash   crypto.Hash
	Vector Vector
	Root   Ref
	Digest crypto.Hash
}

package drive

import (
	"os"
	"time"
)

// An Attr is what stat shows of a node. Sizes are in bytes, Blocks in units
// of 512 bytes.
type Attr struct {
	Inode                      uint64
	Size, Blocks               uint64
	Mode                       os.FileMode
	Nlink                      uint32
	UID, GID, Rdev             uint32
	Atime, Mtime, Ctime, Btime time.Time
}

// A SetAttr names the attributes to change; nil fields stay as they are.
type SetAttr struct {
	Size         *uint64
	Mode         *os.FileMode
	UID, GID     *uint32
	Atime, Mtime *time.Time
	Touch        bool // the time of change, if nothing else
}

// CreateOptions say what Create makes. The type bits of Mode choose between
// a file (0), directory, symlink, fifo, socket and device.
type CreateOptions struct {
	Mode      os.FileMode
	UID, GID  uint32
	Rdev      uint32
	Target    string // of a symlink
	Exclusive bool   // an existing file is os.ErrExist, not the result
}

// A DirEntry is one name in a directory.
type DirEntry struct {
	Name  string
	Inode uint64
	Type  os.FileMode // type bits only
}

// A Statfs is what df shows; Blocks and the free counts are in units of Bsize bytes.
type Statfs struct {
	Blocks, Bfree, Bavail uint64
	Files, Ffree          uint64
	Bsize, NameLen        uint32
}

// An EventKind says what the kernel has to be told.
type EventKind int

// What can have changed from elsewhere.
const (
	EntryChanged EventKind = iota // Parent's Name leads to another node now
	EntryDeleted                  // Parent's Name, which was Node, is gone
	AttrChanged                   // Node's attributes changed
	DataChanged                   // Node's content changed
)

// An Event is a change that did not come through the mount. Node and Parent
// are nil where nobody has looked them up.
type Event struct {
	Kind         EventKind
	Parent, Node *Node
	Name         string
}

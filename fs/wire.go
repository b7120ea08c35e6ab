package fs

import (
	"encoding/binary"
	"os"
	"syscall"
	"time"

	"bazil.org/fuse"

	"satchel/fs/drive"
)

// Attributes are put into the kernel's form here, as they are needed inside of
// READDIRPLUS, where the library can't help, and since its own form has no
// sticky bit and mistakes times before 1970. All numbers are in the machine's
// byte order.

const (
	attrSize   = 88
	entrySize  = 40 + attrSize
	openSize   = 16
	direntSize = 24 // before the name
	blockSize  = 4096
)

var order = binary.NativeEndian

// appendAttr appends struct fuse_attr: inode, size, blocks, three times in
// seconds (8 bytes each), their nanoseconds, mode, nlink, uid, gid, rdev, block
// size, flags (4 bytes each).
func appendAttr(b []byte, a drive.Attr) []byte {
	times := [...]time.Time{a.Atime, a.Mtime, a.Ctime}
	b = order.AppendUint64(b, a.Inode)
	b = order.AppendUint64(b, a.Size)
	b = order.AppendUint64(b, a.Blocks)
	for _, t := range times {
		b = order.AppendUint64(b, uint64(t.Unix()))
	}
	for _, t := range times {
		b = order.AppendUint32(b, uint32(t.Nanosecond()))
	}
	for _, n := range [...]uint32{unixMode(a.Mode), a.Nlink, a.UID, a.GID, a.Rdev, blockSize, 0} {
		b = order.AppendUint32(b, n)
	}
	return b
}

// appendEntry appends struct fuse_entry_out: node, generation, how long name and
// attributes may be kept (seconds, 8 bytes each, then nanoseconds), attributes.
func appendEntry(b []byte, id fuse.NodeID, name, attr time.Duration, a drive.Attr) []byte {
	b = order.AppendUint64(b, uint64(id))
	b = order.AppendUint64(b, 0)
	b = order.AppendUint64(b, uint64(name/time.Second))
	b = order.AppendUint64(b, uint64(attr/time.Second))
	b = order.AppendUint32(b, uint32(name%time.Second))
	b = order.AppendUint32(b, uint32(attr%time.Second))
	return appendAttr(b, a)
}

// appendAttrOut appends struct fuse_attr_out: how long the attributes may be
// kept, then they.
func appendAttrOut(b []byte, keep time.Duration, a drive.Attr) []byte {
	b = order.AppendUint64(b, uint64(keep/time.Second))
	b = order.AppendUint32(b, uint32(keep%time.Second))
	b = order.AppendUint32(b, 0)
	return appendAttr(b, a)
}

// appendOpen appends struct fuse_open_out: handle, flags, padding.
func appendOpen(b []byte, h fuse.HandleID, flags fuse.OpenResponseFlags) []byte {
	b = order.AppendUint64(b, uint64(h))
	b = order.AppendUint32(b, uint32(flags))
	return order.AppendUint32(b, 0)
}

// appendDirent appends struct fuse_dirent: inode, offset of the next entry,
// length of the name, type (4 bytes each), the name, zeros up to 8 bytes.
func appendDirent(b []byte, e drive.DirEntry, next uint64) []byte {
	b = order.AppendUint64(b, e.Inode)
	b = order.AppendUint64(b, next)
	b = order.AppendUint32(b, uint32(len(e.Name)))
	b = order.AppendUint32(b, unixMode(e.Type)>>12)
	b = append(b, e.Name...)
	return append(b, make([]byte, padded(len(e.Name))-len(e.Name))...)
}

// direntLen is how many bytes appendDirent appends.
func direntLen(name string) int { return direntSize + padded(len(name)) }

func padded(n int) int { return (n + 7) &^ 7 }

// unixMode puts a mode into the kernel's form.
func unixMode(m os.FileMode) uint32 {
	u := uint32(m.Perm())
	switch {
	case m&os.ModeDir != 0:
		u |= syscall.S_IFDIR
	case m&os.ModeSymlink != 0:
		u |= syscall.S_IFLNK
	case m&os.ModeNamedPipe != 0:
		u |= syscall.S_IFIFO
	case m&os.ModeSocket != 0:
		u |= syscall.S_IFSOCK
	case m&os.ModeCharDevice != 0:
		u |= syscall.S_IFCHR
	case m&os.ModeDevice != 0:
		u |= syscall.S_IFBLK
	default:
		u |= syscall.S_IFREG
	}
	if m&os.ModeSetuid != 0 {
		u |= syscall.S_ISUID
	}
	if m&os.ModeSetgid != 0 {
		u |= syscall.S_ISGID
	}
	if m&os.ModeSticky != 0 {
		u |= syscall.S_ISVTX
	}
	return u
}

package fs

import (
	"context"
	"syscall"
	"time"

	"bazil.org/fuse"
	"golang.org/x/sys/unix"

	"satchel/fs/drive"
)

// statx is stat(2) with the time of birth. Body: nothing that matters here.
func (m *Mount) statx(ctx context.Context, r *fuse.UnrecognizedRequest) error {
	if !door {
		return syscall.ENOSYS
	}
	n, err := m.node(r.Node)
	if err != nil {
		return err
	}
	a, err := n.Attr(ctx)
	if err != nil {
		return err
	}
	answer(&r.Header, appendStatx(nil, keep, a))
	return nil
}

// appendStatx appends struct fuse_statx_out: how long the attributes may be kept
// (seconds, 8 bytes, nanoseconds, 4), flags (4), 16 bytes unused; then struct
// fuse_statx: mask, block size (4 each), attributes (8), nlink, uid, gid (4 each),
// mode, unused (2 each), inode, size, blocks, known attributes (8 each), four times,
// device's numbers, file system's numbers (4 each), 112 bytes unused.
func appendStatx(b []byte, keep time.Duration, a drive.Attr) []byte {
	b = order.AppendUint64(b, uint64(keep/time.Second))
	b = order.AppendUint32(b, uint32(keep%time.Second))
	b = append(b, make([]byte, 4+16)...)
	b = order.AppendUint32(b, unix.STATX_BASIC_STATS|unix.STATX_BTIME)
	b = order.AppendUint32(b, blockSize)
	b = order.AppendUint64(b, 0)
	for _, n := range [...]uint32{a.Nlink, a.UID, a.GID} {
		b = order.AppendUint32(b, n)
	}
	b = order.AppendUint16(b, uint16(unixMode(a.Mode)))
	b = order.AppendUint16(b, 0)
	for _, n := range [...]uint64{a.Inode, a.Size, a.Blocks, 0} {
		b = order.AppendUint64(b, n)
	}
	for _, t := range [...]time.Time{a.Atime, a.Btime, a.Ctime, a.Mtime} {
		b = order.AppendUint64(b, uint64(t.Unix()))
		b = order.AppendUint32(b, uint32(t.Nanosecond()))
		b = order.AppendUint32(b, 0)
	}
	dev := rdev(a.Rdev)
	for _, n := range [...]uint32{unix.Major(dev), unix.Minor(dev), 0, 0} {
		b = order.AppendUint32(b, n)
	}
	return append(b, make([]byte, 112)...)
}

// rdev widens a device number as the kernel encodes it in 4 bytes.
func rdev(n uint32) uint64 { return unix.Mkdev(n>>8&0xfff, n&0xff|n>>12&0xfff00) }

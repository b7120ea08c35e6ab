package fs

import (
	"context"
	"os"
	"syscall"

	"bazil.org/fuse"

	"satchel/fs/drive"
)

func (m *Mount) fallocate(ctx context.Context, r *fuse.FAllocateRequest) error {
	h, err := m.file(r.Handle)
	if err != nil {
		return err
	}
	if err := h.Allocate(ctx, uint32(r.Mode), int64(r.Offset), int64(r.Length)); err != nil {
		return content(err)
	}
	if err := m.dropPriv(ctx, r.Uid, r.Node); err != nil {
		return err
	}
	r.Respond()
	return nil
}

// dropPriv takes a file's privileges away after a change for which the kernel
// doesn't say whether the caller may leave them.
func (m *Mount) dropPriv(ctx context.Context, caller uint32, id fuse.NodeID) error {
	if caller == 0 {
		return nil
	}
	n, err := m.node(id)
	if err != nil {
		return err
	}
	return killPriv(ctx, n)
}

// What follows the library doesn't know: see door.go.

// lseek finds data and holes. Body: handle, offset (8 bytes each), whence,
// padding (4 each). Answer: an offset (8 bytes).
func (m *Mount) lseek(ctx context.Context, r *fuse.UnrecognizedRequest) error {
	b := body(r)
	if len(b) < 24 {
		return syscall.ENOSYS
	}
	h, err := m.file(fuse.HandleID(order.Uint64(b)))
	if err != nil {
		return err
	}
	off, err := h.Seek(ctx, int64(order.Uint64(b[8:])), int(order.Uint32(b[16:])))
	if err != nil {
		return content(err)
	}
	answer(&r.Header, order.AppendUint64(nil, uint64(off)))
	return nil
}

// copyRange is copy_file_range(2). Body: handle and offset to read from, node,
// handle and offset to write to, length, flags (8 bytes each). Answer: how many
// bytes, padding (4 bytes each).
func (m *Mount) copyRange(ctx context.Context, r *fuse.UnrecognizedRequest) error {
	b := body(r)
	if len(b) < 56 {
		return syscall.ENOSYS
	}
	if order.Uint64(b[48:]) != 0 {
		return syscall.EINVAL
	}
	from, err := m.file(fuse.HandleID(order.Uint64(b)))
	if err != nil {
		return err
	}
	to, err := m.file(fuse.HandleID(order.Uint64(b[24:])))
	if err != nil {
		return err
	}
	length := min(order.Uint64(b[40:]), maxCopy)
	n, err := from.CopyRange(ctx, int64(order.Uint64(b[8:])), to, int64(order.Uint64(b[32:])), int64(length))
	if n == 0 && err != nil {
		return content(err)
	}
	if err := m.dropPriv(ctx, r.Uid, fuse.NodeID(order.Uint64(b[16:]))); err != nil {
		return err
	}
	answer(&r.Header, order.AppendUint64(nil, uint64(n)))
	return nil
}

// maxCopy bounds what one request copies, so that it ends in time; programs ask
// for the rest.
const maxCopy = 256 << 20

// tmpfile is open(2) with O_TMPFILE. Body: flags, mode, umask, further flags (4
// bytes each). Answer: as to a create.
func (m *Mount) tmpfile(ctx context.Context, r *fuse.UnrecognizedRequest) error {
	b := body(r)
	if len(b) < 16 {
		return syscall.ENOSYS
	}
	dir, err := m.node(r.Node)
	if err != nil {
		return err
	}
	made := false
	var n *drive.Node
	e, err := m.find(ctx, func() (*drive.Node, error) {
		if made {
			return n, nil
		}
		n, err = dir.Unnamed(ctx, drive.CreateOptions{Mode: goPermissions(order.Uint32(b[4:])), UID: r.Uid, GID: r.Gid})
		made = err == nil
		return n, err
	})
	if err != nil {
		return err
	}
	h, err := e.node.Open(ctx, openFlags(fuse.OpenFlags(order.Uint32(b))))
	if err != nil {
		m.nodes.forget(e.id, 1)
		return err
	}
	answer(&r.Header, appendOpen(e.append(nil), m.handles.addFile(h), fuse.OpenKeepCache))
	return nil
}

// goPermissions puts the permission bits of a mode into Go's form.
func goPermissions(mode uint32) os.FileMode {
	m := os.FileMode(mode & 0o777)
	if mode&syscall.S_ISUID != 0 {
		m |= os.ModeSetuid
	}
	if mode&syscall.S_ISGID != 0 {
		m |= os.ModeSetgid
	}
	if mode&syscall.S_ISVTX != 0 {
		m |= os.ModeSticky
	}
	return m
}

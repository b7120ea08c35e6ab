package fs

import (
	"context"
	"syscall"

	"bazil.org/fuse"
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

package fs

import (
	"context"
	"errors"
	"io"
	"sync"
	"syscall"

	"bazil.org/fuse"

	"satchel/fs/drive"
)

// maxRead is the size of the largest read that the kernel asks for.
const maxRead = 128 << 10

var readBuffers = sync.Pool{New: func() any { return new([maxRead]byte) }}

// openFlags are the flags with which the drive opens a file. O_APPEND is left
// out: the kernel, which knows the size of every file that it has open, gives
// each write its place, and must be believed where it writes back pages of a
// mapping.
func openFlags(f fuse.OpenFlags) int {
	return int(f & (fuse.OpenAccessModeMask | fuse.OpenTruncate))
}

func (m *Mount) open(ctx context.Context, r *fuse.OpenRequest) error {
	n, err := m.node(r.Node)
	if err != nil {
		return err
	}
	if r.Dir {
		r.Respond(&fuse.OpenResponse{Handle: m.handles.addDir(&dirStream{node: n})})
		return nil
	}
	if r.OpenFlags&fuse.OpenKillSUIDGID != 0 {
		if err := killPriv(ctx, n); err != nil {
			return err
		}
	}
	h, err := n.Open(ctx, openFlags(r.Flags))
	if err != nil {
		return err
	}
	// A node's content changes through this mount only, so the kernel's pages are good.
	r.Respond(&fuse.OpenResponse{Handle: m.handles.addFile(h), Flags: fuse.OpenKeepCache})
	return nil
}

// file returns an open file.
func (m *Mount) file(id fuse.HandleID) (*drive.Handle, error) {
	if h := m.handles.file(id); h != nil {
		return h, nil
	}
	return nil, syscall.EBADF
}

func (m *Mount) readFile(ctx context.Context, r *fuse.ReadRequest) error {
	h, err := m.file(r.Handle)
	if err != nil {
		return err
	}
	buf := readBuffers.Get().(*[maxRead]byte)
	defer readBuffers.Put(buf)
	n, err := h.ReadAt(ctx, buf[:min(r.Size, maxRead)], r.Offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return content(err)
	}
	r.Respond(&fuse.ReadResponse{Data: buf[:n]})
	return nil
}

func (m *Mount) write(ctx context.Context, r *fuse.WriteRequest) error {
	h, err := m.file(r.Handle)
	if err != nil {
		return err
	}
	if r.Flags&fuse.WriteKillSUIDGID != 0 {
		n, err := m.node(r.Node)
		if err != nil {
			return err
		}
		if err := killPriv(ctx, n); err != nil {
			return err
		}
	}
	n, err := h.WriteAt(ctx, r.Data, r.Offset)
	if n == 0 && err != nil {
		return content(err)
	}
	r.Respond(&fuse.WriteResponse{Size: n})
	return nil
}

func (m *Mount) flush(ctx context.Context, r *fuse.FlushRequest) error {
	h, err := m.file(r.Handle)
	if err != nil {
		return err
	}
	if err := h.Flush(ctx); err != nil {
		return content(err)
	}
	r.Respond()
	return nil
}

func (m *Mount) fsync(ctx context.Context, r *fuse.FsyncRequest) error {
	if r.Dir {
		n, err := m.node(r.Node)
		if err != nil {
			return err
		}
		err = n.Fsync(ctx)
		if err == nil {
			r.Respond()
		}
		return content(err)
	}
	h, err := m.file(r.Handle)
	if err != nil {
		return err
	}
	if err := h.Fsync(ctx); err != nil {
		return content(err)
	}
	r.Respond()
	return nil
}

func (m *Mount) release(r *fuse.ReleaseRequest) {
	if h := m.handles.remove(r.Handle); h != nil {
		h.Release()
	}
	r.Respond()
}

package volume

import (
	"context"
	"syscall"

	"satchel/fs/tree"
)

// A Handle is an open file. Close it once.
type Handle struct {
	n       *Node
	write   bool
	append  bool
	reading reading
}

// Open opens the node's content; write and app are those of open(2).
func (n *Node) Open(ctx context.Context, write, app, trunc bool) (*Handle, error) {
	var node *Node
	err := n.do(ctx, func(v *Volume, n *Node) error {
		if write || trunc {
			if err := v.writable(); err != nil {
				return err
			}
		}
		info, err := n.show(v)
		switch {
		case err != nil:
			return err
		case info.Kind == tree.Dir:
			return syscall.EISDIR
		case info.Kind == tree.Char || info.Kind == tree.Block:
			return syscall.EACCES
		}
		node = n
		n.opens++
		if write {
			n.writers++
		}
		if n.opens == 1 {
			n.info = &info
			v.open[n] = struct{}{}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	h := &Handle{n: node, write: write, append: app}
	if trunc {
		if _, err := node.SetAttr(ctx, Change{Size: new(uint64)}); err != nil {
			h.Close()
			return nil, err
		}
	}
	return h, nil
}

// Close ends the handle's use.
func (h *Handle) Close() {
	n := h.n
	v := n.lock()
	defer v.mu.Unlock()
	n.opens--
	if h.write {
		n.writers--
	}
	if n.opens > 0 {
		return
	}
	delete(v.open, n)
	n.tidy()
	if n.state == live && n.file == nil {
		n.info = nil
	}
	if n.state == unlinked {
		n.discard(v)
		return
	}
	v.drop(n)
}

// discard drops what was written to a node that nobody can reach any more.
func (n *Node) discard(v *Volume) {
	if n.file == nil {
		return
	}
	n.file.release(v)
	n.file = nil
	delete(v.dirty, n)
}

// ReadAt reads with the rules of io.ReaderAt.
func (h *Handle) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if from, to := h.reading.note(off, len(p)); from < to {
		h.n.readAhead(from, to)
	}
	return h.n.readAt(ctx, p, off)
}

// WriteAt writes at off, at the file's end if it was opened for appending. What
// one call appends stays together up to 1 MiB.
func (h *Handle) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	if !h.write {
		return 0, syscall.EBADF
	}
	return h.n.writeAt(ctx, p, off, h.append)
}

package volume

import (
	"context"
	"io"
	"syscall"

	"satchel/fs/tree"
)

// readAt reads from the node's content, with the rules of io.ReaderAt.
func (n *Node) readAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, syscall.EINVAL
	}
	total := 0
	for total < len(p) {
		m, err := n.readSome(ctx, p[total:], off)
		total += m
		off += int64(m)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// readSome reads what of p lies in one chunk.
func (n *Node) readSome(ctx context.Context, p []byte, off int64) (int, error) {
	var (
		l    lower
		gaps []byteRange // what of p comes from below
		m    int
		vol  *Volume
		at   = int(off % chunkSize)
	)
	err := n.do(ctx, func(v *Volume, n *Node) error {
		info, err := n.show(v)
		if err != nil {
			return err
		}
		if info.Kind == tree.Dir {
			return syscall.EISDIR
		}
		left := int64(info.Size) - off
		if left <= 0 {
			return io.EOF
		}
		vol = v
		i := uint64(off / chunkSize)
		m = int(min(int64(len(p)), left, int64(chunkSize-at)))
		gaps = []byteRange{{0, m}}
		f := n.file
		if f == nil {
			f = &file{content: info.Content, keep: int64(info.Size)}
		} else if c := f.chunks[i]; c != nil {
			if gaps = c.read(p[:m], at); len(gaps) == 0 {
				return nil
			}
		}
		l, err = f.below(v, i)
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, g := range gaps {
		if err := vol.readLower(ctx, &l, p[g.lo:g.hi], at+g.lo); err != nil {
			return 0, err
		}
	}
	return m, nil
}

// readLower fills p with what lies from off on in l; what is not there is zero.
func (v *Volume) readLower(ctx context.Context, l *lower, p []byte, off int) error {
	n := max(0, min(len(p), l.valid-off))
	clear(p[n:])
	if l.inline != nil {
		clear(p[:n])
		if off < len(l.inline) {
			copy(p[:n], l.inline[off:])
		}
		return nil
	}
	return v.readChunk(ctx, l.seg, p[:n], off)
}

package volume

import (
	"context"
	"errors"
	"io"
	"slices"
	"syscall"
	"time"

	"satchel/fs/tree"
	"satchel/storage/pack"
)

// CopyRange copies n bytes of from, at offIn, to offOut of to, and returns how
// many there were. Whole chunks of the same volume that are sealed are not
// read: both files refer to them afterwards.
func CopyRange(ctx context.Context, from *Handle, offIn int64, to *Handle, offOut, n int64) (int64, error) {
	switch {
	case !to.write || to.append:
		return 0, syscall.EBADF
	case offIn < 0 || offOut < 0 || n < 0:
		return 0, syscall.EINVAL
	case offIn > maxFile-n || offOut > maxFile-n:
		return 0, syscall.EFBIG
	}
	info, err := from.n.Info(ctx)
	if err != nil {
		return 0, err
	}
	n = min(n, int64(info.Size)-offIn)
	if n <= 0 {
		return 0, nil
	}
	if from.n == to.n && offIn < offOut+n && offOut < offIn+n {
		return 0, syscall.EINVAL
	}
	c := copying{from: from.n, to: to.n}
	for done := int64(0); done < n; {
		m, err := c.step(ctx, offIn+done, offOut+done, n-done)
		done += m
		if err != nil || m == 0 {
			return done, err
		}
	}
	return n, nil
}

type copying struct {
	from, to *Node
	buf      []byte
}

// step copies some of n bytes.
func (c *copying) step(ctx context.Context, in, out, n int64) (int64, error) {
	if in%chunkSize == 0 && out%chunkSize == 0 {
		if m, err := c.share(ctx, in, out, n); m > 0 || err != nil {
			return m, err
		}
	}
	if c.buf == nil {
		c.buf = make([]byte, min(n, chunkSize))
	}
	// Up to the end of a chunk, so that those that follow are written whole.
	p := c.buf[:min(n, chunkSize-out%chunkSize, int64(len(c.buf)))]
	m, err := c.from.readAt(ctx, p, in)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	m, err = c.to.writeAt(ctx, p[:m], out, false)
	return int64(m), err
}

// share has the target refer to chunks of the source, both at the beginning of
// a chunk, as many as can be shared. It returns how many bytes these have.
func (c *copying) share(ctx context.Context, in, out, n int64) (done int64, err error) {
	var list []sharedChunk
	var source *Volume
	err = c.from.do(ctx, func(v *Volume, from *Node) (err error) {
		source = v
		list, err = from.shared(v, in, n)
		return err
	})
	if err != nil || len(list) == 0 {
		return 0, err
	}
	err = c.to.modify(ctx, func(v *Volume, to *Node, f *file) error {
		for done = 0; len(list) > 0 && v.mayRefer(source, list[0].ref); list = list[1:] {
			m := list[0].n
			if m < chunkSize && out+done+m < f.size {
				break // more of the target's chunk stays than is copied
			}
			f.store(v, uint64((out+done)/chunkSize), list[0].ref)
			f.size = max(f.size, out+done+m)
			done += m
		}
		if done > 0 {
			to.written(v, time.Now().UnixNano())
		}
		return nil
	})
	return done, err
}

// mayRefer tells whether a file of v may refer to what one of source does. From
// another volume that is what a member of v wrote and what is in a closed pack, which
// is then a need of the next head.
func (v *Volume) mayRefer(source *Volume, ref tree.Ref) bool {
	if source == v || ref == (tree.Ref{}) {
		return true
	}
	id, closed := v.opt.Packs.Resolve(pack.ID(ref.Pack))
	if source.opt.Packs != v.opt.Packs || !closed || !v.opt.Member(ref.Owner) {
		return false
	}
	v.packMu.Lock()
	defer v.packMu.Unlock()
	if ref.Owner == v.opt.Name && !slices.Contains(v.moved, id) {
		v.moved = append(v.moved, id)
	}
	return true
}

// A sharedChunk is a stored chunk and how many bytes a file has of it.
type sharedChunk struct {
	ref tree.Ref
	n   int64
}

// shared returns the chunks from in on, up to n bytes, to which another file may
// refer, with the lock held.
func (n *Node) shared(v *Volume, in, length int64) (list []sharedChunk, err error) {
	f, err := n.view(v)
	if err != nil {
		return nil, err
	}
	for range atATime {
		ref, m, err := f.shared(v, in, length)
		if m == 0 || err != nil {
			if len(list) > 0 {
				return list, nil
			}
			return nil, err
		}
		list = append(list, sharedChunk{ref, m})
		in += m
		length -= m
	}
	return list, nil
}

// shared returns what is stored of the chunk at in and how many of its bytes, n
// at most, another file may refer to: all that the file has of it, or none.
func (f *file) shared(v *Volume, in, n int64) (ref tree.Ref, m int64, err error) {
	i := uint64(in / chunkSize)
	room := int64(f.room(i))
	l, err := f.below(v, i)
	cut := f.keep < int64(f.content.Size) && f.keep/chunkSize == int64(i)
	if err != nil || f.chunks[i] != nil || len(l.inline) > 0 || n < room || cut {
		return ref, 0, err
	}
	return l.seg, room, nil
}

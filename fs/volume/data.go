package volume

import (
	"context"
	"math"
	"syscall"
	"time"

	"satchel/crypto"
	"satchel/fs/tree"
)

const (
	chunkSize = crypto.ChunkSize
	// maxFile bounds a file: the count of its chunks must fit the format.
	maxFile = math.MaxInt64 / 2
	// maxInline is the size up to which a file's bytes stand in its entry.
	maxInline = 256
)

// A file is what was written to a node and is not in the tree yet.
type file struct {
	base    tree.Dot     // the datum that the node showed when the writing began
	content tree.Content // what lies below the written chunks
	keep    int64        // only so many bytes of content still count: truncating lowers it
	size    int64
	mtime   int64
	chunks  map[uint64]*chunk   // written, in memory; over what is sealed and content
	sealed  map[uint64]tree.Ref // written, in a pack; the zero ref is a hole
	edge    map[uint64]int      // of a sealed chunk only so many bytes count
	dirty   bool
	since   since
}

// openFile returns the node's dirty file, made if it has none, with the lock held.
func (n *Node) openFile(v *Volume) (*file, error) {
	if n.file != nil {
		return n.file, nil
	}
	info, err := n.show(v)
	if err != nil {
		return nil, err
	}
	if info.Kind == tree.Dir {
		return nil, syscall.EISDIR
	}
	if n.state == live {
		n.info = &info // what comes back if somebody else removes it meanwhile
	}
	n.file = &file{
		base:    info.DataDot,
		content: info.Content,
		keep:    int64(info.Size),
		size:    int64(info.Size),
		mtime:   info.Mtime,
		chunks:  make(map[uint64]*chunk),
		sealed:  make(map[uint64]tree.Ref),
		since:   since{low: int64(info.Size)},
	}
	return n.file, nil
}

// written notes that f differs from the tree, with the lock held.
func (n *Node) written(v *Volume, now int64) {
	n.file.dirty = true
	n.file.since.any = true
	n.file.mtime = now
	n.ctime = now
	if n.state != unlinked {
		v.dirty[n] = struct{}{}
		v.touched()
	}
}

// tidy drops a dirty file to which nothing was written after all, with the lock held.
func (n *Node) tidy() {
	if n.file != nil && !n.file.dirty {
		n.file = nil
	}
}

// modify has fn change the node's dirty file, with the lock held. fn changes
// nothing before it has what it needs: it runs again when nodes are missing.
func (n *Node) modify(ctx context.Context, fn func(v *Volume, n *Node, f *file) error) error {
	for {
		var stalled chan struct{}
		err := n.do(ctx, func(v *Volume, n *Node) error {
			if err := v.writable(); err != nil {
				return err
			}
			if stalled = v.stalled; stalled != nil {
				return nil
			}
			f, err := n.openFile(v)
			if err != nil {
				return err
			}
			err = fn(v, n, f)
			n.tidy()
			return err
		})
		if err != nil || stalled == nil {
			return err
		}
		select {
		case <-stalled:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// edit has fn change chunk i in memory, and keeps the budget.
func (f *file) edit(v *Volume, i uint64, fn func(c *chunk)) *chunk {
	c, before := f.chunks[i], 0
	if c == nil {
		c = &chunk{}
	} else {
		before = c.took
		if c.frozen != nil {
			c = c.clone()
		}
	}
	f.chunks[i] = c
	fn(c)
	c.took = c.mem()
	v.opt.Budget.add(c.took - before)
	return c
}

// drop drops what is in memory of chunk i.
func (f *file) drop(v *Volume, i uint64) {
	if c := f.chunks[i]; c != nil {
		v.opt.Budget.add(-c.took)
		delete(f.chunks, i)
	}
}

// release drops all that is in memory.
func (f *file) release(v *Volume) {
	for i := range f.chunks {
		f.drop(v, i)
	}
}

// store makes ref what is stored of chunk i, of which nothing is in memory any more.
func (f *file) store(v *Volume, i uint64, ref tree.Ref) {
	f.drop(v, i)
	f.sealed[i] = ref
	delete(f.edge, i)
	f.resealed(i)
}

// A lower is what lies below a chunk in memory: a stored segment or inline
// bytes, of which the first valid bytes count.
type lower struct {
	seg    tree.Ref
	inline []byte
	valid  int
}

// hole tells whether there is nothing.
func (l *lower) hole() bool {
	return l.valid == 0 || l.seg == (tree.Ref{}) && len(l.inline) == 0
}

// below says what is stored of chunk i.
func (f *file) below(v *Volume, i uint64) (l lower, err error) {
	if ref, ok := f.sealed[i]; ok {
		l = lower{seg: ref, valid: chunkSize}
		if e, ok := f.edge[i]; ok {
			l.valid = e
		}
		return l, nil
	}
	left := f.keep - int64(i)*chunkSize
	if left <= 0 {
		return l, nil
	}
	l.valid = int(min(left, chunkSize))
	if f.content.Inline != nil {
		l.inline = f.content.Inline[:min(l.valid, len(f.content.Inline))]
		return l, nil
	}
	l.seg, err = f.content.Chunk(v.cache.load, i)
	return l, err
}

// room is how many bytes of chunk i the file's size leaves.
func (f *file) room(i uint64) int {
	return int(max(0, min(f.size-int64(i)*chunkSize, chunkSize)))
}

// maxAtOnce is how much a write puts into memory before it sees to what may stay there.
const maxAtOnce = chunkSize

// writeAt writes p at off of the node's content, or at its end. What goes to the
// end comes in one piece, up to maxAtOnce.
func (n *Node) writeAt(ctx context.Context, p []byte, off int64, end bool) (int, error) {
	done := 0
	for done < len(p) {
		if err := n.vol.Load().makeRoom(ctx); err != nil {
			return done, err
		}
		part := p[done:min(len(p), done+maxAtOnce)]
		at, err := n.writePart(ctx, part, off, end)
		if err != nil {
			return done, err
		}
		done += len(part)
		off, end = at+int64(len(part)), false
	}
	return done, nil
}

// writePart puts p into memory and seals the chunks that are full then. It
// returns where p went.
func (n *Node) writePart(ctx context.Context, p []byte, off int64, end bool) (int64, error) {
	type full struct {
		i uint64
		c *chunk
	}
	var whole, crowded []full
	at := off
	err := n.modify(ctx, func(v *Volume, n *Node, f *file) error {
		if at = off; end {
			at = f.size
		}
		if at < 0 || at > maxFile-int64(len(p)) {
			return syscall.EFBIG
		}
		for done := 0; done < len(p); {
			pos := at + int64(done)
			i, in := uint64(pos/chunkSize), int(pos%chunkSize)
			m := min(len(p)-done, chunkSize-in)
			c := f.edit(v, i, func(c *chunk) { c.write(in, p[done:done+m]) })
			switch {
			case in+m == chunkSize && c.covers(0, chunkSize):
				whole = append(whole, full{i, c})
			case c.crowded():
				crowded = append(crowded, full{i, c})
			}
			done += m
		}
		f.size = max(f.size, at+int64(len(p)))
		n.written(v, time.Now().UnixNano())
		return nil
	})
	if err != nil {
		return at, err
	}
	// What is accepted is kept in memory if it can't be sealed now: makeRoom
	// tells the next writer.
	for _, w := range whole {
		n.sealSoon(ctx, w.i, w.c)
	}
	for _, w := range crowded {
		if err := n.makeWhole(ctx, w.i); err != nil {
			_ = n.sealChunk(ctx, w.i, w.c, false)
		}
	}
	return at, nil
}

// truncate sets the node's size.
func (n *Node) truncate(ctx context.Context, size, now int64) error {
	if size < 0 || size > maxFile {
		return syscall.EFBIG
	}
	return n.modify(ctx, func(v *Volume, n *Node, f *file) error {
		if size < f.size {
			f.cut(v, size)
		}
		f.size = size
		n.written(v, now)
		return nil
	})
}

// cut drops what lies behind size.
func (f *file) cut(v *Volume, size int64) {
	f.since.low = min(f.since.low, size)
	first, at := uint64(size/chunkSize), int(size%chunkSize)
	if at > 0 {
		f.cutEdge(v, first, at)
		first++
	}
	f.keep = min(f.keep, size)
	for i := range f.chunks {
		if i >= first {
			f.drop(v, i)
		}
	}
	for i := range f.sealed {
		if i >= first {
			delete(f.sealed, i)
			delete(f.edge, i)
			f.resealed(i)
		}
	}
}

// cutEdge drops what chunk i has from at on. What is stored there must not come
// back when the file grows again, so the chunk is one to be sealed anew.
func (f *file) cutEdge(v *Volume, i uint64, at int) {
	ref, sealed := f.sealed[i]
	stored := f.keep > int64(i)*chunkSize+int64(at)
	if sealed {
		stored = ref != (tree.Ref{})
	}
	if stored || f.chunks[i] != nil {
		f.edit(v, i, func(c *chunk) { c.clip(at) })
	}
	if !sealed || !stored {
		return
	}
	if e, ok := f.edge[i]; !ok || at < e {
		if f.edge == nil {
			f.edge = make(map[uint64]int)
		}
		f.edge[i] = at
		f.resealed(i)
	}
}

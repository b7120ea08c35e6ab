package volume

import (
	"context"
	"fmt"
	"io"
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
	chunks  map[uint64]*chunk   // written, in memory
	sealed  map[uint64]tree.Ref // written, in a pack; the zero ref is a hole
	edge    map[uint64]int      // of a sealed chunk only so many bytes count
	dirty   bool
	since   since
}

// A chunk is up to 1 MiB of a file; what lies behind its end is zero.
type chunk struct {
	buf    []byte
	frozen bool // is being sealed: to be copied before it is written to
	lo, hi int  // what was written since the last journal batch lies between
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
		n.info = info // what comes back if somebody else removes it meanwhile
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
	if n.state != unlinked {
		v.dirty[n] = struct{}{}
		v.touched()
	}
}

// below says where the bytes of chunk i are that are not in memory: in seg, of
// which the first valid bytes count, or inline.
func (f *file) below(v *Volume, i uint64) (seg tree.Ref, inline []byte, valid int, err error) {
	if ref, ok := f.sealed[i]; ok {
		if e, ok := f.edge[i]; ok {
			return ref, nil, e, nil
		}
		return ref, nil, chunkSize, nil
	}
	left := f.keep - int64(i)*chunkSize
	if left <= 0 {
		return tree.Ref{}, nil, 0, nil
	}
	valid = int(min(left, chunkSize))
	if f.content.Inline != nil {
		return tree.Ref{}, f.content.Inline[:min(valid, len(f.content.Inline))], valid, nil
	}
	seg, err = f.content.Chunk(v.cache.load, i)
	return seg, nil, valid, err
}

// writeAt writes p at off of the node's content.
func (n *Node) writeAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off < 0 || off > maxFile-int64(len(p)) {
		return 0, syscall.EFBIG
	}
	done := 0
	for done < len(p) {
		i, at := uint64(off)/chunkSize, int(off%chunkSize)
		m := min(len(p)-done, chunkSize-at)
		if err := n.writeChunk(ctx, i, at, p[done:done+m]); err != nil {
			return done, err
		}
		done += m
		off += int64(m)
	}
	return done, nil
}

// writeChunk writes p, which lies within chunk i, at its offset at.
func (n *Node) writeChunk(ctx context.Context, i uint64, at int, p []byte) error {
	var (
		load   tree.Ref // what must be read first
		valid  int
		loaded []byte
		full   *chunk
		over   bool
	)
	write := func(v *Volume, n *Node) error {
		if err := v.writable(); err != nil {
			return err
		}
		f, err := n.openFile(v)
		if err != nil {
			return err
		}
		c := f.chunks[i]
		if c == nil {
			seg, inline, keep, err := f.below(v, i)
			if err != nil {
				return err
			}
			whole := at == 0 && (len(p) >= keep || len(p) == chunkSize)
			switch {
			case whole || seg == (tree.Ref{}) && inline == nil:
				c = &chunk{}
			case inline != nil:
				c = &chunk{buf: append([]byte{}, inline...)}
			case loaded != nil && load == seg && valid == keep:
				c = &chunk{buf: loaded}
			default:
				load, valid = seg, keep
				return errLoad
			}
			f.chunks[i] = c
			v.opt.Budget.add(len(c.buf))
		} else if c.frozen {
			c = &chunk{buf: append(make([]byte, 0, cap(c.buf)), c.buf...), lo: c.lo, hi: c.hi}
			f.chunks[i] = c
		}
		before := len(c.buf)
		c.grow(at + len(p))
		copy(c.buf[at:], p)
		c.wrote(at, at+len(p))
		v.opt.Budget.add(len(c.buf) - before)
		f.size = max(f.size, int64(i)*chunkSize+int64(at+len(p)))
		n.written(v, time.Now().UnixNano())
		if at+len(p) == chunkSize {
			full = c
		}
		over = v.opt.Budget.over()
		return nil
	}
	for {
		err := n.do(ctx, write)
		if err == errLoad {
			loaded = make([]byte, valid)
			if err = n.vol.Load().readChunk(ctx, load, loaded, 0); err == nil {
				continue
			}
		}
		if err != nil {
			_, _ = n.locked(func(v *Volume, n *Node) error { n.tidy(); return nil })
			return err
		}
		break
	}
	if full != nil {
		if err := n.sealChunk(i, full, false); err != nil {
			return err
		}
	}
	if !over {
		return nil
	}
	v := n.vol.Load()
	if err := v.sealSome(); err != nil {
		return err
	}
	if v.opt.Relieve != nil && v.opt.Budget.over() {
		return v.opt.Relieve()
	}
	return nil
}

// tidy drops a dirty file to which nothing was written after all, with the lock held.
func (n *Node) tidy() {
	if n.file != nil && !n.file.dirty {
		n.file = nil
	}
}

// errLoad says that a chunk must be read before it can be written to in part.
var errLoad = fmt.Errorf("chunk must be read first")

// plain is what of chunk i lies within the file.
func (f *file) plain(i uint64, c *chunk) []byte {
	return c.buf[:min(int64(len(c.buf)), max(0, f.size-int64(i)*chunkSize))]
}

// grow makes the chunk at least n bytes long; new bytes are zero.
func (c *chunk) grow(n int) {
	if n <= len(c.buf) {
		return
	}
	if n > cap(c.buf) {
		b := make([]byte, len(c.buf), min(chunkSize, max(n, 2*cap(c.buf), 4096)))
		copy(b, c.buf)
		c.buf = b
	}
	old := len(c.buf)
	c.buf = c.buf[:n]
	clear(c.buf[old:])
}

// truncate sets the node's size.
func (n *Node) truncate(ctx context.Context, size, now int64) error {
	if size < 0 || size > maxFile {
		return syscall.EFBIG
	}
	return n.do(ctx, func(v *Volume, n *Node) error {
		if err := v.writable(); err != nil {
			return err
		}
		f, err := n.openFile(v)
		if err != nil {
			return err
		}
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
	f.keep = min(f.keep, size)
	f.since.low = min(f.since.low, size)
	first, at := uint64(size/chunkSize), int(size%chunkSize)
	for i, c := range f.chunks {
		switch {
		case i > first || i == first && at == 0:
			delete(f.chunks, i)
			v.opt.Budget.add(-len(c.buf))
		case i == first && at < len(c.buf):
			v.opt.Budget.add(at - len(c.buf))
			// A frozen chunk is being read by its sealer: it keeps its bytes.
			f.chunks[i] = &chunk{buf: append([]byte{}, c.buf[:at]...), lo: min(c.lo, at), hi: min(c.hi, at)}
		}
	}
	for i := range f.sealed {
		if i > first || i == first && at == 0 {
			delete(f.sealed, i)
			f.resealed(i)
		}
	}
	// A sealed chunk that straddles the new end keeps bytes behind it, which
	// must not come back when the file grows again: remember where it ends.
	if ref, ok := f.sealed[first]; ok && ref != (tree.Ref{}) {
		if f.edge == nil {
			f.edge = make(map[uint64]int)
		}
		if e, ok := f.edge[first]; !ok || at < e {
			f.edge[first] = at
			f.resealed(first)
		}
	}
}

// readAt reads from the node's content, with the rules of io.ReaderAt.
func (n *Node) readAt(ctx context.Context, p []byte, off int64) (int, error) {
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
		seg tree.Ref
		at  = int(off % chunkSize)
		end int // of the wanted bytes in the chunk
		in  int // of them stored: the rest is zero
	)
	err := n.do(ctx, func(v *Volume, n *Node) error {
		seg = tree.Ref{}
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
		end = at + int(min(int64(len(p)), left, int64(chunkSize-at)))
		p := p[:end-at]
		i := uint64(off) / chunkSize
		f := n.file
		if f == nil {
			f = &file{content: info.Content, keep: int64(info.Size)}
		} else if c := f.chunks[i]; c != nil {
			clear(p)
			if at < len(c.buf) {
				copy(p, c.buf[at:])
			}
			return nil
		}
		ref, inline, valid, err := f.below(v, i)
		if err != nil {
			return err
		}
		if inline != nil {
			clear(p)
			if at < len(inline) {
				copy(p, inline[at:])
			}
			return nil
		}
		seg, in = ref, min(end, valid)
		if ref == (tree.Ref{}) {
			clear(p)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if seg != (tree.Ref{}) {
		if in > at {
			if err := n.vol.Load().readChunk(ctx, seg, p[:in-at], at); err != nil {
				return 0, err
			}
		}
		clear(p[max(0, in-at) : end-at])
	}
	return end - at, nil
}

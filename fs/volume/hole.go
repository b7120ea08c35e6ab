package volume

import (
	"context"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"satchel/fs/tree"
)

// atATime is how many chunks of a file are looked at before others get the lock.
const atATime = 4096

// Allocate is fallocate(2). Space is not set aside chunk by chunk: it is
// refused where the disk has less than what is asked for behind the file's end.
func (h *Handle) Allocate(ctx context.Context, mode uint32, off, length int64) error {
	switch {
	case !h.write:
		return syscall.EBADF
	case off < 0 || length <= 0:
		return syscall.EINVAL
	case off > maxFile-length:
		return syscall.EFBIG
	}
	keep := mode&unix.FALLOC_FL_KEEP_SIZE != 0
	switch mode &^ unix.FALLOC_FL_KEEP_SIZE {
	case 0:
		return h.n.reserve(ctx, off+length, keep)
	case unix.FALLOC_FL_PUNCH_HOLE:
		if keep {
			return h.n.zero(ctx, off, off+length, true)
		}
	case unix.FALLOC_FL_ZERO_RANGE:
		return h.n.zero(ctx, off, off+length, keep)
	}
	return syscall.EOPNOTSUPP
}

// reserve makes the file end at end at least, unless its size is kept.
func (n *Node) reserve(ctx context.Context, end int64, keep bool) error {
	v := n.vol.Load()
	free := int64(maxFile)
	if v.opt.Free != nil {
		free = v.opt.Free() - v.opt.Budget.inUse()
	}
	return n.modify(ctx, func(v *Volume, n *Node, f *file) error {
		if end-f.size > free {
			return errDiskFull
		}
		if end > f.size && !keep {
			f.size = end
			n.written(v, time.Now().UnixNano())
		}
		return nil
	})
}

// zero makes the bytes from lo to hi zeros, whole chunks of them holes. Unless
// its size is kept the file ends at hi at least.
func (n *Node) zero(ctx context.Context, lo, hi int64, keep bool) error {
	for more := true; more; {
		err := n.modify(ctx, func(v *Volume, n *Node, f *file) (err error) {
			size := f.size
			if !keep {
				size = max(size, hi)
			}
			// Nodes that are missing are read before anything changes: then it
			// changes as far as it got, and the rest comes with the next turn.
			next, err := f.punch(v, lo, min(hi, f.size))
			if err != nil && next == lo {
				return err
			}
			lo, more = next, next < min(hi, f.size)
			if !more {
				f.size = size
			}
			n.written(v, time.Now().UnixNano())
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// punch makes the bytes from lo to hi, which lies within the file, zeros. It
// returns how far it got.
func (f *file) punch(v *Volume, lo, hi int64) (int64, error) {
	for range atATime {
		i, ok, err := f.next(v, uint64(lo/chunkSize))
		if err != nil {
			return lo, err
		}
		if !ok || int64(i) > hi/chunkSize {
			return max(lo, hi), nil
		}
		base := int64(i) * chunkSize
		if lo = max(lo, base); lo >= hi {
			return lo, nil
		}
		from, to := int(lo-base), int(min(hi-base, chunkSize))
		if from == 0 && to >= f.room(i) {
			f.store(v, i, tree.Ref{})
		} else {
			f.edit(v, i, func(c *chunk) { c.zero(from, to) })
		}
		lo = base + int64(to)
	}
	return lo, nil
}

// next returns the first chunk from i on of which anything is stored or in memory.
func (f *file) next(v *Volume, i uint64) (at uint64, ok bool, err error) {
	if ref, sealed := f.sealed[i]; f.chunks[i] != nil || sealed && ref != (tree.Ref{}) {
		return i, true, nil
	}
	take := func(j uint64) {
		if j >= i && (!ok || j < at) {
			at, ok = j, true
		}
	}
	for j := range f.chunks {
		take(j)
	}
	for j, ref := range f.sealed {
		if ref != (tree.Ref{}) {
			take(j)
		}
	}
	if f.content.Inline != nil {
		if f.keep > 0 {
			if _, over := f.sealed[0]; !over {
				take(0)
			}
		}
		return at, ok, nil
	}
	for j := i; ; j++ {
		var some bool
		if j, some, err = f.content.Next(v.cache.load, j); err != nil {
			return 0, false, err
		}
		if !some || int64(j) >= (f.keep+chunkSize-1)/chunkSize {
			return at, ok, nil
		}
		if _, over := f.sealed[j]; !over {
			take(j)
			return at, ok, nil
		}
	}
}

// view returns the node's dirty file, or one that stands for what it shows,
// with the lock held. The caller changes nothing of it.
func (n *Node) view(v *Volume) (*file, error) {
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
	return &file{content: info.Content, keep: int64(info.Size), size: int64(info.Size), mtime: info.Mtime}, nil
}

// Seek is lseek(2) with SEEK_DATA or SEEK_HOLE. What is stored has holes of whole
// chunks, what is in memory finer ones.
func (h *Handle) Seek(ctx context.Context, off int64, whence int) (int64, error) {
	if whence != unix.SEEK_DATA && whence != unix.SEEK_HOLE {
		return 0, syscall.EINVAL
	}
	if off < 0 {
		return 0, syscall.ENXIO
	}
	for first := true; ; first = false {
		found := false
		err := h.n.do(ctx, func(v *Volume, n *Node) error {
			f, err := n.view(v)
			if err != nil {
				return err
			}
			if first && off >= f.size {
				return syscall.ENXIO
			}
			for range atATime {
				if off >= f.size {
					if whence == unix.SEEK_DATA {
						return syscall.ENXIO
					}
					off, found = f.size, true
					return nil
				}
				data, end, err := f.run(v, off)
				if err != nil {
					return err
				}
				if data == (whence == unix.SEEK_DATA) {
					found = true
					return nil
				}
				off = end
			}
			return nil
		})
		if err != nil || found {
			return off, err
		}
	}
}

// run tells whether there is data at off, or a hole, and where that may end.
func (f *file) run(v *Volume, off int64) (data bool, end int64, err error) {
	i, at := uint64(off/chunkSize), int(off%chunkSize)
	base := int64(i) * chunkSize
	l, err := f.below(v, i)
	if err != nil {
		return false, 0, err
	}
	stored := 0
	if !l.hole() {
		stored = l.valid
	}
	c := f.chunks[i]
	if c == nil && at >= stored {
		next, ok, err := f.next(v, i+1)
		if err != nil || !ok {
			return false, f.size, err
		}
		return false, min(f.size, int64(next)*chunkSize), nil
	}
	upTo := chunkSize
	if c != nil {
		if k := c.at(at); k < len(c.exts) {
			if c.exts[k].off <= at {
				return c.exts[k].data != nil, base + int64(c.exts[k].end()), nil
			}
			upTo = c.exts[k].off
		}
	}
	if at < stored {
		return true, base + int64(min(stored, upTo)), nil
	}
	return false, base + int64(upTo), nil
}

// countNodes bounds what counting a file's blocks may look at.
const countNodes = 256

// blocks returns how many units of 512 bytes the content takes of a file that shows
// info, as stat(2) has them. Holes don't count, as far as that is known without reading.
func (n *Node) blocks(v *Volume, info *tree.Info) uint64 {
	f := n.file
	if f == nil && info.Content.Inline != nil {
		return uint64(len(info.Content.Inline)+511) / 512
	}
	if f == nil {
		f = &file{content: info.Content, keep: int64(info.Size), size: int64(info.Size), mtime: info.Mtime}
	}
	most := uint64(f.size+511) / 512
	if f.content.Inline != nil && len(f.sealed) == 0 && len(f.chunks) == 0 {
		return uint64(min(f.keep, int64(len(f.content.Inline)))+511) / 512
	}
	const perChunk = chunkSize / 512
	have := n.storedChunks(v, f)
	for i, ref := range f.sealed {
		if was, err := f.content.Chunk(v.cache.load, i); err == nil && was != (tree.Ref{}) {
			have--
		}
		if ref != (tree.Ref{}) {
			have++
		}
	}
	blocks := have * perChunk
	for i, c := range f.chunks {
		if l, err := f.below(v, i); err == nil && l.hole() {
			blocks += int64(c.stored()+511) / 512
		}
	}
	return min(uint64(max(0, blocks)), most)
}

// stored is how many bytes of the chunk are more than zeros.
func (c *chunk) stored() (n int) {
	for i := range c.exts {
		if c.exts[i].data != nil {
			n += c.exts[i].n
		}
	}
	return n
}

// A count is how many chunks of a content are stored.
type count struct {
	size uint64
	refs []tree.Ref
	n    int64
}

// storedChunks counts the chunks of what the tree has of the file. While its index
// is not in memory all of them count.
func (n *Node) storedChunks(v *Volume, f *file) int64 {
	c := &f.content
	all := (min(int64(c.Size), f.keep) + chunkSize - 1) / chunkSize
	if c.Inline != nil {
		return all
	}
	if n.count.size != c.Size || !slices.Equal(n.count.refs, c.Refs) {
		got, err := c.Stored(v.cache.load, countNodes)
		if err != nil {
			return all
		}
		n.count = count{c.Size, c.Refs, int64(got)}
	}
	return min(all, n.count.n)
}

package volume

import (
	"context"
	"fmt"
	"sync"

	"satchel/crypto"
	"satchel/fs/tree"
)

// smallSegment is up to where a segment is read at once, header and all.
const smallSegment = 2 * crypto.FrameSize

// readChunk fills p with the bytes at off of the chunk that ref seals; what
// lies behind the chunk's end is zero. Only the frames that p needs are opened,
// unless the chunk is small, compressed or was opened ahead.
func (v *Volume) readChunk(ctx context.Context, ref tree.Ref, p []byte, off int) error {
	if ref == (tree.Ref{}) || len(p) == 0 {
		clear(p)
		return nil
	}
	if ref.Len <= smallSegment || ctx.Value(fromDiskKey{}) != nil { // what is opened ahead is waited for
		plain, err := v.segment(ctx, crypto.TypeChunk, ref)
		fill(p, plain, off)
		return err
	}
	if plain, ok := v.ahead.take(ctx, ref, len(p)); ok {
		fill(p, plain, off)
		return nil
	}
	head, err := v.header(ctx, ref)
	if err != nil {
		return err
	}
	if head.Raw() {
		return v.readFrames(ctx, ref, head, p, off)
	}
	v.ahead.start(ref)
	plain, ok := v.ahead.take(ctx, ref, len(p))
	if !ok {
		plain, err = v.segment(ctx, crypto.TypeChunk, ref)
	}
	fill(p, plain, off)
	return err
}

// fill fills p with what plain has from off on, and then zeros.
func fill(p, plain []byte, off int) {
	n := 0
	if off < len(plain) {
		n = copy(p, plain[off:])
	}
	clear(p[n:])
}

// readFrames fills p from a segment that is not compressed.
func (v *Volume) readFrames(ctx context.Context, ref tree.Ref, head *crypto.SegmentHeader, p []byte, off int) error {
	end := min(off+len(p), head.PlainLen())
	clear(p[max(0, end-off):])
	if end <= off {
		return nil
	}
	first, last := off/crypto.FrameSize, (end-1)/crypto.FrameSize
	from, _ := head.FrameRange(first)
	at, n := head.FrameRange(last)
	err := v.sealed(ctx, ref, int64(from), int64(at+n-from), func(b []byte) error {
		for i := first; i <= last; i++ {
			at, n := head.FrameRange(i)
			if err := openFrame(head, i, b[at-from:][:n], p[:end-off], off); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// frameBuffers are for frames of which a part is wanted.
var frameBuffers = sync.Pool{New: func() any { return new([crypto.FrameSize]byte) }}

// openFrame puts what of frame i lies in p, the bytes from off on, there.
func openFrame(head *crypto.SegmentHeader, i int, sealed, p []byte, off int) error {
	at := i*crypto.FrameSize - off
	whole := min(crypto.FrameSize, head.PlainLen()-i*crypto.FrameSize)
	if at >= 0 && at+whole <= len(p) {
		_, err := head.AppendFrame(p[at:at:at+whole], i, sealed)
		return err
	}
	buf := frameBuffers.Get().(*[crypto.FrameSize]byte)
	defer frameBuffers.Put(buf)
	plain, err := head.AppendFrame(buf[:0], i, sealed)
	if err != nil {
		return err
	}
	if at >= 0 {
		copy(p[at:], plain)
	} else if -at < len(plain) {
		copy(p, plain[-at:])
	}
	return nil
}

// header returns the header of a chunk.
func (v *Volume) header(ctx context.Context, ref tree.Ref) (*crypto.SegmentHeader, error) {
	if h := v.headers.get(ref); h != nil {
		return h, nil
	}
	n, err := crypto.HeaderLen(int(ref.Len))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", v.opt.Label, err)
	}
	var h *crypto.SegmentHeader
	err = v.sealed(ctx, ref, 0, int64(n), func(b []byte) (err error) {
		h, err = crypto.ParseSegmentHeader(crypto.TypeChunk, ref.Hash, ref.Key, int(ref.Len), b)
		return err
	})
	if err != nil {
		return nil, err
	}
	v.headers.put(ref, h)
	return h, nil
}

// maxHeaders bounds the headers that a volume keeps, of about 3 KiB each.
const maxHeaders = 2048

// A headerCache keeps headers of chunks that are read in parts.
type headerCache struct {
	mu sync.Mutex
	by map[headerKey]*crypto.SegmentHeader
}

type headerKey struct {
	nodeKey
	length uint32
}

func headerKeyOf(ref tree.Ref) headerKey { return headerKey{nodeKey{ref.Hash, ref.Key}, ref.Len} }

func (c *headerCache) get(ref tree.Ref) *crypto.SegmentHeader {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by[headerKeyOf(ref)]
}

func (c *headerCache) put(ref tree.Ref, h *crypto.SegmentHeader) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = make(map[headerKey]*crypto.SegmentHeader)
	}
	for k := range c.by { // any one: who reads at random comes back to none sooner
		if len(c.by) < maxHeaders {
			break
		}
		delete(c.by, k)
	}
	c.by[headerKeyOf(ref)] = h
}

package volume

import (
	"context"
	"sync"

	"satchel/crypto"
	"satchel/fs/tree"
)

const (
	maxAhead  = 8         // chunks that are opened at once, and that a reader is ahead of itself
	maxOpened = 16        // chunks that are kept open: 16 MiB
	inOrder   = 512 << 10 // a read that begins so near to where the last one ended goes on with it
	sureFrom  = 256 << 10 // so much was read in order before anything is opened ahead
)

// A reading notices that a file is read in order. Reads may come in parallel, so
// the order need not be strict.
type reading struct {
	mu    sync.Mutex
	next  int64  // where the last read ended
	run   int64  // so much was read in order
	until uint64 // chunks up to here were asked for
}

// note notes a read. It returns the chunks, from the one up to the other, that should be
// opened now.
func (r *reading) note(off int64, n int) (from, to uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	end := off + int64(n)
	if off < r.next-inOrder || off > r.next+inOrder {
		r.next, r.run, r.until = end, int64(n), 0
		return 0, 0
	}
	r.next = max(r.next, end)
	if r.run += int64(n); r.run < sureFrom {
		return 0, 0
	}
	now := uint64(r.next / chunkSize)
	from = max(r.until, now+1)
	r.until = max(from, now+min(2+uint64(r.run/(2*chunkSize)), maxAhead)+1)
	return from, r.until
}

// readAhead opens the node's chunks from the one up to the other that are sealed.
func (n *Node) readAhead(from, to uint64) {
	var refs []tree.Ref
	v, _ := n.locked(func(v *Volume, n *Node) error {
		f, err := n.view(v)
		if err != nil {
			return err
		}
		for i := from; i < to && f.room(i) > 0; i++ {
			if l, err := f.below(v, i); err == nil && f.chunks[i] == nil && !l.hole() && l.seg.Len > smallSegment {
				refs = append(refs, l.seg)
			}
		}
		return nil
	})
	for _, ref := range refs {
		v.ahead.start(ref)
	}
}

// An aheadCache opens chunks in the background, for who will read them soon,
// and keeps them until they were read.
type aheadCache struct {
	open   func(ctx context.Context, ref tree.Ref) ([]byte, error)
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu   sync.Mutex
	busy int
	by   map[headerKey]*opened
	last uint64 // number of the newest
}

// An opened chunk is there when done is closed, unless there is an error.
type opened struct {
	number uint64
	done   chan struct{}
	plain  []byte
	err    error
	left   int // bytes that nobody read yet
}

func (o *opened) isDone() bool {
	select {
	case <-o.done:
		return true
	default:
		return false
	}
}

func newAheadCache(v *Volume) *aheadCache {
	c := &aheadCache{by: make(map[headerKey]*opened)}
	c.open = func(ctx context.Context, ref tree.Ref) ([]byte, error) {
		return v.segment(ctx, crypto.TypeChunk, ref)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// close stops what is being opened, and waits for that.
func (c *aheadCache) close() {
	c.mu.Lock()
	c.cancel()
	clear(c.by)
	c.mu.Unlock()
	c.wg.Wait()
}

// start opens a chunk, unless too many are being opened already.
func (c *aheadCache) start(ref tree.Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := headerKeyOf(ref)
	if c.by[k] != nil || c.busy >= maxAhead || c.ctx.Err() != nil {
		return
	}
	if len(c.by) >= maxOpened {
		c.evict()
	}
	c.last++
	o := &opened{number: c.last, done: make(chan struct{}), left: chunkSize}
	c.by[k] = o
	c.busy++
	c.wg.Go(func() {
		plain, err := c.open(c.ctx, ref)
		c.mu.Lock()
		defer c.mu.Unlock()
		o.plain, o.err, o.left = plain, err, len(plain)
		c.busy--
		if err != nil && c.by[k] == o {
			delete(c.by, k)
		}
		close(o.done)
	})
}

// evict drops the oldest chunk that is open, with the lock held.
func (c *aheadCache) evict() {
	var key headerKey
	var oldest *opened
	for k, o := range c.by {
		if o.isDone() && (oldest == nil || o.number < oldest.number) {
			key, oldest = k, o
		}
	}
	delete(c.by, key)
}

// take returns the plaintext of a chunk that was or is being opened, of which
// n bytes are about to be read. ok is false if it isn't, or can't be read.
func (c *aheadCache) take(ctx context.Context, ref tree.Ref, n int) (plain []byte, ok bool) {
	k := headerKeyOf(ref)
	c.mu.Lock()
	o := c.by[k]
	c.mu.Unlock()
	if o == nil {
		return nil, false
	}
	select {
	case <-o.done:
	case <-ctx.Done():
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.left -= n; o.left <= 0 && c.by[k] == o {
		delete(c.by, k)
	}
	return o.plain, o.err == nil
}

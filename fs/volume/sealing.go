package volume

import (
	"context"
	"fmt"
	"sync"
	"syscall"

	"satchel/fs/tree"
)

// A sealing is what it takes to seal a chunk.
type sealing struct {
	v     *Volume
	c     *chunk // frozen
	below lower
	room  int  // what the file's size leaves of the chunk
	one   bool // it is the file's only chunk
}

// sealChunk seals chunk i of the node if it is still c, and puts its ref in its
// place. What the chunk lacks is read first. If somebody else is at it already
// it waits for them. Unless it is for a commit it leaves the disk's reserve alone.
func (n *Node) sealChunk(ctx context.Context, i uint64, c *chunk, commit bool) error {
	s, err := n.beginSealing(ctx, i, c)
	if s == nil || err != nil {
		return err
	}
	ref, err := s.seal(ctx, commit)

	w := n.lock()
	defer w.mu.Unlock()
	n = n.current(w)
	close(c.frozen)
	c.frozen = nil
	if err != nil {
		return err
	}
	if n.file == nil || n.file.chunks[i] != c {
		return nil // changed meanwhile: the sealed bytes are of no use
	}
	n.file.store(w, i, ref)
	c.recycle()
	return nil
}

// sealSoon seals a chunk that is full. The writer goes on meanwhile, unless too
// many chunks are being sealed.
func (n *Node) sealSoon(ctx context.Context, i uint64, c *chunk) {
	v := n.vol.Load()
	if !v.sealers.begin() {
		_ = n.sealChunk(ctx, i, c, false)
		return
	}
	go func() {
		defer v.sealers.end()
		_ = n.sealChunk(context.Background(), i, c, false)
	}()
}

// maxSealers is how many chunks are sealed at once beside those who write, and
// for a commit.
const maxSealers = 2

// sealers counts those that seal in the background.
type sealers struct {
	mu     sync.Mutex
	closed bool
	n      int
	wg     sync.WaitGroup
}

func (s *sealers) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.n == maxSealers {
		return false
	}
	s.n++
	s.wg.Add(1)
	return true
}

func (s *sealers) end() {
	s.mu.Lock()
	s.n--
	s.mu.Unlock()
	s.wg.Done()
}

// close waits for them; no others begin.
func (s *sealers) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.wg.Wait()
}

// beginSealing freezes the chunk; nil if it isn't there any more.
func (n *Node) beginSealing(ctx context.Context, i uint64, c *chunk) (s *sealing, err error) {
	for {
		var busy chan struct{}
		err = n.do(ctx, func(v *Volume, n *Node) error {
			f := n.file
			if f == nil || f.chunks[i] != c {
				return nil
			}
			if busy = c.frozen; busy != nil {
				return nil
			}
			l, err := f.below(v, i)
			if err != nil {
				return err
			}
			c.frozen = make(chan struct{})
			s = &sealing{v: v, c: c, below: l, room: f.room(i), one: f.size <= chunkSize}
			return nil
		})
		if err != nil || busy == nil {
			return s, err
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *sealing) seal(ctx context.Context, commit bool) (tree.Ref, error) {
	if s.v.opt.Free != nil && !commit && s.v.opt.Free() < int64(s.room) {
		return tree.Ref{}, errDiskFull
	}
	plain, err := s.plain(ctx)
	if err != nil {
		return tree.Ref{}, err
	}
	return s.v.seal(plain, s.one)
}

var errDiskFull = fmt.Errorf("this machine's disk is full but for a reserve: %w", syscall.ENOSPC)

// plain returns the bytes of the whole chunk, without the zeros at its end.
func (s *sealing) plain(ctx context.Context) ([]byte, error) {
	stored := 0
	if !s.below.hole() {
		stored = min(s.below.valid, s.room)
	}
	n := min(max(stored, s.c.end()), s.room)
	if e := s.c.exts; len(e) == 1 && e[0].off == 0 && e[0].n >= n && e[0].data != nil {
		return e[0].data[:n], nil
	}
	buf := make([]byte, n)
	if !s.c.covers(0, stored) {
		if err := s.v.readLower(ctx, &s.below, buf, 0); err != nil {
			return nil, err
		}
	}
	s.c.over(buf)
	return buf, nil
}

// makeWhole fills chunk i in memory up with what lies below it.
func (n *Node) makeWhole(ctx context.Context, i uint64) error {
	var (
		had  lower
		buf  []byte
		vol  *Volume
		more bool
	)
	for {
		err := n.do(ctx, func(v *Volume, n *Node) error {
			more = false
			f := n.file
			if f == nil || f.chunks[i] == nil {
				return nil
			}
			l, err := f.below(v, i)
			if err != nil {
				return err
			}
			l.valid = min(l.valid, f.room(i))
			if f.chunks[i].covers(0, l.valid) && !f.chunks[i].crowded() {
				return nil
			}
			if buf != nil && l.seg == had.seg && l.valid == had.valid {
				f.edit(v, i, func(c *chunk) { c.fill(buf) })
				return nil
			}
			had, vol, more = l, v, true
			return nil
		})
		if err != nil || !more {
			return err
		}
		buf = make([]byte, had.valid)
		if err := vol.readLower(ctx, &had, buf, 0); err != nil {
			return err
		}
	}
}

package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"

	"satchel/crypto"
	"satchel/fs/tree"
	"satchel/storage/pack"
)

// packSize is where a pack is closed and the next begun.
const packSize = 8 << 20

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

// seal puts a chunk into the open data pack.
func (v *Volume) seal(plain []byte, zstd bool) (tree.Ref, error) {
	if allZero(plain) {
		return tree.Ref{}, nil
	}
	sealed, hash, key, err := crypto.SealSegment(crypto.TypeChunk, plain, zstd)
	if err != nil {
		return tree.Ref{}, fmt.Errorf("seal: %w", err)
	}
	v.packMu.Lock()
	defer v.packMu.Unlock()
	if v.data == nil {
		if v.data, err = v.opt.Packs.Create(); err != nil {
			return tree.Ref{}, err
		}
	}
	off, err := v.data.Append(sealed)
	if err != nil {
		return tree.Ref{}, err
	}
	ref := tree.Ref{Owner: v.opt.Name, Pack: [32]byte(v.data.ID()), Off: uint32(off), Len: uint32(len(sealed)), Hash: hash, Key: key}
	if v.data.Size() >= packSize {
		v.closeData()
	}
	return ref, nil
}

// closeData closes the open data pack in the background, with packMu held.
func (v *Volume) closeData() {
	w := v.data
	v.data = nil
	if w == nil {
		return
	}
	v.closing[w] = struct{}{}
	go func() {
		id, err := w.Close()
		v.packMu.Lock()
		defer v.packMu.Unlock()
		if err != nil {
			v.unclosed = append(v.unclosed, w)
		} else {
			v.made = append(v.made, id)
		}
		delete(v.closing, w)
		v.packCond.Broadcast()
	}()
}

// packsOpen tells whether refs to packs that are not closed may be about.
func (v *Volume) packsOpen() bool {
	v.packMu.Lock()
	defer v.packMu.Unlock()
	return v.data != nil || len(v.closing) > 0 || len(v.unclosed) > 0
}

// closePacks closes the open data pack and waits until all are closed. A pack
// that could not be closed (a full disk) is tried again with each call.
func (v *Volume) closePacks() error {
	v.packMu.Lock()
	defer v.packMu.Unlock()
	v.closeData()
	for len(v.closing) > 0 {
		v.packCond.Wait()
	}
	for len(v.unclosed) > 0 {
		id, err := v.unclosed[0].Close()
		if err != nil {
			return fmt.Errorf("%s: pack: %w", v.opt.Label, err)
		}
		v.made = append(v.made, id)
		v.unclosed = v.unclosed[1:]
	}
	return nil
}

var zeros [4096]byte

func allZero(b []byte) bool {
	for len(b) > len(zeros) {
		if !bytes.Equal(b[:len(zeros)], zeros[:]) {
			return false
		}
		b = b[len(zeros):]
	}
	return bytes.Equal(b, zeros[:len(b)])
}

// makeRoom sees to it that more may be written: that dirty memory is within its
// bound and that the disk can take what is dirty.
func (v *Volume) makeRoom(ctx context.Context) error {
	if v.opt.Budget.over() {
		if err := v.sealSome(ctx); err != nil {
			return err
		}
		if v.opt.Relieve != nil && v.opt.Budget.over() {
			if err := v.opt.Relieve(); err != nil {
				return err
			}
		}
	}
	if v.opt.Free != nil && v.opt.Free() <= v.opt.Budget.inUse() {
		return errDiskFull
	}
	return nil
}

// sealSome seals dirty chunks until the memory that they take is within its
// bound. One that can't be sealed, since what lies below it can't be read, does
// not keep the others from it.
func (v *Volume) sealSome(ctx context.Context) error {
	var failed error
	skip := make(map[*chunk]bool)
	for v.opt.Budget.over() {
		n, i, c := v.anyChunk(skip)
		if c == nil {
			return failed
		}
		if err := n.sealChunk(ctx, i, c, false); err != nil {
			if errors.Is(err, syscall.ENOSPC) || ctx.Err() != nil {
				return err
			}
			failed, skip[c] = err, true
		}
	}
	return nil
}

// Relieve seals chunks until the memory that all volumes' dirty ones take is
// within its bound or this volume has none left.
func (v *Volume) Relieve() error { return v.sealSome(context.Background()) }

// anyChunk returns a chunk in memory that nobody is sealing, the largest of the
// first file that has one.
func (v *Volume) anyChunk(skip map[*chunk]bool) (node *Node, at uint64, big *chunk) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, nodes := range []map[*Node]struct{}{v.dirty, v.open} { // open: unlinked ones too
		for n := range nodes {
			if n.file == nil {
				continue
			}
			for i, c := range n.file.chunks {
				if c.frozen == nil && !skip[c] && (big == nil || c.took > big.took) {
					node, at, big = n, i, c
				}
			}
			if big != nil {
				return node, at, big
			}
		}
	}
	return nil, 0, nil
}

// sealDirty seals every chunk in memory; of a file that goes into its entry it
// makes the only one whole.
func (v *Volume) sealDirty(ctx context.Context) error {
	type job struct {
		n     *Node
		i     uint64
		c     *chunk
		small bool
	}
	var jobs []job
	v.mu.Lock()
	for n := range v.dirty {
		n.file.outgrow(v)
		for i, c := range n.file.chunks {
			jobs = append(jobs, job{n, i, c, n.file.size <= maxInline})
		}
	}
	v.mu.Unlock()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxSealers)
	for _, j := range jobs {
		g.Go(func() error {
			if j.small {
				return j.n.makeWhole(ctx, j.i)
			}
			return j.n.sealChunk(ctx, j.i, j.c, true)
		})
	}
	return g.Wait()
}

// outgrow makes a chunk of inline content that is too long to be any.
func (f *file) outgrow(v *Volume) {
	in := f.content.Inline
	_, sealed := f.sealed[0]
	if f.size <= maxInline || sealed || f.chunks[0] != nil || f.keep == 0 || len(in) == 0 {
		return
	}
	f.edit(v, 0, func(c *chunk) { c.put(0, in[:min(f.keep, int64(len(in)))]) })
}

// settled tells whether nothing of f is in memory but what goes into its entry.
func (f *file) settled(v *Volume) bool {
	if f.size > maxInline {
		f.outgrow(v)
		return len(f.chunks) == 0
	}
	for i, c := range f.chunks {
		l, err := f.below(v, i)
		if err != nil || i > 0 || !l.hole() && !c.covers(0, min(l.valid, f.room(i))) {
			return false
		}
	}
	return true
}

// A sink puts the nodes of one commit into packs of their own.
type sink struct {
	v      *Volume
	w      *pack.Writer
	closed []pack.ID
}

// Node implements tree.Sink.
func (s *sink) Node(encode func(local func(tree.Ref) tree.Ref) ([]byte, error)) (tree.Ref, error) {
	if s.w != nil && s.w.Size() >= packSize {
		if err := s.close(); err != nil {
			return tree.Ref{}, err
		}
	}
	if s.w == nil {
		w, err := s.v.opt.Packs.Create()
		if err != nil {
			return tree.Ref{}, err
		}
		s.w = w
	}
	var open bool
	plain, err := encode(func(r tree.Ref) tree.Ref {
		if r == (tree.Ref{}) {
			return r
		}
		id, closed := s.v.opt.Packs.Resolve(pack.ID(r.Pack))
		switch {
		case pack.ID(r.Pack) == s.w.ID():
			r.Pack = [32]byte{}
		case closed:
			r.Pack = [32]byte(id)
		default:
			open = true
		}
		return r
	})
	if err != nil {
		return tree.Ref{}, err
	}
	if open {
		return tree.Ref{}, errMore // something was sealed since the packs were closed
	}
	sealed, hash, key, err := crypto.SealSegment(crypto.TypeNode, plain, true)
	if err != nil {
		return tree.Ref{}, fmt.Errorf("seal: %w", err)
	}
	off, err := s.w.Append(sealed)
	if err != nil {
		return tree.Ref{}, err
	}
	ref := tree.Ref{Owner: s.v.opt.Name, Pack: [32]byte(s.w.ID()), Off: uint32(off), Len: uint32(len(sealed)), Hash: hash, Key: key}
	s.v.cache.put(ref, plain)
	return ref, nil
}

// close closes the pack of nodes; after an error it can be called again.
func (s *sink) close() error {
	if s.w == nil {
		return nil
	}
	id, err := s.w.Close()
	if err != nil {
		return fmt.Errorf("%s: pack: %w", s.v.opt.Label, err)
	}
	s.closed = append(s.closed, id)
	s.w = nil
	return nil
}

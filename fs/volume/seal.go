package volume

import (
	"bytes"
	"context"
	"fmt"
	"syscall"

	"satchel/crypto"
	"satchel/fs/tree"
	"satchel/storage/pack"
)

// packSize is where a pack is closed and the next begun.
const packSize = 8 << 20

// sealChunk seals chunk i of the node if it is still c, and puts its ref in its
// place. Unless it is for a commit it leaves the disk's reserve alone.
func (n *Node) sealChunk(i uint64, c *chunk, commit bool) error {
	v := n.lock()
	n = n.current(v)
	f := n.file
	if f == nil || f.chunks[i] != c || c.frozen {
		v.mu.Unlock()
		return nil
	}
	if v.opt.Free != nil && !commit && v.opt.Free() < int64(len(c.buf)) {
		v.mu.Unlock()
		return fmt.Errorf("this machine's disk is full but for a reserve: %w", syscall.ENOSPC)
	}
	c.frozen = true
	one, plain := f.size <= chunkSize, f.plain(i, c)
	v.mu.Unlock()

	ref, err := v.seal(plain, one)

	w := n.lock()
	defer w.mu.Unlock()
	c.frozen = false
	if err != nil {
		return err
	}
	if n.file == nil || n.file.chunks[i] != c || len(n.file.plain(i, c)) != len(plain) {
		return nil // written to or cut off meanwhile: the sealed bytes are of no use
	}
	v.opt.Budget.add(-len(c.buf))
	delete(n.file.chunks, i)
	n.file.sealed[i] = ref
	delete(n.file.edge, i)
	n.file.resealed(i)
	return nil
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
	v.nclosing++
	go func() {
		id, err := w.Close()
		v.packMu.Lock()
		defer v.packMu.Unlock()
		if err != nil {
			v.unclosed = append(v.unclosed, w)
		} else {
			v.made = append(v.made, id)
		}
		v.nclosing--
		v.packCond.Broadcast()
	}()
}

// packsOpen tells whether refs to packs that are not closed may be about.
func (v *Volume) packsOpen() bool {
	v.packMu.Lock()
	defer v.packMu.Unlock()
	return v.data != nil || v.nclosing > 0 || len(v.unclosed) > 0
}

// closePacks closes the open data pack and waits until all are closed. A pack
// that could not be closed (a full disk) is tried again with each call.
func (v *Volume) closePacks() error {
	v.packMu.Lock()
	defer v.packMu.Unlock()
	v.closeData()
	for v.nclosing > 0 {
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

// sealSome seals dirty chunks until the memory that they take is within its bound.
func (v *Volume) sealSome() error {
	for v.opt.Budget.over() {
		n, i, c := v.anyChunk()
		if c == nil {
			return nil
		}
		if err := n.sealChunk(i, c, false); err != nil {
			return err
		}
	}
	return nil
}

// Relieve seals chunks until the memory that all volumes' dirty ones take is
// within its bound or this volume has none left.
func (v *Volume) Relieve() error { return v.sealSome() }

// anyChunk returns a chunk in memory that nobody is sealing, the largest of the
// first file that has one.
func (v *Volume) anyChunk() (node *Node, at uint64, big *chunk) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, nodes := range []map[*Node]struct{}{v.dirty, v.open} { // open: unlinked ones too
		for n := range nodes {
			if n.file == nil {
				continue
			}
			for i, c := range n.file.chunks {
				if !c.frozen && (big == nil || len(c.buf) > len(big.buf)) {
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

// sealDirty seals every chunk in memory, the cut-off edges of old chunks too.
func (v *Volume) sealDirty(ctx context.Context) error {
	type job struct {
		n *Node
		i uint64
		c *chunk
	}
	var jobs []job
	v.mu.Lock()
	var edges []*Node
	for n := range v.dirty {
		if _, _, cut := n.file.edges(); cut {
			edges = append(edges, n)
		}
	}
	v.mu.Unlock()
	for _, n := range edges {
		if err := n.loadEdges(ctx); err != nil {
			return err
		}
	}
	v.mu.Lock()
	for n := range v.dirty {
		if n.file.size <= maxInline {
			continue // goes into its entry
		}
		for i, c := range n.file.chunks {
			jobs = append(jobs, job{n, i, c})
		}
	}
	v.mu.Unlock()
	for _, j := range jobs {
		if err := j.n.sealChunk(j.i, j.c, true); err != nil {
			return err
		}
	}
	return nil
}

// edges returns a stored chunk of which the file keeps only a part, and how
// much of it.
func (f *file) edges() (i uint64, valid int, ok bool) {
	for i, e := range f.edge {
		if f.chunks[i] == nil {
			return i, e, true
		}
	}
	i = uint64(f.keep / chunkSize)
	_, sealed := f.sealed[i]
	if at := int(f.keep % chunkSize); at != 0 && f.keep < int64(f.content.Size) && f.content.Inline == nil && f.chunks[i] == nil && !sealed {
		return i, at, true
	}
	return 0, 0, false
}

// loadEdges makes chunks in memory of the parts that edges finds, so that what
// was cut off is in no sealed chunk.
func (n *Node) loadEdges(ctx context.Context) error {
	for {
		var (
			i   uint64
			seg tree.Ref
			buf []byte
		)
		err := n.do(ctx, func(v *Volume, n *Node) error {
			seg, buf = tree.Ref{}, nil
			if n.file == nil {
				return nil
			}
			at, valid, ok := n.file.edges()
			if !ok {
				return nil
			}
			ref, _, _, err := n.file.below(v, at)
			i, seg, buf = at, ref, make([]byte, valid)
			return err
		})
		if err != nil || buf == nil {
			return err
		}
		if err := n.vol.Load().readChunk(ctx, seg, buf, 0); err != nil {
			return err
		}
		err = n.do(ctx, func(v *Volume, n *Node) error {
			if n.file == nil {
				return nil
			}
			at, valid, ok := n.file.edges()
			if !ok || at != i || valid != len(buf) {
				return nil
			}
			if ref, _, _, err := n.file.below(v, at); err != nil || ref != seg {
				return err
			}
			n.file.chunks[i] = &chunk{buf: buf, hi: len(buf)}
			delete(n.file.edge, i)
			delete(n.file.sealed, i)
			n.file.resealed(i)
			v.opt.Budget.add(len(buf))
			return nil
		})
		if err != nil {
			return err
		}
	}
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

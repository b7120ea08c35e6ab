package volume

import (
	"bytes"
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"satchel/crypto"
	"satchel/fs/tree"
)

// packSize is where a pack is closed and the next begun.
const packSize = 8 << 20

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

// sealDirty seals every chunk in memory; of a file that goes into its entry it
// makes the only one whole. What the commit leaves out is left alone.
func (v *Volume) sealDirty(ctx context.Context, why reason) error {
	type job struct {
		n     *Node
		i     uint64
		c     *chunk
		small bool
	}
	var jobs []job
	v.mu.Lock()
	left := v.leftOut(why)
	for n := range v.dirty {
		if _, out := left[n]; out {
			continue
		}
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

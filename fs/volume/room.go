package volume

import (
	"context"
	"errors"
	"syscall"
)

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

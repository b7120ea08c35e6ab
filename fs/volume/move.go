package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"satchel/fs/tree"
)

// Move moves oldName of the folder from to newName of the folder to, which is
// in another volume. Content is not copied: the new entries refer to the same
// sealed segments. If some of it belongs to a name that is no member of the
// target, or has a name that does not move, the error is EXDEV, and the caller
// copies.
func Move(ctx context.Context, from *Node, oldName string, to *Node, newName string, noReplace bool) error {
	for range 5 {
		// What is written but not sealed has no refs that could be moved, and what
		// the target still owes to others must be there before it owes more.
		if err := from.vol.Load().Commit(ctx); err != nil {
			return err
		}
		if err := to.vol.Load().Commit(ctx); err != nil {
			return err
		}
		err := errAgain
		for read := true; read && err == errAgain; {
			read, err = moveOnce(ctx, from, oldName, to, newName, noReplace)
		}
		if err != errAgain {
			return err
		}
	}
	return fmt.Errorf("%s is being written to: %w", oldName, syscall.EBUSY)
}

// moveOnce tries once. With errAgain, read tells whether nodes were read that
// were missing.
func moveOnce(ctx context.Context, from *Node, oldName string, to *Node, newName string, noReplace bool) (read bool, err error) {
	a, b := from.vol.Load(), to.vol.Load()
	if a == b {
		return false, from.Rename(ctx, oldName, to, newName, noReplace)
	}
	missing, err := lockedMove(a, from, oldName, b, to, newName, noReplace)
	if missing != nil {
		err = missing.resolve(ctx, err)
		return err == errAgain, err
	}
	return false, err
}

// lockedMove is move with both locks.
func lockedMove(a *Volume, from *Node, oldName string, b *Volume, to *Node, newName string, noReplace bool) (*Volume, error) {
	first, second := a, b
	if b.opt.Label < a.opt.Label {
		first, second = b, a
	}
	first.mu.Lock()
	defer first.mu.Unlock()
	second.mu.Lock()
	defer second.mu.Unlock()
	if from.vol.Load() != a || to.vol.Load() != b || len(b.needs) > 0 {
		return nil, errAgain
	}
	return move(a, from.current(a), oldName, b, to.current(b), newName, noReplace)
}

// move does the work with both locks held. If it returns a volume, the error
// may say which of that volume's nodes are missing.
func move(a *Volume, from *Node, oldName string, b *Volume, to *Node, newName string, noReplace bool) (*Volume, error) {
	if err := a.writable(); err != nil {
		return nil, err
	}
	if err := b.writable(); err != nil {
		return nil, err
	}
	src, err := a.tree.Lookup(from.id, oldName)
	if err != nil {
		return a, err
	}
	for n := range a.dirty {
		if in, err := a.tree.Get(n.id); a.under(n.id, src.ID) || err == nil && in.Links > 1 {
			return nil, errAgain
		}
	}
	sub, err := a.tree.Export(from.id, oldName)
	if err != nil {
		return a, err
	}
	for _, owner := range sub.Owners() {
		if !b.opt.Member(owner) {
			return nil, syscall.EXDEV
		}
	}
	if sub.Outside() {
		return nil, syscall.EXDEV // the file would be two
	}
	ids := make(map[tree.Identity]tree.Identity)
	if err := b.tree.Prepare(sub, func(old tree.Identity) tree.Identity {
		ids[old] = newIdentity()
		return ids[old]
	}); err != nil {
		return b, err
	}
	now := time.Now().UnixNano()
	if old, err := b.tree.Lookup(to.id, newName); err == nil {
		switch {
		case noReplace:
			return nil, os.ErrExist
		case old.Kind == tree.Dir && src.Kind != tree.Dir:
			return nil, syscall.EISDIR
		case old.Kind != tree.Dir && src.Kind == tree.Dir:
			return nil, syscall.ENOTDIR
		}
		gone, err := b.tree.Remove(to.id, newName, old.Kind == tree.Dir, now)
		if err != nil {
			return b, err
		}
		b.unlink(old.ID, gone)
		b.touched()
	} else if isMissing(err) || !errors.Is(err, os.ErrNotExist) {
		return b, err
	}
	if _, err := b.tree.Graft(to.id, newName, sub, now); err != nil {
		return b, err
	}
	if err := a.tree.RemoveAll(from.id, oldName, now); err != nil {
		return a, err
	}
	for old, id := range ids {
		if n := a.nodes[old]; n != nil {
			n.rehome(a, b, id)
		}
	}
	b.packMu.Lock()
	b.moved = append(b.moved, b.opt.Packs.Staged()...)
	b.packMu.Unlock()
	b.movedHere = true
	a.touched()
	b.touched()
	if a.needs == nil {
		a.needs = make(map[*Volume]uint64)
	}
	a.moves++
	a.needs[b] = a.moves
	return nil, nil
}

// under tells whether id is, or stands somewhere below, top, with the lock held.
func (v *Volume) under(id, top tree.Identity) bool {
	for {
		if id == top {
			return true
		}
		info, err := v.tree.Get(id)
		if err != nil || id == (tree.Identity{}) {
			return false
		}
		id = info.Dir
	}
}

// rehome makes n a node of volume b, with both locks held.
func (n *Node) rehome(a, b *Volume, id tree.Identity) {
	delete(a.nodes, n.id)
	n.id = id
	b.nodes[id] = n
	if _, ok := a.open[n]; ok {
		delete(a.open, n)
		b.open[n] = struct{}{}
	}
	n.vol.Store(b)
}

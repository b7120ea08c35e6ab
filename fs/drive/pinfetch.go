package drive

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"satchel/crypto"
	"satchel/fs/tree"
	"satchel/fs/volume"
	"satchel/storage/pack"
)

// uploaded is told of a pack just before it may be evicted.
func (k *keeper) uploaded(id pack.ID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.pins) > 0 {
		k.stored[id], k.due = time.Now(), true
		k.d.packs.Keep(id, 0)
	}
}

// settle tells the store what to keep, if that changed: first on disk.
func (k *keeper) settle() error {
	kept := make(map[pack.ID]int64)
	add := func(r tree.Ref) {
		id, closed := k.d.packs.Resolve(pack.ID(r.Pack))
		if closed {
			kept[id] += int64(r.Len)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	seen := make(map[crypto.Hash]bool)
	for _, p := range k.pins {
		for _, s := range p.needs {
			if !seen[s.Ref.Hash] {
				seen[s.Ref.Hash] = true
				add(s.Ref)
			}
		}
	}
	for _, list := range k.nodes {
		for _, r := range list {
			add(r)
		}
	}
	for _, p := range k.pins {
		if label, _ := p.label(); k.nodes[label] == nil { // not looked at yet: what was kept before stays
			for id := range k.kept {
				kept[id] += 0
			}
			break
		}
	}
	for id, at := range k.stored {
		if len(k.pins) == 0 || k.unneeded(at) {
			delete(k.stored, id)
		} else {
			kept[id] += 0
		}
	}
	if maps.Equal(kept, k.kept) {
		return nil
	}
	if !equalKeys(kept, k.kept) {
		b := make([]byte, 0, len(kept)*len(pack.ID{}))
		for id := range kept {
			b = append(b, id[:]...)
		}
		if err := k.d.put([]byte("staypacks"), b); err != nil {
			return err
		}
	}
	k.kept = kept
	k.d.packs.SetKept(kept)
	return nil
}

func equalKeys(a, b map[pack.ID]int64) bool {
	if len(a) != len(b) {
		return false
	}
	for id := range a {
		if _, ok := b[id]; !ok {
			return false
		}
	}
	return true
}

// unneeded tells whether what was stored at that time is in a commit that was
// looked at, with the lock held.
func (k *keeper) unneeded(at time.Time) bool {
	if time.Since(at) < settleTime {
		return false
	}
	for label, v := range k.known {
		dirty, _, since := v.Dirty()
		if k.walked[label] != v.Stamp() || dirty && !since.After(at) {
			return false
		}
	}
	return true
}

// fetch fetches a batch of what is missing.
func (k *keeper) fetch(ctx context.Context) (more bool, err error) {
	type task struct {
		volume.Segment
		p *pin
		v *volume.Volume
	}
	var todo []task
	k.mu.Lock()
	for label, list := range k.nodes {
		for _, r := range list {
			todo = append(todo, task{volume.Segment{Ref: r, Node: true}, nil, k.known[label]})
		}
	}
	for _, p := range k.pins {
		label, _ := p.label()
		for _, s := range p.needs {
			todo = append(todo, task{s, p, k.known[label]})
		}
	}
	k.mu.Unlock()
	todo = slices.DeleteFunc(todo, func(t task) bool { return t.v == nil || k.here(t.Segment) })
	if len(todo) == 0 {
		return false, nil
	}
	if more = len(todo) > pinBatch; more {
		todo = todo[:pinBatch]
	}
	var g errgroup.Group
	g.SetLimit(pinFetch)
	for _, t := range todo {
		g.Go(func() error {
			err := k.fetchOne(ctx, t.v, t.Segment)
			if t.p != nil {
				k.mu.Lock()
				t.p.err = err
				k.mu.Unlock()
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		k.mu.Lock()
		k.retry = time.Now().Add(pinRetry)
		k.mu.Unlock()
		return false, err
	}
	return more, nil
}

func (k *keeper) fetchOne(ctx context.Context, v *volume.Volume, s volume.Segment) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if k.d.free() < int64(s.Ref.Len) {
		return fmt.Errorf("no room on this machine's disk: %w", syscall.ENOSPC)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return v.Fetch(ctx, s)
}

package tree

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"satchel/crypto/canon"
)

// A Batch is all that changes made here did to a tree since the batch before it,
// or the last Flush: the states of the identities that changed, as they are now.
// It holds for the tree as of the batch before, so batches are restored in order,
// on the tree of the last Flush. A Join ends that: what it brings is in no batch,
// and changes made above it can't be restored without it.
type Batch struct {
	entries []*entry
	gone    []Identity
	fresh   map[Identity][]Identity
	ways    map[Identity]Identity
}

// note keeps that n changes, and where it stood in the last batch.
func (t *Tree) note(n *node) {
	if _, ok := t.fresh[n.id]; ok {
		return
	}
	var dirs []Identity
	for i := range n.spots {
		dirs = append(dirs, n.dirAt(i))
	}
	t.fresh[n.id] = dirs
}

// Take returns what changed since the last batch, nil if nothing did.
func (t *Tree) Take() *Batch {
	if len(t.fresh) == 0 {
		return nil
	}
	b := &Batch{fresh: t.fresh, ways: make(map[Identity]Identity)}
	for id, dirs := range t.fresh {
		if n := t.nodes[id]; n != nil {
			b.entries = append(b.entries, n.e)
		} else if len(dirs) > 0 {
			b.gone = append(b.gone, id)
		}
		for _, d := range dirs {
			t.wayUp(d, b.ways)
		}
	}
	t.fresh = make(map[Identity][]Identity)
	return b
}

// wayUp notes the parents of dir and of all above it, as they were in the last
// batch: of what has moved since that is where it came from.
func (t *Tree) wayUp(dir Identity, ways map[Identity]Identity) {
	for dir != Root {
		if _, ok := ways[dir]; ok {
			return
		}
		up, moved := Root, false
		if from := t.fresh[dir]; len(from) > 0 {
			up, moved = from[0], true
		}
		if n := t.nodes[dir]; !moved && n != nil && n.parent() != nil {
			up = n.parent().id
		}
		ways[dir] = up
		dir = up
	}
}

// PutBack adds to what the next batch will have what is in b, which was taken
// last and is of no use.
func (t *Tree) PutBack(b *Batch) {
	maps.Copy(t.fresh, b.fresh)
}

// Len returns how many identities changed.
func (b *Batch) Len() int { return len(b.entries) + len(b.gone) }

// batchPage is the weight at which a page of a batch is full.
const batchPage = 128 << 10

type wireBatch struct {
	Pages [][]byte   `cbor:"1,keyasint,omitempty"` // pages of entries; seq 0 is the pending one
	Gone  []Identity `cbor:"2,keyasint,omitempty"`
	Ways  []wireWay  `cbor:"3,keyasint,omitempty"` // of directories from which something went or in which it changed
}

type wireWay struct {
	_       struct{} `cbor:",toarray"`
	Dir, Up Identity
}

// nowhere is no directory: in a batch each place states its own.
var nowhere = Identity{0: 0xff, 15: 0xff}

// Encode returns b for Restore. local gives refs the form in which they are
// found after a crash.
func (b *Batch) Encode(local func(Ref) Ref) ([]byte, error) {
	var w wireBatch
	var list []standing
	weight := 0
	page := func() error {
		if len(list) == 0 {
			return nil
		}
		p, err := encodePage(kindPage, leaf{list: list}, local)
		w.Pages = append(w.Pages, p)
		list, weight = list[:0], 0
		return err
	}
	for _, e := range b.entries {
		list = append(list, standing{e: e, dir: nowhere})
		if weight += e.weigh(); weight > batchPage {
			if err := page(); err != nil {
				return nil, err
			}
		}
	}
	if err := page(); err != nil {
		return nil, err
	}
	w.Gone = b.gone
	for dir, up := range b.ways {
		w.Ways = append(w.Ways, wireWay{Dir: dir, Up: up})
	}
	out, err := canon.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("batch of changes: %w", err)
	}
	return out, nil
}

// Restore makes the changes of an encoded batch again. What it needs is read
// first: with a Missing error nothing has changed, and it can be called again.
// What was restored is in no later batch. It returns what is gone.
func (t *Tree) Restore(b []byte) (gone []Identity, err error) {
	var w wireBatch
	if err := canon.Unmarshal(b, &w); err != nil {
		return nil, fmt.Errorf("batch of changes: %w: %w", ErrFormat, err)
	}
	m := &merge{w: &walk{t: t}, t: t, result: make(map[Identity]*entry), at: make(map[Identity][]place)}
	for _, p := range w.Pages {
		list, err := t.decodePending(p)
		if err != nil {
			return nil, fmt.Errorf("batch of changes: %w", err)
		}
		for _, s := range list {
			m.result[s.e.id] = s.e
		}
	}
	for _, id := range w.Gone {
		m.result[id] = nil
	}
	if err := t.findWays(w.Ways); err != nil {
		return nil, fmt.Errorf("batch of changes: %w", err)
	}
	for id, e := range m.result {
		n := t.nodes[id]
		if id == Root && e == nil || n != nil && e != nil && n.isDir() != (e.kind() == Dir) {
			return nil, fmt.Errorf("batch of changes: %w", badf("identity %v is of two kinds", id))
		}
	}
	if err = m.place(); err == nil {
		err = m.check()
	}
	if err != nil {
		return nil, fmt.Errorf("batch of changes: %w", err)
	}
	m.apply()
	t.changed = true
	clear(t.fresh)
	return w.Gone, nil
}

// findWays loads the directories of ways, if they are still there.
func (t *Tree) findWays(ways []wireWay) error {
	for _, w := range ways {
		if t.nodes[w.Dir] == nil && w.Dir != w.Up && w.Dir != Root {
			t.parents[w.Dir] = w.Up
		}
	}
	var miss missing
	if !t.root.sub.loaded {
		miss.add(t.load(t.root))
	}
	for _, w := range ways {
		n, err := t.climb(w.Dir, maxDepth)
		if errors.Is(err, os.ErrNotExist) {
			continue // made and removed in between
		}
		if miss.add(err) && n.isDir() && !n.sub.loaded {
			miss.add(t.load(n))
		}
	}
	return miss.err()
}

// climb is find for a way that is not known to lead to the root.
func (t *Tree) climb(dir Identity, left int) (*node, error) {
	if n := t.nodes[dir]; n != nil {
		return n, nil
	}
	up, ok := t.parents[dir]
	if !ok || left == 0 {
		return nil, os.ErrNotExist
	}
	if _, err := t.climb(up, left-1); err != nil {
		return nil, err
	}
	return t.find(dir)
}

// decodePending decodes a page of a batch.
func (t *Tree) decodePending(b []byte) ([]standing, error) {
	var p wirePage
	if err := unmarshal(kindPage, b, &p); err != nil {
		return nil, err
	}
	d := &decoder{writers: p.Writers, packs: p.Packs, pending: true}
	d.checkPacks()
	list := make([]standing, 0, len(p.Entries))
	for i := range p.Entries {
		list = append(list, d.entry(&p.Entries[i], nowhere))
	}
	return slices.Clip(list), d.err
}

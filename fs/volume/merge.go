package volume

import (
	"context"
	"fmt"
	"maps"

	"satchel/fs/tree"
)

// An EventKind says what a change from elsewhere was.
type EventKind int

// What the kernel has to be told.
const (
	EntryChanged EventKind = iota
	EntryDeleted
	AttrChanged
)

// An Event is a change that did not come from this machine. Parent and Node are
// nil where nobody has looked them up.
type Event struct {
	Kind         EventKind
	Parent, Node *Node
	Name         string
}

// Merge joins another writer's head, which the caller has verified, into the
// tree. Nodes that it needs are read from the writer's providers; if one of
// them can't be read the head is left out, whole. changed tells whether the tree
// is another one than that of the own last head.
func (v *Volume) Merge(ctx context.Context, head tree.Head) (changed bool, err error) {
	var events []Event
	err = v.do(ctx, func() error {
		before := v.tree.Vector()
		changes, err := v.tree.Join(head, v.cache.load)
		if err != nil {
			return err
		}
		v.heads[head.Writer] = head
		if !maps.Equal(before, v.tree.Vector()) {
			v.merged = true
		}
		for _, c := range changes {
			events = v.apply(c, events)
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("head %d of %s in %s: %w", head.Seq, head.Name, v.opt.Label, err)
	}
	if v.opt.Notify != nil {
		for _, e := range events {
			v.opt.Notify(e)
		}
	}
	return len(events) > 0 || head.Digest != v.Last().Digest, nil
}

// apply brings the nodes in step with a change of the view, with the lock held.
func (v *Volume) apply(c tree.Change, events []Event) []Event {
	if c.Old == nil {
		return append(events, Event{Kind: EntryChanged, Parent: v.nodes[c.New.Dir], Name: c.New.Name})
	}
	n := v.nodes[c.Old.ID]
	if c.New == nil {
		if n != nil {
			n.detach(v, removed, *c.Old)
		}
		return append(events, Event{Kind: EntryDeleted, Parent: v.nodes[c.Old.Dir], Node: n, Name: c.Old.Name})
	}
	if c.Old.Kind != tree.Dir && c.Old.DataDot != c.New.DataDot && (n != nil || c.Old.Links > 1) {
		// Who has it open keeps the old version, whole; who looks again, under
		// whatever name, gets the new one.
		if n != nil {
			n.detach(v, retired, *c.Old)
		}
		events = append(events, Event{Kind: EntryChanged, Parent: v.nodes[c.Old.Dir], Name: c.Old.Name})
		n = nil
	}
	if c.Old.Dir != c.New.Dir || c.Old.Name != c.New.Name {
		events = append(events,
			Event{Kind: EntryChanged, Parent: v.nodes[c.Old.Dir], Name: c.Old.Name},
			Event{Kind: EntryChanged, Parent: v.nodes[c.New.Dir], Name: c.New.Name})
	}
	if n != nil {
		events = append(events, Event{Kind: AttrChanged, Node: n})
	}
	return events
}

package fs

import (
	"context"
	"time"

	"satchel/fs/drive"
)

// mostKnown is how many nodes the kernel may know. Each costs memory here, and
// the kernel gives none back of its own accord as long as it has enough itself.
const mostKnown = 100_000

// queue puts a node last among those that may be forgotten, with the lock held.
func (t *table) queue(k *known) {
	k.prev, k.next = t.ring.prev, &t.ring
	k.prev.next, k.next.prev = k, k
}

func (k *known) unqueue() {
	k.prev.next, k.next.prev = k.next, k.prev
	k.prev, k.next = nil, nil
}

// coldBatch is how many nodes are looked at while others wait for the table.
const coldBatch = 1000

// cold returns nodes that were not used since they were last looked at, if there
// are too many, and whether there may be more.
func (t *table) cold() (list []*drive.Node, more bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.byID) <= t.most-t.most/10 {
		return nil, false
	}
	for range min(coldBatch, len(t.byID)-1) {
		k := t.ring.next
		k.unqueue()
		t.queue(k)
		if !k.used {
			list = append(list, k.node)
		}
		k.used = false
	}
	return list, true
}

// signal puts a token into c if there is none.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// forgetCold has the kernel forget files when it knows too many, until ctx ends.
// Folders stay: one that is somebody's working directory would be lost to them.
func (m *Mount) forgetCold(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.nodes.crowded:
		}
		for range 2 * mostKnown / coldBatch { // if nothing is cold, that is so
			list, more := m.nodes.cold()
			if !more {
				break
			}
			for _, n := range list {
				if dir, name := n.ColdAt(); dir != nil {
					m.notes.add(drive.Event{Kind: drive.EntryChanged, Parent: dir, Name: name})
				}
			}
			m.notes.drained(ctx)
		}
	}
}

// drained waits until every note was sent.
func (t *notifier) drained(ctx context.Context) {
	for ctx.Err() == nil {
		t.mu.Lock()
		left := len(t.queue)
		t.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Millisecond):
		}
	}
}

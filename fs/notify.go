package fs

import (
	"context"
	"errors"
	"sync"
	"syscall"

	"bazil.org/fuse"

	"satchel/fs/drive"
)

// A notifier tells the kernel what changed elsewhere, from one goroutine. Its
// queue has no bound, but holds what concerns one name or one node once.
type notifier struct {
	mu    sync.Mutex
	queue []noteKey
	notes map[noteKey]drive.Event
	wake  chan struct{} // holds a token when there is something to do
}

// A noteKey is what a note is about: a name in a folder, or a node.
type noteKey struct {
	parent *drive.Node
	name   string
	node   *drive.Node
}

func newNotifier() *notifier {
	return &notifier{notes: make(map[noteKey]drive.Event), wake: make(chan struct{}, 1)}
}

// add queues an event. It never waits.
func (t *notifier) add(e drive.Event) {
	k := noteKey{node: e.Node}
	if e.Kind == drive.EntryChanged || e.Kind == drive.EntryDeleted {
		if e.Parent == nil {
			return
		}
		k = noteKey{parent: e.Parent, name: e.Name}
	} else if e.Node == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old, queued := t.notes[k]
	if !queued {
		t.queue = append(t.queue, k)
	} else if old.Kind == drive.DataChanged && e.Kind == drive.AttrChanged {
		return // the stronger note stays
	}
	t.notes[k] = e
	signal(t.wake)
}

// next takes the oldest note.
func (t *notifier) next() (drive.Event, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 {
		t.queue = nil
		return drive.Event{}, false
	}
	k := t.queue[0]
	t.queue = t.queue[1:]
	e := t.notes[k]
	delete(t.notes, k)
	return e, true
}

// run sends notes until ctx ends.
func (t *notifier) run(ctx context.Context, send func(drive.Event)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
		}
		for ctx.Err() == nil {
			e, ok := t.next()
			if !ok {
				break
			}
			send(e)
		}
	}
}

// tell sends one note. What the kernel doesn't know it need not be told.
func (m *Mount) tell(e drive.Event) {
	id, parent := m.nodes.id(e.Node), m.nodes.id(e.Parent)
	var err error
	switch {
	case e.Kind == drive.EntryDeleted && parent != 0 && id != 0:
		err = m.conn.NotifyDelete(parent, id, e.Name)
	case (e.Kind == drive.EntryDeleted || e.Kind == drive.EntryChanged) && parent != 0:
		err = m.conn.InvalidateEntry(parent, e.Name)
	case e.Kind == drive.AttrChanged && id != 0:
		err = m.conn.InvalidateNode(id, -1, 0) // an offset of 0 would drop its pages too
	case e.Kind == drive.DataChanged && id != 0:
		err = m.conn.InvalidateNode(id, 0, -1)
	}
	for _, fine := range []error{fuse.ErrNotCached, syscall.ENOENT, syscall.ENOTEMPTY, syscall.ENOTDIR, syscall.ENOTCONN, syscall.ENODEV} {
		if err == nil || errors.Is(err, fine) {
			return
		}
	}
	m.log.Warn("the kernel was not told of a change from elsewhere", "err", err)
}

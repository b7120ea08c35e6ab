package volume

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"satchel/crypto"
	"satchel/fs/journal"
	"satchel/fs/tree"
	"satchel/storage/pack"
)

// rounds is how often a commit seals what was written meanwhile; in the last
// round writers wait.
const rounds = 3

// maxStalls is how often writers go on because something must be fetched for the
// commit. The last time they wait for that too.
const maxStalls = 8

// maxRounds is more than a commit takes. Nodes that are missing may need some.
const maxRounds = 10_000

// A flushed tree is on its way to a published head: its pages are in packs of
// which the last may still be open.
type flushed struct {
	seq    uint64
	vector tree.Vector
	root   tree.Ref
	digest crypto.Hash
	nodes  *sink
	left   *batch // what was left out, nil for nothing
}

// base is the commit as a journal knows it.
func (c Commit) base() journal.Base {
	return journal.Base{Seq: c.Seq, Root: [32]byte(c.Root.Hash)}
}

// A reason is why a commit is made.
type reason int

const (
	onChange reason = iota // there is something to commit
	always                 // even without
	onIdle                 // nothing changes at the moment
)

// Commit makes one instant of the volume durable as a new head: packs closed
// and synced, head signed and queued. Without changes it does nothing. When it
// returns nil, everything written before the call survives a crash of this
// machine.
func (v *Volume) Commit(ctx context.Context) error {
	return v.commit(ctx, onChange)
}

// Republish commits a head even if nothing changed: at a new locator, or with
// another's change merged.
func (v *Volume) Republish(ctx context.Context) error {
	return v.commit(ctx, always)
}

func (v *Volume) commit(ctx context.Context, why reason) error {
	for {
		if err := v.commitNeeds(ctx); err != nil {
			return err
		}
		if err := v.commitOne(ctx, why); err != errNeeds {
			return err
		}
	}
}

// errNeeds says that something was moved to another volume since its commit.
var errNeeds = errors.New("another volume must be committed first")

// commitNeeds commits the volumes to which something was moved from here, so
// that no crash finds it in neither. Moves see to it that two volumes never
// need each other.
func (v *Volume) commitNeeds(ctx context.Context) error {
	v.mu.Lock()
	needs := maps.Clone(v.needs)
	v.mu.Unlock()
	for w, count := range needs {
		if err := w.commit(ctx, onChange); err != nil {
			return err
		}
		v.mu.Lock()
		if v.needs[w] == count {
			delete(v.needs, w)
		}
		v.mu.Unlock()
	}
	return nil
}

func (v *Volume) commitOne(ctx context.Context, why reason) error {
	v.commitMu.Lock()
	defer v.commitMu.Unlock()
	if v.unfinished != nil {
		if err := v.publish(ctx); err != nil {
			return err
		}
	}
	if why == onIdle && (v.sync.log == nil || !v.sync.log.Usable()) {
		why = onChange // nothing would hold what is left out
	}
	resume := func() {}
	defer func() { resume() }()
	stalled, stalls, fetch := false, 0, false
	for round := 1; ; round++ {
		if why != always && !v.due(why) {
			return nil
		}
		if round > maxRounds {
			return fmt.Errorf("commit %s: a pack that it needs is still open: %w", v.opt.Label, syscall.EIO)
		}
		here := ctx
		if round >= rounds && !fetch && !stalled {
			resume, stalled = v.stall(), true
			stalls++
		}
		if stalled && stalls < maxStalls {
			here = fromDisk(ctx)
		}
		err := v.instantOrMore(here, why)
		fetch = errors.Is(err, errFetch)
		switch {
		case fetch:
			resume()
			stalled = false
		case err == errAgain || err == errMore:
		case err == errNeeds:
			return err
		case err != nil:
			return fmt.Errorf("commit %s: %w", v.opt.Label, err)
		default:
			resume()
			return v.publish(ctx)
		}
	}
}

// instantOrMore seals what is dirty and tries the instant of a commit.
func (v *Volume) instantOrMore(ctx context.Context, why reason) error {
	if err := v.sealDirty(ctx, why); err != nil {
		return err
	}
	if err := v.closePacks(); err != nil {
		return err
	}
	err := v.locked(func() error { return v.freeze(why) })
	v.tellLater()
	return v.resolve(ctx, err)
}

// stall has writers wait until the function that it returns is called.
func (v *Volume) stall() (resume func()) {
	ch := make(chan struct{})
	v.mu.Lock()
	v.stalled = ch
	v.mu.Unlock()
	return sync.OnceFunc(func() {
		v.mu.Lock()
		v.stalled = nil
		v.mu.Unlock()
		close(ch)
	})
}

// tellLater passes on the events that came up under the lock.
func (v *Volume) tellLater() {
	v.mu.Lock()
	events := v.later
	v.later = nil
	v.mu.Unlock()
	if v.opt.Notify == nil {
		return
	}
	for _, e := range events {
		v.opt.Notify(e)
	}
}

// errMore says that something was written since the last round of sealing.
var errMore = errors.New("more was written")

// freeze is the instant of the commit, with the lock held: every file's content
// goes to the tree, the tree's changed pages go to packs.
func (v *Volume) freeze(why reason) error {
	if len(v.needs) > 0 {
		return errNeeds
	}
	left := v.leftOut(why)
	for n := range v.dirty {
		if _, out := left[n]; !out && !n.file.settled(v) {
			return errMore
		}
	}
	if v.packsOpen() {
		return errMore
	}
	// Nodes of files that are settled are referred to by the tree from then on,
	// so what takes them stays until a commit succeeds.
	if v.nodesTo == nil {
		v.nodesTo = &sink{v: v}
	}
	s := v.nodesTo
	// Until all of them and the tree are through, no batch says what is where.
	v.merged = true
	var settled []*Node
	for n := range v.dirty {
		if _, out := left[n]; out {
			continue
		}
		if err := n.settle(v, s); err != nil {
			return err
		}
		settled = append(settled, n)
	}
	// Everything that this device knows is older than the head: its seq is one
	// above the highest.
	vector := v.vector()
	seq := uint64(0)
	for _, e := range vector {
		seq = max(seq, e.Seq)
	}
	seq++
	root, digest, err := v.tree.Flush(seq, s)
	if err != nil {
		return err
	}
	v.renumber(tree.Dot{Seq: seq, Writer: v.opt.Self}, settled)
	if len(left) == 0 {
		v.since = time.Time{}
	}
	v.merged, v.movedHere = false, false
	v.flushes++
	v.nodesTo = nil
	v.unfinished = &flushed{seq: seq, vector: vector, root: root, digest: digest, nodes: s, left: stateOf(left)}
	return nil
}

// settle hands a file's content to the tree, with the lock held and all its
// chunks sealed.
func (n *Node) settle(v *Volume, s *sink) error {
	f := n.file
	content, err := f.assemble(v, s)
	if err != nil {
		return err
	}
	var known tree.Info
	if n.info != nil {
		known = *n.info
	}
	if n.state == live {
		now, err := v.tree.Get(n.id)
		switch {
		case err == nil:
			known = now
		case errors.Is(err, os.ErrNotExist):
			n.state = removed // what was written brings it back
		default:
			return err
		}
	}
	info, err := v.tree.SetData(known, f.base, content, f.mtime, time.Now().UnixNano())
	if err != nil {
		return err
	}
	if n.state == live {
		if info.ID != n.id {
			delete(v.nodes, n.id)
			n.id = info.ID
			v.nodes[n.id] = n
		}
	} else {
		n.info = &info
		if n.state == removed {
			n.id, n.state = info.ID, live
			v.later = append(v.later, Event{Kind: EntryChanged, Parent: v.nodes[info.Dir], Name: info.Name})
			if v.nodes[n.id] == nil {
				v.nodes[n.id] = n
			}
		}
	}
	f.release(v)
	n.file = nil
	delete(v.dirty, n)
	v.drop(n)
	return nil
}

// assemble returns the content of a file of which nothing but a small one's
// only chunk is in memory.
func (f *file) assemble(v *Volume, s *sink) (tree.Content, error) {
	_, stored := f.sealed[0]
	if f.size <= maxInline && (f.chunks[0] != nil || f.keep == 0 && !stored) {
		b := make([]byte, f.size)
		if c := f.chunks[0]; c != nil {
			c.over(b)
		}
		return tree.InlineContent(b), nil
	}
	if f.content.Inline != nil && f.size <= maxInline && !stored {
		b := make([]byte, f.size)
		copy(b, f.content.Inline[:min(f.keep, int64(len(f.content.Inline)))])
		return tree.InlineContent(b), nil
	}
	edit := maps.Clone(f.sealed)
	base := f.content
	if base.Inline != nil {
		base = tree.Content{}
	}
	// What was cut off and lies within the new size is a hole.
	for i := uint64((f.keep + chunkSize - 1) / chunkSize); int64(i)*chunkSize < min(int64(base.Size), f.size); i++ {
		if _, over := edit[i]; !over {
			edit[i] = tree.Ref{}
		}
	}
	return base.Edit(v.cache.load, s, uint64(f.size), edit)
}

// renumber gives files that are written to the number of the datum that they
// have just become, with the lock held.
func (v *Volume) renumber(dot tree.Dot, settled []*Node) {
	fix := func(d *tree.Dot) {
		if d.IsPending() {
			*d = dot
		}
	}
	for _, n := range settled {
		if n.fixInfo(fix); n.state == live && n.opens == 0 {
			n.info = nil
		}
	}
	for n := range v.open {
		n.fixInfo(fix)
		if n.file != nil {
			fix(&n.file.base)
		}
	}
}

func (n *Node) fixInfo(fix func(*tree.Dot)) {
	if n.info != nil {
		fix(&n.info.DataDot)
		fix(&n.info.Dot)
	}
}

// publish closes the packs of the flushed tree and has its head signed. It can
// be called again after an error.
func (v *Volume) publish(ctx context.Context) error {
	u := v.unfinished
	if err := u.nodes.close(); err != nil {
		return err
	}
	root := u.root
	id, closed := v.opt.Packs.Resolve(pack.ID(root.Pack))
	if !closed {
		return fmt.Errorf("commit %s: the root's pack is still open", v.opt.Label)
	}
	root.Pack = [32]byte(id)
	v.packMu.Lock()
	made, moved := len(v.made), len(v.moved)
	packs := slices.Concat(v.made, v.moved, u.nodes.closed)
	own := slices.Concat(v.made, u.nodes.closed) // others may have journals that refer to the rest
	v.packMu.Unlock()
	c := Commit{Seq: u.seq, Vector: u.vector, Root: root, Digest: u.digest, Packs: packs, Time: time.Now()}
	if err := v.prepare(u, c); err != nil {
		return err
	}
	head, err := v.opt.Publish(ctx, c)
	if err != nil {
		return fmt.Errorf("commit %s: %w", v.opt.Label, err)
	}
	v.packMu.Lock()
	// What came meanwhile is for the next head.
	v.made, v.moved = slices.Clone(v.made[made:]), slices.Clone(v.moved[moved:])
	v.packMu.Unlock()
	if v.sync.log != nil {
		v.sync.mu.Lock()               // a batch that began before the commit may be on its way
		_ = v.sync.log.Begin(c.base()) // else each Sync commits until it can
		v.sync.mu.Unlock()
		_ = v.opt.Packs.Settled(own) // what stays of their old names costs nothing else
	}
	v.mu.Lock()
	v.last = Last{Commit: c, Head: head}
	v.tree.Published(head)
	v.unfinished = nil
	v.shrinking.left = 0 // what was written can leave now
	v.mu.Unlock()
	return nil
}

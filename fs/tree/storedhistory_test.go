package tree

import (
	"slices"
	"strings"

	"satchel/crypto"
)

// flush publishes the stored tree beside the model's head p.
func (w *hand) flush(p *published) {
	vec := w.s.Vector()
	root, digest, err := w.s.Flush(p.seq, w.store)
	if err != nil {
		fail("flush: %v", err)
	}
	w.compareDigest(p.state)
	p.head = Head{Writer: w.s.self, Name: w.s.name, Seq: p.seq, Vector: vec, Root: root, Digest: digest}
	if w.h.rnd.IntN(3) == 0 {
		w.reload()
	}
	if w.h.rnd.IntN(3) == 0 {
		w.compare()
	}
}

// lookUp looks a path up in the stored tree, name by name.
func (w *hand) lookUp(f seenFile) {
	in := Info{ID: Root}
	for _, name := range strings.Split(f.path, "/")[min(1, len(f.path)):] {
		if name == "" {
			continue
		}
		dir := in.ID
		if err := w.retry(func() (err error) { in, err = w.s.Lookup(dir, name); return err }); err != nil {
			fail("look up %s: %v", f.path, err)
		}
	}
	if n := w.s.nodes[in.ID]; n != nil && slices.ContainsFunc(n.spots, func(s spot) bool { return s.dir == nil }) {
		w.h.counts.reached++
	}
	if in.ID != f.info.ID {
		fail("%s is %v in the model, %v stored", f.path, f.info.ID, in.ID)
	}
}

// evict drops of the stored tree what can be loaded again, and has each node be
// missing once.
func (w *hand) evict() {
	w.s.Evict(w.someKept())
	w.lose()
}

// someKept says that somebody may be looking at some identities, or at none.
func (w *hand) someKept() func(Identity) bool {
	one, of := byte(w.h.rnd.IntN(256)), byte(1<<w.h.rnd.IntN(5)-1)
	if w.h.rnd.IntN(3) == 0 {
		return func(Identity) bool { return false }
	}
	return func(id Identity) bool { h := crypto.Sum(id[:]); return (h[0]^one)&of == 0 }
}

// lose has each node that is stored be missing once.
func (w *hand) lose() {
	w.store.away = make(map[Ref]bool)
	for r := range w.store.nodes {
		w.store.away[r] = true
	}
}

// reload drops the stored tree's memory.
func (w *hand) reload() {
	if w.last == nil || w.last.head.Root.IsZero() {
		w.s = w.fresh()
		return
	}
	h := w.last.head
	vec := h.Vector.clone()
	vec.merge(Vector{h.Writer: {Name: h.Name, Seq: h.Seq}})
	t, err := Load(w.s.self, w.s.name, vec, h.Root, h.Digest, w.store.load)
	if err != nil {
		fail("load: %v", err)
	}
	w.tune(t)
	w.s = t
}

func (w *hand) mergeStored(p *published) {
	if w.h.rnd.IntN(2) == 0 {
		w.lose()
	}
	before := w.shows(w.s)
	if w.h.rnd.IntN(2) == 0 {
		w.s.Evict(w.someKept())
		before = nil
	}
	var changes []Change
	if err := w.retry(func() (err error) {
		changes, err = w.s.Join(p.head, w.store.load)
		return err
	}); err != nil {
		fail("join: %v", err)
	}
	w.store.away = nil
	if w.h.rnd.IntN(2) == 0 {
		w.compare()
		if before != nil {
			w.told(before, changes)
		}
	}
}

// told checks that a join told of everything that the view shows differently.
func (w *hand) told(before map[string]seenFile, changes []Change) {
	is := func(id Identity, old *Info, now *Info) bool {
		return slices.ContainsFunc(changes, func(c Change) bool {
			return c.ID == id && (c.Old == nil) == (old == nil) && (c.New == nil) == (now == nil) &&
				(now == nil || c.New.same(now)) && (old == nil || c.Old.same(old))
		})
	}
	after := w.shows(w.s)
	now := make(map[Identity][]Info)
	for _, f := range after {
		now[f.info.ID] = append(now[f.info.ID], f.info)
	}
	for p, f := range before {
		list := now[f.info.ID]
		at := slices.IndexFunc(list, func(i Info) bool { return i.Dir == f.info.Dir && i.Name == f.info.Name })
		switch {
		case list == nil && !is(f.info.ID, &f.info, nil):
			fail("not told that %s is gone: %+v", p, changes)
		case at >= 0 && !list[at].same(&f.info) && !is(f.info.ID, &f.info, &list[at]):
			fail("not told that %s is now %+v: %+v", p, list[at], changes)
		case list != nil && at < 0 && !slices.ContainsFunc(list, func(i Info) bool { return is(f.info.ID, &f.info, &i) }):
			fail("not told that %s is elsewhere, %+v: %+v", p, list, changes)
		}
	}
}

// compare checks that the stored tree shows and holds what the model does.
func (w *hand) compare() {
	a, b := w.shows(w.t), w.shows(w.s)
	w.h.sameView(b, a)
	for p, f := range a {
		g := b[p]
		if f.info.Kind == Dir { // removals show in memory only
			g.info.Mtime, g.info.Ctime = f.info.Mtime, f.info.Ctime
		}
		if !f.info.same(&g.info) {
			fail("%s: model %+v, stored %+v", p, f.info, g.info)
		}
	}
	if err := snapshot(w.s).equal(snapshot(w.t)); err != nil {
		fail("stored state differs from the model's: %v", err)
	}
}

// compareDigest checks that the pages are those of a tree that is written anew.
func (w *hand) compareDigest(s state) {
	t := w.fresh()
	t.vec = Vector{}
	adopt(t, state{s.ents, Vector{}})
	if _, digest, err := t.Flush(maxSeq, newStore()); err != nil || digest != w.s.Digest() {
		fail("digest differs from that of a tree written anew (%v)", err)
	}
}

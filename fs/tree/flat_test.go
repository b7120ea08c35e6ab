package tree

import (
	"fmt"
	"maps"
	"slices"
)

// A state is the flat model of a tree: what is joined, without any storage.
type state struct {
	ents map[Identity]*entry
	vec  Vector
}

// snapshot returns the state of a tree that is in memory whole.
func snapshot(t *Tree) state {
	s := state{make(map[Identity]*entry), t.vec.clone()}
	for id, n := range t.nodes {
		if len(n.e.versions) > 0 {
			s.ents[id] = n.e
		}
	}
	return s
}

// joinStates is the join of the model.
func joinStates(a, b state) (state, error) {
	out := state{make(map[Identity]*entry), a.vec.clone()}
	out.vec.merge(b.vec)
	var err error
	join := func(id Identity) {
		e := joinEntry(a.ents[id], b.ents[id], seen{vector: a.vec}, seen{vector: b.vec}, func(id Identity, d Dot) {
			err = fmt.Errorf("two payloads of %v, dot %v", id, d)
		})
		if e != nil {
			out.ents[id] = e
		}
	}
	for id := range a.ents {
		join(id)
	}
	for id := range b.ents {
		if a.ents[id] == nil {
			join(id)
		}
	}
	return out, err
}

func (s state) get(id Identity) *entry { return s.ents[id] }

// adopt makes t show s: everything is placed anew.
func adopt(t *Tree, s state) (rings int) {
	changed := t.changed
	t.clear()
	t.vec, t.changed = s.vec.clone(), changed
	t.root.sub.dirty = true
	var dirs []Identity
	for id, e := range s.ents {
		if id == Root {
			t.root.e = e
			if e.pending() {
				t.pend[t.root] = struct{}{}
			}
			continue
		}
		n := &node{id: id, e: e}
		n.row.n = n
		if e.kind() == Dir {
			n.sub = newFolder()
			dirs = append(dirs, id)
		}
		if e.pending() {
			t.pend[n] = struct{}{}
		}
		t.nodes[id] = n
	}
	get := lookup(s.get)
	breaks := get.rings(dirs)
	for id, e := range s.ents {
		if id == Root {
			continue
		}
		t.stand(t.nodes[id], get.standing(e, breaks[id]))
	}
	t.gen++
	return len(breaks)
}

// orphans counts what has lost its directory.
func (s state) orphans() (c int) {
	get := lookup(s.get)
	for id, e := range s.ents {
		if id != Root && !slices.ContainsFunc(e.places(), func(p place) bool { return get.isDir(p.dir) }) {
			c++
		}
	}
	return c
}

func (s state) equal(o state) error {
	for id, e := range s.vec {
		if o.vec[id].Seq != e.Seq {
			return fmt.Errorf("vectors differ")
		}
	}
	if len(s.vec) != len(o.vec) {
		return fmt.Errorf("vectors differ")
	}
	return s.sameEntries(o)
}

func (s state) sameEntries(o state) error {
	for id, e := range s.ents {
		f := o.ents[id]
		if f == nil {
			return fmt.Errorf("%v: only one has %s", id, e)
		}
		if !e.equal(f) {
			return fmt.Errorf("%v differs:\n%s\n%s", id, e, f)
		}
	}
	for id := range o.ents {
		if s.ents[id] == nil {
			return fmt.Errorf("%v: only the other has %s", id, o.ents[id])
		}
	}
	return nil
}

func (d Dot) String() string {
	if d.IsPending() {
		return fmt.Sprintf("now/%d", d.Writer[0])
	}
	return fmt.Sprintf("%d/%d", d.Seq, d.Writer[0])
}

func (e *entry) String() string {
	s := fmt.Sprintf("{%x live %v %v", e.id[12:], e.links, e.data)
	for i := range e.versions {
		v := &e.versions[i]
		s += fmt.Sprintf("\n   [%v kind %d attr %v mtime %d@%v", v.dot, v.kind, v.stamp, v.mtime, v.mstamp)
		for _, p := range v.places {
			s += fmt.Sprintf(" %v:%x/%s@%v", p.link, p.dir[12:], p.name, p.stamp)
		}
		if v.data != nil {
			s += fmt.Sprintf(" %q@%v", v.data.content.Inline, v.data.dot)
		}
		s += "]"
	}
	return s + "}"
}

// check checks what must hold of every state.
func (s state) check() error {
	for id, e := range s.ents {
		for _, l := range e.links {
			if !slices.ContainsFunc(e.versions, func(v version) bool {
				return slices.ContainsFunc(v.places, func(p place) bool { return p.link == l })
			}) {
				return fmt.Errorf("%v: live link %v is in no version", id, l)
			}
		}
		for _, d := range e.data {
			if !slices.ContainsFunc(e.versions, func(v version) bool { return v.data != nil && v.data.dot == d }) {
				return fmt.Errorf("%v: live datum %v is in no version", id, d)
			}
		}
	}
	return nil
}

// An ablation takes a rule away, to see that the test notices.
type ablation int

const (
	nothing ablation = iota
	noAlive
	noLiveData
	realInJoin
	counterPerWriter
	settleOneName
)

// ablate changes a joined state as a wrong join would.
func (a ablation) joined(s state) state {
	switch a {
	case noLiveData:
		for id, e := range s.ents {
			f := *e
			f.data = nil
			for _, v := range e.versions {
				if v.data != nil {
					f.data = append(f.data, v.data.dot)
				}
			}
			slices.SortFunc(f.data, Dot.compare)
			f.data = slices.Compact(f.data)
			s.ents[id] = &f
		}
	case realInJoin:
		for _, e := range slices.Collect(maps.Values(s.ents)) {
			data := e.shown()
			if len(data) < 2 {
				continue
			}
			f := *e
			for _, d := range data[1:] {
				f.versions = slices.DeleteFunc(slices.Clone(f.versions), func(v version) bool { return v.data.dot == d.dot })
				f.data = slices.DeleteFunc(slices.Clone(f.data), func(x Dot) bool { return x == d.dot })
				at, stamp := e.attr()
				p := e.places()[0]
				p.name, p.link = copyName(p.name, "x", d.mtime, 1), link{Dot: d.dot}
				id := derived(e.id, d.dot)
				s.ents[id] = single(id, version{dot: d.dot, kind: e.kind(), places: []place{p}, attr: at, stamp: stamp,
					data: &d.datum, mtime: d.mtime, mstamp: d.mstamp})
			}
			s.ents[e.id] = &f
		}
	}
	return s
}

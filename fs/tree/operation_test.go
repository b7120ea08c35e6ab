package tree

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
)

// op does one operation that fits what the writer's view shows.
func (w *hand) op() {
	h := w.h
	h.counts.ops++
	h.clock++
	view := w.shows(w.t)
	var files, dirs []seenFile
	dirs = append(dirs, seenFile{path: "", info: Info{Kind: Dir}})
	for _, p := range slices.Sorted(maps.Keys(view)) {
		if f := view[p]; f.info.Kind == Dir {
			dirs = append(dirs, f)
		} else {
			files = append(files, f)
		}
	}
	o := &operation{w: w, before: view, name: h.names[h.rnd.IntN(len(h.names))]}
	o.dir = dirs[h.rnd.IntN(len(dirs))]
	if len(files) > 0 {
		o.file = files[h.rnd.IntN(len(files))]
	}
	if len(dirs) > 1 {
		o.sub = dirs[1+h.rnd.IntN(len(dirs)-1)]
	}
	table := []int{14, 14, 12, 14, 8, 6, 3, 6, 8, 8, 5}
	if h.dirs {
		table = []int{8, 5, 20, 14, 4, 6, 10, 4, 6, 26, 2}
	}
	if h.stored {
		table[7] = 14 // hard links: what is stored of them is worth more tests
	}
	sum := 0
	for _, x := range table {
		sum += x
	}
	k, p := 0, h.rnd.IntN(sum)
	for ; p >= table[k]; k++ {
		p -= table[k]
	}
	states := snapshot(w.t)
	if w.s != nil {
		if h.rnd.IntN(3) == 0 {
			w.evict()
		}
		for _, f := range []seenFile{o.dir, o.file, o.sub} {
			w.lookUp(f)
		}
	}
	o.do(k)
	w.store.away = nil
	o.after(states)
}

// An operation is one change, and what it may take from the view.
type operation struct {
	w              *hand
	before         map[string]seenFile
	name           string
	dir, file, sub seenFile
	what           string
	err            error
	named          []string            // paths that may go, with all below them
	nodes          map[Identity]bool   // whose content may change, wherever it is shown
	moved          map[string]string   // paths that are elsewhere afterwards
	lost           map[string]struct{} // contents that it removes
	anywhere       bool                // names may change
}

func (o *operation) content() Content {
	if o.w.h.rnd.IntN(10) == 0 {
		return InlineContent([]byte("common"))
	}
	o.w.h.ids++
	return InlineContent(fmt.Appendf(nil, "u%d", o.w.h.ids))
}

func (o *operation) newID() Identity {
	o.w.h.ids++
	return ident(o.w.h.ids)
}

// gone notes that all that is shown at and below a path may go.
func (o *operation) removes(path string) {
	o.named = append(o.named, path)
	for p, f := range o.before {
		if p == path || strings.HasPrefix(p, path+"/") {
			o.lost[f.content] = struct{}{}
			for _, id := range f.nodes {
				o.w.h.gone[id] = true
			}
		}
	}
}

func (o *operation) do(k int) {
	o.nodes, o.moved, o.lost = make(map[Identity]bool), make(map[string]string), make(map[string]struct{})
	now := o.w.h.clock
	dir, file, sub := o.dir, o.file, o.sub
	target := dir.path + "/" + o.name
	base := func(p string) (string, Identity) {
		i := strings.LastIndexByte(p, '/')
		return p[i+1:], o.before[p].info.Dir
	}
	switch k {
	case 0:
		o.what = "create " + target
		id, c := o.newID(), o.content()
		o.err = o.w.both(func(t *Tree) error {
			_, err := t.Create(dir.info.ID, o.name, Spec{ID: id, Now: now, Content: c})
			return err
		})
	case 1:
		if file.path == "" {
			return
		}
		o.what = "write " + file.path
		c := o.content()
		o.lost[file.content] = struct{}{}
		for _, id := range file.nodes {
			o.nodes[id] = true
		}
		o.named = []string{file.path}
		o.err = o.w.both(func(t *Tree) error {
			in, err := t.Get(file.info.ID)
			if err != nil {
				return err
			}
			in, err = t.SetData(in, file.info.DataDot, c, now, now)
			if err == nil && in.ID != file.info.ID && len(file.nodes) == 1 {
				fail("write to %v made %v", file.info.ID, in.ID)
			}
			return err
		})
		if o.err != nil {
			fail("%s: %v", o.what, o.err)
		}
	case 2:
		o.what = "mkdir " + target
		id := o.newID()
		o.err = o.w.both(func(t *Tree) error {
			_, err := t.Create(dir.info.ID, o.name, Spec{ID: id, Kind: Dir, Now: now})
			return err
		})
	case 3:
		src := file
		if o.w.h.rnd.IntN(4) == 0 {
			src = sub
		}
		o.rename(src, target)
	case 4:
		if file.path == "" {
			return
		}
		o.what = "unlink " + file.path
		name, in := base(file.path)
		o.removes(file.path)
		o.err = o.w.both(func(t *Tree) error { _, err := t.Remove(in, name, false, now); return err })
		if o.err != nil {
			fail("%s: %v", o.what, o.err)
		}
	case 5:
		if sub.path == "" {
			return
		}
		o.what = "rmdir " + sub.path
		name, in := base(sub.path)
		o.removes(sub.path)
		o.err = o.w.both(func(t *Tree) error { _, err := t.Remove(in, name, true, now); return err })
	case 6:
		if sub.path == "" {
			return
		}
		o.what = "rmtree " + sub.path
		name, in := base(sub.path)
		o.removes(sub.path)
		o.err = o.w.both(func(t *Tree) error { return t.RemoveAll(in, name, now) })
	case 7:
		if file.path == "" {
			return
		}
		o.what = "link " + file.path + " " + target
		for _, id := range file.nodes {
			o.w.h.gone[id] = true // of no use to the check of places
		}
		o.err = o.w.both(func(t *Tree) error { _, err := t.Link(file.info.ID, dir.info.ID, o.name, now); return err })
	case 8:
		f := file
		if o.w.h.rnd.IntN(4) == 0 || f.path == "" {
			f = sub
		}
		if f.path == "" {
			return
		}
		o.what = "chmod " + f.path
		o.err = o.w.both(func(t *Tree) error {
			_, err := t.SetAttr(f.info.ID, func(a *Attr) { a.Mode = uint32(now) % 512 })
			return err
		})
		if o.err != nil {
			fail("%s: %v", o.what, o.err)
		}
	case 9:
		o.rename(sub, target)
	case 10:
		o.late()
	}
}

// late writes to a file as it was when the writer saw it some time ago, and
// opens one for later.
func (o *operation) late() {
	w := o.w
	if f := o.file; f.path != "" && !f.info.DataDot.IsPending() && f.info.Kind == File {
		w.held = append(w.held, f)
	}
	if len(w.held) == 0 {
		return
	}
	i := w.h.rnd.IntN(len(w.held))
	f := w.held[i]
	w.held = slices.Delete(w.held, i, i+1)
	o.what = "late write to " + f.path
	c, now := o.content(), w.h.clock
	var wrote [2]Identity
	k := 0
	o.err = w.both(func(t *Tree) error {
		if t == w.s {
			w.shows(w.s) // the file's directories are known
		}
		in, err := t.SetData(f.info, f.info.DataDot, c, now, now)
		wrote[k%2] = in.ID
		if t != w.s || !isMissing(err) {
			k++
		}
		return err
	})
	if o.err != nil {
		fail("%s: %v", o.what, o.err)
	}
	if w.s != nil && wrote[0] != wrote[1] {
		fail("%s: model wrote %v, stored tree %v", o.what, wrote[0], wrote[1])
	}
	after := make(map[string]bool)
	for _, g := range w.shows(w.t) {
		after[g.content] = true
	}
	if !after[string(c.Inline)] {
		fail("%s: what was written is not shown", o.what)
	}
	for _, g := range o.before {
		switch {
		case after[g.content]:
		case g.info.DataDot == f.info.DataDot && g.content == f.content:
			o.lost[g.content] = struct{}{} // that was written to
		default:
			fail("%s: %s is gone", o.what, g.path)
		}
	}
	o.anywhere = true
}

func (o *operation) rename(src seenFile, target string) {
	if src.path == "" {
		return
	}
	o.what = "rename " + src.path + " " + target
	i := strings.LastIndexByte(src.path, '/')
	from := src.info.Dir
	if d, there := o.before[target]; there && target != src.path && d.info.ID != src.info.ID {
		o.removes(target)
	}
	o.named = append(o.named, src.path)
	o.moved[src.path] = target
	o.err = o.w.both(func(t *Tree) error {
		_, _, err := t.Rename(from, src.path[i+1:], o.dir.info.ID, o.name, false, o.w.h.clock)
		return err
	})
}

// after checks that nothing has gone but what the operation names, and records
// what it did.
func (o *operation) after(before state) {
	if o.what == "" {
		return
	}
	h := o.w.h
	h.logf("%d %s: %v", o.w.i, o.what, o.err)
	view := o.w.shows(o.w.t)
	if o.err != nil {
		if !expected(o.err) {
			fail("%s: %v", o.what, o.err)
		}
		o.named, o.moved, o.lost, o.nodes = nil, nil, nil, nil
	}
	for p, f := range o.before {
		at, mayGo := p, false
		for _, n := range o.named {
			if p == n || strings.HasPrefix(p, n+"/") {
				mayGo = true
				if to, ok := o.moved[n]; ok && o.err == nil {
					at, mayGo = to+p[len(n):], false
				}
				break
			}
		}
		for _, id := range f.nodes {
			mayGo = mayGo || o.nodes[id]
		}
		if g, ok := view[at]; !mayGo && !o.anywhere && (!ok || g.content != f.content) {
			if h.abl == nothing || h.abl == settleOneName {
				fail("%s: %s is not at %s any more: %+v\n was %+v", o.what, p, at, g, f)
			}
		}
	}
	for _, f := range view {
		if _, ok := o.lost[f.content]; ok {
			o.spared(f)
			delete(o.lost, f.content) // it has another name
		}
	}
	for c := range o.lost {
		if strings.HasPrefix(c, "u") {
			r := &removal{vec: o.w.t.vec.clone()}
			o.w.ops = append(o.w.ops, r)
			h.removed[c] = append(h.removed[c], r)
		}
	}
	o.movements(before)
}

// spared notes that the content of f, which is still shown, was removed under the
// identities under which it isn't any more.
func (o *operation) spared(f seenFile) {
	for p, g := range o.before {
		if g.content == f.content && o.gone(p) && !slices.Equal(g.ids, f.ids) {
			r := &removal{vec: o.w.t.vec.clone()}
			o.w.ops = append(o.w.ops, r)
			o.w.h.shownUnder(g, r)
		}
	}
}

// gone tells whether the operation names path as one that may go.
func (o *operation) gone(path string) bool {
	return slices.ContainsFunc(o.named, func(n string) bool { return path == n || strings.HasPrefix(path, n+"/") })
}

// movements records which identities were put somewhere.
func (o *operation) movements(before state) {
	for id, n := range o.w.t.nodes {
		places := n.e.places()
		if id == Root || len(places) != 1 || !places[0].stamp.IsPending() {
			continue
		}
		if e := before.ents[id]; e != nil {
			if old := e.places(); len(old) == 1 && old[0] == places[0] {
				continue
			}
		}
		m := &movement{dir: places[0].dir, name: places[0].name, vec: o.w.t.vec.clone(), i: len(o.w.h.moves[id])}
		o.w.h.moves[id] = append(o.w.h.moves[id], m)
		o.w.moves = append(o.w.moves, m)
	}
	o.consistent()
}

// consistent checks that what the change did to the places is what placing
// everything anew gives.
func (o *operation) consistent() {
	s := snapshot(o.w.t)
	get := lookup(s.get)
	var dirs []Identity
	for id, e := range s.ents {
		if id != Root && e.kind() == Dir {
			dirs = append(dirs, id)
		}
	}
	breaks := get.rings(dirs)
	for id, e := range s.ents {
		want := get.standing(e, breaks[id])
		got := o.w.t.nodes[id].spots
		if !slices.EqualFunc(want, got, func(p place, s spot) bool { return p.dir == s.dir.id && p.name == s.name }) {
			fail("%s: %v stands at %v, not %v", o.what, e, got, want)
		}
	}
}

func expected(err error) bool {
	for _, e := range []error{os.ErrExist, syscall.ENOTEMPTY, syscall.ENOTDIR, syscall.EISDIR, syscall.EINVAL} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

package tree

import (
	"errors"
	"os"
	"slices"
	"syscall"
	"testing"

	"satchel/crypto"
	"satchel/crypto/canon"
)

// plantLinks stores a root over a page with these entries and stubs, one
// directory "d" with stubs of its own, and a table, and returns its head.
func plantLinks(t testing.TB, s *store, root, d, table leaf) Head {
	t.Helper()
	dot := Dot{3, writer(8)}
	node := func(kind byte, l leaf) child {
		l.sort()
		digest, err := pageDigest(kind, l)
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Node(func(local func(Ref) Ref) ([]byte, error) { return encodePage(kind, l, local) })
		if err != nil {
			t.Fatal(err)
		}
		return child{ref: r, digest: digest}
	}
	sub := standing{e: single(ident(400), version{dot: dot, kind: Dir, stamp: dot, mstamp: dot,
		places: []place{{link{Dot: dot, n: 9}, Root, "d", dot}}})}
	if len(d.list)+len(d.stubs) > 0 {
		c := node(kindPage, d)
		sub.top, sub.digest = c.ref, c.digest
	}
	root.list = append(slices.Clone(root.list), sub)
	top := node(kindPage, root)
	e := standing{e: single(Root, version{dot: dot, kind: Dir, stamp: dot, mstamp: dot}), top: top.ref, digest: top.digest}
	if len(table.list) > 0 {
		c := node(kindPage, table)
		e.table = &c
	}
	r := node(kindRoot, leaf{list: []standing{e}})
	return Head{Writer: dot.Writer, Name: "eve.id", Seq: 3, Root: r.ref, Digest: r.digest, Vector: Vector{}}
}

// linkedFile is a file with these places, of directory and name in turn.
func linkedFile(id Identity, at ...any) standing {
	dot := Dot{3, writer(8)}
	v := version{dot: dot, stamp: dot, mstamp: dot, data: &datum{dot: dot, content: InlineContent(nil)}}
	for i := 0; i < len(at); i += 2 {
		v.places = append(v.places, place{link{dot, uint32(i)}, at[i].(Identity), at[i+1].(string), dot})
	}
	return standing{e: single(id, v), dir: nowhere}
}

func TestHostileTables(t *testing.T) {
	f, d := ident(500), ident(400)
	at := func(dir Identity, s standing) standing { s.dir = dir; return s }
	gone := func(s standing, dirs ...Identity) standing { s.gone = dirs; return s }
	list := func(l ...standing) leaf { return leaf{list: l} }
	stubs := func(l ...stub) leaf { return leaf{stubs: l} }
	both := linkedFile(f, Root, "a", d, "b")
	for what, c := range map[string]struct {
		root, d, table leaf
		fine           bool // nothing is wrong
		quiet          bool // it is noticed only when more is looked at, or not at all
	}{
		"as it should be":         {root: stubs(stub{"a", f}), d: stubs(stub{"b", f}), table: list(both), fine: true},
		"a name of nothing":       {root: stubs(stub{"a", f})},
		"a name of another":       {root: stubs(stub{"a", f}), table: list(linkedFile(ident(501), Root, "a", d, "b"))},
		"another name":            {root: stubs(stub{"x", f}), d: stubs(stub{"b", f}), table: list(both)},
		"in another directory":    {root: stubs(stub{"b", f}), d: stubs(stub{"a", f}), table: list(both)},
		"a name twice":            {root: stubs(stub{"a", f}, stub{"a", f}), d: stubs(stub{"b", f}), table: list(both)},
		"one place in the table":  {root: stubs(stub{"a", f}), table: list(linkedFile(f, Root, "a"))},
		"twice in the table":      {root: stubs(stub{"a", f}), d: stubs(stub{"b", f}), table: list(both, both)},
		"in a directory, too":     {root: leaf{list: []standing{at(Root, linkedFile(f, Root, "a"))}}, d: stubs(stub{"b", f}), table: list(both)},
		"two places outside":      {root: leaf{list: []standing{at(Root, both)}}},
		"a directory":             {root: stubs(stub{"a", d}), table: list(linkedFile(d, Root, "a", Root, "b"))},
		"the root":                {root: stubs(stub{"a", Root}), table: list(both)},
		"a name that can't be":    {root: stubs(stub{"..", f}), table: list(linkedFile(f, Root, "..", d, "b"))},
		"stubs in the table":      {root: stubs(stub{"a", f}), table: leaf{list: []standing{both}, stubs: []stub{{"a", f}}}},
		"gone, but not named":     {root: stubs(stub{"a", f}), d: stubs(stub{"b", f}), table: list(gone(both, ident(7)))},
		"gone twice":              {root: stubs(stub{"a", f}), table: list(gone(both, d, d))},
		"the root is gone":        {d: stubs(stub{"b", f}), table: list(gone(both, Root))},
		"shown where it is gone":  {root: stubs(stub{"a", f}), d: stubs(stub{"b", f}), table: list(gone(both, d))},
		"gone, but it is there":   {root: stubs(stub{"a", f}), table: list(gone(both, d)), quiet: true},
		"a name that isn't there": {root: stubs(stub{"a", f}), table: list(both), quiet: true},
		"nobody names it":         {table: list(both), quiet: true},
		"a directory nowhere":     {root: stubs(stub{"a", f}), table: list(linkedFile(f, Root, "a", ident(77), "b")), quiet: true},
		"ways in a ring":          {root: stubs(stub{"a", f}), table: leaf{list: []standing{linkedFile(f, Root, "a", ident(77), "b")}, ways: []way{{ident(77), ident(78)}, {ident(78), ident(77)}}}, quiet: true},
		"in a file":               {root: stubs(stub{"a", f}), table: list(linkedFile(f, Root, "a", f, "b")), quiet: true},
	} {
		p := pens(t, 2)
		h := plantLinks(t, p[0].s, c.root, c.d, c.table)
		for _, mine := range []bool{false, true} {
			a := p[0]
			if mine {
				a = p[1]
				a.create(Root, "mine", "text")
			}
			changes, err := a.Join(h, a.s.load)
			if err == nil {
				err = useAll(a.Tree)
			}
			if c.fine && err != nil || err != nil && !errors.Is(err, ErrFormat) {
				t.Errorf("%s, mine %v: %v", what, mine, err)
			}
			if !c.fine && !c.quiet && err == nil {
				t.Errorf("%s, mine %v: merged, %v", what, mine, changes)
			}
		}
		vec := Vector{h.Writer: {h.Name, h.Seq, h.Hash}}
		l, err := Load(writer(0), "w0.id", vec, h.Root, h.Digest, p[0].s.load)
		if err != nil {
			t.Fatal(err)
		}
		err = useAll(l)
		if (err == nil) != c.fine && !c.quiet || err != nil && !errors.Is(err, ErrFormat) {
			t.Errorf("%s, loaded: %v", what, err)
		}
	}
}

// useAll looks at all that a tree shows and changes it, and writes and evicts
// it. It returns the first error that no honest tree gives.
func useAll(t *Tree) error {
	var first error
	note := func(err error) {
		var no syscall.Errno
		if err != nil && !errors.As(err, &no) && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrExist) && first == nil {
			first = err
		}
	}
	dirs := []Identity{Root}
	var all []Info
	for i := 0; i < len(dirs) && len(all) < 1000; i++ {
		list, err := t.List(dirs[i])
		note(err)
		for _, in := range list {
			all = append(all, in)
			if in.Kind == Dir {
				dirs = append(dirs, in.ID)
			}
		}
	}
	s := newStore()
	s.owner = "w.id"
	flush := func() {
		seq := uint64(0)
		for _, e := range t.vec {
			seq = max(seq, e.Seq)
		}
		if seq < maxSeq {
			_, _, err := t.Flush(seq+1, s)
			note(err)
		}
	}
	old := t.ld
	t.ld = func(r Ref) ([]byte, error) {
		if r.Owner == s.owner {
			return s.load(r)
		}
		return old(r)
	}
	for i, in := range all {
		now := int64(i)
		_, err := t.Get(in.ID)
		note(err)
		_, err = t.SetAttr(in.ID, func(a *Attr) { a.Mode ^= 1 })
		note(err)
		_, err = t.Link(in.ID, Root, "link", now)
		note(err)
		if i%3 == 0 {
			flush()
			t.Evict(func(Identity) bool { return false })
		}
		_, _, err = t.Rename(in.Dir, in.Name, Root, "renamed", false, now)
		note(err)
		_, err = t.Remove(Root, "renamed", false, now)
		note(err)
	}
	flush()
	return first
}

// FuzzLinks makes a tree of any three pages, rightly sealed, and uses it.
func FuzzLinks(f *testing.F) {
	encode := func(l leaf) []byte {
		l.sort()
		b, err := encodePage(kindPage, l, func(r Ref) Ref { return r })
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	one, d := ident(500), ident(400)
	both := linkedFile(one, Root, "a", d, "b")
	conflict := single(one, both.e.versions[0])
	v := conflict.versions[0]
	v.dot, v.data = Dot{4, writer(7)}, &datum{dot: Dot{4, writer(7)}, content: InlineContent([]byte("x"))}
	conflict.versions = append(conflict.versions, v)
	conflict.data = append(conflict.data, v.dot)
	other := linkedFile(ident(501), d, "b", Root, "a")
	f.Add(encode(leaf{stubs: []stub{{"a", one}}}), encode(leaf{stubs: []stub{{"b", one}}}), encode(leaf{list: []standing{both}}))
	f.Add(encode(leaf{stubs: []stub{{"a", one}, {"a", ident(501)}}}), encode(leaf{stubs: []stub{{"b", one}, {"b", ident(501)}}}),
		encode(leaf{list: []standing{{e: conflict, dir: nowhere}, other}}))
	f.Add(encode(leaf{stubs: []stub{{"a", one}}}), []byte{}, encode(leaf{list: []standing{{e: both.e, dir: nowhere, gone: []Identity{d}}}}))
	f.Fuzz(func(t *testing.T, root, sub, table []byte) {
		var l [3]leaf
		for i, b := range [][]byte{root, sub, table} {
			var err error
			if l[i], err = decodePage(kindPage, b, here, []Identity{Root, d, nowhere}[i]); err != nil && len(b) > 0 {
				return
			}
		}
		s := newStore()
		for i := range l {
			for j := range l[i].list {
				if !l[i].list[j].top.IsZero() {
					return
				}
			}
			if digest, err := pageDigest(kindPage, l[i]); err != nil || digest == (crypto.Hash{}) {
				return
			}
		}
		h := plantLinks(t, s, l[0], l[1], l[2])
		tr := New(writer(0), "w0.id", s.load)
		if _, err := tr.Create(Root, "a", Spec{ID: ident(1)}); err != nil {
			t.Fatal(err)
		}
		if _, err := tr.Join(h, s.load); err == nil {
			_ = useAll(tr)
		}
		tr, err := Load(writer(0), "w0.id", Vector{h.Writer: {h.Name, h.Seq, h.Hash}}, h.Root, h.Digest, s.load)
		if err != nil {
			t.Fatal(err)
		}
		_ = useAll(tr)
	})
}

// The same page of the table is decoded and encoded without a change.
func FuzzTablePage(f *testing.F) {
	l := leaf{list: []standing{linkedFile(ident(500), Root, "a", ident(400), "b")}, ways: []way{{ident(400), Root}}}
	l.list[0].gone = []Identity{ident(400)}
	b, err := encodePage(kindPage, l, local)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	b, err = canon.Marshal(wirePage{Stubs: []wireStub{{Name: []byte("a"), ID: ident(1)}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append([]byte{kindPage}, b...))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, dir := range []Identity{nowhere, Root} {
			l, err := decodePage(kindPage, b, here, dir)
			if err != nil {
				continue
			}
			again, err := encodePage(kindPage, l, local)
			if err != nil {
				t.Fatal(err)
			}
			m, err := decodePage(kindPage, again, here, dir)
			if err != nil || !slices.Equal(l.stubs, m.stubs) || !slices.Equal(l.ways, m.ways) || len(l.list) != len(m.list) {
				t.Fatalf("%+v is now %+v: %v", l, m, err)
			}
			for i := range l.list {
				l.list[i].places()
			}
		}
	})
}

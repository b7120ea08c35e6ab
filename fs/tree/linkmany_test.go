package tree

import (
	"fmt"
	"testing"
)

// TestManyLinksOfSeveralWriters has several give one file as many names as it may
// have, at the same time: together these are more, and what is written of them
// must be read by everybody.
func TestManyLinksOfSeveralWriters(t *testing.T) {
	p := pens(t, 2)
	f := p[0].create(Root, "f", "text")
	p[0].flush()
	for _, w := range p[1:] {
		w.join(p[0])
	}
	for i, w := range p {
		n := w.nodes[f.ID]
		w.touch(n, func(v *version) {
			for k := range MaxLinks - 1 {
				v.places = append(v.places, place{link{w.pending(), uint32(k)}, Root, fmt.Sprint("l", i, " ", k), w.pending()})
			}
		})
		retry(t, func() error { return w.hold(f.ID) })
		w.stand(n, w.placesOf(n))
		w.changed = true
		w.alive(w.root)
	}
	for _, w := range p {
		w.flush()
	}
	const all = 2*(MaxLinks-1) + 1
	for _, w := range p {
		for _, o := range p {
			if o != w {
				w.join(o)
			}
		}
		w.wantLinks(Root, "f", all)
	}
	a, b := p[0], p[1]
	a.must(a.SetAttr(f.ID, func(x *Attr) { x.Mode = 0o640 })) // one version has them all
	a.flush()
	a.again().wantLinks(Root, "f", all)
	b.join(a)
	b.wantLinks(Root, "l0 7", all)
	if _, err := b.Remove(Root, "l0 7", false, 9); err != nil {
		t.Fatal(err)
	}
	b.flush()
	b.again().wantLinks(Root, "f", all-1)
}

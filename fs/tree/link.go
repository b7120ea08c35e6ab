package tree

import (
	"fmt"
	"os"
	"slices"
	"syscall"
)

// MaxLinks is how many names a file may be given, if they are not very long. It
// has more when several writers give it names at the same time.
const MaxLinks = 1024

// maxNames bounds the bytes of a file's names, with 64 for each: there must be
// room for several versions of it in a page.
const maxNames = 128 << 10

var errLinks = fmt.Errorf("too many hard links: %w", syscall.EMLINK)

// Link gives a file another name.
func (t *Tree) Link(id, dir Identity, name string, now int64) (Info, error) {
	g, err := t.dir(dir)
	if err != nil {
		return Info{}, err
	}
	if err := checkName(name); err != nil {
		return Info{}, err
	}
	if t.look(g, name) != nil {
		return Info{}, os.ErrExist
	}
	i, err := t.show(id)
	if err != nil {
		return Info{}, err
	}
	if i.dir {
		return Info{}, fmt.Errorf("hard link to a directory: %w", syscall.EPERM)
	}
	if !i.members[0].n.e.roomFor(name) {
		return Info{}, errLinks
	}
	if err := t.hold(i.members[0].id()); err != nil {
		return Info{}, err
	}
	if i, err = t.settled(id); err != nil {
		return Info{}, err
	}
	n := i.members[0].n
	t.touch(n, func(v *version) {
		v.anchor(n, t.pending())
		v.link(place{dir: g[0].id, name: name, stamp: t.pending()}, n.e.links)
	})
	t.stand(n, t.placesOf(n))
	t.change(g[0], now)
	return t.info(t.look(g, name)), nil
}

// roomFor tells whether e may have another name.
func (e *entry) roomFor(name string) bool {
	places := e.places()
	size := 64 + len(name)
	for _, p := range places {
		size += 64 + len(p.name)
	}
	return len(places) < MaxLinks && size <= maxNames
}

// anchor makes real that n, of which v is made now, stands in the root, though the
// directory of its place is gone: another name, whose directory is there, would take
// that one's place.
func (v *version) anchor(n *node, stamp Dot) {
	for i, s := range n.spots {
		for k := range v.places {
			if p := &v.places[k]; p.link == s.link && p.dir != n.dirAt(i) {
				p.dir, p.stamp = n.dirAt(i), stamp
			}
		}
	}
}

// link gives v, which was made now, another place. live are the live links of
// what v was made of.
func (v *version) link(at place, live []link) {
	l := link{Dot: v.dot}
	next := func() link {
		for slices.ContainsFunc(v.places, func(q place) bool { return q.link == l }) {
			l.n++
		}
		return l
	}
	for k := range v.places {
		// A name that is shown only since none is live would go now.
		if q := &v.places[k]; !slices.Contains(live, q.link) {
			q.link = next()
		}
	}
	at.link = next()
	v.places = append(v.places, at)
}

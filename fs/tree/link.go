package tree

import (
	"fmt"
	"os"
	"slices"
	"syscall"
)

// Link gives a file another name. Stored trees have room for that, but it is
// refused so far.
func (t *Tree) Link(id, dir Identity, name string, now int64) (Info, error) {
	if !t.links {
		return Info{}, fmt.Errorf("hard link: %w", syscall.EMLINK)
	}
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
	i, err := t.settled(id)
	if err != nil {
		return Info{}, err
	}
	if i.dir {
		return Info{}, errIsDir
	}
	n := i.members[0].n
	p := t.pending()
	t.touch(n, func(v *version) {
		l := link{Dot: p}
		next := func() link {
			for slices.ContainsFunc(v.places, func(q place) bool { return q.link == l }) {
				l.n++
			}
			return l
		}
		for k := range v.places {
			// A name that is shown only since none is live would go now.
			if q := &v.places[k]; !slices.Contains(n.e.links, q.link) {
				q.link = next()
			}
		}
		v.places = append(v.places, place{next(), g[0].id, name, p})
	})
	t.stand(n, t.spots(n))
	t.change(g[0], now)
	return t.info(t.look(g, name)), nil
}

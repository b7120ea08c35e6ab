package tree

import (
	"bytes"
	"cmp"
	"slices"

	"satchel/crypto/canon"
)

// A place is one name that a version has: a link of the identity, and where it
// was put when.
type place struct {
	link  link
	dir   Identity
	name  string
	stamp Dot
}

// compare orders places by stamp. Equal stamps on different places are a broken
// writer's; the rest only makes everybody choose the same one.
func (p place) compare(q place) int {
	return cmp.Or(p.stamp.compare(q.stamp), p.link.compare(q.link),
		bytes.Compare(p.dir[:], q.dir[:]), cmp.Compare(p.name, q.name))
}

// A datum is a content that was written.
type datum struct {
	dot     Dot
	content Content
	copy    uint64 // how often its refs were moved to other packs
}

// A version is what one change made of an identity. Versions are never changed.
type version struct {
	dot    Dot
	kind   Kind
	places []place // by link; one for a directory, none for the root
	attr   Attr
	stamp  Dot // of attr
	data   *datum
	mtime  int64 // of data; a directory's own
	mstamp Dot
	extra  canon.Extra // what a later format knows
}

// An entry is the state of one identity. Entries are never changed: a change
// makes a new one.
type entry struct {
	id       Identity
	versions []version // by dot, nearly always one
	links    []link    // the live ones, ascending
	data     []Dot     // of the live data, ascending
}

func (e *entry) top() *version { return &e.versions[len(e.versions)-1] }

func (e *entry) kind() Kind {
	if len(e.versions) == 0 {
		return Dir // a root that nothing was made in
	}
	return e.top().kind
}

// attr returns the attributes of the highest stamp.
func (e *entry) attr() (Attr, Dot) {
	if len(e.versions) == 0 {
		return Attr{Mode: 0o700}, Dot{}
	}
	best := e.top()
	for i := range e.versions {
		if v := &e.versions[i]; best.stamp.Less(v.stamp) {
			best = v
		}
	}
	return best.attr, best.stamp
}

// places returns where the view would show e if all directories were there: the
// live links or, if none is live, those of the highest version, each at its
// highest stamp; of a directory the one with the highest stamp.
func (e *entry) places() []place {
	if len(e.versions) == 1 && len(e.versions[0].places) < 2 {
		return e.versions[0].places
	}
	best := make(map[link]place)
	for _, v := range e.versions {
		for _, p := range v.places {
			if q, ok := best[p.link]; !ok || q.compare(p) < 0 {
				best[p.link] = p
			}
		}
	}
	var list []place
	for _, l := range e.links {
		if p, ok := best[l]; ok {
			list = append(list, p)
		}
	}
	if e.kind() == Dir {
		list = list[:0]
		for _, p := range best {
			if len(list) == 0 || list[0].compare(p) < 0 {
				list = append(list[:0], p)
			}
		}
	}
	if len(list) == 0 && len(e.versions) > 0 {
		for _, p := range e.top().places {
			list = append(list, best[p.link])
		}
	}
	return list
}

// A shown is a datum as the view shows it, with the time that stands beside it.
type shown struct {
	datum
	mtime  int64
	mstamp Dot
}

// shown returns the data that the view shows, the highest dot first: the live
// ones or, if none is live, the highest. It is empty for a directory.
func (e *entry) shown() []shown {
	if len(e.versions) == 1 {
		v := &e.versions[0]
		if v.data == nil {
			return nil
		}
		return []shown{{*v.data, v.mtime, v.mstamp}}
	}
	var all []shown
	for i := range e.versions {
		v := &e.versions[i]
		if v.data == nil {
			continue
		}
		s := shown{*v.data, v.mtime, v.mstamp}
		at := slices.IndexFunc(all, func(o shown) bool { return o.dot == s.dot })
		if at < 0 {
			all = append(all, s)
			continue
		}
		o := &all[at]
		if c := o.mstamp.compare(s.mstamp); c < 0 || c == 0 && o.mtime < s.mtime {
			o.mtime, o.mstamp = s.mtime, s.mstamp
		}
		if o.copy < s.copy {
			o.datum = s.datum
		}
	}
	slices.SortFunc(all, func(a, b shown) int { return b.dot.compare(a.dot) })
	live := slices.DeleteFunc(slices.Clone(all), func(s shown) bool { return !e.isLive(s.dot) })
	if len(live) == 0 && len(all) > 0 {
		return all[:1]
	}
	return live
}

func (e *entry) isLive(d Dot) bool {
	_, ok := slices.BinarySearchFunc(e.data, d, Dot.compare)
	return ok
}

// several tells whether the view shows more than one datum of e.
func (e *entry) several() bool { return len(e.versions) > 1 && len(e.shown()) > 1 }

// mtime returns a directory's time of change: the latest.
func (e *entry) mtime() (t int64, stamp Dot) {
	for i := range e.versions {
		if v := &e.versions[i]; i == 0 || v.mtime > t || v.mtime == t && stamp.Less(v.mstamp) {
			t, stamp = v.mtime, v.mstamp
		}
	}
	return t, stamp
}

// touch returns e with one version in place of all, with what the view
// resolves, for edit to change. Of several data only the highest is kept:
// settle first.
func (e *entry) touch(dot Dot, edit func(*version)) *entry {
	v := version{dot: dot, kind: e.kind(), places: slices.Clone(e.places())}
	v.attr, v.stamp = e.attr()
	if len(e.versions) > 0 {
		v.extra = e.top().extra
	}
	out := &entry{id: e.id}
	if data := e.shown(); len(data) > 0 {
		d := data[0].datum
		v.data, v.mtime, v.mstamp = &d, data[0].mtime, data[0].mstamp
		if e.isLive(d.dot) {
			out.data = []Dot{d.dot}
		}
	} else {
		v.mtime, v.mstamp = e.mtime()
	}
	if len(e.versions) == 0 {
		v.stamp, v.mstamp = dot, dot
	}
	old := v.data
	if edit != nil {
		edit(&v)
	}
	if v.data != old {
		out.data = []Dot{v.data.dot}
	}
	for _, p := range v.places {
		if _, ok := slices.BinarySearchFunc(e.links, p.link, link.compare); ok || p.link.Dot == dot {
			out.links = append(out.links, p.link)
		}
	}
	slices.SortFunc(out.links, link.compare)
	slices.SortFunc(v.places, func(p, q place) int { return p.link.compare(q.link) })
	out.versions = []version{v}
	return out
}

// single returns an entry that has the version v alone and all in it live.
func single(id Identity, v version) *entry {
	e := &entry{id: id, versions: []version{v}}
	for _, p := range v.places {
		e.links = append(e.links, p.link)
	}
	slices.SortFunc(e.links, link.compare)
	if v.data != nil {
		e.data = []Dot{v.data.dot}
	}
	return e
}

// pending tells whether e has a dot that is not committed yet.
func (e *entry) pending() bool {
	return len(e.versions) > 0 && e.top().dot.IsPending()
}

// numbered returns e with dot in place of the pending one.
func (e *entry) numbered(dot Dot) *entry {
	if !e.pending() {
		return e
	}
	fix := func(d *Dot) {
		if d.IsPending() {
			*d = dot
		}
	}
	out := &entry{id: e.id, versions: slices.Clone(e.versions), links: slices.Clone(e.links), data: slices.Clone(e.data)}
	for i := range out.versions {
		v := &out.versions[i]
		fix(&v.dot)
		fix(&v.stamp)
		fix(&v.mstamp)
		v.places = slices.Clone(v.places)
		for j := range v.places {
			fix(&v.places[j].link.Dot)
			fix(&v.places[j].stamp)
		}
		if v.data != nil && v.data.dot.IsPending() {
			d := *v.data
			d.dot = dot
			v.data = &d
		}
	}
	for i := range out.links {
		fix(&out.links[i].Dot)
	}
	for i := range out.data {
		fix(&out.data[i])
	}
	return out
}

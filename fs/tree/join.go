package tree

import (
	"bytes"
	"maps"
	"slices"

	"satchel/crypto"
	"satchel/crypto/canon"
)

// A seen is one of two states that are joined: what is merged in it, and whose
// head it is.
type seen struct {
	vector Vector
	writer crypto.DeviceID
}

// joinEntry joins two states of one identity; nil stands for a side that
// doesn't have it, and is returned if nothing is left. If the result equals a
// it is a, else if it equals b it is b. odd is called for a version of which
// the sides have different payloads: its writer is broken or lies.
func joinEntry(a, b *entry, sa, sb seen, odd func(id Identity, d Dot)) *entry {
	var none entry
	if a == nil {
		a = &none
	}
	if b == nil {
		b = &none
	}
	out := &entry{id: a.id}
	if a == &none {
		out.id = b.id
	}
	out.versions = joinVersions(a, b, sa, sb, odd)
	if len(out.versions) == 0 {
		return nil
	}
	out.links = joinSet(a.links, b.links, sa, sb, link.compare, func(l link) Dot { return l.Dot })
	out.data = joinSet(a.data, b.data, sa, sb, Dot.compare, func(d Dot) Dot { return d })
	switch {
	case out.equal(a):
		return a
	case out.equal(b):
		return b
	}
	return out
}

func joinVersions(a, b *entry, sa, sb seen, odd func(Identity, Dot)) []version {
	var out []version
	i, j := 0, 0
	for i < len(a.versions) || j < len(b.versions) {
		c := 0
		switch {
		case i == len(a.versions):
			c = 1
		case j == len(b.versions):
			c = -1
		default:
			c = a.versions[i].dot.compare(b.versions[j].dot)
		}
		switch {
		case c < 0:
			if v := a.versions[i]; !sb.vector.Covers(v.dot) {
				out = append(out, v)
			}
			i++
		case c > 0:
			if v := b.versions[j]; !sa.vector.Covers(v.dot) {
				out = append(out, v)
			}
			j++
		default:
			v, ok := joinVersion(&a.versions[i], &b.versions[j], sa, sb)
			if !ok {
				odd(a.id, v.dot)
			}
			out = append(out, *v)
			i++
			j++
		}
	}
	return out
}

// joinVersion returns the payload of a version that both sides have: the same
// one, with the higher copy of its content, else that of the head of its own
// writer, else the greater digest.
func joinVersion(a, b *version, sa, sb seen) (v *version, same bool) {
	if a.equal(b) && (a.data == nil || sameContent(&a.data.content, &b.data.content)) {
		if a.data != nil && a.data.copy < b.data.copy {
			return b, true
		}
		return a, true
	}
	switch {
	case sa.writer == sb.writer:
	case a.dot.Writer == sa.writer:
		return a, false
	case a.dot.Writer == sb.writer:
		return b, false
	}
	da, db := a.digest(), b.digest()
	if bytes.Compare(da[:], db[:]) < 0 {
		return b, false
	}
	return a, false
}

// sameContent tells whether both are the same sealed segments, wherever these
// are. Under one datum anything else is a second payload, however high its copy
// number: a copy is moved bytes, not other ones.
func sameContent(a, b *Content) bool {
	return a.Size == b.Size && a.Level == b.Level && bytes.Equal(a.Inline, b.Inline) &&
		slices.EqualFunc(a.Refs, b.Refs, Ref.same)
}

// joinSet joins two ascending sets: an element in both stays; an element in one
// stays unless the other side has seen its dot.
func joinSet[E comparable](a, b []E, sa, sb seen, compare func(E, E) int, dot func(E) Dot) []E {
	var out []E
	for _, x := range a {
		if _, both := slices.BinarySearchFunc(b, x, compare); both || !sb.vector.Covers(dot(x)) {
			out = append(out, x)
		}
	}
	for _, x := range b {
		if _, both := slices.BinarySearchFunc(a, x, compare); !both && !sa.vector.Covers(dot(x)) {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, compare)
	return out
}

// equal tells whether e and f are the same state.
func (e *entry) equal(f *entry) bool {
	return e == f || e.id == f.id && slices.Equal(e.links, f.links) && slices.Equal(e.data, f.data) &&
		slices.EqualFunc(e.versions, f.versions, func(v, w version) bool {
			return v.equal(&w) && (v.data == nil || v.data.copy == w.data.copy)
		})
}

// equal tells whether v and w have the same payload. Content counts by its dot,
// and by where it is not at all.
func (v *version) equal(w *version) bool {
	return v.dot == w.dot && v.kind == w.kind && v.stamp == w.stamp && v.mtime == w.mtime && v.mstamp == w.mstamp &&
		slices.Equal(v.places, w.places) && v.attr.equal(&w.attr) &&
		maps.EqualFunc(v.extra, w.extra, func(x, y canon.Raw) bool { return bytes.Equal(x, y) }) &&
		(v.data == nil) == (w.data == nil) && (v.data == nil || v.data.dot == w.data.dot)
}

func (a *Attr) equal(b *Attr) bool {
	return a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID && a.Atime == b.Atime && a.Ctime == b.Ctime &&
		a.Btime == b.Btime && maps.EqualFunc(a.Xattrs, b.Xattrs, bytes.Equal)
}

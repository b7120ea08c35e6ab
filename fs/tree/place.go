package tree

import "slices"

// A lookup gives the state of an identity, nil if there is none.
type lookup func(Identity) *entry

func (t *Tree) get(id Identity) *entry {
	if n := t.nodes[id]; n != nil {
		return n.e
	}
	return nil
}

func (get lookup) isDir(id Identity) bool {
	if id == Root {
		return true
	}
	e := get(id)
	return e != nil && e.kind() == Dir
}

// wanted returns the one place of a directory.
func (e *entry) wanted() place {
	if p := e.places(); len(p) > 0 {
		return p[0]
	}
	return place{}
}

// rings looks, from each of the directories given, along their places upward
// for rings. Of each it returns the one with the highest place stamp.
func (get lookup) rings(from []Identity) map[Identity]bool {
	breaks := make(map[Identity]bool)
	done := make(map[Identity]int) // the walk that saw it
	for i, id := range from {
		var way []Identity
		for id != Root && get.isDir(id) && done[id] == 0 {
			done[id] = i + 1
			way = append(way, id)
			id = get(id).wanted().dir
		}
		if id == Root || done[id] != i+1 {
			continue
		}
		ring := way[slices.Index(way, id):]
		breaks[slices.MaxFunc(ring, func(a, b Identity) int {
			if c := get(a).wanted().stamp.compare(get(b).wanted().stamp); c != 0 {
				return c
			}
			return compareID(a, b)
		})] = true
	}
	return breaks
}

// standing returns where the view shows e.
func (get lookup) standing(e *entry, breaks bool) []place { return standingAt(e, breaks, get.isDir) }

// standingAt returns where the view shows e, by link. A directory whose parent is
// gone, or that breaks a ring, stands in the root, as does a file of which no
// place's directory is left.
func standingAt(e *entry, breaks bool, isDir func(Identity) bool) []place {
	if e.id == Root {
		return nil
	}
	places := e.places()
	if len(places) == 0 {
		return []place{{name: e.id.String()}} // no tree that was checked has such
	}
	if e.kind() == Dir {
		p := places[0]
		if breaks || !isDir(p.dir) {
			p.dir = Root
		}
		return []place{p}
	}
	if len(places) == 1 && isDir(places[0].dir) {
		return places
	}
	var out []place
	seen := make(map[nameKey]bool, len(places))
	for _, p := range places {
		if k := (nameKey{p.dir, p.name}); !seen[k] && isDir(p.dir) {
			seen[k] = true
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		p := slices.MaxFunc(places, place.compare)
		p.dir = Root
		return []place{p}
	}
	return out
}

// placesOf returns where n stands after a change made here: those never make
// rings.
func (t *Tree) placesOf(n *node) []place { return lookup(t.get).standing(n.e, false) }

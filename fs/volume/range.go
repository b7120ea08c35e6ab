package volume

import "slices"

// A byteRange is the bytes from lo up to hi, of a chunk.
type byteRange struct{ lo, hi int }

// ranges are byte ranges in order, of which no two touch.
type ranges []byteRange

// touching returns which of the ranges touch lo to hi.
func (r ranges) touching(lo, hi int) (from, to int) {
	from, _ = slices.BinarySearchFunc(r, lo, func(x byteRange, lo int) int { return x.hi - lo })
	to = from
	for to < len(r) && r[to].lo <= hi {
		to++
	}
	return from, to
}

// add adds lo to hi.
func (r *ranges) add(lo, hi int) {
	if lo >= hi {
		return
	}
	from, to := r.touching(lo, hi)
	if from < to {
		lo, hi = min(lo, (*r)[from].lo), max(hi, (*r)[to-1].hi)
	}
	*r = slices.Replace(*r, from, to, byteRange{lo, hi})
}

// clip drops what lies from n on.
func (r *ranges) clip(n int) {
	for i := len(*r) - 1; i >= 0 && (*r)[i].hi > n; i-- {
		if (*r)[i].lo < n {
			(*r)[i].hi = n
			return
		}
		*r = (*r)[:i]
	}
}

// sum is how many bytes there are.
func (r ranges) sum() (n int) {
	for _, x := range r {
		n += x.hi - x.lo
	}
	return n
}

package tree

import "errors"

// Next returns the first chunk from i on that is no hole; ok is false if there is none.
func (c Content) Next(ld Loader, i uint64) (next uint64, ok bool, err error) {
	if c.Inline != nil {
		return 0, false, nil
	}
	return nextChunk(ld, c.Refs, int(c.Level), 0, i)
}

// nextChunk looks in refs of a level, of which the first begins with chunk first.
func nextChunk(ld Loader, refs []Ref, level int, first, i uint64) (next uint64, ok bool, err error) {
	k := uint64(0)
	if i > first {
		k = (i - first) / span(level)
	}
	for ; k < uint64(len(refs)); k++ {
		at := first + k*span(level)
		switch {
		case refs[k].IsZero():
			continue
		case level == 0:
			return at, true, nil
		}
		sub, err := below(ld, refs[k], level)
		if err != nil {
			return 0, false, err
		}
		if next, ok, err = nextChunk(ld, sub, level-1, at, i); ok || err != nil {
			return next, ok, err
		}
	}
	return 0, false, nil
}

// errManyNodes says that counting would take too long.
var errManyNodes = errors.New("too many index nodes to count")

// Stored counts the chunks that are no holes. It looks at so many index nodes at
// most; if that is not enough, or one is missing, there is an error.
func (c Content) Stored(ld Loader, nodes int) (n uint64, err error) {
	err = countRefs(ld, c.Refs, int(c.Level), &nodes, &n)
	return n, err
}

func countRefs(ld Loader, refs []Ref, level int, nodes *int, n *uint64) error {
	for _, r := range refs {
		if r.IsZero() {
			continue
		}
		if level == 0 {
			*n++
			continue
		}
		if *nodes--; *nodes < 0 {
			return errManyNodes
		}
		sub, err := below(ld, r, level)
		if err == nil {
			err = countRefs(ld, sub, level-1, nodes, n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

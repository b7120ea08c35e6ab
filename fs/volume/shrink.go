package volume

import (
	"time"

	"satchel/fs/tree"
)

// inMemory is how many files and folders of a tree are in memory before those
// that nobody looks at leave it. Each takes somewhat less than 1 KiB.
const inMemory = 50_000

// A shrinking says when the tree is too large, and what was found last time.
type shrinking struct {
	most int
	left int
	at   time.Time
}

// shrink drops folders from memory that can be loaded again, if the tree has
// grown, with the lock held. What the kernel knows stays: it must be told when
// that changes elsewhere. If much stays it looks again when a quarter more is
// there, or after some seconds.
func (v *Volume) shrink() {
	s := &v.shrinking
	if v.tree == nil || v.tree.InMemory() < s.most || v.unfinished != nil {
		return
	}
	if v.tree.InMemory() < s.left/4*5 && time.Since(s.at) < 10*time.Second {
		return
	}
	v.tree.Evict(func(id tree.Identity) bool { return v.nodes[id] != nil })
	s.left, s.at = v.tree.InMemory(), time.Now()
}

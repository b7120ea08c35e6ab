package volume

import (
	"context"
	"fmt"
)

// CommitIdle is Commit, but leaves out what was written to files that are open for
// writing, which may be half of something. What was synced of that survives a crash
// all the same, and the next Commit has it.
func (v *Volume) CommitIdle(ctx context.Context) error {
	return v.commit(ctx, onIdle)
}

// leftOut returns the dirty files that a commit leaves out, and their paths, with
// the lock held.
func (v *Volume) leftOut(why reason) map[*Node]string {
	if why != onIdle {
		return nil
	}
	left := make(map[*Node]string)
	for n := range v.dirty {
		if n.writers == 0 || n.state != live {
			continue
		}
		if path, err := v.tree.Path(n.id); err == nil {
			left[n] = path
		}
	}
	return left
}

// due tells whether there is anything to commit.
func (v *Volume) due(why reason) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.tree.Dirty() || len(v.dirty) > len(v.leftOut(why)) || v.unfinished != nil
}

// stateOf returns a batch that makes of the files of a commit that left them out what
// they are now, nil if it left out none, with the lock held. The next batch will say
// what changed since.
func stateOf(left map[*Node]string) *batch {
	if len(left) == 0 {
		return nil
	}
	b := &batch{}
	for n, path := range left {
		f := n.file
		f.since = since{low: f.keep, any: true}
		for i := range f.sealed {
			f.resealed(i)
		}
		for _, c := range f.chunks {
			c.fresh = c.all()
		}
		b.files = append(b.files, n.change(path))
		f.synced()
	}
	return b
}

// prepare has the journal of a commit begin with what that leaves out, before the
// commit is there: then no crash finds it in neither.
func (v *Volume) prepare(u *flushed, c Commit) error {
	if u.left == nil {
		return nil
	}
	first, err := u.left.encode(v.local)
	if err == nil {
		err = v.sync.log.Prepare(c.base(), first)
	}
	if err != nil {
		return fmt.Errorf("commit %s: %w", v.opt.Label, err)
	}
	return nil
}

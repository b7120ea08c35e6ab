package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"satchel/fs/journal"
	"satchel/fs/tree"
	"satchel/storage/pack"
)

const (
	// sealFrom is how much of a chunk must have been written for a batch to have
	// it sealed, rather than put into the journal.
	sealFrom = 256 << 10
	// maxBatch is how many changed identities a batch takes. Above it a commit
	// costs less.
	maxBatch = 50_000
	// maxJournal is the size of the journal at which a commit is due.
	maxJournal = 64 << 20
)

// syncing lets those who want a batch at the same time share one.
type syncing struct {
	mu    sync.Mutex // one batch at a time
	log   *journal.Log
	begun atomic.Uint64 // batches, by number
	good  uint64        // the last one that is on the disk
}

// errCommit says that only a commit can make the volume durable now.
var errCommit = errors.New("a batch is not enough")

// Sync makes everything up to now survive a power cut of this machine. It costs
// an append to the journal, or a commit where that is not enough: after a merge,
// which no batch can hold, a move to another volume, or very many changes.
func (v *Volume) Sync(ctx context.Context) error {
	if v.sync.log == nil {
		return v.Commit(ctx)
	}
	err := v.share()
	for tries := 0; err == errPublishing && tries < 3; tries++ {
		v.awaitCommit()
		err = v.share()
	}
	if err == nil {
		return nil
	}
	return v.Commit(ctx)
}

// awaitCommit waits for a commit that is on its way.
func (v *Volume) awaitCommit() {
	v.commitMu.Lock()
	defer v.commitMu.Unlock()
}

// errPublishing says that the journal waits for the end of a commit.
var errPublishing = errors.New("a commit is on its way")

// Save appends what changed to the journal, so that a crash loses little of what
// nobody synced. Where a batch is not enough it does nothing.
func (v *Volume) Save() error {
	if v.sync.log == nil {
		return nil
	}
	if err := v.share(); err != nil && err != errPublishing && err != errCommit {
		return err
	}
	return nil
}

// share returns when a batch that began after the call is on the disk.
func (v *Volume) share() error {
	s := &v.sync
	seen := s.begun.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.good > seen {
		return nil
	}
	number := s.begun.Add(1)
	if err := v.batch(); err != nil {
		return err
	}
	s.good = number
	return nil
}

// batch appends one instant of the volume to the journal. After an error a
// commit must follow.
func (v *Volume) batch() error {
	if err := v.sealMuch(); err != nil {
		return err
	}
	var b *batch
	err := v.locked(func() (err error) {
		b, err = v.instant()
		return err
	})
	if err != nil || b == nil {
		return err
	}
	err = v.syncPacks()
	var payload []byte
	if err == nil {
		payload, err = b.encode(v.local)
	}
	if err == nil {
		err = v.sync.log.Append(payload)
	}
	if err != nil {
		v.mu.Lock()
		b.putBack(v)
		v.mu.Unlock()
		return fmt.Errorf("journal of %s: %w", v.opt.Label, err)
	}
	if v.sync.log.Size() > maxJournal {
		v.mu.Lock()
		v.since = time.Unix(0, 1)
		v.mu.Unlock()
	}
	return nil
}

// sealMuch seals the chunks of which much was written.
func (v *Volume) sealMuch() error {
	type job struct {
		n *Node
		i uint64
		c *chunk
	}
	var jobs []job
	v.mu.Lock()
	for n := range v.dirty {
		for i, c := range n.file.chunks {
			if n.file.fresh(i, c).sum() >= sealFrom {
				jobs = append(jobs, job{n, i, c})
			}
		}
	}
	v.mu.Unlock()
	for _, j := range jobs {
		if err := j.n.sealChunk(context.Background(), j.i, j.c, false); err != nil {
			return err
		}
	}
	return nil
}

// instant collects what changed since the last batch, with the lock held; nil
// if nothing did.
func (v *Volume) instant() (*batch, error) {
	if v.unfinished != nil {
		return nil, errPublishing
	}
	if v.merged || len(v.needs) > 0 || v.movedHere {
		return nil, errCommit
	}
	b := &batch{flushes: v.flushes}
	for n := range v.dirty {
		if !n.file.since.any {
			continue
		}
		if n.state != live {
			return nil, errCommit
		}
		path, err := v.tree.Path(n.id)
		if err != nil {
			return nil, errCommit
		}
		b.files = append(b.files, n.change(path))
	}
	if b.tree = v.tree.Take(); b.tree != nil && b.tree.Len() > maxBatch {
		b.putBack(v)
		return nil, errCommit
	}
	if b.tree == nil && len(b.files) == 0 {
		return nil, nil
	}
	for _, f := range b.files {
		f.node.file.synced()
	}
	return b, nil
}

// local gives refs the form in which they are found after a crash: closed packs
// by their real names.
func (v *Volume) local(r tree.Ref) tree.Ref {
	if id, closed := v.opt.Packs.Resolve(pack.ID(r.Pack)); closed {
		r.Pack = [32]byte(id)
	}
	return r
}

// syncPacks makes what is in the packs that are being written durable.
func (v *Volume) syncPacks() error {
	v.packMu.Lock()
	open := make([]*pack.Writer, 0, 4)
	if v.data != nil {
		open = append(open, v.data)
	}
	for w := range v.closing {
		open = append(open, w)
	}
	open = append(open, v.unclosed...)
	v.packMu.Unlock()
	for _, w := range open {
		if err := w.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
			return err
		}
	}
	return nil
}

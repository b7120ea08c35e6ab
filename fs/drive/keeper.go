package drive

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"satchel/fs/tree"
	"satchel/fs/volume"
	"satchel/storage/pack"
)

// Pins of this machine stand in the state database, which is encrypted:
//
//	"stay/" path   the identities of what stood there last and of its folder, 16 bytes each
//	"staypacks"    the ids of the packs that hold what is pinned, one after another
//
// A pin is for a path and follows what stands there over renames. Where that was
// removed, or another file was renamed over it, it is for what stands at the
// path then.

const (
	pinEvery = time.Second      // looks for changes of what is pinned
	pinRetry = 20 * time.Second // after a fetch that failed
	pinBatch = 256              // segments that are fetched before the next look
	pinFetch = 4                // at once
	// settleTime is how long a pack that was just stored is kept, though nothing
	// pinned seems to need it: the commit that does may be on its way.
	settleTime = time.Minute
	// walkShare bounds the time that goes into walks of what is pinned, while its
	// volume changes all the time, to one part in so many.
	walkShare = 20
	pinCheck  = 10 * time.Minute // looks whether somebody deleted what is pinned
)

// A keeper has what is pinned on this machine.
type keeper struct {
	d    *Drive
	kick chan struct{}

	round sync.Mutex // one at a time

	mu     sync.Mutex
	pins   map[string]*pin           // by path
	walked map[string]string         // by label: the stamp of the volume when its pins were looked at
	stored map[pack.ID]time.Time     // stored lately
	nodes  map[string][]tree.Ref     // by label: what leads to the pins
	kept   map[pack.ID]int64         // as the store was told
	known  map[string]*volume.Volume // by label
	later  map[string]time.Time      // by label: no walk before
	retry  time.Time                 // no fetch before
	due    bool                      // something changed that may concern what is kept or here
	check  time.Time                 // when to look whether all is here though nothing changed
}

// openKeeper reads which packs are kept, before anything is evicted.
func openKeeper(d *Drive) (*keeper, error) {
	k := &keeper{
		d: d, kick: make(chan struct{}, 1), pins: make(map[string]*pin), walked: make(map[string]string),
		stored: make(map[pack.ID]time.Time), nodes: make(map[string][]tree.Ref), known: make(map[string]*volume.Volume),
		later: make(map[string]time.Time),
	}
	err := d.db.View(func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.IteratorOptions{Prefix: []byte("stay/")})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			p := &pin{path: string(it.Item().Key()[len("stay/"):])}
			if err := it.Item().Value(func(b []byte) error { copy(p.dir[:], b[copy(p.id[:], b):]); return nil }); err != nil {
				return err
			}
			k.pins[p.path] = p
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	b, err := d.get([]byte("staypacks"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	k.kept = make(map[pack.ID]int64)
	for ; len(b) >= len(pack.ID{}); b = b[len(pack.ID{}):] {
		k.kept[pack.ID(b[:len(pack.ID{})])] = 0
	}
	d.packs.SetKept(k.kept)
	return k, nil
}

func (k *keeper) wake() {
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

// loop keeps what is pinned, until ctx ends.
func (k *keeper) loop(ctx context.Context) {
	tick := time.NewTicker(pinEvery)
	defer tick.Stop()
	for {
		more, err := k.step(ctx)
		if err != nil && ctx.Err() == nil {
			k.d.opt.Log.Warn("pins", "err", err)
		}
		if more && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-k.kick:
		case <-tick.C:
		}
	}
}

// last looks once more at what is pinned, as the drive closes: where it stands, and
// which packs the next start has to keep.
func (k *keeper) last(ctx context.Context) error {
	k.round.Lock()
	defer k.round.Unlock()
	k.look(ctx)
	return k.settle()
}

// add makes a pin.
func (k *keeper) add(path string, is tree.Info) error {
	if err := k.d.put([]byte("stay/"+path), slices.Concat(is.ID[:], is.Dir[:])); err != nil {
		return err
	}
	k.mu.Lock()
	k.pins[path] = &pin{path: path, id: is.ID, dir: is.Dir}
	k.forgetWalk(path)
	k.mu.Unlock()
	k.wake()
	return nil
}

// forgetWalk has the pins of a path's volume looked at again, with the lock held.
func (k *keeper) forgetWalk(path string) {
	label, _ := splitPath(path)
	delete(k.walked, label)
	delete(k.later, label)
	k.retry, k.due = time.Time{}, true
}

// step looks at what changed and fetches some of what is missing. more tells
// whether there is more to fetch.
func (k *keeper) step(ctx context.Context) (more bool, err error) {
	k.round.Lock()
	defer k.round.Unlock()
	k.look(ctx)
	now := time.Now()
	k.mu.Lock()
	check := len(k.pins) > 0 && now.After(k.check)
	if check {
		k.check = now.Add(pinCheck)
	}
	work := k.due || check
	wait := now.Before(k.retry)
	k.due = work && wait
	k.mu.Unlock()
	if !work {
		return false, nil
	}
	if check {
		k.d.packs.CheckKept()
	}
	if err := k.settle(); err != nil || wait {
		return false, err
	}
	more, err = k.fetch(ctx)
	k.mu.Lock()
	k.due = k.due || more || err != nil || len(k.stored) > 0
	k.mu.Unlock()
	return more, err
}

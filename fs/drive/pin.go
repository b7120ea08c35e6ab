package drive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sync/errgroup"

	"satchel/crypto"
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
	pinCheck   = 10 * time.Minute // looks whether somebody deleted what is pinned
)

// A PinStatus is something that is kept on this machine.
type PinStatus struct {
	Path  string `json:"path"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"` // of content, as it is stored
	Here  int64  `json:"here"`  // of these
	Error string `json:"error,omitempty"`
}

// A pin is a path and what is known of what stands there.
type pin struct {
	path  string        // in the drive
	id    tree.Identity // of what stands there
	dir   tree.Identity // of its folder
	files int
	needs []volume.Segment
	err   error
}

// label returns the folder of the pin's volume, and the path below it.
func (p *pin) label() (label, below string) { return splitPath(p.path) }

// splitPath splits a path in the drive into the folder of the volume and the
// path below it; an empty label if it is in none.
func splitPath(path string) (label, below string) {
	first, rest, _ := strings.Cut(path, "/")
	switch first {
	case private:
		return private, rest
	case public, people:
		if name, below, _ := strings.Cut(rest, "/"); name != "" {
			return join(first, name), below
		}
	}
	return "", ""
}

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

// Pin has a file or folder fetched and kept on this machine.
func (d *Drive) Pin(ctx context.Context, path string) error {
	path = strings.Trim(path, "/")
	label, below := splitPath(path)
	if label == "" {
		return fmt.Errorf("%q is in no folder of the drive: Private, Public/NAME or People/NAME: %w", path, os.ErrInvalid)
	}
	v, err := d.volume(ctx, label)
	if err != nil {
		return err
	}
	info, err := v.At(ctx, below)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return d.keeper.add(path, info)
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

// Unpin lets what is pinned at path leave this machine.
func (d *Drive) Unpin(path string) error {
	path = strings.Trim(path, "/")
	k := d.keeper
	if !k.has(path) {
		if above := k.above(path); above != "" {
			return fmt.Errorf("%s is pinned with %s: unpin that", path, above)
		}
		return fmt.Errorf("%s is not pinned: %w", path, os.ErrNotExist)
	}
	err := d.db.Update(func(tx *badger.Txn) error { return tx.Delete([]byte("stay/" + path)) })
	if err != nil {
		return err
	}
	k.mu.Lock()
	delete(k.pins, path)
	k.forgetWalk(path)
	k.mu.Unlock()
	k.wake()
	return nil
}

func (k *keeper) has(path string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pins[path] != nil
}

// above returns the pinned folder in which path is, "" if there is none.
func (k *keeper) above(path string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := strings.LastIndexByte(path, '/'); i > 0; i = strings.LastIndexByte(path[:i], '/') {
		if k.pins[path[:i]] != nil {
			return path[:i]
		}
	}
	return ""
}

// Pins lists what is pinned, in the order of paths. It asks nobody.
func (d *Drive) Pins() []PinStatus {
	k := d.keeper
	k.mu.Lock()
	list := make([]pin, 0, len(k.pins))
	for _, p := range k.pins {
		list = append(list, *p)
	}
	k.mu.Unlock()
	out := make([]PinStatus, 0, len(list))
	for _, p := range list {
		s := PinStatus{Path: p.path, Files: p.files}
		for _, n := range p.needs {
			s.Bytes += int64(n.Ref.Len)
			if k.here(n) {
				s.Here += int64(n.Ref.Len)
			}
		}
		if p.err != nil {
			s.Error = p.err.Error()
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b PinStatus) int { return strings.Compare(a.Path, b.Path) })
	return out
}

func (k *keeper) here(s volume.Segment) bool {
	return k.d.packs.Has(pack.ID(s.Ref.Pack), int64(s.Ref.Off), int64(s.Ref.Len))
}

// WaitPinned returns when all that is pinned at path, or anywhere if it is
// empty, is here.
func (d *Drive) WaitPinned(ctx context.Context, path string, say func(PinStatus)) error {
	path = strings.Trim(path, "/")
	if err := d.CommitAll(ctx); err != nil {
		return err
	}
	d.keeper.recheck()
	for {
		d.keeper.wake()
		done := d.keeper.upToDate()
		var err error
		for _, s := range d.Pins() {
			if path != "" && s.Path != path {
				continue
			}
			if s.Error != "" {
				err = fmt.Errorf("%s: %s", s.Path, s.Error)
			}
			done = done && s.Here == s.Bytes && s.Error == ""
			if say != nil {
				say(s)
			}
		}
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-d.ctx.Done():
			return errors.New("the drive is closing")
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// recheck has the next step look whether all that is pinned is here.
func (k *keeper) recheck() {
	k.mu.Lock()
	k.check, k.retry = time.Time{}, time.Time{}
	k.mu.Unlock()
	k.d.packs.CheckKept()
}

// upToDate tells whether the pins were looked at since the last change.
func (k *keeper) upToDate() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.pins {
		label, _ := p.label()
		if v := k.known[label]; v == nil || k.walked[label] != v.Stamp() {
			return false
		}
	}
	return true
}

// uploaded is told of a pack just before it may be evicted.
func (k *keeper) uploaded(id pack.ID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.pins) > 0 {
		k.stored[id], k.due = time.Now(), true
		k.d.packs.Keep(id, 0)
	}
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

// look walks the pins of volumes that changed.
func (k *keeper) look(ctx context.Context) {
	k.mu.Lock()
	labels := make(map[string][]*pin)
	for _, p := range k.pins {
		label, _ := p.label()
		labels[label] = append(labels[label], p)
	}
	for label := range k.nodes {
		if labels[label] == nil {
			delete(k.nodes, label)
			delete(k.walked, label)
		}
	}
	for label, at := range k.later {
		if time.Now().Before(at) {
			delete(labels, label)
		}
	}
	k.mu.Unlock()
	for label, pins := range labels {
		if err := k.walk(ctx, label, pins); err != nil {
			k.mu.Lock()
			k.later[label] = time.Now().Add(pinRetry)
			for _, p := range pins {
				p.err = err
			}
			k.mu.Unlock()
		}
	}
}

// walk finds what the pins of a volume need, if it changed since the last walk.
func (k *keeper) walk(ctx context.Context, label string, pins []*pin) error {
	v, err := k.d.volume(ctx, label)
	if err != nil {
		return err
	}
	stamp := v.Stamp()
	k.mu.Lock()
	k.known[label] = v.Volume
	same := k.walked[label] == stamp
	k.mu.Unlock()
	if same {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	s, err := v.Snapshot(ctx)
	if err != nil {
		return err
	}
	for _, p := range pins {
		if err := k.walkPin(ctx, v.Volume, s, p); err != nil {
			return err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.walked[label], k.nodes[label], k.due = stamp, s.Nodes(), true
	return nil
}

// walkPin finds what one pin needs. That nothing stands at its path is no error
// of the walk.
func (k *keeper) walkPin(ctx context.Context, v *volume.Volume, s *volume.Snapshot, p *pin) error {
	label, below := p.label()
	info, below, err := k.find(ctx, v, s, p, below)
	if isNothing(err) {
		k.mu.Lock()
		defer k.mu.Unlock()
		p.files, p.needs, p.err = 0, nil, errors.New("nothing of this name is stored now")
		return nil
	}
	if err != nil {
		return err
	}
	files := 0
	var needs []volume.Segment
	err = s.Files(ctx, info, func(i tree.Info, refs []tree.Ref) {
		if i.Kind != tree.Dir {
			files++
		}
		for _, r := range refs {
			needs = append(needs, volume.Segment{Ref: r})
		}
	})
	if err != nil {
		return err
	}
	if err := k.moved(p, strings.TrimSuffix(join(label, below), "/"), info); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	p.files, p.needs, p.err = files, needs, nil
	return nil
}

// find returns what a pin is for now, and where that stands.
func (k *keeper) find(ctx context.Context, v *volume.Volume, s *volume.Snapshot, p *pin, below string) (tree.Info, string, error) {
	info, err := s.Find(ctx, below)
	if below == "" || err == nil && info.ID == p.id || err != nil && !isNothing(err) {
		return info, below, err
	}
	if at, e := v.Path(ctx, p.id); e == nil { // it was renamed
		if moved, e := s.Find(ctx, at); e == nil && moved.ID == p.id {
			return moved, at, nil
		}
	}
	if err == nil { // another one was renamed over it
		return info, below, nil
	}
	if dir, e := v.Path(ctx, p.dir); e == nil { // both, its folder and over it
		at := join(dir, below[strings.LastIndexByte(below, '/')+1:])
		if moved, e := s.Find(ctx, at); e == nil {
			return moved, at, nil
		}
	}
	return info, below, err
}

// isNothing tells whether err says that nothing stands at a path.
func isNothing(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// moved notes where a pin's file stands now, and which it is.
func (k *keeper) moved(p *pin, path string, is tree.Info) error {
	k.mu.Lock()
	from, pinned := p.path, k.pins[p.path] == p
	k.mu.Unlock()
	if !pinned || from == path && p.id == is.ID && p.dir == is.Dir {
		return nil
	}
	err := k.d.db.Update(func(tx *badger.Txn) error {
		if err := tx.Delete([]byte("stay/" + from)); err != nil {
			return err
		}
		return tx.Set([]byte("stay/"+path), slices.Concat(is.ID[:], is.Dir[:]))
	})
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pins[from] == p {
		delete(k.pins, from)
		k.pins[path] = p
	}
	p.path, p.id, p.dir = path, is.ID, is.Dir
	return nil
}

// settle tells the store what to keep, if that changed: first on disk.
func (k *keeper) settle() error {
	kept := make(map[pack.ID]int64)
	add := func(r tree.Ref) {
		id, closed := k.d.packs.Resolve(pack.ID(r.Pack))
		if closed {
			kept[id] += int64(r.Len)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	seen := make(map[crypto.Hash]bool)
	for _, p := range k.pins {
		for _, s := range p.needs {
			if !seen[s.Ref.Hash] {
				seen[s.Ref.Hash] = true
				add(s.Ref)
			}
		}
	}
	for _, list := range k.nodes {
		for _, r := range list {
			add(r)
		}
	}
	for _, p := range k.pins {
		if label, _ := p.label(); k.nodes[label] == nil { // not looked at yet: what was kept before stays
			for id := range k.kept {
				kept[id] += 0
			}
			break
		}
	}
	for id, at := range k.stored {
		if len(k.pins) == 0 || k.unneeded(at) {
			delete(k.stored, id)
		} else {
			kept[id] += 0
		}
	}
	if maps.Equal(kept, k.kept) {
		return nil
	}
	if !equalKeys(kept, k.kept) {
		b := make([]byte, 0, len(kept)*len(pack.ID{}))
		for id := range kept {
			b = append(b, id[:]...)
		}
		if err := k.d.put([]byte("staypacks"), b); err != nil {
			return err
		}
	}
	k.kept = kept
	k.d.packs.SetKept(kept)
	return nil
}

func equalKeys(a, b map[pack.ID]int64) bool {
	if len(a) != len(b) {
		return false
	}
	for id := range a {
		if _, ok := b[id]; !ok {
			return false
		}
	}
	return true
}

// unneeded tells whether what was stored at that time is in a commit that was
// looked at, with the lock held.
func (k *keeper) unneeded(at time.Time) bool {
	if time.Since(at) < settleTime {
		return false
	}
	for label, v := range k.known {
		dirty, _, since := v.Dirty()
		if k.walked[label] != v.Stamp() || dirty && !since.After(at) {
			return false
		}
	}
	return true
}

// fetch fetches a batch of what is missing.
func (k *keeper) fetch(ctx context.Context) (more bool, err error) {
	type task struct {
		volume.Segment
		p *pin
		v *volume.Volume
	}
	var todo []task
	k.mu.Lock()
	for label, list := range k.nodes {
		for _, r := range list {
			todo = append(todo, task{volume.Segment{Ref: r, Node: true}, nil, k.known[label]})
		}
	}
	for _, p := range k.pins {
		label, _ := p.label()
		for _, s := range p.needs {
			todo = append(todo, task{s, p, k.known[label]})
		}
	}
	k.mu.Unlock()
	todo = slices.DeleteFunc(todo, func(t task) bool { return t.v == nil || k.here(t.Segment) })
	if len(todo) == 0 {
		return false, nil
	}
	if more = len(todo) > pinBatch; more {
		todo = todo[:pinBatch]
	}
	var g errgroup.Group
	g.SetLimit(pinFetch)
	for _, t := range todo {
		g.Go(func() error {
			err := k.fetchOne(ctx, t.v, t.Segment)
			if t.p != nil {
				k.mu.Lock()
				t.p.err = err
				k.mu.Unlock()
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		k.mu.Lock()
		k.retry = time.Now().Add(pinRetry)
		k.mu.Unlock()
		return false, err
	}
	return more, nil
}

func (k *keeper) fetchOne(ctx context.Context, v *volume.Volume, s volume.Segment) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if k.d.free() < int64(s.Ref.Len) {
		return fmt.Errorf("no room on this machine's disk: %w", syscall.ENOSPC)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return v.Fetch(ctx, s)
}

package drive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"satchel/chain"
	"satchel/crypto"
	"satchel/fs/journal"
	"satchel/fs/profile"
	"satchel/fs/tree"
	"satchel/fs/volume"
	"satchel/storage"
)

// lookTimeout bounds the first look-up of a volume, which fetches its heads
// before it answers.
const lookTimeout = 10 * time.Second

// An openVolume is a volume and what the drive knows of its writers.
type openVolume struct {
	*volume.Volume
	of      profile.Volume
	members []chain.Name // other than me

	mu      sync.Mutex
	known   profile.Knowledge
	fresh   map[chain.Name]time.Time // by name, when it was last confirmed fresh
	by      map[chain.Name]int       // providers that confirmed it
	errs    map[chain.Name]error     // why a member's newest is not merged
	behind  time.Time                // since when the own head lacks another's change
	retry   time.Time                // no commit before
	failure error                    // why the last commit failed
	heldWhy error                    // why the last commit is on this machine only, if it is
}

func (v *openVolume) retryAt() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.retry
}

// failed notes how a commit went: the next one waits a little after an error.
func (v *openVolume) failed(now time.Time, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.failure = err
	if err != nil {
		v.retry = now.Add(5 * time.Second)
	}
}

// note keeps how a look at a member went. A name that is stopped stays so until
// a look at it went well (seen).
func (v *openVolume) note(n chain.Name, err error, seen bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case err == nil:
		delete(v.errs, n)
	case seen || !isStop(v.errs[n]) || isStop(err):
		v.errs[n] = err
	}
}

// isStop tells whether err is one that stops a name.
func isStop(err error) bool {
	return errors.Is(err, profile.ErrChanged) || errors.Is(err, chain.ErrUnknownName)
}

// held returns why the last commit is on this machine only, nil if it isn't.
func (v *openVolume) held() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.heldWhy
}

// freshness is when the volume was last confirmed fresh for all its members,
// and by how many providers at least.
func (v *openVolume) freshness() (at time.Time, by int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i, m := range v.members {
		t, ok := v.fresh[m]
		if !ok {
			return time.Time{}, 0
		}
		if i == 0 || t.Before(at) {
			at = t
		}
		if i == 0 || v.by[m] < by {
			by = v.by[m]
		}
	}
	return at, by
}

// mine tells whether nobody but me writes in the folder.
func (d *Drive) mine(label string) bool {
	return label == private
}

// openVolumes returns the volumes that are open, in the order of their folders.
func (d *Drive) openVolumes() []*openVolume {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]*openVolume, 0, len(d.volumes))
	for _, v := range d.volumes {
		list = append(list, v)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Label() < list[j].Label() })
	return list
}

func (d *Drive) opened(label string) *openVolume {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.volumes[label]
}

// labels is allLabels, or some of them.
func (d *Drive) labels() []string {
	labels, err := d.allLabels()
	if err != nil {
		d.opt.Log.Error("folders", "err", err)
	}
	return labels
}

// allLabels returns the folders that are always there, then those that were opened
// at any time, each once.
func (d *Drive) allLabels() ([]string, error) {
	labels := []string{private, join(public, string(d.opt.Name))}
	err := d.db.View(func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.IteratorOptions{Prefix: []byte("vol/")})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if l := string(it.Item().Key()[len("vol/"):]); !slices.Contains(labels, l) {
				labels = append(labels, l)
			}
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("list of folders: %w", err)
	}
	return labels, err
}

// volume returns the volume at a folder of the mount, opened if it isn't. Its
// first look-up fetches the heads of its members before it answers.
func (d *Drive) volume(ctx context.Context, label string) (*openVolume, error) {
	for {
		d.mu.Lock()
		if v := d.volumes[label]; v != nil {
			d.mu.Unlock()
			return v, nil
		}
		wait := d.opening[label]
		if wait == nil {
			break
		}
		d.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	done := make(chan struct{})
	d.opening[label] = done
	d.mu.Unlock()
	v, err := d.openVolume(ctx, label)
	d.mu.Lock()
	if err == nil {
		d.volumes[label] = v
	}
	delete(d.damaged, label)
	if errors.Is(err, journal.ErrDamaged) {
		err = fmt.Errorf("%w; to keep that file beside and go on without what can't be read of it: satchel mount --set-aside", err)
		d.damaged[label] = err
	}
	delete(d.opening, label)
	close(done)
	d.mu.Unlock()
	return v, err
}

func (d *Drive) openVolume(ctx context.Context, label string) (*openVolume, error) {
	of, err := profile.ParseFolder(d.opt.Name, label)
	if err != nil {
		return nil, err
	}
	before, err := d.get([]byte("vol/" + label))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	v := &openVolume{
		of:    of,
		fresh: make(map[chain.Name]time.Time),
		by:    make(map[chain.Name]int),
		errs:  make(map[chain.Name]error),
		known: profile.Knowledge{Self: d.self, Verified: make(map[crypto.DeviceID]profile.Writer)},
	}
	for _, n := range of.Names {
		if n != d.opt.Name {
			v.members = append(v.members, n)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	for _, n := range v.members {
		if _, err := d.contact(ctx, n, refreshEvery); err != nil {
			if before == nil || !isStop(err) && of.Kind == profile.Public {
				d.opt.Log.Warn("folder can't be opened", "folder", label, "err", err)
				return nil, notMissing(err)
			}
			v.errs[n] = err
		}
	}
	last, err := d.lastHead(v)
	if err != nil {
		return nil, err
	}
	if v.Volume, err = volume.Open(ctx, last, d.volumeOptions(v)); err != nil {
		return nil, err
	}
	v.known.Own = profile.Writer{Name: d.opt.Name, Mark: profile.Mark{Seq: last.Seq, Hash: last.Head}}
	v.Freeze(v.stopped())
	if err := d.mergeKept(ctx, v); err != nil {
		d.opt.Log.Warn("what was fetched before can't be shown now", "folder", label, "err", err)
	}
	if len(v.members) > 0 && len(v.errs) == 0 {
		if err := d.pollVolume(ctx, v); err != nil {
			d.opt.Log.Warn("folder opens with what is known", "folder", label, "err", err)
			if before == nil && of.Kind == profile.Public {
				return nil, notMissing(err)
			}
		}
	}
	if before == nil {
		if err := d.put([]byte("vol/"+label), []byte{1}); err != nil {
			_ = v.Close()
			return nil, err
		}
	}
	return v, nil
}

// notMissing keeps "not registered" as what it is and nothing else: a provider
// that is down must not look like a name that isn't there.
func notMissing(err error) error {
	if errors.Is(err, chain.ErrUnknownName) || errors.Is(err, os.ErrPermission) || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return hidden{err}
}

type hidden struct{ err error }

func (h hidden) Error() string { return h.err.Error() }

func (d *Drive) volumeOptions(v *openVolume) volume.Options {
	return volume.Options{
		Label:      v.of.Folder(d.opt.Name),
		Self:       d.self,
		Name:       string(d.opt.Name),
		ReadOnly:   v.of.Kind == profile.Public && v.of.Names[0] != d.opt.Name,
		Foreign:    len(v.members) > 0,
		UID:        d.opt.UID,
		GID:        d.opt.GID,
		Packs:      d.packs,
		Journal:    d.journal(v.of),
		SetAside:   d.opt.SetAside,
		Warn:       func(err error) { d.opt.Log.Error("damage", "err", err) },
		JournalKey: crypto.LocalKey(d.opt.Keys.StateKey, "journal", v.of.Key()),
		Secret:     d.opt.Keys.LocalSecret,
		Budget:     d.budget,
		Member:     func(name string) bool { return v.of.Has(chain.Name(name)) },
		Source:     d.source,
		Publish: func(ctx context.Context, c volume.Commit) (crypto.Hash, error) {
			return d.publish(ctx, v, c)
		},
		Relieve: d.relieve,
		Free:    d.free,
		Notify:  d.event,
	}
}

// source gives a name's providers for reading packs.
func (d *Drive) source(ctx context.Context, name string) ([]storage.Provider, func(string, error), error) {
	if chain.Name(name) == d.opt.Name {
		return d.own.Providers(), d.fault, nil
	}
	k, err := d.contact(ctx, chain.Name(name), anyAge)
	if err != nil {
		return nil, nil, err
	}
	return k.set.Providers(), d.fault, nil
}

// lastHead returns the last commit of this device in the volume, from the
// newest envelope that it signed there.
func (d *Drive) lastHead(v *openVolume) (volume.Last, error) {
	h, err := d.openHeld(v.of)
	if err != nil {
		return volume.Last{}, fmt.Errorf("held head of %s: %w", v.of.Key(), err)
	}
	out, err := d.outbox.Newest(crypto.KindHead, d.self, v.of.Key())
	if err != nil {
		return volume.Last{}, err
	}
	switch {
	case h != nil && (out == nil || out.Header.Seq < h.Header.Seq):
		v.heldWhy = errors.New("not published yet")
	case out == nil:
		return volume.Last{}, nil
	default:
		own, err := d.ownProfile()
		if err != nil {
			return volume.Last{}, err
		}
		if h, err = d.openHead(v.of, d.opt.Name, d.self, own.Body, crypto.Locator(out.Header.Locator), out.Raw, nil); err != nil {
			return volume.Last{}, fmt.Errorf("own head of %s: %w", v.of.Key(), err)
		}
	}
	return volume.Last{
		Commit: volume.Commit{Seq: h.Header.Seq, Vector: h.Body.Vector, Root: h.Body.Root, Digest: h.Body.Digest, Time: h.Time()},
		Head:   h.Hash,
	}, nil
}

// mergeKept merges the newest heads that were verified before: what was seen
// once is shown without any network.
func (d *Drive) mergeKept(ctx context.Context, v *openVolume) error {
	if v.of.Kind == profile.Private {
		return nil
	}
	var errs []error
	var heads []*profile.Signed[profile.Head]
	for _, n := range v.members {
		if v.errs[n] != nil {
			continue
		}
		k, err := d.contact(ctx, n, anyAge)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p := k.profile
		for _, dev := range p.Body.Devices {
			pin, err := d.pins.Head(v.of, n, dev.ID)
			if err != nil {
				return err
			}
			if pin == nil {
				continue
			}
			h, err := d.openHead(v.of, n, dev.ID, p.Body, pin.At(), pin.Raw, nil)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			v.known.Verified[dev.ID] = profile.Writer{Name: n, Mark: h.Mark()}
			heads = append(heads, h)
		}
	}
	for _, h := range heads {
		errs = append(errs, d.merge(ctx, v, h))
	}
	return errors.Join(errs...)
}

// openHead verifies and opens a copy of a head.
func (d *Drive) openHead(of profile.Volume, n chain.Name, dev crypto.DeviceID, p *profile.Profile, at crypto.Locator, raw []byte, pin *profile.Pin) (*profile.Signed[profile.Head], error) {
	return profile.OpenHead(raw, profile.HeadOf{
		Whose: profile.Whose{Network: d.net, Name: n}, Device: dev, Volume: of, Locator: at, Authority: p, Pin: pin,
	}, d.sealKeys...)
}

// merge has a verified head merged if its vector claims nothing impossible.
func (d *Drive) merge(ctx context.Context, v *openVolume, h *profile.Signed[profile.Head]) error {
	v.mu.Lock()
	v.known.Merged = v.Vector()
	vector, err := v.known.Admit(h)
	v.mu.Unlock()
	if err != nil {
		return err
	}
	changed, err := v.Merge(ctx, tree.Head{
		Writer: h.Header.Device, Name: h.Header.Name, Seq: h.Header.Seq, Hash: h.Hash,
		Vector: vector, Root: h.Body.Root, Digest: h.Body.Digest,
	})
	if changed {
		v.mu.Lock()
		if v.behind.IsZero() {
			v.behind = time.Now()
		}
		v.mu.Unlock()
	}
	return err
}

// finder computes locators from the newest profiles of a volume's members.
func (d *Drive) finder(v profile.Volume) (*profile.Finder, error) {
	f := &profile.Finder{Network: d.net, Me: d.opt.Name, Secrets: d.secrets,
		Profiles: make(map[chain.Name]*profile.Profile), Told: make(map[chain.Name][]profile.Tell)}
	for _, n := range v.Names {
		if n == d.opt.Name {
			continue
		}
		p, err := d.heldProfile(n)
		if err != nil {
			return nil, err
		}
		if p != nil {
			f.Profiles[n] = p
		}
		told, err := d.pins.Told(n)
		if err != nil {
			return nil, err
		}
		f.Told[n] = told
	}
	return f, nil
}

// stopped returns why a member of the volume is stopped, nil if none is.
func (v *openVolume) stopped() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for n, err := range v.errs {
		switch {
		case errors.Is(err, profile.ErrChanged):
			return fmt.Errorf("%v; if you trust its new owner: satchel trust %s: %w", err, n, os.ErrPermission)
		case errors.Is(err, chain.ErrUnknownName):
			return fmt.Errorf("%s is not registered any more: %w", n, os.ErrPermission)
		}
	}
	return nil
}

// get reads a value of the drive's own in the state database.
func (d *Drive) get(key []byte) (b []byte, err error) {
	err = d.db.View(func(tx *badger.Txn) error {
		item, err := tx.Get(key)
		if err != nil {
			return err
		}
		b, err = item.ValueCopy(nil)
		return err
	})
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, os.ErrNotExist
	}
	return b, err
}

func (d *Drive) put(key, value []byte) error {
	return d.db.Update(func(tx *badger.Txn) error { return tx.Set(key, value) })
}

// behindSince is since when the last own head does not cover another's change.
func (v *openVolume) behindSince() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.behind
}

// heldProfile returns the newest profile known of a name without asking anybody,
// nil if there is none.
func (d *Drive) heldProfile(n chain.Name) (*profile.Profile, error) {
	d.mu.Lock()
	c := d.contacts[n]
	d.mu.Unlock()
	if c != nil {
		c.mu.Lock()
		p := c.known.profile
		c.mu.Unlock()
		if p != nil {
			return p.Body, nil
		}
	}
	f, err := d.pins.Facts(n)
	if err != nil || f == nil {
		return nil, err
	}
	p, err := d.pins.Held(profile.Whose{Network: d.net, Name: n}, f.DataKey)
	if err != nil || p == nil {
		return nil, err
	}
	return p.Body, nil
}

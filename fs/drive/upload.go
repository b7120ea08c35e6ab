package drive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sync/errgroup"

	"satchel/crypto"
	"satchel/fs/profile"
	"satchel/storage"
	"satchel/storage/pack"
)

const (
	// packsAtOnce is how many packs are on their way at the same time.
	packsAtOnce = 4
	// pulseEvery is how long a pulse stands for without a commit, less or more
	// a tenth.
	pulseEvery = time.Hour
	// retryMax is the longest pause between rounds of uploading that fail.
	retryMax = time.Minute
)

// uploadLoop drains the queue whenever something is in it, and pulses hourly.
func (d *Drive) uploadLoop(ctx context.Context) {
	pause := time.Second
	for {
		beat := time.Duration(float64(pulseEvery) * (0.9 + 0.2*rand.Float64()))
		err := d.upload(ctx)
		if err == nil {
			pause = time.Second
		} else if pause = min(2*pause, retryMax); ctx.Err() == nil {
			d.opt.Log.Debug("upload", "err", err, "again in", pause)
			beat = pause
		}
		select {
		case <-ctx.Done():
			return
		case <-d.kick:
		case <-time.After(beat):
		}
	}
}

// upload is one round: packs, then every envelope whose packs are at the
// quorum, heads before the pulse. Errors are kept for status.
func (d *Drive) upload(ctx context.Context) error {
	select {
	case d.uploads <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-d.uploads }()
	err := d.uploadRound(ctx)
	d.statusMu.Lock()
	d.upErr = err
	d.statusMu.Unlock()
	return err
}

func (d *Drive) uploadRound(ctx context.Context) error {
	d.mu.Lock()
	err := d.ownErr
	d.mu.Unlock()
	if err != nil {
		return err
	}
	// Profiles first: nobody can verify anything without them.
	errs := []error{d.sendEnvelopes(ctx, crypto.KindProfile), d.uploadPacks(ctx), d.sendEnvelopes(ctx, crypto.KindHead)}
	lines, err := d.lines()
	if err == nil {
		err = d.pulse(lines, d.pulseDue())
	}
	d.statusMu.Lock()
	d.pulseErr = err
	d.statusMu.Unlock()
	return errors.Join(append(errs, err, d.sendEnvelopes(ctx, crypto.KindPulse))...)
}

// pulseDue tells whether the last pulse is so old that another one is due.
func (d *Drive) pulseDue() bool {
	last, err := d.outbox.Newest(crypto.KindPulse, d.self, "")
	return err == nil && last != nil && time.Since(time.Unix(0, last.Header.Time)) > pulseEvery*9/10
}

// uploadPacks puts every local pack that lacks copies at the providers.
func (d *Drive) uploadPacks(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(packsAtOnce)
	var mu sync.Mutex
	var errs []error
	for _, id := range d.packs.Staged() {
		g.Go(func() error {
			if err := d.uploadPack(ctx, id); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
			return nil
		})
	}
	g.Wait()
	return errors.Join(errs...)
}

func (d *Drive) uploadPack(ctx context.Context, id pack.ID) error {
	have, err := d.holders(id)
	if err != nil {
		return err
	}
	asked := maps.Clone(have)
	f, size, err := d.packs.OpenPack(id)
	if errors.Is(err, os.ErrNotExist) {
		return nil // unpinned since the list was made
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var errs []error
	for _, r := range d.own.Put(ctx, id.Key(), f, size, func(url string) bool { return have[url] }) {
		if r.Err != nil {
			d.fault(r.URL, r.Err)
			errs = append(errs, r.Err)
			continue
		}
		if !asked[r.URL] {
			d.well(r.URL)
		}
		have[r.URL] = true
	}
	n := d.count(have)
	if n >= d.own.Copies() {
		d.keeper.uploaded(id)
		if err := d.packs.Unpin(id); err != nil {
			return err
		}
		return d.db.Update(func(tx *badger.Txn) error { return tx.Delete(holdersKey(id)) })
	}
	if err := d.put(holdersKey(id), encodeHolders(have)); err != nil {
		return err
	}
	return fmt.Errorf("pack %s has %d of %d copies: %w", id, n, d.own.Copies(), errors.Join(errs...))
}

// count is how many of the present providers hold something.
func (d *Drive) count(have map[string]bool) (n int) {
	for _, u := range d.own.URLs() {
		if have[u] {
			n++
		}
	}
	return n
}

func holdersKey(id pack.ID) []byte { return append([]byte("has/"), id[:]...) }

// holders returns the providers that acknowledged a pack; all if it has its copies.
func (d *Drive) holders(id pack.ID) (map[string]bool, error) {
	have := make(map[string]bool)
	b, err := d.get(holdersKey(id))
	if errors.Is(err, os.ErrNotExist) {
		return have, nil
	}
	if err != nil {
		return nil, err
	}
	for u := range strings.SplitSeq(string(b), "\n") {
		have[u] = true
	}
	return have, nil
}

func encodeHolders(have map[string]bool) []byte {
	var list []string
	for u := range have {
		list = append(list, u)
	}
	return []byte(strings.Join(list, "\n"))
}

// atQuorum tells whether enough providers have a pack for a head to refer to it.
func (d *Drive) atQuorum(id pack.ID, staged map[pack.ID]bool) (bool, error) {
	if !staged[id] {
		return true, nil
	}
	have, err := d.holders(id)
	return d.count(have) >= d.own.Quorum(), err
}

func (d *Drive) staged() map[pack.ID]bool {
	m := make(map[pack.ID]bool)
	for _, id := range d.packs.Staged() {
		m[id] = true
	}
	return m
}

// sendEnvelopes puts the pending envelopes of one kind, of each line the newest
// whose packs are at the quorum. A pulse goes to a provider only when no head
// is missing there.
func (d *Drive) sendEnvelopes(ctx context.Context, k crypto.Kind) error {
	list, err := d.outbox.Pending(d.own.URLs())
	if err != nil {
		return err
	}
	staged := d.staged()
	type line struct {
		kind   crypto.Kind
		device crypto.DeviceID
		volume string
	}
	newest := make(map[line]profile.Pending)
	var order []line
	behind := make(map[string]bool) // providers that lack a head which could leave
	for _, p := range list {
		ready := true
		for _, n := range p.Needs {
			ok, err := d.atQuorum(pack.ID(n), staged)
			if err != nil {
				return err
			}
			ready = ready && ok
		}
		if !ready {
			continue
		}
		if p.Header.Kind == crypto.KindHead {
			for _, u := range p.Missing {
				behind[u] = true
			}
		}
		if p.Header.Kind == k {
			l := line{k, p.Header.Device, p.Volume}
			if _, ok := newest[l]; !ok {
				order = append(order, l)
			}
			newest[l] = p
		}
	}
	var errs []error
	for _, l := range order {
		p := newest[l]
		// Before its first put after a start a volume's own head is read.
		if k == crypto.KindHead && !d.ownChecked(p.Volume) {
			if err := d.checkOwnHead(ctx, &p.Outgoing); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		to := make(map[string]bool)
		for _, u := range p.Missing {
			to[u] = k != crypto.KindPulse || !behind[u]
		}
		errs = append(errs, d.send(ctx, &p.Outgoing, to))
	}
	return errors.Join(errs...)
}

func (d *Drive) ownChecked(volume string) bool {
	d.statusMu.Lock()
	defer d.statusMu.Unlock()
	return d.checked[volume]
}

// send puts an envelope at some providers.
func (d *Drive) send(ctx context.Context, out *profile.Outgoing, to map[string]bool) error {
	var r io.ReaderAt = bytes.NewReader(out.Raw)
	var errs []error
	missing := make(map[string]bool)
	for u := range to {
		missing[u] = true
	}
	for _, res := range d.own.Put(ctx, out.Key(), r, int64(len(out.Raw)), func(url string) bool { return !to[url] }) {
		if res.Err != nil {
			d.fault(res.URL, res.Err)
			errs = append(errs, fmt.Errorf("%s at %s: %w", out.Header.Kind, storage.Redact(res.URL), res.Err))
			continue
		}
		if !to[res.URL] {
			continue
		}
		d.well(res.URL)
		errs = append(errs, d.outbox.Ack(out, res.URL))
		delete(missing, res.URL)
	}
	if out.Header.Kind == crypto.KindHead && d.own.N()-len(missing) >= d.own.Quorum() {
		errs = append(errs, d.put(sentKey(out.Volume), slices.Concat(out.Header.Locator, out.Hash[:])))
	}
	return errors.Join(errs...)
}

// sentKey is where the volume's newest head that is at the quorum is noted: its
// locator and its hash.
func sentKey(volume string) []byte { return []byte("sent/" + volume) }

// lines are what a pulse says: of each volume the newest head that is at the quorum.
func (d *Drive) lines() ([]profile.Line, error) {
	urls := d.own.URLs()
	pending, err := d.outbox.Pending(urls)
	if err != nil {
		return nil, err
	}
	short := make(map[profile.Mark]bool) // not at the quorum
	for _, p := range pending {
		short[p.Mark()] = len(urls)-len(p.Missing) < d.own.Quorum()
	}
	var lines []profile.Line
	for _, label := range d.labels() {
		of, err := profile.ParseFolder(d.opt.Name, label)
		if err != nil {
			return nil, err
		}
		locator, head, err := d.newestSent(of, short)
		if err != nil {
			return nil, err
		}
		if locator == nil {
			continue
		}
		f, err := d.finder(of)
		if err != nil {
			return nil, err
		}
		places, err := f.Read(of, d.opt.Name, d.self, crypto.Locator{})
		if err != nil {
			continue // a member was forgotten: its readers can't compute the place either
		}
		for _, at := range places {
			if bytes.Equal(at.Locator[:], locator) {
				lines = append(lines, profile.Line{Secret: at.Secret, Head: head})
			}
		}
	}
	return lines, nil
}

// newestSent returns the locator and hash of the volume's newest head that is at
// the quorum; no locator if none is.
func (d *Drive) newestSent(of profile.Volume, short map[profile.Mark]bool) ([]byte, crypto.Hash, error) {
	if !of.Has(d.opt.Name) {
		return nil, crypto.Hash{}, nil
	}
	out, err := d.outbox.Newest(crypto.KindHead, d.self, of.Key())
	if err != nil || out == nil {
		return nil, crypto.Hash{}, err
	}
	if !short[out.Mark()] {
		return out.Header.Locator, out.Hash, nil
	}
	b, err := d.get(sentKey(of.Key()))
	if errors.Is(err, os.ErrNotExist) {
		return nil, crypto.Hash{}, nil
	}
	if err == nil && len(b) != 64 {
		err = fmt.Errorf("note of a sent head: %d bytes", len(b))
	}
	if err != nil {
		return nil, crypto.Hash{}, err
	}
	return b[:32], crypto.Hash(b[32:]), nil
}

// A leftover is what has not reached the quorum yet.
type leftover struct{ profiles, heads, pulses, packs int }

func (d *Drive) leftover() (left leftover, err error) {
	urls := d.own.URLs()
	list, err := d.outbox.Pending(urls)
	if err != nil {
		return left, err
	}
	for _, p := range list {
		if len(urls)-len(p.Missing) >= d.own.Quorum() {
			continue
		}
		switch p.Header.Kind {
		case crypto.KindProfile:
			left.profiles++
		case crypto.KindHead:
			left.heads++
		case crypto.KindPulse:
			left.pulses++
		}
	}
	d.statusMu.Lock()
	if d.pulseErr != nil {
		left.pulses++
	}
	d.statusMu.Unlock()
	for id := range d.staged() {
		have, err := d.holders(id)
		if err != nil {
			return left, err
		}
		if d.count(have) < d.own.Quorum() {
			left.packs++
		}
	}
	return left, nil
}

// Wait commits what is dirty and returns when everything is stored at the write
// quorum. If ctx ends first the error says what is left and why.
func (d *Drive) Wait(ctx context.Context) error {
	if err := d.CommitAll(ctx); err != nil {
		return err
	}
	d.tellGroups(ctx)
	for _, v := range d.openVolumes() {
		if v.held() != nil && d.sealable(ctx, v) == nil {
			if err := v.Republish(ctx); err != nil {
				return err
			}
		}
		if why := v.held(); why != nil {
			return fmt.Errorf("what changed in %s is kept on this machine only: %w", v.Label(), why)
		}
	}
	d.kickUpload()
	return d.waitStored(ctx, func(left leftover) bool { return left == leftover{} })
}

// waitStored uploads until done says that enough has left.
func (d *Drive) waitStored(ctx context.Context, done func(leftover) bool) error {
	pause := 100 * time.Millisecond
	for {
		uerr := d.upload(ctx)
		left, err := d.leftover()
		if err != nil {
			return err
		}
		if done(left) {
			return nil
		}
		d.mu.Lock()
		own := d.ownErr
		d.mu.Unlock()
		if own != nil {
			return own
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not stored at %d of %d providers yet: %d packs, %d heads, %d pulses, %d profiles; it goes on in the background: %w",
				d.own.Quorum(), d.own.N(), left.packs, left.heads, left.pulses, left.profiles, errors.Join(ctx.Err(), uerr))
		case <-d.ctx.Done():
			return errors.New("the drive is closing")
		case <-time.After(pause):
			pause = min(2*pause, 5*time.Second)
		}
	}
}

package drive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"satchel/chain"
	"satchel/crypto"
	"satchel/fs/profile"
	"satchel/storage"
)

// answerAfter is how long another's change waits for a head of ours that
// covers it before one is published for its sake.
const answerAfter = 24 * time.Hour

// pollLoop looks at the others' pulses, and again when the chain moved.
func (d *Drive) pollLoop(ctx context.Context) {
	t := time.NewTicker(d.opt.Poll)
	defer t.Stop()
	d.openKnown(ctx)
	for {
		changed := d.opt.Names.Changed()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-changed:
		}
		if err := d.round(ctx, false); err != nil && ctx.Err() == nil {
			d.opt.Log.Debug("poll", "err", err)
		}
	}
}

// Sync returns when the newest heads of all members of all open volumes have
// been fetched and merged. If one of them could not be had the error names it.
func (d *Drive) Sync(ctx context.Context) error {
	d.openKnown(ctx)
	return d.round(ctx, true)
}

// openKnown opens the folders that were opened at any time before, so that they
// are polled without anybody looking at them. One that can't be opened now is
// tried again by whoever looks.
func (d *Drive) openKnown(ctx context.Context) {
	if _, err := d.ownProfile(); err != nil {
		return // never published: there is nothing to open
	}
	for _, label := range append([]string{private}, d.labels()...) {
		if ctx.Err() != nil {
			return
		}
		if _, err := d.volume(ctx, label); err != nil {
			d.opt.Log.Warn("folder is not open", "folder", label, "err", err)
		}
	}
}

// A look is what the providers of a name say about its devices now.
type look struct {
	c      *contact
	pulses map[crypto.DeviceID]*answer[profile.Pulse]
	err    error
}

// round polls every open volume once. With force it asks for every profile and
// head, whatever the pulses say.
func (d *Drive) round(ctx context.Context, force bool) error {
	d.polls.Lock()
	defer d.polls.Unlock()
	looks := make(map[chain.Name]*look)
	var errs []error
	for _, v := range d.openVolumes() {
		if err := d.pollWith(ctx, v, looks, force); err != nil {
			errs = append(errs, err)
		}
	}
	if err := d.checkOwn(ctx); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// pollVolume polls one volume that is just being opened.
func (d *Drive) pollVolume(ctx context.Context, v *openVolume) error {
	return d.pollWith(ctx, v, make(map[chain.Name]*look), true)
}

// look asks for the pulses of a name's devices.
func (d *Drive) look(ctx context.Context, n chain.Name, force bool) *look {
	age := refreshEvery
	if force {
		age = 0
	}
	l := &look{pulses: make(map[crypto.DeviceID]*answer[profile.Pulse])}
	if l.c, l.err = d.contact(ctx, n, age); l.err != nil {
		return l
	}
	p, set := l.c.snapshot()
	for _, dev := range p.Body.Devices {
		pin, err := d.pins.Pulse(n, dev.ID)
		if err != nil {
			l.err = err
			return l
		}
		a := ask(d, ctx, set, profile.PulseKey(dev.ID), func(raw []byte) (*profile.Signed[profile.Pulse], error) {
			return profile.OpenPulse(raw, profile.Whose{Network: d.net, Name: n}, dev.ID, p.Body, pin)
		})
		if a.best != nil {
			if err := d.pins.Advance(time.Now(), a.best); err != nil {
				l.err = err
				return l
			}
			if a.best.Body.Profile.Seq > p.Header.Seq {
				l.c.mu.Lock()
				l.c.checked = time.Time{} // there is a newer profile: the next look asks for it
				l.c.mu.Unlock()
			}
		}
		l.pulses[dev.ID] = a
	}
	return l
}

// pollWith fetches, verifies and merges what is new in a volume.
func (d *Drive) pollWith(ctx context.Context, v *openVolume, looks map[chain.Name]*look, force bool) error {
	type found struct {
		name chain.Name
		head *profile.Signed[profile.Head]
	}
	var heads []found
	var errs []error
	for _, n := range v.members {
		l := looks[n]
		if l == nil {
			l = d.look(ctx, n, force)
			looks[n] = l
		}
		list, err := d.newHeads(ctx, v, n, l, force)
		v.mu.Lock()
		v.errs[n] = err
		if err == nil {
			delete(v.errs, n)
		}
		v.mu.Unlock()
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", v.of.Folder(d.opt.Name), err))
			continue
		}
		for _, h := range list {
			heads = append(heads, found{n, h})
		}
	}
	v.Freeze(v.stopped())
	// All heads of a round are pinned before the first is judged and merged.
	now := time.Now()
	for _, f := range heads {
		if err := d.pins.Advance(now, f.head); err != nil {
			errs = append(errs, err)
		}
		v.mu.Lock()
		if v.known.Verified[f.head.Header.Device].Seq < f.head.Header.Seq {
			v.known.Verified[f.head.Header.Device] = profile.Writer{Name: f.name, Mark: f.head.Mark()}
		}
		v.mu.Unlock()
		if v.of.Kind == profile.Pair {
			if err := d.pins.KeepTold(f.name, f.head.Header.Device, f.head.Body.Taken(f.name, d.opt.Name)); err != nil {
				errs = append(errs, err)
			}
		}
	}
	for _, f := range heads {
		if err := d.merge(ctx, v, f.head); err != nil {
			d.opt.Log.Error("a head is left out", "folder", v.Label(), "of", f.name, "err", err)
			v.mu.Lock()
			v.errs[f.name] = err
			v.mu.Unlock()
			errs = append(errs, err)
		}
	}
	if since := v.behindSince(); !since.IsZero() && now.Sub(since) > answerAfter && !v.ReadOnly() {
		errs = append(errs, v.Republish(ctx))
	}
	return errors.Join(errs...)
}

// newHeads returns the heads of a name's devices that are not merged yet.
func (d *Drive) newHeads(ctx context.Context, v *openVolume, n chain.Name, l *look, force bool) ([]*profile.Signed[profile.Head], error) {
	if l.err != nil {
		return nil, l.err
	}
	f, err := d.finder(v.of)
	if err != nil {
		return nil, err
	}
	p, set := l.c.snapshot()
	merged := v.Vector()
	var list []*profile.Signed[profile.Head]
	confirmed := set.N()
	at := time.Now()
	for _, dev := range p.Body.Devices {
		pulse := l.pulses[dev.ID]
		if pulse == nil {
			continue // listed since the pulses were asked for
		}
		if pulse.valid == 0 {
			return nil, fmt.Errorf("pulse of %s: %w", n, notMissing(pulse.why()))
		}
		confirmed = min(confirmed, pulse.valid)
		if pulse.best != nil {
			if t := profile.Fresh(pulse.best.Header, at); t.Before(at) {
				at = t
			}
		}
		pin, err := d.pins.Head(v.of, n, dev.ID)
		if err != nil {
			return nil, err
		}
		h, err := d.newHead(ctx, v, n, dev.ID, p.Body, pin, pulse, merged[dev.ID].Seq, f, set, force)
		if err != nil {
			return nil, err
		}
		if h != nil {
			list = append(list, h)
		}
	}
	if confirmed >= p.Body.FreshAnswers() {
		v.mu.Lock()
		v.fresh[n], v.by[n] = at, confirmed
		v.mu.Unlock()
	}
	return list, nil
}

// newHead returns a device's newest head of the volume if it is not merged yet.
func (d *Drive) newHead(ctx context.Context, v *openVolume, n chain.Name, dev crypto.DeviceID, p *profile.Profile, pin *profile.Pin,
	pulse *answer[profile.Pulse], merged uint64, f *profile.Finder, set *storage.Set, force bool) (*profile.Signed[profile.Head], error) {
	var last crypto.Locator
	var hash crypto.Hash
	if pin != nil {
		last, hash = pin.At(), pin.Hash
	}
	places, err := f.Read(v.of, n, dev, last)
	if err != nil {
		return nil, err
	}
	for i, at := range places {
		word := profile.Silent
		if pulse.best != nil {
			word = profile.About(pulse.best, at.Secret, hash)
		}
		if word == profile.Current {
			if merged >= pin.Seq {
				return nil, nil
			}
			return d.openHead(v.of, n, dev, p, pin.At(), pin.Raw, nil)
		}
		if word == profile.Silent && !(force && i < 2) {
			continue
		}
		a := ask(d, ctx, set, profile.HeadKey(at.Locator), func(raw []byte) (*profile.Signed[profile.Head], error) {
			return d.openHead(v.of, n, dev, p, at.Locator, raw, pin)
		})
		switch {
		case a.best != nil && a.best.Header.Seq > merged:
			return a.best, nil
		case a.best != nil:
			return nil, nil
		case word == profile.Other || len(a.errs) > 0:
			return nil, fmt.Errorf("head of %s: %w", n, notMissing(a.why()))
		}
	}
	if pin != nil && merged < pin.Seq {
		return d.openHead(v.of, n, dev, p, pin.At(), pin.Raw, nil)
	}
	return nil, nil
}

// checkOwn reads this device's own heads of all open volumes.
func (d *Drive) checkOwn(ctx context.Context) error {
	var errs []error
	for _, v := range d.openVolumes() {
		out, err := d.outbox.Newest(crypto.KindHead, d.self, v.of.Key())
		if err == nil && out != nil {
			err = d.checkOwnHead(ctx, out)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// checkOwnHead reads what the providers hold where the given head of this very
// device belongs. One that is newer than its record, or differs from it, means
// that this state was restored from a backup or copied to a second machine. Then
// nothing more is signed under this id.
func (d *Drive) checkOwnHead(ctx context.Context, out *profile.Outgoing) error {
	of, err := profile.ParseKey(out.Volume)
	if err != nil {
		return err
	}
	own, err := d.ownProfile()
	if err != nil {
		return err
	}
	at := crypto.Locator(out.Header.Locator)
	a := ask(d, ctx, d.own, profile.HeadKey(at), func(raw []byte) (*profile.Signed[profile.Head], error) {
		return d.openHead(of, d.opt.Name, d.self, own.Body, at, raw, nil)
	})
	if a.best == nil && a.valid == 0 {
		return notMissing(a.why())
	}
	if a.best != nil {
		if err := d.outbox.CheckOwn(a.best); err != nil {
			err = fmt.Errorf("%s: %w", of.Folder(d.opt.Name), err)
			d.mu.Lock()
			d.ownErr = err
			d.mu.Unlock()
			d.opt.Log.Error("this drive signs nothing more", "err", err)
			return err
		}
	}
	d.statusMu.Lock()
	d.checked[out.Volume] = true
	d.statusMu.Unlock()
	return nil
}

package drive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"satchel/chain"
	"satchel/crypto"
	"satchel/fs/profile"
)

// answerAfter is how long another's change waits for a head of ours that
// covers it before one is published for its sake.
const answerAfter = 24 * time.Hour

// pollLoop looks at the others' pulses, and again when the chain moved.
func (d *Drive) pollLoop(ctx context.Context) {
	t := time.NewTicker(d.opt.Poll)
	defer t.Stop()
	if err := d.openKnown(ctx); err != nil {
		d.opt.Log.Warn("not all folders are open", "err", err)
	} else if err := d.dropLeft(); err != nil {
		d.opt.Log.Warn("packs that a crash left", "err", err)
	}
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
	return errors.Join(d.openKnown(ctx), d.round(ctx, true))
}

// openKnown opens the folders that were opened at any time before, so that they
// are polled without anybody looking at them. One that can't be opened now is
// tried again by whoever looks.
func (d *Drive) openKnown(ctx context.Context) error {
	labels, err := d.allLabels()
	if err != nil {
		return err
	}
	var errs []error
	for _, label := range labels {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if _, err := d.volume(ctx, label); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", label, err))
		}
	}
	return errors.Join(errs...)
}

// A look is what the providers of a name say about its devices now.
type look struct {
	known
	pulses map[crypto.DeviceID]*answer[profile.Pulse]
	pins   map[crypto.DeviceID]*profile.Pin // of the pulses, after the look
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
	d.tellGroups(ctx)
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
	l := &look{pulses: make(map[crypto.DeviceID]*answer[profile.Pulse]), pins: make(map[crypto.DeviceID]*profile.Pin)}
	if l.known, l.err = d.contact(ctx, n, age); l.err != nil {
		return l
	}
	for _, dev := range l.profile.Body.Devices {
		if l.err = d.lookAt(ctx, n, l, dev.ID); l.err != nil {
			break
		}
	}
	return l
}

// lookAt asks for the pulse of one device.
func (d *Drive) lookAt(ctx context.Context, n chain.Name, l *look, dev crypto.DeviceID) error {
	pin, err := d.pins.Pulse(n, dev)
	if err != nil {
		return err
	}
	p := l.profile
	a := ask(d, ctx, l.set, profile.PulseKey(dev), func(raw []byte) (*profile.Signed[profile.Pulse], error) {
		return profile.OpenPulse(raw, profile.Whose{Network: d.net, Name: n}, dev, p.Body, pin)
	})
	if pin != nil && len(a.absent) > 0 {
		a.errs = append(a.errs, d.withheld(a.absent, "pulse of "+string(n)))
		a.valid -= len(a.absent)
	}
	l.pulses[dev] = a
	if a.best != nil {
		if err := d.pins.Advance(time.Now(), a.best); err != nil {
			return err
		}
		if a.best.Body.Profile.Seq > p.Header.Seq {
			d.outdated(n)
		}
	}
	l.pins[dev], err = d.pins.Pulse(n, dev)
	return err
}

// outdated has the next look ask for a name's profile.
func (d *Drive) outdated(n chain.Name) {
	d.mu.Lock()
	c := d.contacts[n]
	d.mu.Unlock()
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy == nil {
		c.checked = time.Time{}
	}
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
		v.note(n, err, l.err == nil)
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
	var pinned []found
	for _, f := range heads {
		if err := d.pins.Advance(now, f.head); err != nil {
			errs = append(errs, err)
			continue // what is not pinned is not shown
		}
		pinned = append(pinned, f)
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
	for _, f := range pinned {
		if err := d.merge(ctx, v, f.head); err != nil {
			d.opt.Log.Error("a head is left out", "folder", v.Label(), "of", f.name, "err", err)
			v.note(f.name, err, true)
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
	merged := v.Vector()
	var list []*profile.Signed[profile.Head]
	confirmed, agree := l.set.N(), true
	var at time.Time
	for _, dev := range l.profile.Body.Devices {
		pulse := l.pulses[dev.ID]
		if pulse.valid == 0 {
			return nil, fmt.Errorf("pulse of %s: %w", n, notMissing(pulse.why()))
		}
		confirmed = min(confirmed, pulse.valid)
		if pin := l.pins[dev.ID]; pin != nil && pulse.best != nil {
			if t := profile.Fresh(pulse.best.Header, pin.SeenAt()); at.IsZero() || t.Before(at) {
				at = t
			}
		}
		h, agrees, err := d.newHead(ctx, v, n, dev.ID, l, merged[dev.ID].Seq, f, force)
		if err != nil {
			return nil, err
		}
		agree = agree && agrees
		if h != nil {
			list = append(list, h)
		}
	}
	if agree && !at.IsZero() && confirmed >= l.profile.Body.FreshAnswers() {
		v.mu.Lock()
		v.fresh[n], v.by[n] = at, confirmed
		v.mu.Unlock()
	}
	return list, nil
}

// newHead returns a device's newest head of the volume if it is not merged yet,
// and whether what is known then agrees with the device's pulse.
func (d *Drive) newHead(ctx context.Context, v *openVolume, n chain.Name, dev crypto.DeviceID, l *look, merged uint64, f *profile.Finder, force bool) (h *profile.Signed[profile.Head], agrees bool, err error) {
	p, pulse := l.profile.Body, l.pulses[dev]
	pin, err := d.pins.Head(v.of, n, dev)
	if err != nil {
		return nil, false, err
	}
	var last crypto.Locator
	var hash crypto.Hash
	kept := func() (*profile.Signed[profile.Head], error) {
		if pin == nil || merged >= pin.Seq {
			return nil, nil
		}
		return d.openHead(v.of, n, dev, p, pin.At(), pin.Raw, nil)
	}
	if pin != nil {
		last, hash = pin.At(), pin.Hash
	}
	places, err := f.Read(v.of, n, dev, last)
	if err != nil {
		return nil, false, err
	}
	about := func(at profile.Place, hash crypto.Hash) profile.Word {
		if pulse.best == nil {
			return profile.Silent
		}
		return profile.About(pulse.best, at.Secret, hash)
	}
	for i, at := range places {
		word := about(at, hash)
		if word == profile.Current && !force {
			h, err := kept()
			return h, true, err
		}
		if word == profile.Silent && !(force && i < 2) {
			continue
		}
		a := ask(d, ctx, l.set, profile.HeadKey(at.Locator), func(raw []byte) (*profile.Signed[profile.Head], error) {
			return d.openHead(v.of, n, dev, p, at.Locator, raw, pin)
		})
		if pin != nil && at.Locator == last {
			a.errs = append(a.errs, d.withheld(a.absent, "head of "+string(n)))
		}
		switch {
		case a.best == nil && word == profile.Current:
			h, err := kept() // it is the newest, though nobody gives it now
			return h, true, err
		case a.best == nil && word == profile.Silent && a.valid > 0:
			continue
		case a.best == nil:
			return nil, false, fmt.Errorf("head of %s: %w", n, notMissing(a.why()))
		}
		now := about(at, a.best.Hash)
		if pin != nil && a.best.Header.Seq <= pin.Seq && word == profile.Other && now == profile.Other {
			return nil, false, fmt.Errorf("head of %s: %w", n, d.withheld(a.gave, "newest head of "+string(n)))
		}
		if a.best.Header.Seq <= merged {
			return nil, now != profile.Other, nil
		}
		return a.best, now != profile.Other, nil
	}
	h, err = kept()
	return h, pin == nil || pulse.best == nil, err
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

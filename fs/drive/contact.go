package drive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"satchel/chain"
	"satchel/chain/zonefile"
	"satchel/crypto"
	"satchel/fs/profile"
	"satchel/storage"
)

// A contact is what is known of a name, from the chain down to its profile. One
// caller at a time looks it up; whoever comes meanwhile uses what is known.
type contact struct {
	name chain.Name

	mu    sync.Mutex
	busy  chan struct{} // closed when the look-up under way ends; nil: none is
	known known         // of the last look-up that went well
	err   error         // why the last one went wrong

	// Of whoever is busy.
	value   [20]byte // hash of the zone file
	raw     []byte   // the zone file
	zone    *zonefile.File
	facts   profile.Facts
	now     known
	urls    []string  // of the providers
	checked time.Time // when the profile was last asked for
}

// known is a name's newest profile that verified and the providers that it names.
type known struct {
	profile *profile.Signed[profile.Profile]
	set     *storage.Set
}

const (
	// refreshEvery is how long a profile is used before it is asked for again.
	refreshEvery = 10 * time.Minute
	// anyAge takes the profile that is known, however old.
	anyAge = time.Duration(1<<63 - 1)
)

// contact returns what is known of name, its profile asked for anew if it is
// older than maxAge. The error says why nothing may be exchanged with the name
// now: it is not registered, has no key, is stopped, or its profile can't be had.
func (d *Drive) contact(ctx context.Context, name chain.Name, maxAge time.Duration) (known, error) {
	d.mu.Lock()
	c := d.contacts[name]
	if c == nil {
		c = &contact{name: name}
		d.contacts[name] = c
	}
	d.mu.Unlock()
	for {
		c.mu.Lock()
		if c.busy == nil {
			break
		}
		if k := c.known; k.profile != nil && c.err == nil && maxAge > 0 {
			c.mu.Unlock()
			return k, nil
		}
		wait := c.busy
		c.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return known{}, ctx.Err()
		}
	}
	done := make(chan struct{})
	c.busy = done
	c.mu.Unlock()
	err := d.lookUp(ctx, c, maxAge)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known, c.err = c.now, err
	c.busy = nil
	close(done)
	return c.known, err
}

// lookUp does the work of contact for its one caller.
func (d *Drive) lookUp(ctx context.Context, c *contact, maxAge time.Duration) error {
	if err := d.checkChain(ctx, c); err != nil {
		return err
	}
	if c.now.profile == nil {
		return d.firstProfile(ctx, c)
	}
	if time.Since(c.checked) <= maxAge {
		return nil
	}
	p, err := d.fetchProfile(ctx, c.name, c.now.set, c.facts.DataKey)
	if err != nil {
		d.opt.Log.Warn("a newer profile can't be had; the one known is used", "name", c.name, "err", err)
		c.checked = time.Now().Add(time.Minute - refreshEvery)
		return nil
	}
	if p.Header.Seq >= c.now.profile.Header.Seq {
		d.useProfile(ctx, c, p)
	}
	return nil
}

// checkChain compares the name's record with what is pinned.
func (d *Drive) checkChain(ctx context.Context, c *contact) error {
	rec, err := d.opt.Names.Record(ctx, c.name)
	if err != nil {
		if errors.Is(err, chain.ErrUnknownName) {
			return fmt.Errorf("%s is not registered: %w", c.name, err)
		}
		return fmt.Errorf("%s: %w", c.name, err)
	}
	if c.raw == nil || c.value != rec.ValueHash {
		c.raw = nil
		if rec.HasValue {
			c.raw, err = d.zoneOf(ctx, rec)
		}
	}
	facts, zone, ferr := profile.FactsOf(d.net, rec, c.raw)
	verdict, cerr := d.pins.Check(c.name, facts)
	switch {
	case errors.Is(cerr, profile.ErrChanged):
		return cerr // before anything that the new owner may lack
	case err != nil:
		return err
	case ferr != nil:
		return ferr
	case cerr != nil:
		return cerr
	}
	c.value, c.zone, c.facts = rec.ValueHash, zone, facts
	if verdict.Followed {
		d.opt.Log.Warn("a name's owner gave it a new data key; it is followed", "name", c.name)
		c.now = known{} // the old key's profile counts no more
		c.urls = nil
	}
	return nil
}

// zoneOf returns the zone file of a record, kept once it was seen.
func (d *Drive) zoneOf(ctx context.Context, rec chain.Record) ([]byte, error) {
	key := append([]byte("zone/"), rec.ValueHash[:]...)
	if raw, err := d.get(key); err == nil {
		return raw, nil
	}
	raw, err := d.opt.Names.Zonefile(ctx, rec.ValueHash)
	if err != nil {
		return nil, fmt.Errorf("zone file of %s: %w", rec.Name, err)
	}
	if zonefile.Hash(raw) != rec.ValueHash {
		return nil, fmt.Errorf("zone file of %s: not the one whose hash is on the chain", rec.Name)
	}
	return raw, d.put(key, raw)
}

// firstProfile gives a contact the profile that was seen last or, if none was,
// asks the providers that the zone file names.
func (d *Drive) firstProfile(ctx context.Context, c *contact) error {
	kept, err := d.pins.Held(profile.Whose{Network: d.net, Name: c.name}, c.facts.DataKey)
	if err != nil {
		return err
	}
	if kept != nil {
		d.useProfile(ctx, c, kept)
		c.checked = time.Time{}
		return nil
	}
	urls := make([]string, 0, len(c.zone.URIs))
	for _, u := range c.zone.URIs {
		urls = append(urls, u.Target)
	}
	set := d.providers(ctx, c.name, urls)
	if set.N() == 0 {
		return fmt.Errorf("%s names no storage that may be read here", c.name)
	}
	p, err := d.fetchProfile(ctx, c.name, set, c.facts.DataKey)
	if err != nil {
		return err
	}
	d.useProfile(ctx, c, p)
	return nil
}

// fetchProfile asks every provider for a name's profile, takes the one with the
// highest number and pins it.
func (d *Drive) fetchProfile(ctx context.Context, n chain.Name, set *storage.Set, key crypto.PublicKey) (*profile.Signed[profile.Profile], error) {
	whose := profile.Whose{Network: d.net, Name: n}
	pin, err := d.pins.Profile(n)
	if err != nil {
		return nil, err
	}
	a := ask(d, ctx, set, profile.ProfileKey(), func(raw []byte) (*profile.Signed[profile.Profile], error) {
		return profile.OpenProfile(raw, whose, key, pin)
	})
	if a.best == nil {
		return nil, fmt.Errorf("profile of %s: %w", n, a.why())
	}
	return a.best, d.pins.Advance(time.Now(), a.best)
}

// useProfile makes p the newest profile of its contact.
func (d *Drive) useProfile(ctx context.Context, c *contact, p *profile.Signed[profile.Profile]) {
	c.now.profile, c.checked = p, time.Now()
	var urls []string
	for _, pr := range p.Body.InOrder() {
		urls = append(urls, pr.URL)
	}
	if c.now.set == nil || !slices.Equal(urls, c.urls) {
		c.now.set, c.urls = d.providers(ctx, c.name, urls), urls
	}
}

// providers opens the URLs that a name gives, under the policy for other
// people's. Those that it refuses are named as faults and left out.
func (d *Drive) providers(ctx context.Context, name chain.Name, urls []string) *storage.Set {
	if name == d.opt.Name {
		return d.own
	}
	var ps []storage.Provider
	for _, u := range urls {
		drv, err := d.opt.Mux.Open(ctx, u, storage.Options{Foreign: &d.opt.Foreign})
		if err != nil {
			d.fault(storage.Redact(u), err)
			continue
		}
		ps = append(ps, storage.Provider{URL: u, Driver: d.metered("", drv)})
	}
	return storage.NewSet(ps, 0, 0)
}

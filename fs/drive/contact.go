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

// A contact is what is known of a name, from the chain down to its profile.
type contact struct {
	name chain.Name

	mu      sync.Mutex // held while it is being looked up
	value   [20]byte   // hash of the zone file
	raw     []byte     // the zone file
	zone    *zonefile.File
	facts   profile.Facts
	signed  *profile.Signed[profile.Profile] // the newest that verified, nil if none yet
	set     *storage.Set                     // the providers that it names
	urls    []string                         // of set
	checked time.Time                        // when the profile was last asked for
	asking  bool                             // somebody is asking for it
}

// refreshEvery is how long a profile is used before it is asked for again.
const refreshEvery = 10 * time.Minute

// contact returns what is known of name, looked up anew if it is older than
// maxAge. The error says why nothing may be exchanged with the name now: it is
// not registered, has no key, is stopped, or its profile can't be had.
func (d *Drive) contact(ctx context.Context, name chain.Name, maxAge time.Duration) (*contact, error) {
	d.mu.Lock()
	c := d.contacts[name]
	if c == nil {
		c = &contact{name: name}
		d.contacts[name] = c
	}
	d.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := d.checkChain(ctx, c); err != nil {
		return c, err
	}
	if c.signed == nil {
		if err := d.firstProfile(ctx, c); err != nil {
			return c, err
		}
	}
	if time.Since(c.checked) <= maxAge || c.asking {
		return c, nil
	}
	// What is known stays in use while the newest is asked for.
	c.asking = true
	set, key := c.set, c.facts.DataKey
	c.mu.Unlock()
	p, err := d.fetchProfile(ctx, name, set, key)
	c.mu.Lock()
	c.asking = false
	if err != nil {
		d.opt.Log.Warn("a newer profile can't be had; the one known is used", "name", name, "err", err)
		c.checked = time.Now().Add(time.Minute - refreshEvery)
	} else if p.Header.Seq >= c.signed.Header.Seq && c.facts.DataKey == key {
		d.useProfile(ctx, c, p)
	}
	return c, nil
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
		c.signed = nil // the old key's profile counts no more
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
	c.signed, c.checked = p, time.Now()
	var urls []string
	for _, pr := range p.Body.InOrder() {
		urls = append(urls, pr.URL)
	}
	if c.set == nil || !slices.Equal(urls, c.urls) {
		c.set, c.urls = d.providers(ctx, c.name, urls), urls
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
		ps = append(ps, storage.Provider{URL: u, Driver: drv})
	}
	return storage.NewSet(ps, 0, 0)
}

// snapshot returns what the contact holds: the newest profile and the providers.
func (c *contact) snapshot() (p *profile.Signed[profile.Profile], set *storage.Set) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.signed, c.set
}

package drive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"satchel/chain"
	"satchel/chain/zonefile"
	"satchel/crypto"
	"satchel/fs/profile"
	"satchel/fs/volume"
)

// publish signs the head of a commit and queues it; when it returns, head and
// packs survive a crash. Where no head can be sealed to all members now, because
// one of them is stopped or this state is a copy, the commit is held: as durable,
// but on this machine only.
func (d *Drive) publish(ctx context.Context, v *openVolume, c volume.Commit) (crypto.Hash, error) {
	h := &profile.Head{Vector: c.Vector, Root: c.Root, Digest: c.Digest}
	signed, why := d.signHead(ctx, v, c, h)
	if why != nil {
		if err := ctx.Err(); err != nil {
			return crypto.Hash{}, err
		}
		var err error
		if signed, err = d.hold(v, c, h); err != nil {
			return crypto.Hash{}, errors.Join(why, err)
		}
		d.opt.Log.Warn("changes are kept on this machine only", "folder", v.Label(), "err", why)
	} else {
		packs := c.Packs
		if v.held() != nil {
			packs = append(slices.Clone(packs), d.packs.Staged()...)
		}
		needs := make([][32]byte, len(packs))
		for i, id := range packs {
			needs[i] = [32]byte(id)
		}
		err := d.outbox.Put(signed, needs, func(tx *badger.Txn) error { return tx.Delete(heldKey(v.of)) })
		if err != nil {
			return crypto.Hash{}, err
		}
		d.kickUpload()
	}
	v.mu.Lock()
	v.known.Own = profile.Writer{Name: d.opt.Name, Mark: signed.Mark()}
	v.heldWhy = why
	if why == nil {
		v.behind = time.Time{}
	}
	v.mu.Unlock()
	return signed.Hash, nil
}

// signHead signs h for all members of the volume.
func (d *Drive) signHead(ctx context.Context, v *openVolume, c volume.Commit, h *profile.Head) (*profile.Signed[profile.Head], error) {
	d.mu.Lock()
	err := d.ownErr
	d.mu.Unlock()
	if err != nil {
		return nil, err
	}
	members, known, err := d.members(ctx, v)
	if err != nil {
		return nil, err
	}
	f, err := d.finder(v.of)
	if err != nil {
		return nil, err
	}
	at, err := f.Write(v.of, d.self)
	if err != nil {
		return nil, err
	}
	prev, err := d.outbox.Last(crypto.KindHead, d.self, at.Locator[:])
	if err != nil {
		return nil, err
	}
	h.Known = known
	if h.Tells, err = d.tells(v.of); err != nil {
		return nil, err
	}
	return h.Sign(d.opt.Keys.Signing, profile.Stamp{
		Whose: d.whose(), Device: d.self, Seq: c.Seq, Prev: prev, Time: c.Time,
	}, v.of, at.Locator, members)
}

// heldKey is where a held head of a volume is: sealed to this name alone, at no
// locator that anybody asks for.
func heldKey(of profile.Volume) []byte { return []byte("held/" + of.Key()) }

var heldAt = crypto.Locator(crypto.Sum([]byte("satchel held head v1")))

// hold keeps a commit on this machine, to be published when that can be done.
func (d *Drive) hold(v *openVolume, c volume.Commit, h *profile.Head) (*profile.Signed[profile.Head], error) {
	me, err := d.selfProfile()
	if err != nil {
		return nil, err
	}
	members := make(map[chain.Name]*profile.Profile)
	for _, n := range v.of.Names {
		members[n] = me // to nobody else
	}
	h.Known, h.Tells = nil, nil
	signed, err := h.Sign(d.opt.Keys.Signing, profile.Stamp{Whose: d.whose(), Device: d.self, Seq: c.Seq, Time: c.Time}, v.of, heldAt, members)
	if err != nil {
		return nil, err
	}
	return signed, d.put(heldKey(v.of), signed.Raw)
}

// openHeld returns the volume's held head, nil if there is none.
func (d *Drive) openHeld(of profile.Volume) (*profile.Signed[profile.Head], error) {
	raw, err := d.get(heldKey(of))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	me, err := d.selfProfile()
	if err != nil {
		return nil, err
	}
	return d.openHead(of, d.opt.Name, d.self, me, heldAt, raw, nil)
}

// selfProfile is the own profile, or what it will say before there is one.
func (d *Drive) selfProfile() (*profile.Profile, error) {
	if p, err := d.ownProfile(); err == nil {
		return p.Body, nil
	}
	draft, err := d.draft()
	if err != nil {
		return nil, err
	}
	return profile.New(d.whose(), draft)
}

func (d *Drive) kickUpload() {
	select {
	case d.kick <- struct{}{}:
	default:
	}
}

func (d *Drive) whose() profile.Whose { return profile.Whose{Network: d.net, Name: d.opt.Name} }

// members returns the newest profiles of the volume's names, mine too.
func (d *Drive) members(ctx context.Context, v *openVolume) (map[chain.Name]*profile.Profile, map[chain.Name]profile.Mark, error) {
	own, err := d.ownProfile()
	if err != nil {
		return nil, nil, err
	}
	all := map[chain.Name]*profile.Profile{d.opt.Name: own.Body}
	known := map[chain.Name]profile.Mark{d.opt.Name: own.Mark()}
	for _, n := range v.members {
		k, err := d.contact(ctx, n, anyAge)
		if err != nil {
			return nil, nil, fmt.Errorf("nothing can be sealed to %s: %w", n, err)
		}
		all[n], known[n] = k.profile.Body, k.profile.Mark()
	}
	return all, known, nil
}

// tells returns the group secrets that a head of the volume has to tell.
func (d *Drive) tells(of profile.Volume) ([]profile.Tell, error) {
	if of.Kind != profile.Pair {
		return nil, nil
	}
	var tells []profile.Tell
	for _, label := range d.labels() {
		g, err := profile.ParseFolder(d.opt.Name, label)
		if err != nil || g.Kind != profile.Group || !g.Has(of.Names[0]) || !g.Has(of.Names[1]) {
			continue
		}
		f := &profile.Finder{Network: d.net, Me: d.opt.Name, Secrets: d.secrets}
		t, err := f.Tells(g)
		if err != nil {
			return nil, err
		}
		tells = append(tells, t...)
	}
	return tells, nil
}

// toldKey notes that the group was announced to one of its members.
func toldKey(g profile.Volume, n chain.Name) []byte {
	return []byte("told/" + g.Key() + "/" + string(n))
}

// tellGroups has the pair volumes with the members of each open group tell its
// secret, once.
func (d *Drive) tellGroups(ctx context.Context) {
	for _, g := range d.openVolumes() {
		if g.of.Kind != profile.Group || g.Last().Seq == 0 {
			continue
		}
		for _, n := range g.members {
			if _, err := d.get(toldKey(g.of, n)); err == nil {
				continue
			}
			v, err := d.volume(ctx, join(people, string(n)))
			if err == nil {
				err = v.Republish(ctx)
			}
			if err == nil {
				err = v.held()
			}
			if err == nil {
				err = d.put(toldKey(g.of, n), nil)
			}
			if err != nil {
				d.opt.Log.Warn("group is not announced yet", "group", g.Label(), "to", n, "err", err)
			}
		}
	}
}

// ownProfile returns the name's own newest profile as this device knows it.
func (d *Drive) ownProfile() (*profile.Signed[profile.Profile], error) {
	p, err := d.pins.Held(d.whose(), d.dataKey())
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, fmt.Errorf("%s has no profile yet; run: satchel name register %s", d.opt.Name, d.opt.Name)
	}
	return p, nil
}

// dataKey is the key by which the own profile verifies.
func (d *Drive) dataKey() crypto.PublicKey {
	if k := d.opt.Keys.DataKey; k != nil {
		return crypto.PublicOf(k)
	}
	if f, err := d.pins.Facts(d.opt.Name); err == nil && f != nil {
		return f.DataKey
	}
	return crypto.PublicKey{}
}

// Publish puts a profile that says what the configuration says at the quorum of
// the own providers. Before it signs, it reads the newest one that there is.
func (d *Drive) Publish(ctx context.Context) error {
	if d.opt.Keys.DataKey == nil {
		return errors.New("this device is not the keeper: it can't sign a profile")
	}
	pin, err := d.pins.Profile(d.opt.Name)
	if err != nil {
		return err
	}
	a := ask(d, ctx, d.own, profile.ProfileKey(), func(raw []byte) (*profile.Signed[profile.Profile], error) {
		return profile.OpenProfile(raw, d.whose(), d.dataKey(), pin)
	})
	if a.valid < d.own.N()-d.own.Quorum()+1 {
		return fmt.Errorf("own profile: not enough of the providers answer: %w", a.why())
	}
	old := a.best
	if old != nil {
		if err := d.pins.Advance(time.Now(), old); err != nil {
			return err
		}
	} else if old, err = d.pins.Held(d.whose(), d.dataKey()); err != nil {
		return err
	}
	p, err := d.draft()
	if err != nil {
		return err
	}
	if old == nil || !old.Body.Says(p) {
		if err := d.signProfile(p, old); err != nil {
			return err
		}
	}
	d.kickUpload()
	return d.waitStored(ctx, func(left leftover) bool { return left.profiles == 0 })
}

func (d *Drive) draft() (profile.Draft, error) {
	k := d.opt.Keys
	p := profile.Draft{
		Keeper: d.self, Copies: d.opt.Copies, Quorum: d.opt.Quorum, Secrets: d.secrets, Recovery: k.Recovery,
		Devices: []profile.NewDevice{{Signing: k.Signing.Public(), Seal: k.Sealing.Public(), Label: hostLabel()}},
	}
	for i, o := range d.opt.Providers {
		p.Providers = append(p.Providers, profile.Provider{URL: o.URL, Priority: uint16(10 * (i + 1)), Weight: 1})
	}
	if len(p.Providers) == 0 {
		return p, errors.New("no provider is configured")
	}
	return p, nil
}

func hostLabel() string {
	h, err := os.Hostname()
	if err != nil {
		return ""
	}
	return h[:min(len(h), profile.MaxLabel)]
}

func (d *Drive) signProfile(draft profile.Draft, old *profile.Signed[profile.Profile]) error {
	p, err := profile.New(d.whose(), draft)
	if err != nil {
		return err
	}
	stamp := profile.Stamp{Whose: d.whose(), Device: d.self, Seq: 1, Time: time.Now()}
	if old != nil {
		if err := p.Follows(old.Body); err != nil {
			return err
		}
		stamp.Seq = old.Header.Seq + 1
	}
	if stamp.Prev, err = d.outbox.Last(crypto.KindProfile, d.self, nil); err != nil {
		return err
	}
	signed, err := p.Sign(d.opt.Keys.DataKey, stamp)
	if err != nil {
		return err
	}
	return d.outbox.Put(signed, nil, d.pins.Within(time.Now(), signed))
}

// Zonefile returns the zone file that should be on the chain for this name.
func (d *Drive) Zonefile() ([]byte, error) {
	if d.opt.Keys.DataKey == nil {
		return nil, errors.New("this device is not the keeper: it doesn't make zone files")
	}
	f := &zonefile.File{Origin: string(d.opt.Name), TTL: 3600, DataKey: d.opt.Keys.DataKey.PubKey().SerializeCompressed()}
	for i, p := range d.opt.Providers {
		f.URIs = append(f.URIs, zonefile.URI{Priority: uint16(10 * (i + 1)), Weight: 1, Target: p.URL})
	}
	b := zonefile.Format(f)
	if len(b) > zonefile.MaxSize {
		return nil, fmt.Errorf("zone file of %d bytes, at most %d: name fewer providers", len(b), zonefile.MaxSize)
	}
	return b, nil
}

// pulse signs a new pulse if what it should say differs from what the last one said.
func (d *Drive) pulse(lines []profile.Line, force bool) error {
	own, err := d.ownProfile()
	if err != nil {
		return err
	}
	said := pulseSays(own.Mark(), lines)
	before, err := d.get([]byte("pulse/said"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if !force && slices.Equal(before, said) {
		return nil
	}
	prev, err := d.outbox.Last(crypto.KindPulse, d.self, nil)
	if err != nil {
		return err
	}
	seq := prev.Seq + 1
	signed, err := profile.NewPulse(own.Mark(), d.self, seq, lines).Sign(d.opt.Keys.Signing, profile.Stamp{
		Whose: d.whose(), Device: d.self, Seq: seq, Prev: prev, Time: time.Now(),
	})
	if err != nil {
		return err
	}
	return d.outbox.Put(signed, nil, func(tx *badger.Txn) error { return tx.Set([]byte("pulse/said"), said) })
}

// pulseSays is a digest of a pulse's content by which two are compared.
func pulseSays(p profile.Mark, lines []profile.Line) []byte {
	h := crypto.NewHasher()
	h.Write(p.Hash[:])
	for _, l := range lines {
		h.Write(l.Secret[:])
		h.Write(l.Head[:])
	}
	return h.Sum(nil)
}

package profile

import (
	"errors"
	"fmt"
	"slices"

	"satchel/crypto"
)

// A Draft is what a keeper wants the profile to say, before anything is sealed.
type Draft struct {
	Keeper         crypto.DeviceID
	Providers      []Provider
	Copies, Quorum int // 0: all; a majority, at most Copies
	Secrets        Secrets
	Recovery       crypto.SealPublic
	Devices        []NewDevice
	Removed        []crypto.DeviceID
	Notify         []string
}

// A NewDevice is a device as the keeper lists it.
type NewDevice struct {
	Signing crypto.PublicKey
	Seal    crypto.SealPublic
	Label   string // seen by the name's own devices only
}

// Defaults returns how many copies are wanted and how many providers
// acknowledge a write where nothing else is said: all, and a majority.
func Defaults(providers, copies int) (int, int) {
	if copies == 0 {
		copies = providers
	}
	return copies, min(providers/2+1, copies)
}

// New makes the profile of a draft and seals what is sealed in it.
func New(w Whose, d Draft) (*Profile, error) {
	p, err := d.open()
	if err != nil {
		return nil, fmt.Errorf("profile of %s: %w", w.Name, err)
	}
	if err := d.seal(w, p); err != nil {
		return nil, fmt.Errorf("profile of %s: %w", w.Name, err)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("profile of %s: %w", w.Name, err)
	}
	return p, nil
}

// open returns what of the profile is not sealed.
func (d *Draft) open() (*Profile, error) {
	if len(d.Secrets) == 0 || len(d.Devices) == 0 {
		return nil, errors.New("it needs a user secret and a device")
	}
	p := &Profile{
		Keeper:    d.Keeper,
		Providers: slices.Clone(d.Providers),
		Recovery:  Recovery{Seal: slices.Clone(d.Recovery)},
		Removed:   slices.Clone(d.Removed),
		Notify:    slices.Clone(d.Notify),
	}
	copies, quorum := Defaults(len(d.Providers), d.Copies)
	if d.Quorum != 0 {
		quorum = d.Quorum
	}
	p.Copies, p.Quorum = copies, quorum
	slices.SortFunc(p.Removed, compareID)
	for _, n := range d.Devices {
		p.Devices = append(p.Devices, Device{ID: n.Signing.Device(), Signing: n.Signing, Seal: slices.Clone(n.Seal)})
	}
	slices.SortFunc(p.Devices, func(a, b Device) int { return compareID(a.ID, b.ID) })
	gens := newestFirst(d.Secrets)
	slices.Reverse(gens)
	for _, gen := range gens {
		u, err := publicOf(gen, d.Secrets[gen])
		if err != nil {
			return nil, err
		}
		p.Users = append(p.Users, u)
	}
	return p, nil
}

// publicOf returns the public keys of a secret.
func publicOf(gen uint64, s crypto.UserSecret) (UserKey, error) {
	seal, err := s.SealKey()
	if err != nil {
		return UserKey{}, fmt.Errorf("user key %d: %w", gen, err)
	}
	pair, err := s.PairKey()
	if err != nil {
		return UserKey{}, fmt.Errorf("user key %d: %w", gen, err)
	}
	return UserKey{Gen: gen, KEM: crypto.KEM, Seal: seal.Public(), Pair: pair.PublicKey().Bytes()}, nil
}

// seal fills in what of p is sealed.
func (d *Draft) seal(w Whose, p *Profile) (err error) {
	for i := 1; i < len(p.Users); i++ {
		prev := p.Users[i-1].Gen
		if p.Users[i].Prev, err = sealSecret(w, p.Users[i].Seal, d.Secrets[prev], prev, nil); err != nil {
			return err
		}
	}
	newest := p.Users[len(p.Users)-1]
	secret := d.Secrets[newest.Gen]
	if p.Recovery.Secret, err = sealSecret(w, p.Recovery.Seal, secret, newest.Gen, nil); err != nil {
		return fmt.Errorf("recovery key: %w", err)
	}
	for _, n := range d.Devices {
		dev := p.device(n.Signing.Device())
		if dev.Secret, err = sealSecret(w, dev.Seal, secret, newest.Gen, dev.ID[:]); err != nil {
			return fmt.Errorf("device %v: %w", dev.ID, err)
		}
		if dev.Label, err = sealLabel(w, newest, dev.ID, n.Label); err != nil {
			return fmt.Errorf("device %v: %w", dev.ID, err)
		}
	}
	return nil
}

func sealSecret(w Whose, to crypto.SealPublic, s crypto.UserSecret, gen uint64, device []byte) ([]byte, error) {
	return crypto.SealTo(to, w.info(useSecret, gen, device), s[:])
}

func sealLabel(w Whose, to UserKey, id crypto.DeviceID, label string) ([]byte, error) {
	if label == "" {
		return nil, nil
	}
	if len(label) > MaxLabel {
		return nil, fmt.Errorf("label of %d bytes, at most %d", len(label), MaxLabel)
	}
	plain := make([]byte, labelLen)
	copy(plain, label)
	return crypto.SealTo(to.Seal, w.info(useLabel, to.Gen, id[:]), plain)
}

// Follows returns nil if p may come after old: every device of old is still
// listed or is removed, what was removed stays so and is never listed again,
// and no user key is lost. A keeper checks it before it signs.
func (p *Profile) Follows(old *Profile) error {
	for _, id := range old.EverListed() {
		switch {
		case p.WasRemoved(id):
		case old.WasRemoved(id) && p.device(id) != nil:
			return fmt.Errorf("profile: device %v was removed and can't be listed again", id)
		case p.device(id) == nil:
			return fmt.Errorf("profile: device %v is forgotten", id)
		}
	}
	for i, u := range old.Users {
		if i >= len(p.Users) || p.Users[i].Gen != u.Gen || !p.Users[i].Seal.Equal(u.Seal) {
			return fmt.Errorf("profile: user key %d is lost", u.Gen)
		}
	}
	return nil
}

// Says tells whether p says what New would make of d, so that nothing has to be
// signed. Labels are not compared.
func (p *Profile) Says(d Draft) bool {
	q, err := d.open()
	if err != nil {
		return false
	}
	return q.Keeper == p.Keeper && q.Copies == p.Copies && q.Quorum == p.Quorum &&
		slices.Equal(q.Removed, p.Removed) && slices.Equal(q.Notify, p.Notify) &&
		q.Recovery.Seal.Equal(p.Recovery.Seal) &&
		slices.EqualFunc(q.Providers, p.Providers, func(a, b Provider) bool {
			return a.URL == b.URL && a.Priority == b.Priority && a.Weight == b.Weight
		}) &&
		slices.EqualFunc(q.Users, p.Users, func(a, b UserKey) bool {
			return a.Gen == b.Gen && a.KEM == b.KEM && a.Seal.Equal(b.Seal) && slices.Equal(a.Pair, b.Pair)
		}) &&
		slices.EqualFunc(q.Devices, p.Devices, func(a, b Device) bool {
			return a.ID == b.ID && a.Seal.Equal(b.Seal)
		})
}

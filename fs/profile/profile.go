package profile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"satchel/crypto"
	"satchel/crypto/canon"
)

const (
	maxDevices   = 1000
	maxProviders = 64
	maxURL       = 2048
	maxNotify    = 16
	maxUsers     = 4096
	maxSealed    = 4096 // a label or a secret, sealed
)

// A Profile is what a name says about itself to everybody. Treat one that was
// opened as read-only.
type Profile struct {
	Keeper    crypto.DeviceID   `cbor:"1,keyasint"` // the device that signs profiles
	Providers []Provider        `cbor:"2,keyasint"`
	Copies    int               `cbor:"3,keyasint"` // of each pack
	Quorum    int               `cbor:"4,keyasint"` // providers that acknowledge a write
	Users     []UserKey         `cbor:"5,keyasint"` // oldest generation first
	Recovery  Recovery          `cbor:"6,keyasint"`
	Devices   []Device          `cbor:"7,keyasint"` // by id
	Removed   []crypto.DeviceID `cbor:"8,keyasint,omitempty"`
	Notify    []string          `cbor:"9,keyasint,omitempty"`
	Extra     canon.Extra       `cbor:"-"`
}

// A Provider is a URL from which everybody can read what a name stored.
type Provider struct {
	URL      string      `cbor:"1,keyasint"`
	Priority uint16      `cbor:"2,keyasint,omitempty"` // the lowest first, as in a URI record
	Weight   uint16      `cbor:"3,keyasint,omitempty"` // share among equal priorities
	Extra    canon.Extra `cbor:"-"`
}

// A UserKey is what others seal to and compute locators with, in one generation.
type UserKey struct {
	Gen   uint64            `cbor:"1,keyasint"` // from 1
	KEM   uint64            `cbor:"2,keyasint"`
	Seal  crypto.SealPublic `cbor:"3,keyasint"`
	Pair  []byte            `cbor:"4,keyasint"`           // X25519
	Prev  []byte            `cbor:"5,keyasint,omitempty"` // the user secret before this one, sealed to Seal
	Extra canon.Extra       `cbor:"-"`
}

// Recovery is the key that comes from the recovery words.
type Recovery struct {
	Seal   crypto.SealPublic `cbor:"1,keyasint"`
	Secret []byte            `cbor:"2,keyasint"` // the newest user secret, sealed to Seal
	Extra  canon.Extra       `cbor:"-"`
}

// A Device signs heads and pulses.
type Device struct {
	ID      crypto.DeviceID   `cbor:"1,keyasint"`
	Signing crypto.PublicKey  `cbor:"2,keyasint"`
	Seal    crypto.SealPublic `cbor:"3,keyasint"`
	Label   []byte            `cbor:"4,keyasint,omitempty"` // sealed to the newest user key
	Secret  []byte            `cbor:"5,keyasint"`           // the newest user secret, sealed to Seal
	Extra   canon.Extra       `cbor:"-"`
}

// Encode returns the body of p's envelope.
func (p *Profile) Encode() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	return canon.Marshal(p)
}

// DecodeProfile reads a body. All that Encode would not give is refused.
func DecodeProfile(body []byte) (*Profile, error) {
	p := new(Profile)
	if err := canon.Unmarshal(body, p); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	return p, nil
}

// check returns what is wrong with p.
func (p *Profile) check() error {
	if err := p.checkProviders(); err != nil {
		return err
	}
	if err := p.checkUsers(); err != nil {
		return err
	}
	if err := p.checkDevices(); err != nil {
		return err
	}
	if err := p.Recovery.Seal.Valid(); err != nil {
		return fmt.Errorf("recovery key: %w", err)
	}
	if len(p.Recovery.Secret) == 0 || len(p.Recovery.Secret) > maxSealed {
		return fmt.Errorf("recovery: sealed secret of %d bytes", len(p.Recovery.Secret))
	}
	if len(p.Notify) > maxNotify {
		return fmt.Errorf("%d notification addresses", len(p.Notify))
	}
	for _, u := range p.Notify {
		if u == "" || len(u) > maxURL {
			return fmt.Errorf("notification address of %d bytes", len(u))
		}
	}
	return nil
}

func (p *Profile) checkProviders() error {
	n := len(p.Providers)
	if n == 0 || n > maxProviders {
		return fmt.Errorf("%d providers", n)
	}
	seen := make(map[string]bool, n)
	for _, pr := range p.Providers {
		if pr.URL == "" || len(pr.URL) > maxURL || seen[pr.URL] {
			return fmt.Errorf("provider URL of %d bytes, empty or given twice", len(pr.URL))
		}
		seen[pr.URL] = true
	}
	if p.Copies < 1 || p.Copies > n || p.Quorum < 1 || p.Quorum > n {
		return fmt.Errorf("%d copies and quorum %d of %d providers", p.Copies, p.Quorum, n)
	}
	return nil
}

func (p *Profile) checkUsers() error {
	if len(p.Users) == 0 || len(p.Users) > maxUsers {
		return fmt.Errorf("%d user keys", len(p.Users))
	}
	var last uint64
	for i, u := range p.Users {
		if u.Gen <= last || u.Gen > crypto.MaxSeq {
			return fmt.Errorf("user key generation %d after %d", u.Gen, last)
		}
		last = u.Gen
		if len(u.Prev) > maxSealed || (len(u.Prev) == 0) != (i == 0) {
			return fmt.Errorf("user key %d: sealed secret of %d bytes", u.Gen, len(u.Prev))
		}
		if err := u.check(); err != nil {
			return fmt.Errorf("user key %d: %w", u.Gen, err)
		}
	}
	return nil
}

func (u *UserKey) check() error {
	if u.KEM != crypto.KEM {
		return nil // a later kind: kept
	}
	if len(u.Pair) != 32 {
		return fmt.Errorf("pair key of %d bytes", len(u.Pair))
	}
	return u.Seal.Valid()
}

func (p *Profile) checkDevices() error {
	if len(p.Devices) == 0 || len(p.Devices) > maxDevices {
		return fmt.Errorf("%d devices", len(p.Devices))
	}
	for i := range p.Devices {
		d := &p.Devices[i]
		if i > 0 && compareID(p.Devices[i-1].ID, d.ID) >= 0 {
			return errors.New("devices out of order")
		}
		if err := d.check(); err != nil {
			return fmt.Errorf("device %v: %w", d.ID, err)
		}
	}
	for i, id := range p.Removed {
		if i > 0 && compareID(p.Removed[i-1], id) >= 0 {
			return errors.New("removed devices out of order")
		}
		if p.device(id) != nil {
			return fmt.Errorf("device %v is listed and removed", id)
		}
	}
	if p.device(p.Keeper) == nil {
		return fmt.Errorf("keeper %v is not a listed device", p.Keeper)
	}
	return nil
}

func (d *Device) check() error {
	if _, err := crypto.ParsePublicKey(d.Signing[:]); err != nil {
		return err
	}
	if d.Signing.Device() != d.ID {
		return errors.New("its id is not its key's")
	}
	if len(d.Label) > maxSealed || len(d.Secret) == 0 || len(d.Secret) > maxSealed {
		return fmt.Errorf("sealed label of %d bytes, secret of %d", len(d.Label), len(d.Secret))
	}
	return d.Seal.Valid()
}

// device returns the listed device id, or nil.
func (p *Profile) device(id crypto.DeviceID) *Device {
	i, ok := slices.BinarySearchFunc(p.Devices, id, func(d Device, id crypto.DeviceID) int {
		return compareID(d.ID, id)
	})
	if !ok {
		return nil
	}
	return &p.Devices[i]
}

// Device returns the listed device id. The error is ErrUnlisted if it isn't.
func (p *Profile) Device(id crypto.DeviceID) (Device, error) {
	if d := p.device(id); d != nil {
		return *d, nil
	}
	return Device{}, fmt.Errorf("device %v: %w", id, ErrUnlisted)
}

// WasRemoved tells whether id was a device once.
func (p *Profile) WasRemoved(id crypto.DeviceID) bool {
	_, ok := slices.BinarySearchFunc(p.Removed, id, compareID)
	return ok
}

// EverListed returns the ids of all devices that there are and were.
func (p *Profile) EverListed() []crypto.DeviceID {
	ids := slices.Clone(p.Removed)
	for _, d := range p.Devices {
		ids = append(ids, d.ID)
	}
	slices.SortFunc(ids, compareID)
	return ids
}

// User returns the newest user key. The error says so if this code can't seal
// to its kind.
func (p *Profile) User() (UserKey, error) {
	u := p.Users[len(p.Users)-1]
	if u.KEM != crypto.KEM {
		return UserKey{}, fmt.Errorf("user key of kind %#x: %w", u.KEM, crypto.ErrFormat)
	}
	return u, nil
}

// FreshAnswers is how many of the providers must give a valid answer ("not
// there" is one) before something counts as fresh: every acknowledged write
// has then been seen by one of them.
func (p *Profile) FreshAnswers() int { return len(p.Providers) - p.Quorum + 1 }

func compareID(a, b crypto.DeviceID) int { return bytes.Compare(a[:], b[:]) }

// byPriority orders providers as they should be asked.
func byPriority(a, b Provider) int { return cmp.Compare(a.Priority, b.Priority) }

// InOrder returns the providers as they should be asked: by priority, as listed
// among equals.
func (p *Profile) InOrder() []Provider {
	list := slices.Clone(p.Providers)
	slices.SortStableFunc(list, byPriority)
	return list
}

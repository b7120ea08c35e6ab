package profile

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"satchel/chain"
	"satchel/crypto"
	"satchel/crypto/canon"
)

// Pins are what this machine has seen and will not go behind: the facts of each
// name and the newest profile, pulse and head of each author. They are in a
// database of the caller's, which should have SyncWrites set: when a method
// returns nil, what it pinned is durable.
//
// Keys of the database, N a zero byte:
//
//	pin/n/ name                             Facts
//	pin/e/ name N letter device volume      Pin: letter p, u (pulse) or h; profiles have a zero device
//	pin/f/ name N letter device volume      the first fork seen of that author there
//	pin/t/ name N device volume generation  group secret that the device told: 32 bytes; generation in 8 bytes
type Pins struct {
	db *badger.DB
	mu sync.Mutex // one change at a time
}

// NewPins returns the pins in db, which the caller closes afterwards.
func NewPins(db *badger.DB) *Pins { return &Pins{db: db} }

// A Pin is the newest envelope that was seen of one author in one place.
type Pin struct {
	Seq     uint64           `cbor:"1,keyasint"`
	Hash    crypto.Hash      `cbor:"2,keyasint"`
	Device  crypto.DeviceID  `cbor:"3,keyasint"`
	Locator []byte           `cbor:"4,keyasint,omitempty"` // of a head: where it was found
	Seen    int64            `cbor:"5,keyasint"`           // ns since 1970 UTC, by the reader's clock
	Raw     []byte           `cbor:"6,keyasint"`
	Signer  crypto.PublicKey `cbor:"7,keyasint"` // the data key or the device's
	Extra   canon.Extra      `cbor:"-"`
}

// Mark names the pinned envelope.
func (p *Pin) Mark() Mark { return Mark{p.Seq, p.Hash} }

// SeenAt is when the envelope was first seen here.
func (p *Pin) SeenAt() time.Time { return time.Unix(0, p.Seen) }

// At is where a head was found.
func (p *Pin) At() (l crypto.Locator) {
	copy(l[:], p.Locator)
	return l
}

// a candidate is an envelope that verified and may become the pinned one.
type candidate struct {
	slot
	header crypto.Header
	hash   crypto.Hash
	raw    []byte
	signer crypto.PublicKey
}

// admits checks a candidate against the pinned envelope of its slot.
func (p *Pin) admits(c candidate) error {
	if p == nil || p.Signer != c.signer && c.header.Kind == crypto.KindProfile {
		return nil // a profile of an earlier data key counts no more
	}
	h := &c.header
	switch {
	case h.Seq < p.Seq:
		return fmt.Errorf("%w: number %d, %d is known", ErrStale, h.Seq, p.Seq)
	case h.Seq == p.Seq && c.hash != p.Hash,
		h.PrevSeq == p.Seq && h.PrevHash != p.Hash && h.Device == p.Device && bytes.Equal(h.Locator, p.Locator):
		return &Fork{Kind: h.Kind, Name: c.name, Device: h.Device, Volume: c.volume, Seq: h.Seq, Have: p.Raw, Refused: bytes.Clone(c.raw)}
	}
	return nil
}

// A slot is what one pin is about.
type slot struct {
	name   chain.Name
	letter byte
	device crypto.DeviceID
	volume string
}

func slotOf(h *crypto.Header, volume string) slot {
	s := slot{chain.Name(h.Name), letterOf(h.Kind), h.Device, volume}
	if h.Kind == crypto.KindProfile {
		s.device = crypto.DeviceID{} // of the name, whichever device is its keeper
	}
	return s
}

// letterOf stands for a kind in keys of the database.
func letterOf(k crypto.Kind) byte {
	switch k {
	case crypto.KindProfile:
		return 'p'
	case crypto.KindPulse:
		return 'u'
	}
	return 'h'
}

func (s slot) key(prefix string) []byte {
	b := append(ofName(prefix, s.name), s.letter)
	b = append(b, s.device[:]...)
	return append(b, s.volume...)
}

// ofName is the beginning of the keys of one name.
func ofName(prefix string, n chain.Name) []byte {
	return append(append([]byte(prefix), n...), 0)
}

const (
	keyFacts = "pin/n/"
	keyPin   = "pin/e/"
	keyFork  = "pin/f/"
	keyTold  = "pin/t/"
)

// Profile returns the pin of name's profile, nil if there is none.
func (p *Pins) Profile(name chain.Name) (*Pin, error) {
	return p.pin(slot{name: name, letter: 'p'})
}

// Pulse returns the pin of a pulse, nil if there is none.
func (p *Pins) Pulse(name chain.Name, d crypto.DeviceID) (*Pin, error) {
	return p.pin(slot{name, 'u', d, ""})
}

// Head returns the pin of a device's newest head in a volume, nil if there is
// none. It is also where the head was found the last time.
func (p *Pins) Head(v Volume, name chain.Name, d crypto.DeviceID) (*Pin, error) {
	return p.pin(slot{name, 'h', d, v.Key()})
}

func (p *Pins) pin(s slot) (*Pin, error) {
	var pin Pin
	err := p.db.View(func(tx *badger.Txn) error { return get(tx, s.key(keyPin), &pin) })
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("pin of %s: %w", s.name, err)
	}
	return &pin, nil
}

// Held returns the newest profile that is pinned of a name with the given data
// key, opened again; nil if there is none.
func (p *Pins) Held(w Whose, key crypto.PublicKey) (*Signed[Profile], error) {
	pin, err := p.Profile(w.Name)
	if err != nil || pin == nil {
		return nil, err
	}
	if pin.Signer != key {
		return nil, nil // the name has a new data key since
	}
	return OpenProfile(pin.Raw, w, key, pin)
}

// Opened is a *Signed of any body.
type Opened interface {
	candidate() candidate
}

func (s *Signed[B]) candidate() candidate {
	return candidate{slotOf(&s.Header, s.volume), s.Header, s.Hash, s.Raw, s.signer}
}

func (c candidate) pin(now time.Time) *Pin {
	return &Pin{Seq: c.header.Seq, Hash: c.hash, Device: c.header.Device, Locator: c.header.Locator, Seen: now.UnixNano(), Raw: c.raw, Signer: c.signer}
}

// Advance pins what was opened, all of it or, with an error, nothing; only of more
// than the database takes at once (megabytes) may a beginning be pinned. It must
// return before any of it is shown or acted upon. What is pinned already stays as
// it is, with the time at which it was first seen; a lower number is ErrStale, an
// equal one with another hash a *Fork, which is kept (Forks).
func (p *Pins) Advance(now time.Time, opened ...Opened) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := update(p.db, p.Within(now, opened...))
	if errors.Is(err, badger.ErrTxnTooBig) && len(opened) > 1 {
		// More than the database takes at once: in the order given, so that
		// what stops half-way is only less than could be known.
		for _, o := range opened {
			if err = update(p.db, p.Within(now, o)); err != nil {
				break
			}
		}
	}
	var fork *Fork
	if errors.As(err, &fork) {
		return errors.Join(err, p.keep(fork))
	}
	return err
}

// Within returns Advance as a part of a larger transaction, such as the one in
// which an Outbox keeps what this device has just signed.
func (p *Pins) Within(now time.Time, opened ...Opened) func(*badger.Txn) error {
	return func(tx *badger.Txn) error {
		for _, o := range opened {
			c := o.candidate()
			if err := advanceOne(tx, now, c); err != nil {
				return fmt.Errorf("pin of %s: %w", c.name, err)
			}
		}
		return nil
	}
}

func advanceOne(tx *badger.Txn, now time.Time, c candidate) error {
	if err := current(tx, c); err != nil {
		return err
	}
	key := c.key(keyPin)
	old := new(Pin)
	err := get(tx, key, old)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return set(tx, key, c.pin(now))
	}
	if err != nil {
		return err
	}
	if old.Mark() == (Mark{c.header.Seq, c.hash}) {
		return nil
	}
	if err := old.admits(c); err != nil {
		return err
	}
	return set(tx, key, c.pin(now))
}

// current refuses a profile that a data key signed which is no longer the
// name's: it was opened before the new one was followed.
func current(tx *badger.Txn, c candidate) error {
	if c.header.Kind != crypto.KindProfile {
		return nil
	}
	var f Facts
	err := get(tx, factsKey(c.name), &f)
	if err == nil && f.DataKey != c.signer {
		return fmt.Errorf("%w: profile of an earlier data key", ErrStale)
	}
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil // one's own, before it is registered
	}
	return err
}

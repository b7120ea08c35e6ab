package profile

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"satchel/crypto"
	"satchel/crypto/canon"
)

// An Outbox keeps what this device signed, until every provider has it and after:
// an envelope is durable here before its first byte leaves, and after a crash the
// same bytes are sent. It also remembers the last number and hash that the device
// signed in each place. The database is the caller's and should have SyncWrites set.
//
// A line is all that a device signs of one kind and, for heads, in one volume: the
// letter p, u (pulse) or h, the device id, Volume.Key and a zero byte. Numbers only
// rise along a line, through all locators.
//
// Keys of the database:
//
//	out/e/ line seq                    an envelope, seq in 8 bytes: {1 raw, 2 hash, 3 needs, 32 bytes each}
//	out/a/ line URL                    the number that this provider has acknowledged: 8 bytes
//	out/l/ letter device locator       the last signed there, for Stamp.Prev: [seq, hash]; the locator is zero but for heads
type Outbox struct {
	db *badger.DB
	mu sync.Mutex // one change at a time
}

// NewOutbox returns the outbox in db, which the caller closes afterwards.
func NewOutbox(db *badger.DB) *Outbox { return &Outbox{db: db} }

// An Outgoing is an envelope that leaves, or has left, this device.
type Outgoing struct {
	Header crypto.Header
	Hash   crypto.Hash
	Raw    []byte
	Volume string // Volume.Key of a head

	// Needs are packs that must be at the quorum before a head leaves: its own
	// and those of heads that it superseded before they had left.
	Needs [][32]byte
}

// Key is where o goes under a provider's URL.
func (o *Outgoing) Key() string { return KeyOf(o.Header) }

// Mark names o.
func (o *Outgoing) Mark() Mark { return Mark{o.Header.Seq, o.Hash} }

const (
	keyEnvelope = "out/e/"
	keyAck      = "out/a/"
	keyLast     = "out/l/"
)

func lineOf(k crypto.Kind, d crypto.DeviceID, volume string) []byte {
	b := append([]byte{letterOf(k)}, d[:]...)
	return append(append(b, volume...), 0)
}

func lastKey(k crypto.Kind, d crypto.DeviceID, locator []byte) []byte {
	var l crypto.Locator
	copy(l[:], locator)
	return slices.Concat([]byte(keyLast), []byte{letterOf(k)}, d[:], l[:])
}

// Last returns the last envelope that device d signed of a kind and, for a head,
// with that locator (else nil); the zero Mark if there is none. It is the next
// one's Stamp.Prev.
func (o *Outbox) Last(k crypto.Kind, d crypto.DeviceID, locator []byte) (Mark, error) {
	var m Mark
	err := o.db.View(func(tx *badger.Txn) (err error) {
		m, err = getMark(tx, lastKey(k, d, locator))
		return err
	})
	if err != nil {
		return Mark{}, fmt.Errorf("last %s signed: %w", k, err)
	}
	return m, nil
}

type wireMark struct {
	_    struct{} `cbor:",toarray"`
	Seq  uint64
	Hash crypto.Hash
}

func getMark(tx *badger.Txn, key []byte) (Mark, error) {
	var w wireMark
	err := get(tx, key, &w)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return Mark{}, nil
	}
	return Mark{w.Seq, w.Hash}, err
}

// Newest returns the newest envelope that device d signed of a kind and, for a
// head, in the volume with that Key (else ""); nil if there is none.
func (o *Outbox) Newest(k crypto.Kind, d crypto.DeviceID, volume string) (*Outgoing, error) {
	var newest *Outgoing
	err := o.db.View(func(tx *badger.Txn) error {
		list, err := queue(tx, lineOf(k, d, volume))
		if len(list) > 0 {
			newest = list[len(list)-1]
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("newest %s signed: %w", k, err)
	}
	return newest, nil
}

// Put makes an envelope that this device has just signed durable. Its number must
// be above all others of its line (ErrStale); the very last one again is no error
// and changes nothing. Also, if not nil, makes more of the caller's changes in the
// same transaction; it may run more than once.
//
// Of heads of one volume that have not left, the oldest at the same locator stays,
// so that a device which never stops writing does publish; the others are dropped.
// What they needed becomes a need of the new one.
func (o *Outbox) Put(s Opened, needs [][32]byte, also func(*badger.Txn) error) error {
	c := s.candidate()
	o.mu.Lock()
	defer o.mu.Unlock()
	err := update(o.db, func(tx *badger.Txn) error {
		if err := put(tx, c, needs); err != nil || also == nil {
			return err
		}
		return also(tx)
	})
	if err != nil {
		return fmt.Errorf("keep %s %d: %w", c.header.Kind, c.header.Seq, err)
	}
	return nil
}

func put(tx *badger.Txn, c candidate, needs [][32]byte) error {
	h := &c.header
	line := lineOf(h.Kind, h.Device, c.volume)
	old, err := queue(tx, line)
	if err != nil {
		return err
	}
	if n := len(old); n > 0 {
		switch newest := old[n-1]; {
		case newest.Mark() == Mark{h.Seq, c.hash}:
			return nil
		case newest.Header.Seq >= h.Seq:
			return fmt.Errorf("%w: %d was signed before", ErrStale, newest.Header.Seq)
		}
	}
	if needs, err = supersede(tx, line, old, h.Locator, needs); err != nil {
		return err
	}
	w := wireOutgoing{Raw: c.raw, Hash: c.hash, Needs: join(needs)}
	if err := set(tx, envelopeKey(line, h.Seq), w); err != nil {
		return err
	}
	return set(tx, lastKey(h.Kind, h.Device, h.Locator), wireMark{Seq: h.Seq, Hash: c.hash})
}

// supersede drops the envelopes of a line that a new one with that locator makes
// superfluous, and returns needs with those of all that have not left.
func supersede(tx *badger.Txn, line []byte, old []*Outgoing, locator []byte, needs [][32]byte) ([][32]byte, error) {
	acks, err := acksOf(tx, line)
	if err != nil {
		return nil, err
	}
	left := uint64(0)
	for _, seq := range acks {
		left = max(left, seq)
	}
	needs = slices.Clone(needs)
	kept := false
	for _, out := range old {
		if out.Header.Seq <= left {
			continue
		}
		needs = append(needs, out.Needs...)
		if !kept && slices.Equal(out.Header.Locator, locator) {
			kept = true
			continue
		}
		if err := tx.Delete(envelopeKey(line, out.Header.Seq)); err != nil {
			return nil, err
		}
	}
	return needs, nil
}

// A Pending is an envelope that some provider doesn't have.
type Pending struct {
	Outgoing
	Missing []string // URLs, in the order asked
}

// Pending lists what the providers with these URLs have not acknowledged, each
// line's in ascending order: the newest of a line whose needs are met is the one
// to send.
func (o *Outbox) Pending(urls []string) ([]Pending, error) {
	var list []Pending
	err := o.db.View(func(tx *badger.Txn) error {
		all, err := queue(tx, nil)
		for _, out := range all {
			if err != nil {
				return err
			}
			var acks map[string]uint64
			acks, err = acksOf(tx, lineOf(out.Header.Kind, out.Header.Device, out.Volume))
			p := Pending{Outgoing: *out}
			for _, u := range urls {
				if acks[u] < out.Header.Seq {
					p.Missing = append(p.Missing, u)
				}
			}
			if len(p.Missing) > 0 {
				list = append(list, p)
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	return list, nil
}

// Ack notes that the provider has stored an envelope, and drops older ones of its
// line. The newest of each line stays, for providers that come later.
func (o *Outbox) Ack(out *Outgoing, url string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := update(o.db, func(tx *badger.Txn) error { return ack(tx, out, url) })
	if err != nil {
		return fmt.Errorf("acknowledge %s %d: %w", out.Header.Kind, out.Header.Seq, err)
	}
	return nil
}

func ack(tx *badger.Txn, out *Outgoing, url string) error {
	line := lineOf(out.Header.Kind, out.Header.Device, out.Volume)
	acks, err := acksOf(tx, line)
	if err != nil || acks[url] >= out.Header.Seq {
		return err
	}
	if err := tx.Set(slices.Concat([]byte(keyAck), line, []byte(url)), big(out.Header.Seq)); err != nil {
		return err
	}
	old, err := queue(tx, line)
	for _, o := range old {
		if err == nil && o.Header.Seq < out.Header.Seq {
			err = tx.Delete(envelopeKey(line, o.Header.Seq))
		}
	}
	return err
}

// Forget drops all acknowledgements of a provider, so that everything newest is
// pending there again.
func (o *Outbox) Forget(url string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := update(o.db, func(tx *badger.Txn) error {
		return each(tx, []byte(keyAck), func(rest []byte, _ *badger.Item) error {
			if _, of, err := cutLine(rest); err != nil || string(of) != url {
				return err
			}
			return tx.Delete(slices.Concat([]byte(keyAck), rest))
		})
	})
	if err != nil {
		return fmt.Errorf("forget what %s acknowledged: %w", url, err)
	}
	return nil
}

// CheckOwn compares an envelope of this very device, opened from a provider's copy,
// with the record of what it signed. ErrCopied means that it signed one that it
// doesn't know: this state is a restored backup or a copy of a disk.
func (o *Outbox) CheckOwn(s Opened) error {
	c := s.candidate()
	m, err := o.Last(c.header.Kind, c.header.Device, c.header.Locator)
	if err != nil {
		return err
	}
	if c.header.Seq > m.Seq || c.header.Seq == m.Seq && c.hash != m.Hash {
		return fmt.Errorf("own %s %d: %w", c.header.Kind, c.header.Seq, ErrCopied)
	}
	return nil
}

type wireOutgoing struct {
	Raw   []byte      `cbor:"1,keyasint"`
	Hash  crypto.Hash `cbor:"2,keyasint"`
	Needs []byte      `cbor:"3,keyasint,omitempty"`
	Extra canon.Extra `cbor:"-"`
}

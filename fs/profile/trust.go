package profile

import (
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"satchel/chain"
	"satchel/crypto"
	"satchel/crypto/canon"
)

func factsKey(n chain.Name) []byte { return append([]byte(keyFacts), n...) }

// A Verdict says what Check found of a name that is not stopped.
type Verdict struct {
	First    bool  // nothing was pinned before
	Followed bool  // the owner changed the data key; say so
	Old      Facts // what was pinned before, if Followed
}

// Facts returns what is pinned of a name, nil if nothing is.
func (p *Pins) Facts(name chain.Name) (*Facts, error) {
	f := new(Facts)
	err := p.db.View(func(tx *badger.Txn) error { return get(tx, factsKey(name), f) })
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("pinned facts of %s: %w", name, err)
	}
	return f, nil
}

// Check compares what the chain says now with what is pinned. Facts that were
// never seen are pinned; a new data key of the same owner and registration is
// followed. A name that is revoked, expired or has another owner, registration or
// network is stopped (*Changed) until Trust, and nothing is pinned. ErrNoKey says
// that the owner is the same and names no data key.
func (p *Pins) Check(name chain.Name, now Facts) (Verdict, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old, err := p.Facts(name)
	if err != nil {
		return Verdict{}, err
	}
	switch {
	case now.Revoked || now.Expired || old != nil && !old.same(now):
		return Verdict{}, &Changed{Name: name, Pinned: old, Now: now}
	case now.DataKey == crypto.PublicKey{}:
		return Verdict{}, fmt.Errorf("%s: %w", name, ErrNoKey)
	case old != nil && old.DataKey == now.DataKey:
		return Verdict{}, nil
	}
	if err := update(p.db, func(tx *badger.Txn) error { return set(tx, factsKey(name), now) }); err != nil {
		return Verdict{}, fmt.Errorf("pin %s: %w", name, err)
	}
	if old == nil {
		return Verdict{First: true}, nil
	}
	return Verdict{Followed: true, Old: *old}, nil
}

// Trust pins facts that the user has seen and agreed to. If the name changed
// hands since, everything that is pinned of its earlier owner is forgotten.
func (p *Pins) Trust(name chain.Name, now Facts) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Revoked || now.Expired {
		return &Changed{Name: name, Now: now}
	}
	if (now.DataKey == crypto.PublicKey{}) {
		return fmt.Errorf("%s: %w", name, ErrNoKey)
	}
	old, err := p.Facts(name)
	if err != nil {
		return err
	}
	err = update(p.db, func(tx *badger.Txn) error {
		if old == nil || !old.same(now) {
			if err := forget(tx, name); err != nil {
				return err
			}
		}
		return set(tx, factsKey(name), now)
	})
	if err != nil {
		return fmt.Errorf("trust %s: %w", name, err)
	}
	return nil
}

// forget removes what is pinned of a name.
func forget(tx *badger.Txn, name chain.Name) error {
	for _, prefix := range []string{keyPin, keyFork, keyTold} {
		of := ofName(prefix, name)
		err := each(tx, of, func(rest []byte, _ *badger.Item) error {
			return tx.Delete(append(of[:len(of):len(of)], rest...))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

type wireFork struct {
	Kind    crypto.Kind     `cbor:"1,keyasint"`
	Name    chain.Name      `cbor:"2,keyasint"`
	Device  crypto.DeviceID `cbor:"3,keyasint"`
	Volume  string          `cbor:"4,keyasint,omitempty"`
	Seq     uint64          `cbor:"5,keyasint"`
	Have    []byte          `cbor:"6,keyasint"`
	Refused []byte          `cbor:"7,keyasint"`
	Extra   canon.Extra     `cbor:"-"`
}

// Keep keeps a fork that an Open function found, with both envelopes, for the
// report. The first one of an author in a place stays.
func (p *Pins) Keep(f *Fork) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keep(f)
}

func (p *Pins) keep(f *Fork) error {
	h := crypto.Header{Kind: f.Kind, Name: string(f.Name), Device: f.Device}
	key := slotOf(&h, f.Volume).key(keyFork)
	err := update(p.db, func(tx *badger.Txn) error {
		if _, err := tx.Get(key); !errors.Is(err, badger.ErrKeyNotFound) {
			return err
		}
		return set(tx, key, wireFork{Kind: f.Kind, Name: f.Name, Device: f.Device, Volume: f.Volume, Seq: f.Seq, Have: f.Have, Refused: f.Refused})
	})
	if err != nil {
		return fmt.Errorf("keep the fork of %s: %w", f.Name, err)
	}
	return nil
}

// Forks returns the forks that were kept.
func (p *Pins) Forks() ([]*Fork, error) {
	var list []*Fork
	err := p.db.View(func(tx *badger.Txn) error {
		return each(tx, []byte(keyFork), func(_ []byte, item *badger.Item) error {
			var w wireFork
			err := item.Value(func(b []byte) error { return canon.Unmarshal(b, &w) })
			list = append(list, &Fork{Kind: w.Kind, Name: w.Name, Device: w.Device, Volume: w.Volume, Seq: w.Seq, Have: w.Have, Refused: w.Refused})
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("forks: %w", err)
	}
	return list, nil
}

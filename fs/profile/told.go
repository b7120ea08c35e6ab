package profile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"satchel/chain"
	"satchel/crypto"
)

// KeepTold keeps the group secrets that a head of teller's device tells the
// reader (Head.Taken), so that heads in those groups can be found without opening
// the pair volume again. They replace what that device told before: every head
// tells all.
func (p *Pins) KeepTold(teller chain.Name, d crypto.DeviceID, tells []Tell) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := append(ofName(keyTold, teller), d[:]...)
	err := update(p.db, func(tx *badger.Txn) error {
		err := each(tx, of, func(rest []byte, _ *badger.Item) error {
			return tx.Delete(slices.Concat(of, rest))
		})
		for _, t := range tells {
			if err == nil {
				err = tx.Set(slices.Concat(of, []byte(t.Group.Key()), big(t.Gen)), t.Secret[:])
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("group secrets of %s: %w", teller, err)
	}
	return nil
}

// Told returns the group secrets that teller's devices told, for a Finder.
func (p *Pins) Told(teller chain.Name) ([]Tell, error) {
	var list []Tell
	err := p.db.View(func(tx *badger.Txn) error {
		return each(tx, ofName(keyTold, teller), func(rest []byte, item *badger.Item) error {
			t, err := parseTold(rest, item)
			if err == nil && !slices.ContainsFunc(list, func(u Tell) bool { return u.Secret == t.Secret && u.Group.Equal(t.Group) }) {
				list = append(list, t)
			}
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("group secrets of %s: %w", teller, err)
	}
	return list, nil
}

// parseTold reads a group secret; rest is device, volume and generation.
func parseTold(rest []byte, item *badger.Item) (t Tell, err error) {
	const device = len(crypto.DeviceID{})
	if len(rest) < device+8 {
		return t, errors.New("damaged key")
	}
	if t.Group, err = ParseKey(string(rest[device : len(rest)-8])); err != nil {
		return t, err
	}
	t.Gen = binary.BigEndian.Uint64(rest[len(rest)-8:])
	err = item.Value(func(b []byte) error {
		if copy(t.Secret[:], b) != len(t.Secret) {
			return errors.New("damaged secret")
		}
		return nil
	})
	return t, err
}

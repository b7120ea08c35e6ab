package profile

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/dgraph-io/badger/v4"

	"satchel/crypto/canon"
)

// update runs f in a transaction, again if a concurrent one came between.
func update(db *badger.DB, f func(tx *badger.Txn) error) error {
	for try := 0; ; try++ {
		err := db.Update(f)
		if try == maxTries || !errors.Is(err, badger.ErrConflict) {
			return err
		}
	}
}

const maxTries = 10

// get reads a canonical value; badger.ErrKeyNotFound if there is none.
func get(tx *badger.Txn, key []byte, v any) error {
	item, err := tx.Get(key)
	if err != nil {
		return err
	}
	return item.Value(func(b []byte) error { return canon.Unmarshal(bytes.Clone(b), v) })
}

func set(tx *badger.Txn, key []byte, v any) error {
	b, err := canon.Marshal(v)
	if err != nil {
		return err
	}
	return tx.Set(key, b)
}

// each calls f for every pair whose key begins with prefix; rest is the rest of
// the key.
func each(tx *badger.Txn, prefix []byte, f func(rest []byte, item *badger.Item) error) error {
	it := tx.NewIterator(badger.IteratorOptions{Prefix: prefix})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		if err := f(bytes.Clone(item.Key()[len(prefix):]), item); err != nil {
			return err
		}
	}
	return nil
}

func big(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

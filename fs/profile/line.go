package profile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"satchel/crypto"
	"satchel/crypto/canon"
)

var errDamaged = errors.New("damaged record in the state database")

// cutLine splits a key behind its prefix into line and rest.
func cutLine(key []byte) (line, rest []byte, err error) {
	const fixed = 1 + len(crypto.DeviceID{})
	if len(key) > fixed {
		if i := bytes.IndexByte(key[fixed:], 0); i >= 0 {
			return key[:fixed+i+1], key[fixed+i+1:], nil
		}
	}
	return nil, nil, errDamaged
}

func envelopeKey(line []byte, seq uint64) []byte {
	return slices.Concat([]byte(keyEnvelope), line, big(seq))
}

// queue returns the envelopes of a line, or of all (nil), in ascending order.
func queue(tx *badger.Txn, line []byte) ([]*Outgoing, error) {
	var list []*Outgoing
	prefix := slices.Concat([]byte(keyEnvelope), line)
	err := each(tx, prefix, func(rest []byte, item *badger.Item) error {
		line, _, err := cutLine(slices.Concat(line, rest))
		if err != nil {
			return err
		}
		out, err := parseOutgoing(line, item)
		list = append(list, out)
		return err
	})
	return list, err
}

func parseOutgoing(line []byte, item *badger.Item) (*Outgoing, error) {
	var w wireOutgoing
	if err := item.Value(func(b []byte) error { return canon.Unmarshal(bytes.Clone(b), &w) }); err != nil {
		return nil, err
	}
	e, err := crypto.ParseEnvelope(w.Raw)
	if err != nil {
		return nil, err
	}
	if e.Hash() != w.Hash || len(w.Needs)%32 != 0 {
		return nil, errDamaged
	}
	out := &Outgoing{Header: e.Header, Hash: w.Hash, Raw: w.Raw, Volume: string(line[1+len(crypto.DeviceID{}) : len(line)-1])}
	for n := range slices.Chunk(w.Needs, 32) {
		out.Needs = append(out.Needs, [32]byte(n))
	}
	return out, nil
}

// acksOf returns the number that each provider has acknowledged in a line.
func acksOf(tx *badger.Txn, line []byte) (map[string]uint64, error) {
	acks := make(map[string]uint64)
	err := each(tx, slices.Concat([]byte(keyAck), line), func(url []byte, item *badger.Item) error {
		return item.Value(func(b []byte) error {
			if len(b) != 8 {
				return fmt.Errorf("%w: acknowledgement of %d bytes", errDamaged, len(b))
			}
			acks[string(url)] = binary.BigEndian.Uint64(b)
			return nil
		})
	})
	return acks, err
}

// join returns packs one behind the other, each once.
func join(packs [][32]byte) (b []byte) {
	seen := make(map[[32]byte]bool, len(packs))
	for _, p := range packs {
		if !seen[p] {
			seen[p] = true
			b = append(b, p[:]...)
		}
	}
	return b
}

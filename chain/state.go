package chain

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/dgraph-io/badger/v4"
	"github.com/fxamacker/cbor/v2"

	"satchel/chain/ops"
)

// entry is all that is stored about a name. It is never removed but by a
// reorganisation; one that has expired stays.
type entry struct {
	Name            string         `cbor:"0,keyasint"`
	Value           []byte         `cbor:"1,keyasint"` // 20 bytes or none
	Owner           []byte         `cbor:"2,keyasint"` // script
	OwnerKey        []byte         `cbor:"3,keyasint"` // of whoever registered or imported it, until a transfer
	Address         string         `cbor:"4,keyasint"` // of Owner
	BlockNumber     int            `cbor:"5,keyasint"`
	Preordered      int            `cbor:"6,keyasint"` // height
	FirstRegistered int            `cbor:"7,keyasint"`
	LastRenewed     int            `cbor:"8,keyasint"`
	Revoked         bool           `cbor:"9,keyasint"`
	Op              string         `cbor:"10,keyasint"`
	Txid            chainhash.Hash `cbor:"11,keyasint"`
	Index           int            `cbor:"12,keyasint"`
	Fee             string         `cbor:"13,keyasint"` // as hashed: some are written as floats
	Importer        []byte         `cbor:"14,keyasint"` // script
	ImporterAddress string         `cbor:"15,keyasint"`
	PreorderHash    [20]byte       `cbor:"16,keyasint"`
	Consensus       []byte         `cbor:"17,keyasint"` // 16 bytes that the last update quoted, or none
}

// namespace is all that is stored about a namespace.
type namespace struct {
	ID           string         `cbor:"0,keyasint"`
	PreorderHash [20]byte       `cbor:"1,keyasint"`
	Version      int            `cbor:"2,keyasint"`
	Sender       []byte         `cbor:"3,keyasint"` // script of the preorderer; of the revealer once ready
	SenderKey    []byte         `cbor:"4,keyasint"` // of the preorderer
	Address      string         `cbor:"5,keyasint"` // of the preorderer
	Revealer     []byte         `cbor:"6,keyasint"` // script
	RevealerAddr string         `cbor:"7,keyasint"`
	BlockNumber  int            `cbor:"8,keyasint"`
	Revealed     int            `cbor:"9,keyasint"`  // height
	Ready        int            `cbor:"10,keyasint"` // height; 0 not yet
	Op           byte           `cbor:"11,keyasint"` // '&', '!'
	Txid         chainhash.Hash `cbor:"12,keyasint"`
	Index        int            `cbor:"13,keyasint"`
	Lifetime     uint32         `cbor:"14,keyasint"`
	Coefficient  byte           `cbor:"15,keyasint"`
	Base         byte           `cbor:"16,keyasint"`
	Buckets      [16]byte       `cbor:"17,keyasint"`
	NonAlpha     byte           `cbor:"18,keyasint"`
	NoVowel      byte           `cbor:"19,keyasint"`
	ImportKey    []byte         `cbor:"20,keyasint"` // its children may import; none before the first import
}

// preorder is a name or namespace that somebody has preordered.
type preorder struct {
	Hash      [20]byte       `cbor:"0,keyasint"`
	Kind      byte           `cbor:"1,keyasint"` // '?', '*'
	Consensus [16]byte       `cbor:"2,keyasint"`
	Sender    []byte         `cbor:"3,keyasint"`
	SenderKey []byte         `cbor:"4,keyasint"`
	Address   string         `cbor:"5,keyasint"` // of Sender
	Height    int            `cbor:"6,keyasint"`
	Fee       int64          `cbor:"7,keyasint"`
	Txid      chainhash.Hash `cbor:"8,keyasint"`
	Index     int            `cbor:"9,keyasint"`
}

// The first byte of each key in the index.
const (
	keyMeta       = 'm' //                               → meta
	keyTip        = 't' //                               → tip
	keyBlock      = 'b' // height (4)                    → header (80), from FirstBlock on consensus hash (16), ops hash (32)
	keyUndo       = 'u' // height (4), running number (4) → what a key was before the block
	keyName       = 'n' // name                          → entry
	keyNamespace  = 's' // id                            → namespace
	keyPreorder   = 'p' // kind (1), hash (20)           → preorder
	keyOwner      = 'o' // ownerHash (16), name          → nothing
	keyHash128    = 'x' // hash128 (16)                  → name
	keyCreatedBy  = 'c' // kind (1), preorder hash (20)  → name or namespace id
	keyValueHash  = 'v' // value hash (20), name         → nothing
	undoWasAbsent = 0
	undoHadValue  = 1
)

// state is the table as the rules see it: that of the last block, which a
// transaction reads, and over it what the block has changed so far, which
// flush writes. The first error stays; everything after it reads nothing, and
// the block is not committed.
type state struct {
	txn     *badger.Txn
	height  int // of the block being applied
	over    map[string]*change
	owners  map[string][]string // keys of kind keyOwner in over, by ownerHash
	changed map[Name]bool
	err     error
}

// change is what a block makes of a key; nil is an absent value.
type change struct{ old, new []byte }

func newState(txn *badger.Txn, height int) *state {
	return &state{
		txn: txn, height: height,
		over:    make(map[string]*change),
		owners:  make(map[string][]string),
		changed: make(map[Name]bool),
	}
}

func (s *state) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// bytes returns the value of a key, nil if it has none.
func (s *state) bytes(key []byte) []byte {
	if c := s.over[string(key)]; c != nil {
		return c.new
	}
	if s.err != nil {
		return nil
	}
	item, err := s.txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil
	}
	b := []byte{}
	if err == nil {
		b, err = item.ValueCopy(b)
	}
	if err != nil {
		s.fail(fmt.Errorf("index: %w", err))
		return nil
	}
	return b
}

// set gives a key a value; nil deletes it.
func (s *state) set(key, value []byte) {
	c := s.over[string(key)]
	if c == nil {
		c = &change{old: s.bytes(key)}
		s.over[string(key)] = c
		if key[0] == keyOwner {
			owner := string(key[1 : 1+ownerHashLen])
			s.owners[owner] = append(s.owners[owner], string(key))
		}
	}
	c.new = value
}

// flush writes what the block changed, and how to undo it.
func (s *state) flush() {
	n := uint32(0)
	for _, k := range slices.Sorted(maps.Keys(s.over)) {
		c := s.over[k]
		if (c.old == nil) == (c.new == nil) && bytes.Equal(c.old, c.new) {
			continue
		}
		s.raw(undoKey(s.height, n), undoValue([]byte(k), c.old))
		s.raw([]byte(k), c.new)
		n++
	}
}

func undoKey(height int, n uint32) []byte {
	return binary.BigEndian.AppendUint32(heightKey(keyUndo, height), n)
}

// undoValue is the key's length (1 byte), the key, a flag, the old value.
func undoValue(key, old []byte) []byte {
	b := append([]byte{byte(len(key))}, key...)
	if old == nil {
		return append(b, undoWasAbsent)
	}
	return append(append(b, undoHadValue), old...)
}

func parseUndo(b []byte) (key, old []byte, err error) {
	if len(b) < 1 || len(b) < 2+int(b[0]) {
		return nil, nil, errors.New("index: undo record is damaged")
	}
	key, b = b[1:1+b[0]], b[1+b[0]:]
	if b[0] == undoHadValue {
		old = append([]byte{}, b[1:]...)
	}
	return key, old, nil
}

func heightKey(kind byte, height int) []byte {
	return binary.BigEndian.AppendUint32([]byte{kind}, uint32(height))
}

func key(kind byte, parts ...string) []byte {
	b := []byte{kind}
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// each calls fn with what follows the prefix in each key of the last block's
// table that has it, in order.
func (s *state) each(prefix []byte, fn func(rest string)) {
	if s.err != nil {
		return
	}
	it := s.txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		fn(string(it.Item().Key()[len(prefix):]))
	}
}

// load decodes the value of a key into v; false if it has none.
func (s *state) load(key []byte, v any) bool {
	b := s.bytes(key)
	if b == nil {
		return false
	}
	if err := cbor.Unmarshal(b, v); err != nil {
		s.fail(fmt.Errorf("index: key %q: %w", key, err))
		return false
	}
	return true
}

func (s *state) store(key []byte, v any) {
	b, err := cbor.Marshal(v)
	if err != nil {
		s.fail(fmt.Errorf("index: %w", err))
		return
	}
	s.set(key, b)
}

// name returns a name's entry, nil if it has none.
func (s *state) name(n string) *entry {
	var e entry
	if !s.load(key(keyName, n), &e) {
		return nil
	}
	return &e
}

// putName writes an entry and all that it is found by.
func (s *state) putName(e *entry) {
	old := s.name(e.Name)
	if old == nil {
		h := ops.Hash128(e.Name)
		s.set(key(keyHash128, string(h[:])), []byte(e.Name))
		old = new(entry)
	}
	if string(old.Owner) != string(e.Owner) {
		if old.Owner != nil {
			s.set(ownerKey(old), nil)
		}
		s.set(ownerKey(e), []byte{})
	}
	if string(old.Value) != string(e.Value) {
		if len(old.Value) > 0 {
			s.set(key(keyValueHash, string(old.Value), e.Name), nil)
		}
		if len(e.Value) > 0 {
			s.set(key(keyValueHash, string(e.Value), e.Name), []byte{})
		}
	}
	if old.PreorderHash != e.PreorderHash {
		s.set(key(keyCreatedBy, "?", string(e.PreorderHash[:])), []byte(e.Name))
	}
	s.store(key(keyName, e.Name), e)
	s.changed[Name(e.Name)] = true
}

func ownerKey(e *entry) []byte { return key(keyOwner, ownerHash(e.Owner), e.Name) }

// ownerHash stands for a script in keys; its length is ownerHashLen.
func ownerHash(script []byte) string {
	h := sha256.Sum256(script)
	return string(h[:ownerHashLen])
}

const ownerHashLen = 16

// namesOf returns the entries of every name that a script owns, in order,
// expired and revoked ones too.
func (s *state) namesOf(owner []byte) (names []*entry) {
	hash := ownerHash(owner)
	found := make(map[string]bool)
	s.each(key(keyOwner, hash), func(n string) { found[n] = true })
	for _, k := range s.owners[hash] {
		found[k[1+ownerHashLen:]] = s.over[k].new != nil
	}
	for _, n := range slices.Sorted(maps.Keys(found)) {
		if e := s.name(n); found[n] && e != nil {
			names = append(names, e)
		}
	}
	return names
}

// nameByHash128 returns the entry of the name with that hash, nil if none.
func (s *state) nameByHash128(h [16]byte) *entry {
	n := s.bytes(key(keyHash128, string(h[:])))
	if n == nil {
		return nil
	}
	return s.name(string(n))
}

func (s *state) namespace(id string) *namespace {
	var ns namespace
	if !s.load(key(keyNamespace, id), &ns) {
		return nil
	}
	return &ns
}

func (s *state) putNamespace(ns *namespace) {
	s.store(key(keyNamespace, ns.ID), ns)
	s.set(key(keyCreatedBy, "*", string(ns.PreorderHash[:])), []byte(ns.ID))
}

func preorderKey(kind byte, hash [20]byte) []byte {
	return key(keyPreorder, string(kind), string(hash[:]))
}

func (s *state) preorder(kind byte, hash [20]byte) *preorder {
	var p preorder
	if !s.load(preorderKey(kind, hash), &p) {
		return nil
	}
	return &p
}

func (s *state) putPreorder(p *preorder) { s.store(preorderKey(p.Kind, p.Hash), p) }

func (s *state) dropPreorder(p *preorder) { s.set(preorderKey(p.Kind, p.Hash), nil) }

// consensus returns the consensus hash of a height at or above FirstBlock.
func (s *state) consensus(height int) (c [16]byte) {
	row := s.bytes(heightKey(keyBlock, height))
	if s.err == nil && len(row) != blockRow {
		s.fail(fmt.Errorf("index: no consensus hash at height %d", height))
	}
	if s.err == nil {
		c = [16]byte(row[headerRow:])
	}
	return c
}

// Lengths of the rows of blocks: below FirstBlock, and from there on.
const (
	headerRow = 80
	blockRow  = headerRow + 16 + 32
)

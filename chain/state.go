package chain

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/dgraph-io/badger/v4"
)

// entry is all that is stored about a name. It is never removed but by a
// reorganisation; one that has expired stays.
type entry struct {
	Name            string
	Value           []byte // 20 bytes or none
	Owner           []byte // script
	OwnerKey        []byte // of whoever registered or imported it, until a transfer
	Address         string // of Owner
	BlockNumber     int
	Preordered      int // height
	FirstRegistered int
	LastRenewed     int
	Revoked         bool
	Op              string
	Txid            chainhash.Hash
	Height, Index   int    // of the last operation
	Fee             string // as hashed: some are written as floats
	Importer        []byte // script
	ImporterAddress string
	PreorderHash    [20]byte
	Consensus       []byte // 16 bytes that the last update quoted, or none
}

// namespace is all that is stored about a namespace.
type namespace struct {
	ID           string
	PreorderHash [20]byte
	Version      int
	Sender       []byte // script of the preorderer; of the revealer once ready
	SenderKey    []byte // of the preorderer
	Address      string // of the preorderer
	Revealer     []byte // script
	RevealerAddr string
	BlockNumber  int
	Revealed     int  // height
	Ready        int  // height; 0 not yet
	Op           byte // '&', '!'
	Txid         chainhash.Hash
	Height       int // of the last operation
	Index        int
	Lifetime     uint32
	Coefficient  byte
	Base         byte
	Buckets      [16]byte
	NonAlpha     byte
	NoVowel      byte
	ImportKey    []byte // its children may import; none before the first import
}

// preorder is a name or namespace that somebody has preordered.
type preorder struct {
	Hash      [20]byte
	Kind      byte // '?', '*'
	Consensus [16]byte
	Sender    []byte
	SenderKey []byte
	Address   string // of Sender
	Height    int
	Fee       int64
	Txid      chainhash.Hash
	Index     int
}

// The first byte of each key in the index.
const (
	keyMeta      = 'm' //                                        → meta
	keyTip       = 't' //                                        → tip
	keyBlock     = 'b' // height (4)                             → header (80), from FirstBlock on consensus hash (16), ops hash (32)
	keyUndo      = 'u' // height (4), running number (4)         → what keys were before the block
	keyName      = 'n' // namespace id, '.', label, '.'          → entry
	keyNamespace = 's' // id                                     → namespace
	keyPreorder  = 'p' // kind (1), hash (20)                    → preorderRow
	keyOwner     = 'o' // ownerHash (16), running number (4)     → names
	keyValueHash = 'v' // value hash (20), name                  → nothing
	keyOps       = 'h' // height (4), index of the last one (4)  → accepted operations
	keyConsensus = 'k' // consensus hash (16)                    → height (4)
)

// state is the table as the rules see it: that of the last block, which a
// transaction reads, and over it what this block, and those before it in the
// same transaction, have changed so far, which flush writes. The first error
// stays; everything after it reads nothing, and the blocks are not committed.
type state struct {
	txn    *badger.Txn
	height int // of the block being applied
	err    error

	over   map[string]*cell      // nil if nothing is written
	spaces map[string]*namespace // as they are now; nil for none
	hashes *hashCache            // nil if there is none
	rows   int                   // to be written
	size   int                   // of them, about
	held   int                   // bytes of memory that over takes, about

	// Of the block being applied:
	changed map[Name]bool
	before  map[int]place // by index of an operation: that of the subject's last one
	undoing bool          // undo is kept
	undo    []oldValue
}

// cell is a key's value as of now; nil is an absent value.
type cell struct {
	value   []byte
	dirty   bool // must be written
	absent  bool // in the database
	changed int  // height of the last block that changed it and keeps undo
}

// cellSize is about what a cell takes besides its key and value.
const cellSize = 150

// oldValue is what a key was before a block.
type oldValue struct {
	key  string
	was  []byte
	cell *cell
}

func newState(txn *badger.Txn, hashes *hashCache) *state {
	return &state{txn: txn, hashes: hashes, over: make(map[string]*cell), spaces: make(map[string]*namespace)}
}

// above returns a state that reads what s has, and leaves to s to write what it
// changed: txn was begun before the transaction of s was committed.
func (s *state) above(txn *badger.Txn) *state {
	next := newState(txn, s.hashes)
	next.spaces = s.spaces
	for k, c := range s.over {
		if c.dirty {
			next.over[k] = &cell{value: c.value, absent: c.value == nil}
		}
	}
	return next
}

// begin turns to the next block.
func (s *state) begin(height int, undoing bool) {
	s.height, s.undoing, s.undo = height, undoing, nil
	s.changed, s.before = make(map[Name]bool), make(map[int]place)
}

func (s *state) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// bytes returns the value of a key, nil if it has none. It must not be changed.
func (s *state) bytes(key []byte) []byte { return s.get(key, true) }

// get is bytes, and keeps what it read from the database in memory or not.
func (s *state) get(key []byte, keep bool) []byte {
	if c := s.over[string(key)]; c != nil {
		return c.value
	}
	if s.err != nil {
		return nil
	}
	item, err := s.txn.Get(key)
	var b []byte
	if err == nil {
		b, err = item.ValueCopy([]byte{})
	}
	if err != nil && !errors.Is(err, badger.ErrKeyNotFound) {
		s.fail(fmt.Errorf("index: %w", err))
		return nil
	}
	if s.over != nil && keep {
		s.over[string(key)] = &cell{value: b, absent: err != nil}
		s.held += cellSize + len(key) + len(b)
	}
	return b
}

// set gives a key a value; nil deletes it.
func (s *state) set(key, value []byte) {
	c := s.over[string(key)]
	if c == nil && s.undoing {
		s.bytes(key)
		c = s.over[string(key)]
	}
	if c == nil {
		c = new(cell)
		s.over[string(key)] = c
	}
	if s.undoing && c.changed != s.height {
		s.undo = append(s.undo, oldValue{string(key), c.value, c})
		c.changed = s.height
	}
	if !c.dirty {
		c.dirty = true
		s.rows++
		s.size += len(key)
	}
	s.size += len(value)
	c.value = value
}

// flush writes what was changed.
func (s *state) flush() {
	for k, c := range s.over {
		if c.dirty && !(c.absent && c.value == nil) {
			s.write([]byte(k), c.value)
		}
	}
}

// raw writes a key, or deletes it if value is nil, past the undo and the state:
// it is not read again in the same transaction.
func (s *state) raw(key, value []byte) {
	s.rows++
	s.size += len(key) + len(value)
	s.write(key, value)
}

func (s *state) write(key, value []byte) {
	switch {
	case s.err != nil:
	case value == nil:
		s.err = s.txn.Delete(key)
	default:
		s.err = s.txn.Set(key, value)
	}
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
// table that has it, in order, from the given rest on, until it returns false.
func (s *state) each(prefix []byte, from string, fn func(rest string) bool) {
	if s.err != nil {
		return
	}
	it := s.txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
	defer it.Close()
	for it.Seek(slices.Concat(prefix, []byte(from))); it.Valid(); it.Next() {
		if !fn(string(it.Item().Key()[len(prefix):])) {
			return
		}
	}
}

// damaged notes that a row can't be read.
func (s *state) damaged(what string, err error) {
	if err != nil {
		s.fail(fmt.Errorf("%s: %w", what, err))
	}
}

// nameKey sorts by namespace, then as names do.
func nameKey(n string) []byte {
	label, ns, _ := strings.Cut(n, ".")
	return key(keyName, ns, ".", label, ".")
}

// nameOfKey is nameKey's inverse, for what follows the key's kind.
func nameOfKey(rest string) Name {
	ns, label, _ := strings.Cut(strings.TrimSuffix(rest, "."), ".")
	return Name(label + "." + ns)
}

// name returns a name's entry, nil if it has none.
func (s *state) name(n string) *entry { return s.entry(n, true) }

// nameOnce is name for an entry that is not likely to be asked for again.
func (s *state) nameOnce(n string) *entry { return s.entry(n, false) }

func (s *state) entry(n string, keep bool) *entry {
	b := s.get(nameKey(n), keep)
	if b == nil {
		return nil
	}
	e, err := parseEntry(n, b)
	if err != nil {
		s.damaged("name "+n, err)
		return nil
	}
	return e
}

// putName writes an entry and all that it is found by, and returns the script that
// was its owner.
func (s *state) putName(e *entry) (was []byte) {
	old := s.name(e.Name)
	if old == nil {
		old = new(entry)
	}
	s.before[e.Index] = old.place()
	e.Height = s.height
	if string(old.Owner) != string(e.Owner) {
		if old.Owner != nil {
			s.disown(old)
		}
		s.own(e)
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
		s.putMade('?', e.PreorderHash, e.Name)
	}
	s.set(nameKey(e.Name), e.row())
	s.changed[Name(e.Name)] = true
	return old.Owner
}

func (e *entry) place() place { return place{e.Height, e.Index} }

// namespace returns what is stored about a namespace, nil for nothing.
func (s *state) namespace(id string) *namespace {
	if ns := s.spaces[id]; ns != nil {
		own := *ns
		return &own
	}
	b := s.bytes(key(keyNamespace, id))
	if b == nil {
		return nil
	}
	ns, err := parseNamespace(id, b)
	if err != nil {
		s.damaged("namespace "+id, err)
		return nil
	}
	s.remember(ns)
	return ns
}

// remember keeps a namespace that is asked for again and again.
func (s *state) remember(ns *namespace) {
	if s.spaces != nil {
		own := *ns
		s.spaces[ns.ID] = &own
	}
}

func (s *state) putNamespace(ns *namespace) {
	old := s.namespace(ns.ID)
	if old == nil || old.Txid != ns.Txid { // else it is an import that shows the key
		if old == nil {
			old = new(namespace)
		}
		s.before[ns.Index] = place{old.Height, old.Index}
		ns.Height = s.height
		s.putMade('*', ns.PreorderHash, ns.ID)
	}
	s.set(key(keyNamespace, ns.ID), ns.row())
	s.remember(ns)
}

func preorderKey(kind byte, hash [20]byte) []byte {
	return key(keyPreorder, string(kind), string(hash[:]))
}

func (s *state) preorderRow(kind byte, hash [20]byte) (v preorderRow) {
	b := s.bytes(preorderKey(kind, hash))
	if b == nil {
		return v
	}
	v, err := parsePreorderRow(kind, hash, b)
	if err != nil {
		s.damaged(fmt.Sprintf("preorder %x", hash), err)
		return preorderRow{}
	}
	return v
}

func (s *state) preorder(kind byte, hash [20]byte) *preorder { return s.preorderRow(kind, hash).p }

// madeFrom returns the name or namespace id that was last made from a preorder
// with that hash; "" if none was.
func (s *state) madeFrom(kind byte, hash [20]byte) string { return s.preorderRow(kind, hash).made }

func (s *state) putPreorder(p *preorder) {
	v := s.preorderRow(p.Kind, p.Hash)
	v.p = p
	s.set(preorderKey(p.Kind, p.Hash), v.row())
}

func (s *state) dropPreorder(p *preorder) {
	v := s.preorderRow(p.Kind, p.Hash)
	v.p = nil
	s.set(preorderKey(p.Kind, p.Hash), v.row())
}

func (s *state) putMade(kind byte, hash [20]byte, subject string) {
	v := s.preorderRow(kind, hash)
	v.made = subject
	s.set(preorderKey(kind, hash), v.row())
}

// consensus returns the consensus hash of a height at or above FirstBlock.
func (s *state) consensus(height int) (c [16]byte) {
	if c, ok := s.hashes.get(height); ok {
		return c
	}
	row := s.blockRow(height)
	if s.err == nil {
		c = [16]byte(row[headerRow:])
		s.hashes.put(height, c)
	}
	return c
}

// blockRow returns the row of a block at or above FirstBlock.
func (s *state) blockRow(height int) []byte {
	row := s.bytes(heightKey(keyBlock, height))
	if len(row) != blockRow {
		s.damaged(fmt.Sprintf("block %d", height), errDamaged)
	}
	return row
}

// Lengths of the rows of blocks: below FirstBlock, and from there on.
const (
	headerRow = 80
	blockRow  = headerRow + 16 + 32
)

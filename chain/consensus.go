package chain

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chainhash/v2"

	"satchel/chain/ops"
)

// The consensus hash of a block covers each accepted operation, as the record
// that it left behind, and earlier consensus hashes: of one block before,
// three, seven, and so on. So two tables are equal if their newest hashes are,
// and a claim about an old block can be checked in a logarithmic number of
// steps.
//
// A record is the operation's code, ':', and the fields, comma between them,
// each as its decimal length, ':', its text. Nothing is an empty text, hashes,
// keys and scripts are hex, booleans True and False.

// opsHash is the merkle root over the sorted hashes of a block's serialised
// operations, in the byte order in which it is shown.
func opsHash(records []string) [32]byte {
	if len(records) == 0 {
		records = []string{""}
	}
	hashes := make([]byte, 0, 32*len(records))
	leaves := make([][]byte, len(records))
	for i, rec := range records {
		h := chainhash.DoubleHashH([]byte(rec))
		hashes = append(hashes, h[:]...)
		leaves[i] = hashes[32*i:][:32:32]
	}
	return [32]byte(merkle(leaves))
}

// consensusHash combines a block's ops hash with the consensus hashes of
// earlier ones.
func consensusHash(opsHash [32]byte, earlier [][16]byte) [16]byte {
	leaves := [][]byte{opsHash[:]}
	for _, c := range earlier {
		leaves = append(leaves, c[:])
	}
	return [16]byte(address.Hash160(merkle(leaves)))
}

// merkle returns the root of Bitcoin's tree over the sorted leaves, which have
// 16 or 32 bytes and are turned round before they are hashed, as the root is
// afterwards. A single leaf is its own root. The leaves are overwritten.
func merkle(leaves [][]byte) []byte {
	slices.SortFunc(leaves, bytes.Compare)
	for _, l := range leaves {
		slices.Reverse(l)
	}
	level := leaves
	for len(level) > 1 {
		if len(level)%2 == 1 {
			level = append(level, level[len(level)-1])
		}
		for i := 0; i < len(level); i += 2 {
			var pair [64]byte
			n := copy(pair[:], level[i])
			n += copy(pair[n:], level[i+1])
			once := sha256.Sum256(pair[:n])
			twice := sha256.Sum256(once[:])
			level[i/2] = append(level[i/2][:0], twice[:]...)
		}
		level = level[:len(level)/2]
	}
	slices.Reverse(level[0])
	return level[0]
}

// earlier returns the consensus hashes that the one of the state's block
// covers.
func (s *state) earlier(first int) (hashes [][16]byte) {
	for step := 2; s.height-(step-1) >= first; step *= 2 {
		hashes = append(hashes, s.consensus(s.height-(step-1)))
	}
	return hashes
}

// fields builds a record.
type fields struct{ b []byte }

func record(code byte) *fields {
	f := &fields{make([]byte, 0, 576)} // as long as most
	f.b = append(f.b, code, ':')
	return f
}

func (f *fields) String() string { return string(f.b) }

// field begins a field of that length.
func (f *fields) field(length int) {
	if len(f.b) > 2 {
		f.b = append(f.b, ',')
	}
	f.b = append(strconv.AppendInt(f.b, int64(length), 10), ':')
}

func (f *fields) text(values ...string) *fields {
	for _, v := range values {
		f.field(len(v))
		f.b = append(f.b, v...)
	}
	return f
}

func (f *fields) hex(values ...[]byte) *fields {
	for _, v := range values {
		f.field(hex.EncodedLen(len(v)))
		f.b = hex.AppendEncode(f.b, v)
	}
	return f
}

func (f *fields) num(values ...int) *fields {
	for _, v := range values {
		f.text(strconv.Itoa(v))
	}
	return f
}

func (f *fields) bool(v bool) *fields {
	if v {
		return f.text("True")
	}
	return f.text("False")
}

func (p *preorder) serialise() string {
	return record('?').hex(p.Hash[:], p.Consensus[:], p.Sender, p.SenderKey).text(p.Address).num(p.Height).
		text("?", p.Txid.String()).num(p.Index).text(strconv.FormatInt(p.Fee, 10)).String()
}

func (p *preorder) serialiseNamespace() string {
	return record('*').hex(p.Hash[:], p.Consensus[:]).text("*", strconv.FormatInt(p.Fee, 10), p.Txid.String()).
		num(p.Index, p.Height).hex(p.Sender, p.SenderKey).text(p.Address).String()
}

// fields are those that the records of all operations on a name begin with.
func (e *entry) fields(code byte) *fields {
	return record(code).text(e.Name).hex(e.Value, e.Owner, e.OwnerKey).text(e.Address).
		num(e.BlockNumber, e.Preordered, e.FirstRegistered, e.LastRenewed).bool(e.Revoked).
		text(e.Op, e.Txid.String()).num(e.Index).text(e.Fee).hex(e.Importer).text(e.ImporterAddress)
}

func (e *entry) serialise(code byte) string { return e.fields(code).String() }

func (e *entry) serialiseOwned(code byte) string {
	return e.fields(code).hex(e.Owner).text(e.Address).String()
}

func (e *entry) serialiseUpdate(op ops.Update) string {
	return e.fields('+').hex(op.NameHash[:], e.Consensus).String()
}

// serialiseTransfer shows the consensus hash of the last update, if there was
// one, and not the one that the transfer quotes: so it has been from the start.
func (e *entry) serialiseTransfer(op ops.Transfer) string {
	c := e.Consensus
	if len(c) == 0 {
		c = op.Consensus[:]
	}
	return e.fields('>').hex(op.NameHash[:], c).bool(op.Keep).String()
}

func (ns *namespace) fields(code byte) *fields {
	return record(code).text(ns.ID).hex(ns.PreorderHash[:]).num(ns.Version).hex(ns.Sender, ns.SenderKey).text(ns.Address).
		hex(ns.Revealer).text(ns.RevealerAddr).num(ns.BlockNumber, ns.Revealed).text(string(ns.Op), ns.Txid.String()).
		num(ns.Index, int(ns.Lifetime), int(ns.Coefficient), int(ns.Base)).text(pythonList(ns.Buckets[:])).
		num(int(ns.NonAlpha), int(ns.NoVowel))
}

func (ns *namespace) serialise() string { return ns.fields('&').String() }

func (ns *namespace) serialiseReady() string { return ns.fields('!').num(ns.Ready).String() }

// pythonList writes [6, 5, 4].
func pythonList(b []byte) string {
	texts := make([]string, len(b))
	for i, v := range b {
		texts[i] = strconv.Itoa(int(v))
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

// hashCache holds consensus hashes by height, for whoever applies blocks: each
// one needs those of dozens of earlier ones. What it has above the tip, of blocks
// that were undone or not committed, is overwritten before anybody asks for it.
type hashCache struct {
	first int
	c     [][16]byte // from first on; zero where it is not known
}

func (h *hashCache) get(height int) (c [16]byte, ok bool) {
	if h == nil || height < h.first || height-h.first >= len(h.c) {
		return c, false
	}
	c = h.c[height-h.first]
	return c, c != [16]byte{}
}

func (h *hashCache) put(height int, c [16]byte) {
	if h == nil {
		return
	}
	if missing := height - h.first + 1 - len(h.c); missing > 0 {
		h.c = append(h.c, make([][16]byte, missing)...)
	}
	h.c[height-h.first] = c
}

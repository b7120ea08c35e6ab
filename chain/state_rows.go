package chain

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/btcsuite/btcd/txscript/v2"

	"satchel/chain/ops"
)

// Rows are written field after field: numbers as in encoding/binary's uvarints,
// hashes as they are, texts with their length before them, scripts as a byte and
// what it leaves open: 0 p2pkh and 1 p2sh have the hash (20 bytes), 2 any other
// script with its length before it.

// errDamaged reports a row that this program did not write so.
var errDamaged = errors.New("the index is damaged: delete its folder, all of it is made anew from the blocks")

// rowWriter writes a row.
type rowWriter struct{ b []byte }

func (w *rowWriter) byte(v byte)    { w.b = append(w.b, v) }
func (w *rowWriter) raw(v []byte)   { w.b = append(w.b, v...) }
func (w *rowWriter) num(v int)      { w.b = binary.AppendUvarint(w.b, uint64(v)) }
func (w *rowWriter) signed(v int64) { w.b = binary.AppendVarint(w.b, v) }

func (w *rowWriter) bytes(v []byte) {
	w.num(len(v))
	w.raw(v)
}

func (w *rowWriter) text(v string) {
	w.num(len(v))
	w.b = append(w.b, v...)
}

func (w *rowWriter) bool(v bool) {
	if v {
		w.byte(1)
	} else {
		w.byte(0)
	}
}

// The kinds of scripts in rows.
const (
	scriptKey = iota
	scriptHash
	scriptOther
)

func (w *rowWriter) script(v []byte) {
	switch {
	case ops.IsPubKeyHash(v):
		w.byte(scriptKey)
		w.raw(v[3:23])
	case ops.IsScriptHash(v):
		w.byte(scriptHash)
		w.raw(v[2:22])
	default:
		w.byte(scriptOther)
		w.bytes(v)
	}
}

// rowReader reads a row. After the first thing that is wrong all it reads is
// nothing, and end tells. What it returns is part of the row, not a copy, with
// no room behind it.
type rowReader struct {
	b   []byte
	bad bool
}

func (r *rowReader) fail() {
	r.b, r.bad = nil, true
}

func (r *rowReader) raw(n int) []byte {
	if n > len(r.b) {
		r.fail()
		return make([]byte, min(n, 32)) // as long as a fixed field is
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *rowReader) byte() byte { return r.raw(1)[0] }

func (r *rowReader) bool() bool { return r.byte() != 0 }

// num reads a number that is not so large that a sum of some would not fit.
func (r *rowReader) num() int {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > 1<<40 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return int(v)
}

func (r *rowReader) signed() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// bytes returns nil for no bytes.
func (r *rowReader) bytes() []byte {
	n := r.num()
	if n == 0 || n > len(r.b) {
		r.bad = r.bad || n > 0
		return nil
	}
	return r.raw(n)
}

func (r *rowReader) text() string { return string(r.bytes()) }

func (r *rowReader) script() []byte {
	switch r.byte() {
	case scriptKey:
		return slices.Concat(keyScript[:3], r.raw(20), keyScript[23:])
	case scriptHash:
		return slices.Concat([]byte{txscript.OP_HASH160, 20}, r.raw(20), []byte{txscript.OP_EQUAL})
	case scriptOther:
		return r.bytes()
	}
	r.fail()
	return nil
}

var keyScript = ops.BurnScript() // as good as any p2pkh script

// end returns errDamaged unless just the whole row was read.
func (r *rowReader) end() error {
	if r.bad || len(r.b) > 0 {
		return errDamaged
	}
	return nil
}

// A place is where an operation is: its block's height and its transaction's
// index in that. It is zero if there is no operation.
type place struct{ height, index int }

// precedes says if a place is before another one.
func (p place) precedes(q place) bool {
	return p.height < q.height || p.height == q.height && p.index < q.index
}

func (w *rowWriter) place(p place) {
	w.num(p.height)
	w.num(p.index)
}

// row is the value of the entry's key, which has the name.
func (e *entry) row() []byte {
	w := rowWriter{make([]byte, 0, 256)}
	w.bytes(e.Value)
	w.script(e.Owner)
	w.bytes(e.OwnerKey)
	w.text(e.Address)
	w.num(e.BlockNumber)
	w.num(e.Preordered)
	w.num(e.FirstRegistered)
	w.num(e.LastRenewed)
	w.bool(e.Revoked)
	w.text(e.Op)
	w.raw(e.Txid[:])
	w.place(place{e.Height, e.Index})
	w.text(e.Fee)
	w.bool(e.Importer != nil)
	if e.Importer != nil {
		w.script(e.Importer)
		w.text(e.ImporterAddress)
	}
	w.raw(e.PreorderHash[:])
	w.bytes(e.Consensus)
	return w.b
}

func parseEntry(name string, row []byte) (*entry, error) {
	r := rowReader{b: row}
	e := &entry{
		Name: name, Value: r.bytes(), Owner: r.script(), OwnerKey: r.bytes(), Address: r.text(),
		BlockNumber: r.num(), Preordered: r.num(), FirstRegistered: r.num(), LastRenewed: r.num(),
		Revoked: r.bool(), Op: r.text(),
	}
	copy(e.Txid[:], r.raw(len(e.Txid)))
	e.Height, e.Index = r.num(), r.num()
	e.Fee = r.text()
	if r.bool() {
		e.Importer, e.ImporterAddress = r.script(), r.text()
	}
	copy(e.PreorderHash[:], r.raw(len(e.PreorderHash)))
	e.Consensus = r.bytes()
	if len(e.Value) != 0 && len(e.Value) != 20 {
		return nil, errDamaged
	}
	return e, r.end()
}

// row is the value of the namespace's key, which has the id.
func (ns *namespace) row() []byte {
	var w rowWriter
	w.raw(ns.PreorderHash[:])
	w.num(ns.Version)
	w.script(ns.Sender)
	w.bytes(ns.SenderKey)
	w.text(ns.Address)
	w.script(ns.Revealer)
	w.text(ns.RevealerAddr)
	w.num(ns.BlockNumber)
	w.num(ns.Revealed)
	w.num(ns.Ready)
	w.byte(ns.Op)
	w.raw(ns.Txid[:])
	w.place(place{ns.Height, ns.Index})
	w.num(int(ns.Lifetime))
	w.raw([]byte{ns.Coefficient, ns.Base})
	w.raw(ns.Buckets[:])
	w.raw([]byte{ns.NonAlpha, ns.NoVowel})
	w.bytes(ns.ImportKey)
	return w.b
}

func parseNamespace(id string, row []byte) (*namespace, error) {
	r := rowReader{b: row}
	ns := &namespace{ID: id}
	copy(ns.PreorderHash[:], r.raw(len(ns.PreorderHash)))
	ns.Version, ns.Sender, ns.SenderKey, ns.Address = r.num(), r.script(), r.bytes(), r.text()
	ns.Revealer, ns.RevealerAddr = r.script(), r.text()
	ns.BlockNumber, ns.Revealed, ns.Ready, ns.Op = r.num(), r.num(), r.num(), r.byte()
	copy(ns.Txid[:], r.raw(len(ns.Txid)))
	ns.Height, ns.Index = r.num(), r.num()
	ns.Lifetime, ns.Coefficient, ns.Base = uint32(r.num()), r.byte(), r.byte()
	copy(ns.Buckets[:], r.raw(len(ns.Buckets)))
	ns.NonAlpha, ns.NoVowel, ns.ImportKey = r.byte(), r.byte(), r.bytes()
	return ns, r.end()
}

// preorderRow is the value of a key of kind keyPreorder: what is preordered, nil
// for nothing, and the name or namespace id that was last made from the hash.
type preorderRow struct {
	made string
	p    *preorder
}

func (v preorderRow) row() []byte {
	if v == (preorderRow{}) {
		return nil
	}
	var w rowWriter
	w.text(v.made)
	if p := v.p; p != nil {
		w.raw(p.Consensus[:])
		w.script(p.Sender)
		w.bytes(p.SenderKey)
		w.text(p.Address)
		w.num(p.Height)
		w.signed(p.Fee)
		w.raw(p.Txid[:])
		w.num(p.Index)
	}
	return w.b
}

func parsePreorderRow(kind byte, hash [20]byte, row []byte) (v preorderRow, err error) {
	r := rowReader{b: row}
	v.made = r.text()
	if len(r.b) == 0 {
		r.bad = r.bad || v.made == ""
		return v, r.end()
	}
	p := &preorder{Hash: hash, Kind: kind}
	copy(p.Consensus[:], r.raw(len(p.Consensus)))
	p.Sender, p.SenderKey, p.Address = r.script(), r.bytes(), r.text()
	p.Height, p.Fee = r.num(), r.signed()
	copy(p.Txid[:], r.raw(len(p.Txid)))
	p.Index = r.num()
	v.p = p
	return v, r.end()
}

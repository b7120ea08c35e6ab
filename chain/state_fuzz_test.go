package chain

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"satchel/chain/ops"
)

// FuzzRows reads rows that may be damaged: none makes it panic, and what it
// takes for whole it writes so that it reads the same again.
func FuzzRows(f *testing.F) {
	p := ruleSets["satchel"]()
	ada, us := gambler{one("ada"), keyOf("ada").PubKey().SerializeCompressed()}, some("us")
	e := &entry{
		Name: "ada.id", Value: make([]byte, 20), Owner: us.script, OwnerKey: ada.key, Address: us.addr, BlockNumber: 20, Preordered: 20,
		FirstRegistered: 21, LastRenewed: 30, Op: "+", Height: 30, Index: 4, Fee: "6400000.0", Importer: ada.script, ImporterAddress: ada.addr,
		Consensus: make([]byte, 16),
	}
	ns := &namespace{ID: "id", Version: 1, Sender: ada.script, Address: ada.addr, Revealer: us.script, Lifetime: ops.Forever, Op: '!', ImportKey: ada.key}
	pre := preorderRow{"ada.id", &preorder{Kind: '?', Sender: []byte{0x51}, Height: 20, Fee: -5}}
	undo := append(oldValue{key: "nid.ada.", was: e.row()}.encode(), oldValue{key: "v"}.encode()...)
	t := &ops.Tx{Op: ops.NamePreorder{}, Txid: chainhash.Hash{7}, Index: 5, Sender: ada.script, SenderKey: ada.key, Recipient: us.script, Fee: 6, HasFee: true, Outputs: 3}
	record := (&preorder{Sender: ada.script, SenderKey: ada.key, Address: ada.addr, Height: 40, Txid: t.Txid, Index: 5, Fee: 6}).serialise()
	var op rowWriter
	if err := (kept{t, place{30, 2}, record}).encode(&op, p, 40); err != nil {
		f.Fatal(err)
	}
	for i, row := range [][]byte{e.row(), ns.row(), pre.row(), undo, op.b} {
		f.Add(byte(i), row)
		f.Add(byte(i), row[:len(row)/2])
	}
	f.Fuzz(func(t *testing.T, kind byte, row []byte) {
		whole := bytes.Clone(row)
		switch kind % 5 {
		case 0:
			again(t, row, func(b []byte) (*entry, error) { return parseEntry("ada.id", b) }, (*entry).row)
		case 1:
			again(t, row, func(b []byte) (*namespace, error) { return parseNamespace("id", b) }, (*namespace).row)
		case 2:
			again(t, row, func(b []byte) (preorderRow, error) { return parsePreorderRow('?', [20]byte{}, b) }, preorderRow.row)
		case 3:
			again(t, row, parseUndo, func(all []oldValue) (b []byte) {
				for _, o := range all {
					b = append(b, o.encode()...)
				}
				return b
			})
		case 4:
			again(t, row, func(b []byte) (kept, error) {
				k, err := parseKept(p, 40, b)
				if err == nil {
					_, err = k.operation(40)
				}
				return k, err
			}, func(k kept) []byte {
				var w rowWriter
				if err := k.encode(&w, p, 40); err != nil {
					t.Fatal(err)
				}
				return w.b
			})
		}
		if !bytes.Equal(row, whole) {
			t.Error("the row was changed")
		}
	})
}

// again reads what was read once more, after writing it.
func again[T any](t *testing.T, row []byte, read func([]byte) (T, error), write func(T) []byte) {
	first, err := read(row)
	if err != nil {
		return
	}
	b := write(first)
	second, err := read(b)
	if err != nil || !reflect.DeepEqual(second, first) {
		t.Errorf("%q: %+v, then %+v, %v", row, first, second, err)
	}
}

package chain

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"satchel/chain/ops"
)

// TestSnapshotRowStaysSmall: a forged row whose record stands for thousands of
// times its own bytes takes no more memory than an honest one.
func TestSnapshotRowStaysSmall(t *testing.T) {
	p := ruleSets["satchel"]()
	const half = 8 << 10
	long := bytes.Repeat([]byte{0x51}, half)
	tx := &ops.Tx{Op: ops.NamePreorder{}, Txid: chainhash.Hash{7}, Index: 5, Sender: long, Recipient: long, Outputs: 3}
	var op, row rowWriter
	if err := (kept{tx: tx, record: "?:0:"}).encode(&op, p, 40); err != nil {
		t.Fatal(err)
	}
	op.b = op.b[:len(op.b)-2] // one field, empty
	op.num(half)
	op.raw(bytes.Repeat([]byte{keptSender}, half))
	row.bytes(op.b)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	txs, err := readOps(p, 40, row.b)
	runtime.ReadMemStats(&after)
	if err != nil || len(txs) != 1 || !bytes.Equal(txs[0].Sender, long) {
		t.Fatalf("%d operations, %v", len(txs), err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("%d bytes were allocated for a row of %d", got, len(row.b))
	}
	for n := range len(row.b) - 1 {
		if _, err := readOps(p, 40, row.b[:n+1]); err == nil {
			t.Fatalf("a row cut off after %d bytes was taken", n+1)
		}
	}
	end := len(op.b) - half - 3 // before the number of outputs, code and number of fields
	for _, n := range []int{0, 1, 40, end - 3, end - 2} {
		var short rowWriter
		short.bytes(op.b[:n])
		if _, err := readOps(p, 40, short.b); err == nil {
			t.Errorf("an operation cut off after %d of %d bytes was taken", n, end)
		}
	}
	if _, err := readOps(p, 40, append(bytes.Clone(row.b), row.b...)); err == nil {
		t.Error("a transaction was taken twice")
	}
}

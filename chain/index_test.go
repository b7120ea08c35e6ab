package chain

import (
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/dgraph-io/badger/v4"

	"satchel/chain/bitcoin"
	"satchel/chain/ops"
)

// dump returns everything that is in an index but the floor of the undo, which
// never sinks.
func dump(t *testing.T, ix *Index) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := ix.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			v, err := it.Item().ValueCopy(nil)
			if err != nil {
				return err
			}
			if it.Item().Key()[0] == keyTip {
				v = v[:36]
			}
			all[string(it.Item().Key())] = string(v)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestUndoRestores undoes the blocks of every recorded run.
func TestUndoRestores(t *testing.T) {
	undoRuns(t, readVectors(t, "SATCHEL_RUNS", "consensus_runs.jsonl.gz"))
}

// TestUndoRestoresOwn undoes those of our own runs, where much is refused.
func TestUndoRestoresOwn(t *testing.T) { undoRuns(t, readLines(t, ownRuns)) }

// undoRuns undoes the blocks of runs, one by one, and finds the table as it was
// after each of them; applied again they give the same hashes.
func undoRuns(t *testing.T, lines [][]byte) {
	t.Helper()
	for _, line := range lines {
		run, err := parseRun(line)
		if err != nil {
			t.Fatal(err)
		}
		p, _ := run.params()
		ix, headers := openRun(t, p)
		prev := headers[len(headers)-1].Hash
		tables := []map[string]string{dump(t, ix)}
		var hs []bitcoin.Header
		for _, b := range run.Blocks {
			h := madeUpHeader(b.Height, &prev)
			replayBlock(ix, b, h)
			tables, hs = append(tables, dump(t, ix)), append(hs, h)
		}
		for i := len(run.Blocks) - 1; i >= 0; i-- {
			if _, err := ix.disconnect(); err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(dump(t, ix), tables[i]) {
				t.Fatalf("%s: undoing block %d does not restore the table", run.Scenario, run.Blocks[i].Height)
			}
		}
		for i, b := range run.Blocks {
			replayBlock(ix, b, hs[i])
		}
		if !maps.Equal(dump(t, ix), tables[len(tables)-1]) {
			t.Errorf("%s: the second time the table is another", run.Scenario)
		}
		ix.Close()
	}
}

// openRun returns an index in memory whose tip is the block before the first
// one, and the headers up to there.
func openRun(t *testing.T, p *Params) (*Index, []bitcoin.Header) {
	t.Helper()
	ix, err := OpenIndex("", p)
	if err != nil {
		t.Fatal(err)
	}
	return ix, connectBelow(t, ix)
}

func connectBelow(t *testing.T, ix *Index) (below []bitcoin.Header) {
	t.Helper()
	prev := *ix.p.Chain.GenesisHash
	for h := 1; h < ix.p.FirstBlock; h++ {
		below = append(below, madeUpHeader(h, &prev))
	}
	if err := ix.connectHeaders(below); err != nil {
		t.Fatal(err)
	}
	return below
}

// TestHugeBlock applies a block with more operations than the memory table has
// room for.
func TestHugeBlock(t *testing.T) {
	p := Satchel(&chaincfg.RegressionNetParams, 2)
	ix, err := OpenIndex(t.TempDir(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	below := connectBelow(t, ix)
	const n = 12000
	txs := make([]*ops.Tx, n)
	for i := range txs {
		var hash [20]byte
		binary.BigEndian.PutUint64(hash[:], uint64(i))
		sender := append([]byte{0x76, 0xa9, 20}, append(hash[:], 0x88, 0xac)...)
		txs[i] = &ops.Tx{Op: ops.NamePreorder{Hash: hash, Consensus: p.Genesis}, Index: i + 1, Sender: sender, Fee: 100, HasFee: true}
	}
	a, err := ix.connect(madeUpHeader(2, &below[0].Hash), txs)
	if err != nil {
		t.Fatal(err)
	}
	if ix.memTable == minMemTable {
		t.Error("the block was too small to test anything")
	}
	for i, rec := range a.records {
		if rec == "" {
			t.Fatalf("operation %d was rejected", i)
		}
	}
	if _, ok := ix.Preordered([20]byte{}); !ok {
		t.Error("a preorder is missing")
	}
	if _, err := ix.disconnect(); err != nil {
		t.Fatal(err)
	}
	if _, ok := ix.Preordered([20]byte{}); ok {
		t.Error("a preorder was not undone")
	}
}

// TestUndoIsForgotten: undo data of blocks that can't be undone any more goes.
func TestUndoIsForgotten(t *testing.T) {
	p := Satchel(&chaincfg.RegressionNetParams, 2)
	ix, err := OpenIndex("", p)
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	below := connectBelow(t, ix)
	sender := append([]byte{0x76, 0xa9, 20}, append(make([]byte, 20), 0x88, 0xac)...)
	pre := &ops.Tx{Op: ops.NamePreorder{Consensus: p.Genesis}, Index: 1, Sender: sender, Fee: 100, HasFee: true}
	again := &ops.Tx{Op: ops.NamePreorder{Consensus: p.Genesis}, Index: 2, Sender: sender, Fee: 100, HasFee: true}
	prev, txs := below[0].Hash, []*ops.Tx{pre, again}
	for h := 2; h <= 2+UndoBlocks; h++ {
		a, err := ix.connect(madeUpHeader(h, &prev), txs)
		if err != nil {
			t.Fatal(err)
		}
		if h == 2 && (a.records[0] == "" || a.records[1] != "") {
			t.Errorf("two preorders with one hash in a block: %q", a.records)
		}
		undo := 0
		for k := range dump(t, ix) {
			if k[0] == keyUndo {
				undo++
			}
		}
		if want := 1; h < 2+UndoBlocks && undo != want || h == 2+UndoBlocks && undo != 0 {
			t.Fatalf("height %d: %d undo records", h, undo)
		}
		txs = nil
	}
	if _, err := ix.disconnect(); err != nil {
		t.Error(err)
	}
	if ix.canUndo(1) || !ix.canUndo(2) {
		t.Error("canUndo is wrong")
	}
}

// TestEmptyMemFile opens an index after what a kill can leave behind.
func TestEmptyMemFile(t *testing.T) {
	dir := t.TempDir()
	p := Satchel(&chaincfg.RegressionNetParams, 5)
	ix, err := OpenIndex(dir, p)
	if err != nil {
		t.Fatal(err)
	}
	connectBelow(t, ix)
	if err := ix.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "00099.mem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if ix, err = OpenIndex(dir, p); err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	if height, _ := ix.Tip(); height != 4 {
		t.Errorf("tip %d, want 4", height)
	}
}

func TestConnectOutOfOrder(t *testing.T) {
	ix, err := OpenIndex("", Satchel(&chaincfg.RegressionNetParams, 3))
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	below := connectBelow(t, ix)
	prev := below[0].Hash // not the tip
	if _, err := ix.connect(madeUpHeader(3, &prev), nil); err == nil {
		t.Error("a block with another parent was applied")
	}
	prev = below[1].Hash
	if _, err := ix.connect(madeUpHeader(4, &prev), nil); err == nil {
		t.Error("a block at another height was applied")
	}
	if _, err := ix.ConsensusHash(3); err == nil {
		t.Error("there is a consensus hash above the tip")
	}
	prev = below[1].Hash
	if _, err := ix.connect(madeUpHeader(3, &prev), nil); err != nil {
		t.Error(err)
	}
	first, err := ix.ConsensusHash(3)
	if got := fmt.Sprintf("%x", first); err != nil || got != "2a9148d8b13939723d2aca16c75c6d68" {
		t.Errorf("consensus hash of an empty first block %s, %v", got, err)
	}
}

package chain

import (
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
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

// crowd is many owners with a name each, in a namespace of its own.
type crowd struct {
	t    *testing.T
	ix   *Index
	prev chainhash.Hash
	n    int
}

func newCrowd(t *testing.T, ix *Index, n int) *crowd {
	t.Helper()
	below := connectBelow(t, ix)
	c := &crowd{t, ix, below[len(below)-1].Hash, n}
	c.mine(c.tx(0, ops.NamespacePreorder{Hash: ops.HashName("id", c.owner(0), c.address(0)), Consensus: c.recent()}))
	c.mine(c.tx(0, ops.NamespaceReveal{ID: "id", Version: 1, Lifetime: ops.Forever, NonAlpha: 1, NoVowel: 1}))
	c.mine(c.tx(0, ops.NamespaceReady{ID: "id"}))
	return c
}

func (c *crowd) owner(i int) []byte {
	var hash [20]byte
	binary.BigEndian.PutUint64(hash[:], uint64(i)+1)
	return p2pkh(hash)
}

func (c *crowd) address(i int) string { return c.ix.p.address(c.owner(i)) }

func (c *crowd) name(i int) string { return fmt.Sprintf("a-name-of-middle-length-%d.id", i) }

func (c *crowd) recent() [16]byte {
	height, _ := c.ix.Tip()
	hash, err := c.ix.ConsensusHash(height)
	if err != nil {
		c.t.Fatal(err)
	}
	return hash
}

func (c *crowd) tx(i int, op ops.Operation) *ops.Tx {
	t := &ops.Tx{Op: op, Index: i + 1, Sender: c.owner(i), SenderKey: make([]byte, 33), Recipient: c.owner(i), Fee: 50e8, HasFee: true, Outputs: 3}
	height, _ := c.ix.Tip()
	binary.BigEndian.PutUint64(t.Txid[:], uint64(height)<<32|uint64(i))
	return t
}

// all mines a block in which everybody does something, all of which is accepted.
func (c *crowd) all(op func(i int) ops.Operation) time.Duration {
	c.t.Helper()
	var txs []*ops.Tx
	for i := range c.n {
		t := c.tx(i, op(i))
		if _, ok := t.Op.(ops.Transfer); ok {
			t.Recipient = c.owner(i + c.n)
		}
		txs = append(txs, t)
	}
	return c.mine(txs...)
}

func (c *crowd) mine(txs ...*ops.Tx) time.Duration {
	c.t.Helper()
	height, _ := c.ix.Tip()
	start := time.Now()
	a, err := c.ix.connect(madeUpHeader(height+1, &c.prev), txs)
	if err != nil {
		c.t.Fatal(err)
	}
	took := time.Since(start)
	for i, rec := range a.records {
		if rec == "" {
			c.t.Fatalf("block %d: operation %d was rejected", height+1, i)
		}
	}
	return took
}

// steps are what each owner of a crowd does, a block each.
func (c *crowd) steps() []func(i int) ops.Operation {
	return []func(i int) ops.Operation{
		func(i int) ops.Operation {
			return ops.NamePreorder{Hash: ops.HashName(c.name(i), c.owner(i), c.address(i)), Consensus: c.recent()}
		},
		func(i int) ops.Operation { return ops.Registration{Name: c.name(i)} },
		func(i int) ops.Operation {
			u := ops.Update{NameHash: ops.UpdateHash(c.name(i), c.recent())}
			binary.BigEndian.PutUint64(u.Value[:], uint64(i))
			return u
		},
		func(i int) ops.Operation { return ops.Registration{Name: c.name(i)} }, // a renewal
		func(i int) ops.Operation {
			return ops.Transfer{NameHash: ops.Hash128(c.name(i)), Consensus: c.recent()}
		},
	}
}

// TestFullBlock applies blocks of 2,000 operations of each kind: the database
// takes them as it is.
func TestFullBlock(t *testing.T) {
	ix, err := OpenIndex(t.TempDir(), Satchel(&chaincfg.RegressionNetParams, 2))
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	c := newCrowd(t, ix, 2000)
	for i, step := range c.steps() {
		t.Logf("step %d: %v", i, c.all(step))
	}
	if ix.memTable != minMemTable {
		t.Error("the database was opened again")
	}
}

// TestHugeBlock applies blocks with more operations than the memory table has
// room for, as many as a block can have, and opens what a kill leaves then.
func TestHugeBlock(t *testing.T) {
	dir, p := t.TempDir(), Satchel(&chaincfg.RegressionNetParams, 2)
	ix, err := OpenIndex(dir, p)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { ix.Close() }()
	c := newCrowd(t, ix, 16000)
	steps := c.steps()
	c.all(steps[0])
	before := dump(t, ix)
	c.all(steps[1])
	c.all(steps[2])
	if ix.memTable == minMemTable {
		t.Error("the block was too small to test anything")
	}
	for _, i := range []int{0, 1, c.n / 2, c.n - 1} {
		h, err := ix.History(c.name(i), 0, 0)
		if err != nil || len(h) != 2 || h[0].Op != ":" || h[1].Op != "+" || h[1].Index != i+1 {
			t.Errorf("history of name %d: %+v, %v", i, h, err)
		}
	}
	height, _ := ix.Tip()
	if all, err := ix.Operations(height); err != nil || len(all) != c.n {
		t.Errorf("%d operations, want %d, %v", len(all), c.n, err)
	}
	killed := openDir(t, crashed(t, ix), p) // with less memory than what is left needs
	sameRows(t, dump(t, killed), dump(t, ix))
	if killed.memTable != minMemTable {
		t.Error("it keeps the memory that it needed to open")
	}
	ix.Close()
	if ix, err = OpenIndex(dir, p); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := ix.disconnect(); err != nil {
			t.Fatal(err)
		}
	}
	sameRows(t, dump(t, ix), before)
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

package chain_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	gosync "sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/chaintest"
	"satchel/chain/ops"
)

// chaos is a source that fails, and whose chain is reorganised, whenever it is
// asked for something.
type chaos struct {
	*chaintest.Chain
	people []chaintest.Key

	mu     gosync.Mutex
	r      *rand.Rand
	calm   bool
	cancel context.CancelFunc // of the round
	reorgs int
}

var errChaos = errors.New("out of order")

func newChaos(t *testing.T, seed uint64) *chaos {
	c := &chaos{Chain: chaintest.New(t, firstBlock), r: rand.New(rand.NewPCG(seed, seed)), calm: true}
	c.Params.Quota, c.Params.RevealExpiry, c.Params.PreorderExpiry = 4, 12, 10
	c.Namespace("id", 20)
	c.Mine(20) // deeper than any reorganisation
	for _, word := range []string{"ada", "bob", "eve", "joe"} {
		c.people = append(c.people, chaintest.NewKey(word))
	}
	return c
}

func (c *chaos) strike() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calm {
		return nil
	}
	switch n := c.r.IntN(300); {
	case n < 1:
		c.cancel()
	case n < 3:
		c.reorgs++
		c.Reorg(1 + c.r.IntN(6))
	case n < 5:
		return errChaos
	}
	return nil
}

func (c *chaos) Headers(ctx context.Context, locator []chainhash.Hash) ([]wire.BlockHeader, error) {
	if err := c.strike(); err != nil {
		return nil, err
	}
	return c.Chain.Headers(ctx, locator)
}

func (c *chaos) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	if err := c.strike(); err != nil {
		return nil, err
	}
	return c.Chain.Block(ctx, hash)
}

func (c *chaos) PrevTx(ctx context.Context, id chainhash.Hash) ([]byte, error) {
	if err := c.strike(); err != nil {
		return nil, err
	}
	return c.Chain.PrevTx(ctx, id)
}

// mine mines a block of operations at random.
func (c *chaos) mine() {
	var txs []*wire.MsgTx
	for range c.r.IntN(8) {
		txs = append(txs, c.tx())
	}
	c.MineBlock(txs...)
}

func (c *chaos) tx() *wire.MsgTx {
	a, b := c.people[c.r.IntN(len(c.people))], c.people[c.r.IntN(len(c.people))]
	name := fmt.Sprintf("n%d.id", c.r.IntN(6))
	if rec, err := c.Index().Lookup(chain.Name(name)); err == nil {
		for _, p := range c.people {
			if string(p.Script) == string(rec.Owner) && c.r.IntN(6) > 0 {
				a = p
			}
		}
	}
	id := fmt.Sprintf("x%d", c.r.IntN(2))
	switch c.r.IntN(14) {
	case 0, 1, 2:
		return c.PreorderTx(name, a)
	case 3, 4, 5:
		return c.RegisterTx(name, a)
	case 6:
		return c.RenewTx(name, a)
	case 7, 8:
		return c.UpdateTx(name, a, [20]byte{byte(c.r.IntN(5))})
	case 9:
		return c.TransferTx(name, a, b, c.r.IntN(2) == 0)
	case 10:
		return c.RevokeTx(name, a)
	case 11:
		hash := ops.HashName(id, c.Miner.Script, c.Miner.Address)
		return c.Tx(c.Miner, ops.NamespacePreorder{Hash: hash, Consensus: c.Consensus()}, chaintest.Payment{Fee: c.Index().NamespacePrice(id)})
	case 12:
		return c.Tx(c.Miner, ops.NamespaceReveal{ID: id, Version: 1, Lifetime: 9, NonAlpha: 1, NoVowel: 1}, chaintest.Payment{})
	}
	if c.r.IntN(4) == 0 {
		return c.Tx(c.Miner, ops.NamespaceReady{ID: id}, chaintest.Payment{})
	}
	tx := c.Tx(c.Miner, ops.Import{Name: "imp." + id}, chaintest.Payment{To: b.Script})
	tx.TxOut[2].PkScript = b.Script // stands for the value
	tx.TxOut = append(tx.TxOut[:2:2], &wire.TxOut{Value: 5500, PkScript: a.Script})
	return tx
}

// mirror is what one who is told about changes knows of names.
type mirror map[chain.Name]string

func (m mirror) look(ix *chain.Index, names []chain.Name) {
	for _, n := range names {
		rec, err := ix.Lookup(n)
		if err != nil {
			delete(m, n)
			continue
		}
		m[n] = fmt.Sprint(rec.Owner, rec.ValueHash, rec.HasValue, rec.Revoked, rec.LastRenewed, rec.FirstRegistered, rec.Op, rec.Txid)
	}
}

// all returns what one sees who looks at everything.
func all(t *testing.T, ix *chain.Index) mirror {
	t.Helper()
	m := make(mirror)
	spaces, err := ix.Namespaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, ns := range spaces {
		names, err := ix.Names(ns.ID, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		m.look(ix, names)
	}
	return m
}

// TestChaos follows a chain that is reorganised at any moment, from a source that
// fails, onto a disk that fails, with rounds that are cancelled, restarts, and undo
// that is missing. In the end the table is that of the chain, row by row, and
// whoever listened knows it.
func TestChaos(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			newChaos(t, seed).follow(t)
		})
	}
}

func (c *chaos) follow(t *testing.T) {
	dir := t.TempDir()
	var ix *chain.Index
	var f *chain.Follower
	var known mirror
	failed, rebuilt, restarts := 0, 0, 0
	open := func() {
		var err error
		if ix, err = chain.OpenIndex(dir, c.Params); err != nil {
			t.Fatal(err)
		}
		f = chain.NewFollower(c, ix, chain.FollowerOptions{Poll: time.Hour})
		known = all(t, ix)
		f.Subscribe(func(ch chain.Change) { known.look(ix, ch.Names) })
		chain.FailCommits(ix, func() (now, after bool) {
			c.mu.Lock()
			defer c.mu.Unlock()
			now = !c.calm && c.r.IntN(10) == 0
			if now {
				failed++
			}
			return now, c.r.IntN(2) == 0
		})
	}
	open()
	defer func() { ix.Close() }()
	for range 120 {
		for range c.r.IntN(5) {
			c.mine()
		}
		if c.r.IntN(4) == 0 {
			c.Reorg(1+c.r.IntN(15), c.tx())
		}
		switch c.r.IntN(25) {
		case 0:
			restarts++
			if err := ix.Close(); err != nil {
				t.Fatal(err)
			}
			open()
		case 1:
			chain.ForgetUndo(ix)
			c.Reorg(3)
			rebuilt++
		}
		ctx, cancel := context.WithCancel(context.Background())
		c.cancel, c.calm = cancel, false
		err := f.Sync(ctx)
		c.calm = true
		cancel()
		if err != nil && !errors.Is(err, errChaos) && !errors.Is(err, context.Canceled) && !errors.Is(err, chain.ErrDisk) {
			t.Fatal(err)
		}
	}
	sync(t, f)
	t.Logf("%d reorganisations while asked, %d seen, %d failed commits, %d rebuilt, %d restarts", c.reorgs, f.Status().Reorgs, failed, rebuilt, restarts)
	fresh, ff := follow(t, c.Chain)
	sync(t, ff)
	got, want := withoutUndo(t, ix), withoutUndo(t, fresh)
	for k := range got {
		if got[k] != want[k] {
			t.Errorf("key %q: %q, want %q", k, got[k], want[k])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d rows, want %d", len(got), len(want))
	}
	if now := all(t, fresh); !maps.Equal(known, now) || len(now) == 0 {
		t.Errorf("told %v\nwant %v", known, now)
	}
}

// withoutUndo returns the rows of an index but for the undo, of which it depends on
// the way how much there is.
func withoutUndo(t *testing.T, ix *chain.Index) map[string]string {
	rows := chain.Dump(t, ix)
	maps.DeleteFunc(rows, func(k, _ string) bool { return k[0] == 'u' })
	return rows
}

package esplora_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
	"satchel/chain/bitcoin/esplora"
	"satchel/chain/btcdtest"
	"satchel/chain/chaintest"
	"satchel/chain/registrar"
)

var (
	_ bitcoin.Source       = (*esplora.Client)(nil)
	_ bitcoin.PrevTxer     = (*esplora.Client)(nil)
	_ bitcoin.Broadcaster  = (*esplora.Client)(nil)
	_ bitcoin.Unspenter    = (*esplora.Client)(nil)
	_ bitcoin.FeeEstimator = (*esplora.Client)(nil)
)

func dial(t *testing.T, url string) *esplora.Client {
	t.Helper()
	c, err := esplora.Dial(t.Context(), esplora.Options{URL: url + "/", Chain: &chaincfg.RegressionNetParams})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// sync adds to hs what the client has, and returns how many answers that took.
func sync(t *testing.T, c *esplora.Client, hs *bitcoin.Headers) (answers int) {
	t.Helper()
	for ; ; answers++ {
		list, err := c.Headers(t.Context(), hs.Locator())
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			return answers
		}
		if _, err := hs.Add(list); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHeaders(t *testing.T) {
	made := chaintest.New(t, 1013)
	c := dial(t, btcdtest.StartEsplora(t, chaintest.RegTest, made).URL)
	hs := bitcoin.NewHeaders(chaintest.RegTest)
	best := func() {
		t.Helper()
		if got := hs.Best(); got.Height != made.Height() || got.Hash != made.Hash(made.Height()) {
			t.Errorf("headers up to %d %v", got.Height, got.Hash)
		}
	}
	if n := sync(t, c, hs); n != 3 {
		t.Errorf("%d answers", n)
	}
	best()
	for _, n := range []int{1, 3, 30} {
		made.Reorg(n)
		sync(t, c, hs)
		best()
	}
	if list, err := c.Headers(t.Context(), []chainhash.Hash{{1}}); err != nil || len(list) == 0 || list[0].PrevBlock != *chaintest.RegTest.GenesisHash {
		t.Errorf("%d headers of an unknown locator, %v", len(list), err)
	}
	raw, err := c.Block(t.Context(), hs.Best().Hash)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bitcoin.Verify(hs.Best(), raw); err != nil {
		t.Error(err)
	}
	if _, err := c.Block(t.Context(), chainhash.Hash{1}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a block that isn't there: %v", err)
	}
	if _, err := c.PrevTx(t.Context(), chainhash.Hash{1}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a transaction that isn't there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Headers(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// TestNode pays with coins of a real node.
func TestNode(t *testing.T) {
	n := btcdtest.Start(t, btcdtest.Options{})
	n.Generate(105)
	s := btcdtest.StartEsplora(t, n.Net, n.RPC)
	c, ctx, script := dial(t, s.URL), t.Context(), n.MinerScript()
	hs := bitcoin.NewHeaders(n.Net)
	sync(t, c, hs)
	if hs.Best().Hash != n.Tip() {
		t.Errorf("headers up to %d", hs.Best().Height)
	}
	coins, err := c.Unspent(ctx, script)
	if err != nil || len(coins) != 6 || coins[0].Value != 50e8 || !bytes.Equal(coins[0].Script, script) {
		t.Fatalf("coins %+v, %v", coins, err)
	}
	tx, err := registrar.Build(n.Miner, coins, []*wire.TxOut{wire.NewTxOut(1e8, script)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is known
		if got, err := c.Broadcast(ctx, chaintest.Raw(tx)); err != nil || got != tx.TxHash() {
			t.Errorf("broadcast: %v, %v", got, err)
		}
	}
	coins, err = c.Unspent(ctx, script)
	if err != nil || len(coins) != 7 {
		t.Errorf("%d coins, want 7, %v", len(coins), err)
	}
	waiting := 0
	for _, o := range coins {
		if o.Height == 0 {
			waiting++
		}
	}
	if waiting != 2 {
		t.Errorf("%d coins wait, want 2", waiting)
	}
	tx.TxIn[0].SignatureScript[5] ^= 1
	var refused interface{ Rejected() bool }
	if _, err := c.Broadcast(ctx, chaintest.Raw(tx)); !errors.As(err, &refused) || !refused.Rejected() {
		t.Errorf("a forged transaction: %v", err)
	}
}

func TestFeeRate(t *testing.T) {
	s := btcdtest.StartEsplora(t, chaintest.RegTest, chaintest.New(t, 2))
	c := dial(t, s.URL)
	for _, b := range []struct {
		fees   map[string]float64
		blocks int
		want   int64 // 0: can't tell, -1: another error
	}{
		{s.Fees, 1, 20_000},
		{s.Fees, 0, 20_000},
		{s.Fees, 5, 20_000},
		{s.Fees, 6, 12_500},
		{s.Fees, 100, 12_500},
		{s.Fees, 1000, 1_100},
		{map[string]float64{"6": 0.3}, 6, 1_000}, // the least that is relayed
		{map[string]float64{"6": 3.0001, "144": 2}, 2, 3_001},
		{map[string]float64{}, 6, 0},
		{map[string]float64{"x": 5, "-1": 5, "0": 5}, 6, 0},
		{map[string]float64{"6": -1}, 6, -1},
		{map[string]float64{"6": 10_001}, 6, -1},
		{map[string]float64{"6": 1e300}, 6, -1},
	} {
		s.Fees = b.fees
		got, err := c.FeeRate(t.Context(), b.blocks)
		switch {
		case b.want == 0 && errors.Is(err, os.ErrNotExist):
		case b.want == -1 && err != nil && !errors.Is(err, os.ErrNotExist):
		case b.want > 0 && err == nil && got == b.want:
		default:
			t.Errorf("%v in %d blocks: %d, %v", b.fees, b.blocks, got, err)
		}
	}
}

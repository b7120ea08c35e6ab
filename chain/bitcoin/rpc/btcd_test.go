package rpc_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
	"satchel/chain/bitcoin/rpc"
	"satchel/chain/btcdtest"
	"satchel/chain/registrar"
)

func encode(t *testing.T, tx *wire.MsgTx) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := tx.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestNodes asks real nodes.
func TestNodes(t *testing.T) {
	for name, start := range map[string]func(testing.TB, btcdtest.Options) *btcdtest.Node{"btcd": btcdtest.Start, "bitcoind": btcdtest.StartBitcoind} {
		t.Run(name, func(t *testing.T) {
			n := start(t, btcdtest.Options{})
			n.Generate(110)
			checkHeaders(t, n)
			checkCoins(t, n)
		})
	}
}

func checkHeaders(t *testing.T, n *btcdtest.Node) {
	ctx, c := t.Context(), n.RPC
	hs := bitcoin.NewHeaders(n.Net)
	sync(t, c, hs)
	if hs.Best().Hash != n.Tip() || hs.Best().Height != 110 {
		t.Fatalf("headers up to %d %v", hs.Best().Height, hs.Best().Hash)
	}
	n.Reorg(3)
	sync(t, c, hs)
	if hs.Best().Hash != n.Tip() || hs.Best().Height != 111 {
		t.Errorf("headers up to %d %v after a reorganisation", hs.Best().Height, hs.Best().Hash)
	}
	if list, err := c.Headers(ctx, []chainhash.Hash{n.Tip()}); err != nil || len(list) != 0 {
		t.Errorf("%d headers at the tip, %v", len(list), err)
	}
	if list, err := c.Headers(ctx, []chainhash.Hash{{1}, n.Hash(100)}); err != nil || len(list) != 11 {
		t.Errorf("%d headers after block 100, %v", len(list), err)
	}
	raw, err := c.Block(ctx, hs.Best().Hash)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bitcoin.Verify(hs.Best(), raw); err != nil {
		t.Error(err)
	}
	if _, err := c.Block(ctx, chainhash.Hash{1}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a block that isn't there: %v", err)
	}
	if _, err := c.PrevTx(ctx, chainhash.Hash{1}); !errors.Is(err, os.ErrNotExist) || errors.Is(err, rpc.ErrNoTxIndex) {
		t.Errorf("a transaction that isn't there: %v", err)
	}
	if rate, err := c.FeeRate(ctx, 6); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("fee rate %d, %v", rate, err)
	}
}

// checkCoins spends a coin, and looks at it in each stage of that.
func checkCoins(t *testing.T, n *btcdtest.Node) {
	ctx, c, script := t.Context(), n.RPC, n.MinerScript()
	unspent := func() []bitcoin.Output {
		t.Helper()
		coins, err := c.Unspent(ctx, script)
		if err != nil {
			t.Fatal(err)
		}
		return coins
	}
	coins := unspent()
	if len(coins) != 12 { // blocks 1 to 12 of 111 have paid out
		t.Fatalf("%d coins, want 12", len(coins))
	}
	for _, o := range coins {
		raw, err := c.PrevTx(ctx, o.OutPoint.Hash)
		if err != nil {
			t.Fatal(err)
		}
		out, err := bitcoin.OutputOf(raw, o.OutPoint)
		if err != nil || out.Value != o.Value || o.Height < 1 || o.Height > 12 {
			t.Errorf("coin %+v, %v", o, err)
		}
	}
	tx, err := registrar.Build(n.Miner, coins[:1], []*wire.TxOut{wire.NewTxOut(1e8, script)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	send := func(when string) {
		t.Helper()
		if got, err := c.Broadcast(ctx, encode(t, tx)); err != nil || got != tx.TxHash() {
			t.Errorf("sent %s: %v, %v", when, got, err)
		}
	}
	send("first")
	send("again")
	for _, o := range unspent() {
		if o.OutPoint == coins[0].OutPoint {
			t.Error("a coin that a waiting transaction spends")
		}
	}
	other, err := registrar.Build(n.Miner, coins[:1], []*wire.TxOut{wire.NewTxOut(2e8, script)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	var refused interface{ Rejected() bool }
	if _, err := c.Broadcast(ctx, encode(t, other)); !errors.As(err, &refused) || !refused.Rejected() {
		t.Errorf("coins spent twice: %v", err)
	}
	n.Generate(1)
	send("after it was mined")
	found := 0
	for _, o := range unspent() {
		if o.OutPoint.Hash == tx.TxHash() {
			found++
			if o.Height != n.Height() || o.Value != tx.TxOut[o.OutPoint.Index].Value {
				t.Errorf("coin %+v at %d", o, n.Height())
			}
			coins = append(coins, o)
		}
	}
	if found != 2 {
		t.Fatalf("%d new coins, want 2", found)
	}
	all, err := registrar.Build(n.Miner, coins[len(coins)-2:], []*wire.TxOut{wire.NewTxOut(tx.TxOut[0].Value+tx.TxOut[1].Value-20_000, script)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Broadcast(ctx, encode(t, all)); err != nil {
		t.Fatal(err)
	}
	n.Generate(1)
	send("after its outputs were spent")
}

// TestManyTransactions has more of them than one answer of btcd holds.
func TestManyTransactions(t *testing.T) {
	n := btcdtest.Start(t, btcdtest.Options{})
	n.Generate(320)
	coins, err := n.RPC.Unspent(t.Context(), n.MinerScript())
	if err != nil || len(coins) != 221 {
		t.Errorf("%d coins, want 221, %v", len(coins), err)
	}
	hs := bitcoin.NewHeaders(n.Net)
	sync(t, n.RPC, hs)
	for _, o := range coins {
		if o.Height < 1 || o.Height > 221 {
			t.Errorf("coin of block %d", o.Height)
		}
	}
}

func TestNoIndexes(t *testing.T) {
	n := btcdtest.Start(t, btcdtest.Options{NoIndex: true})
	n.Generate(1)
	_, err := n.RPC.PrevTx(t.Context(), chainhash.Hash{1})
	if !errors.Is(err, rpc.ErrNoTxIndex) || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "--txindex") {
		t.Errorf("without an index of transactions: %v", err)
	}
	if _, err := n.RPC.Unspent(t.Context(), n.MinerScript()); !errors.Is(err, rpc.ErrNoAddrIndex) {
		t.Errorf("without an index of addresses: %v", err)
	}
}

func TestDial(t *testing.T) {
	n := btcdtest.Start(t, btcdtest.Options{TLS: true})
	o := rpc.Options{URL: n.URL, User: n.User, Password: n.Password, CA: n.CA, Chain: n.Net}
	other := filepath.Join(t.TempDir(), "pem")
	if err := os.WriteFile(other, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, b := range []struct {
		what, want string
		change     func(o *rpc.Options)
	}{
		{"good", "", func(o *rpc.Options) {}},
		{"credentials in the URL", "", func(o *rpc.Options) {
			o.User, o.Password = "", ""
			o.URL = strings.Replace(o.URL, "://", "://satchel:only%20for%20tests@", 1)
		}},
		{"another password", "refuses the user and password", func(o *rpc.Options) { o.Password = "HIDDEN" }},
		{"no certificate", "certificate", func(o *rpc.Options) { o.CA = "" }},
		{"no such certificate", "no such file", func(o *rpc.Options) { o.CA = "/nowhere/HIDDEN" }},
		{"a file without one", "there is none", func(o *rpc.Options) { o.CA = other }},
		{"another network", "another network", func(o *rpc.Options) { o.Chain = &chaincfg.MainNetParams }},
		{"http", "answers 400", func(o *rpc.Options) { o.URL = strings.Replace(o.URL, "https", "http", 1) }},
		{"no URL", "https://HOST:PORT", func(o *rpc.Options) { o.URL = "localhost:HIDDEN" }},
		{"a broken URL", "https://HOST:PORT", func(o *rpc.Options) { o.URL = "http://ada:HIDDEN@a b/" }},
		{"nobody there", "connection refused", func(o *rpc.Options) { o.URL = "http://ada:HIDDEN@127.0.0.1:1/HIDDEN" }},
		{"two credentials", "not both", func(o *rpc.Options) { o.Cookie = "x" }},
	} {
		o := o
		b.change(&o)
		c, err := rpc.Dial(t.Context(), o)
		if err == nil {
			c.Close()
		}
		if b.want == "" && err != nil || b.want != "" && (err == nil || !strings.Contains(err.Error(), b.want)) {
			t.Errorf("%s: %v; want %q", b.what, err, b.want)
		}
		if err != nil && b.what != "no such certificate" && strings.Contains(err.Error(), "HIDDEN") {
			t.Errorf("%s: the error tells a secret: %v", b.what, err)
		}
		if b.what == "another network" && !errors.Is(err, rpc.ErrNetwork) {
			t.Errorf("%s: not ErrNetwork: %v", b.what, err)
		}
	}
}

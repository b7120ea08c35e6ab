package p2p_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/bitcoin"
	"satchel/chain/bitcoin/p2p"
	"satchel/chain/btcdtest"
	"satchel/chain/devnet"
	"satchel/chain/registrar"
)

// withTxs adds previous transactions, which peers don't have.
type withTxs struct {
	*p2p.Source
	bitcoin.PrevTxer
}

func open(t *testing.T, nodes ...*btcdtest.Node) *p2p.Source {
	t.Helper()
	o := p2p.Options{Params: &chaincfg.RegressionNetParams}
	for _, n := range nodes {
		o.Peers = append(o.Peers, n.Addr)
	}
	s, err := p2p.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// indexOf follows a source until ctx ends, and returns what becomes of that.
func indexOf(t *testing.T, src bitcoin.Source, p *chain.Params) (*chain.Index, *chain.Follower) {
	t.Helper()
	ix, err := chain.OpenIndex("", p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ix.Close() })
	f := chain.NewFollower(src, ix, chain.FollowerOptions{Log: slog.New(slog.DiscardHandler), Poll: time.Hour})
	done := make(chan error)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return ix, f
}

// reach waits until an index has a tip.
func reach(t *testing.T, ix *chain.Index, f *chain.Follower, tip chainhash.Hash) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, hash := ix.Tip(); hash == tip {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not at %v: %+v", tip, f.Status())
		}
	}
}

func hashes(t *testing.T, ix *chain.Index) (list [][16]byte) {
	t.Helper()
	tip, _ := ix.Tip()
	for h := ix.Params().FirstBlock; h <= tip; h++ {
		c, err := ix.ConsensusHash(h)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	return list
}

// TestBtcd follows names on two btcd nodes through a reorganisation and the end of
// one of them, woken by them alone, and finds the consensus hashes that RPC leads
// to.
func TestBtcd(t *testing.T) {
	a := btcdtest.Start(t, btcdtest.Options{})
	b := btcdtest.Start(t, btcdtest.Options{Connect: []*btcdtest.Node{a}})
	d, err := devnet.Open(t.TempDir(), devnet.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	register(t, d, "ada.id", "bob.id")
	copyChain(t, d, a)
	a.Sync(b)
	s := open(t, a, b)
	params := d.Index().Params()
	byPeers, f := indexOf(t, withTxs{s, a.RPC}, params)
	reach(t, byPeers, f, a.Tip())
	for _, depth := range []int{1, 3} {
		if err := d.Mine(depth); err != nil {
			t.Fatal(err)
		}
		copyChain(t, d, a)
		reach(t, byPeers, f, a.Tip())
		if err := d.Reorg(depth); err != nil {
			t.Fatal(err)
		}
		register(t, d, chain.Name([]string{"", "eve.id", "", "kim.id"}[depth]))
		copyChain(t, d, a)
		reach(t, byPeers, f, a.Tip())
	}
	if got := f.Status().Reorgs; got != 2 {
		t.Errorf("%d reorganisations", got)
	}
	a.Sync(b)
	b.Stop()
	a.Generate(2)
	reach(t, byPeers, f, a.Tip())
	byRPC, g := indexOf(t, a.RPC, params)
	reach(t, byRPC, g, a.Tip())
	if got, want := hashes(t, byPeers), hashes(t, byRPC); !slices.Equal(got, want) {
		t.Errorf("consensus hashes %x, want %x", got, want)
	}
	for _, name := range []chain.Name{"ada.id", "bob.id", "eve.id", "kim.id"} {
		if rec, err := byPeers.Lookup(name); err != nil {
			t.Errorf("%s: %+v, %v", name, rec, err)
		}
	}
	if st := s.Status(); len(st) != 2 || !slices.ContainsFunc(st, func(st p2p.Status) bool { return st.Error != "" }) {
		t.Errorf("status %+v", st)
	}
}

// TestBtcdComesBack: a source that had no node goes on when there is one.
func TestBtcdComesBack(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	s, err := p2p.Open(p2p.Options{Params: &chaincfg.RegressionNetParams, Peers: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := s.Headers(ctx, nil); err == nil {
		t.Error("headers of nobody")
	}
	n := btcdtest.Start(t, btcdtest.Options{Args: []string{"--listen=" + addr}})
	n.Generate(1)
	hs, err := s.Headers(t.Context(), nil)
	if err != nil || len(hs) != 1 || hs[0].BlockHash() != n.Tip() {
		t.Errorf("%d headers, %v", len(hs), err)
	}
	raw, err := s.Block(t.Context(), n.Tip())
	if _, e := bitcoin.Verify(bitcoin.Header{BlockHeader: hs[0], Hash: n.Tip()}, raw); err != nil || e != nil {
		t.Errorf("block: %v, %v", err, e)
	}
}

// TestBroadcast: two nodes get a transaction, once or twice; one that breaks a
// rule is refused by both.
func TestBroadcast(t *testing.T) {
	a := btcdtest.Start(t, btcdtest.Options{})
	b := btcdtest.Start(t, btcdtest.Options{Connect: []*btcdtest.Node{a}})
	a.Generate(102)
	a.Sync(b)
	s := open(t, a, b)
	coins, err := a.RPC.Unspent(t.Context(), a.MinerScript())
	if err != nil {
		t.Fatal(err)
	}
	tx, err := registrar.Build(a.Miner, coins, []*wire.TxOut{wire.NewTxOut(5000, a.MinerScript())}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, why := range []string{"new", "known"} {
		id, err := s.Broadcast(t.Context(), raw(tx))
		if err != nil || id != tx.TxHash() {
			t.Fatalf("%s: %v, %v", why, id, err)
		}
	}
	for _, n := range []*btcdtest.Node{a, b} {
		deadline := time.Now().Add(10 * time.Second)
		for {
			var pool []string
			if n.Call(&pool, "getrawmempool"); slices.Contains(pool, tx.TxHash().String()) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s doesn't have it", n.Addr)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	twice, err := registrar.Build(a.Miner, coins, []*wire.TxOut{wire.NewTxOut(6000, a.MinerScript())}, 1)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Broadcast(t.Context(), raw(twice))
	if r := (interface{ Rejected() bool })(nil); !errors.As(err, &r) || !r.Rejected() {
		t.Errorf("spent twice: %v", err)
	}
	if _, err := s.Broadcast(t.Context(), []byte{1, 2, 3}); err == nil {
		t.Error("three bytes are taken for a transaction")
	}
}

func raw(tx *wire.MsgTx) []byte {
	var b bytes.Buffer
	_ = tx.Serialize(&b)
	return b.Bytes()
}

// register registers names on the private chain.
func register(t *testing.T, d *devnet.Node, names ...chain.Name) {
	t.Helper()
	r := &registrar.Registrar{Chain: d, Index: d.Index(), Follower: d.Follower()}
	for _, name := range names {
		key, err := btcec.NewPrivateKey()
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Register(t.Context(), name, key, []byte("zone of "+name), nil); err != nil {
			t.Fatal(err)
		}
	}
}

// copyChain has a node take the blocks of the private chain.
func copyChain(t *testing.T, d *devnet.Node, n *btcdtest.Node) {
	t.Helper()
	hs, err := d.Headers(t.Context(), []chainhash.Hash{*chaincfg.RegressionNetParams.GenesisHash})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hs {
		b, err := d.Block(t.Context(), h.BlockHash())
		if err != nil {
			t.Fatal(err)
		}
		n.Submit(b)
	}
	n.WaitTip(hs[len(hs)-1].BlockHash())
}

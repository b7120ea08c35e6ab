package btcdtest_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"satchel/chain"
	"satchel/chain/bitcoin"
	"satchel/chain/btcdtest"
	"satchel/chain/chaintest"
	"satchel/chain/registrar"
	"satchel/chain/zonefile"
)

// TestRegistrar walks names through their lives with what pays for them, in
// every way that can send transactions and find coins.
func TestRegistrar(t *testing.T) {
	for name, start := range nodes {
		t.Run(name, func(t *testing.T) {
			n := start(t, btcdtest.Options{Args: policy[name]})
			n.Generate(firstBlock)
			for name, src := range sources(t, n) {
				if payer, ok := src.(registrar.Chain); ok {
					t.Run(name, func(t *testing.T) {
						own(t, n, src, payer, chain.Name(strings.ToLower(strings.ReplaceAll(name, " ", "-"))+".own"))
					})
				}
			}
		})
	}
}

// own opens a namespace if need be, registers a name in it, updates it and gives
// it away.
func own(t *testing.T, n *btcdtest.Node, src bitcoin.Source, payer registrar.Chain, name chain.Name) {
	p := chain.Satchel(n.Net, firstBlock)
	ix, err := chain.OpenIndex("", p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ix.Close() })
	f := chain.NewFollower(src, ix, chain.FollowerOptions{Log: slog.New(slog.DiscardHandler), Poll: 20 * time.Millisecond})
	running := make(chan error)
	go func() { running <- f.Run(t.Context()) }()
	t.Cleanup(func() { <-running }) // the test's context has ended
	r := &registrar.Registrar{Chain: payer, Index: ix, Follower: f, Dir: t.TempDir()}
	heir, zone := chaintest.NewKey("heir"), []byte("zone")
	mined := make(chan error, 1)
	go func() {
		ctx, key := t.Context(), n.Miner
		err := r.Namespace(ctx, "own", key)
		if err == nil {
			err = r.Register(ctx, name, key, []byte("first zone"), nil)
		}
		if err == nil {
			err = r.Update(ctx, name, key, zone, nil)
		}
		if err == nil {
			err = r.Transfer(ctx, name, key, heir.Address, true, nil)
		}
		mined <- err
	}()
	for done := false; !done; {
		select {
		case err := <-mined:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		case <-time.After(10 * time.Millisecond):
			var pool []string
			if n.Call(&pool, "getrawmempool"); len(pool) > 0 {
				n.Generate(1)
			}
		}
	}
	rec, err := ix.Lookup(name)
	if err != nil || string(rec.Owner) != string(heir.Script) || rec.ValueHash != zonefile.Hash(zone) {
		t.Errorf("record %+v, %v", rec, err)
	}
}

package test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/btcdtest"
	"satchel/chain/ops"
	"satchel/chain/registrar"
	"satchel/test/testenv"
)

// A chain that is not private, of a real node: a namespace is opened and a name
// registered with coins that somebody paid, asked for before they are spent; the
// chain is followed from the node and from a peer of the network.
func TestPublicChain(t *testing.T) {
	w := testenv.New(t)
	n := btcdtest.Start(t, btcdtest.Options{})
	n.Generate(120)
	pass := w.Path("rpc-password")
	if err := os.WriteFile(pass, []byte(n.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rpc := fmt.Sprintf("rpc+http://%s@%s?password_file=%s", n.User, strings.TrimPrefix(n.URL, "http://"), pass)
	rules := []string{"--network", "regtest", "--rules", "satchel", "--first-block", "121"}
	args := append([]string{"init", "ada.own", "--chain", rpc, "--chain", "p2p://" + n.Addr, "--words-file", w.Path("words")}, rules...)
	ada := w.PersonOn("ada.own", args...)

	ada.Satchel("namespace", "create", "own", "--yes").Want(t, 7, "satoshi", ada.Owner())
	pay(t, n, ada.Owner(), 50e8)

	stop := mineWhenAsked(t, n)
	ada.Satchel("namespace", "create", "own", "--yes").Want(t, 0)
	ada.Satchel("name", "price", "ada.own").Want(t, 0, "5500 satoshi")
	ada.Satchel("name", "register", "ada.own", "--yes", "--dry-run").Want(t, 0, "preorder", "in all")
	out := ada.Satchel("name", "register", "ada.own", "--yes")
	stop()
	if out.Code != 7 || !strings.Contains(out.Err, "chain.zonefiles") {
		t.Fatalf("want it to say that nobody keeps the zone file: %v", out)
	}
	ada.Satchel("name", "show", "ada.own").Want(t, 0, ada.Owner())
	var st struct {
		Chain struct {
			Height    int
			Consensus string
			Sources   []struct{ Name, Error string }
		}
	}
	ada.JSON(&st, "status")
	if st.Chain.Height != n.Height() || len(st.Chain.Consensus) != 32 || len(st.Chain.Sources) != 2 {
		t.Errorf("status %+v, the node is at block %d", st.Chain, n.Height())
	}

	// Without an identity, from both sources, the same.
	follow := append([]string{"follow", "--home", w.Path("follower"), "--once", "--print", "--chain", "p2p://" + n.Addr, "--chain", rpc}, rules...)
	table := w.Satchel(follow...).Want(t, 0, fmt.Sprintf("%d %s", st.Chain.Height, st.Chain.Consensus))
	expect := w.Path("expected")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(expect, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(table.Out)
	again := append([]string{"follow", "--home", w.Path("another"), "--once", "--expect", expect, "--chain", rpc}, rules...)
	w.Satchel(again...).Want(t, 0, st.Chain.Consensus)
	lines := strings.Split(strings.TrimSpace(table.Out), "\n")
	lines[3] = lines[3][:len(lines[3])-1] + "x"
	write(strings.Join(lines, "\n"))
	again[2] = w.Path("third")
	w.Satchel(again...).Want(t, 2, "line 4")
	height, hash, _ := strings.Cut(strings.Split(strings.TrimSpace(table.Out), "\n")[3], " ")
	lines[3] = height + " " + strings.Repeat("0", len(hash))
	write(strings.Join(lines, "\n"))
	w.Satchel(again...).Want(t, 7, "block "+height, hash)

	// A snapshot is taken by its signer's word, or by the hash that it ends with.
	snap := w.Path("snapshot")
	ada.Satchel("follow", "--export", snap).Want(t, 0, st.Chain.Consensus, "signer")
	load := append([]string{"follow", "--home", w.Path("fourth"), "--once", "--import", snap, "--chain", rpc}, rules...)
	w.Satchel(load...).Want(t, 7, "--signer")
	w.Satchel(append(load, "--trust", strings.Repeat("0", 32))...).Want(t, 7, "is trusted")
	w.Satchel(append(load, "--trust", st.Chain.Consensus)...).Want(t, 0, "imported", st.Chain.Consensus)
	w.Satchel(append(load, "--trust", st.Chain.Consensus)...).Want(t, 7, "has an index already")
}

// pay has the node's miner pay an address.
func pay(t *testing.T, n *btcdtest.Node, addr string, satoshi int64) {
	t.Helper()
	script, err := ops.PayTo(addr, &chaincfg.RegressionNetParams)
	if err != nil {
		t.Fatal(err)
	}
	coins, err := n.RPC.Unspent(t.Context(), n.MinerScript())
	if err != nil {
		t.Fatal(err)
	}
	tx, err := registrar.Build(n.Miner, coins, []*wire.TxOut{wire.NewTxOut(satoshi, script)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	var raw strings.Builder
	_ = tx.Serialize(&raw)
	if _, err := n.RPC.Broadcast(t.Context(), []byte(raw.String())); err != nil {
		t.Fatal(err)
	}
	n.Generate(1)
}

// mineWhenAsked mines a block whenever a transaction waits for one.
func mineWhenAsked(t *testing.T, n *btcdtest.Node) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(50 * time.Millisecond):
			}
			var pool []string
			if n.RPC.Call(t.Context(), &pool, "getrawmempool") == nil && len(pool) > 0 {
				_ = n.RPC.Call(t.Context(), nil, "generate", 1)
			}
		}
	}()
	return func() { close(done); <-ended }
}

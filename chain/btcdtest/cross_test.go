package btcdtest_test

import (
	"log/slog"
	"net"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"

	"satchel/chain"
	"satchel/chain/btcdtest"
	"satchel/chain/devnet"
	"satchel/chain/ops"
	"satchel/chain/registrar"
)

// nodes are the programs that tests run with.
var nodes = map[string]func(testing.TB, btcdtest.Options) *btcdtest.Node{
	"btcd":     btcdtest.Start,
	"bitcoind": btcdtest.StartBitcoind,
}

// policy are the arguments with which nodes relay what they would on mainnet.
var policy = map[string][]string{"btcd": {"--rejectnonstd"}, "bitcoind": {"-acceptnonstdtxn=0"}}

// TestPolicy has operations of each kind pass the rules for what mainnet relays,
// several in a block, and followed in every way.
func TestPolicy(t *testing.T) {
	for name, start := range nodes {
		t.Run(name, func(t *testing.T) {
			n := start(t, btcdtest.Options{Args: policy[name]})
			m := newMaker(t, n, "name")
			m.open()
			for range 8 {
				m.block()
			}
			m.send(ops.Announce{Hash: [20]byte{1}}, 1)
			n.Generate(1)
			m.check()
			same(t, n, append(ways(t, n, m.index.Params()), m.way))
		})
	}
}

// TestReorgs follows reorganisations of 1, 3 and 30 blocks that a node goes
// through because a block is declared invalid.
func TestReorgs(t *testing.T) {
	for name, start := range nodes {
		t.Run(name, func(t *testing.T) {
			n := start(t, btcdtest.Options{})
			m := newMaker(t, n, "name")
			m.open()
			list := ways(t, n, m.index.Params())
			for i, depth := range []int{1, 3, 30} {
				m.mine(depth)
				before := same(t, n, list)
				m.reorg(depth)
				reorgs(t, list, i+1, before, same(t, n, list))
			}
		})
	}
}

// TestPartition follows reorganisations of 1, 3 and 30 blocks that come about
// because two nodes are apart for a while.
func TestPartition(t *testing.T) {
	for name, start := range nodes {
		t.Run(name, func(t *testing.T) {
			a := start(t, btcdtest.Options{})
			m := newMaker(t, a, "left")
			m.open()
			b := start(t, btcdtest.Options{Connect: []*btcdtest.Node{a}})
			a.Sync(b)
			other := newMaker(t, b, "right")
			list := ways(t, a, m.index.Params())
			both := newWay(t, "both nodes", mixed(t, dialPeer(t, a), dialRPC(t, a), dialPeer(t, b), dialEsplora(t, b)), m.index.Params())
			for i, depth := range []int{1, 3, 30} {
				a.Disconnect(b)
				m.mine(depth)
				other.mine(depth + 1)
				before := same(t, a, list)
				same(t, b, []*way{both}) // has more work
				a.Connect(b)
				b.Sync(a)
				reorgs(t, list, i+1, before, same(t, a, append(list, both)))
			}
		})
	}
}

// TestPrivateChain has a node take the private chain's blocks, so that both have
// the very same chain, and follows it in every way, through reorganisations too.
func TestPrivateChain(t *testing.T) {
	for name, start := range nodes {
		t.Run(name, func(t *testing.T) {
			n := start(t, btcdtest.Options{})
			d, err := devnet.Open(t.TempDir(), devnet.Options{Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { d.Close() })
			p := d.Index().Params()
			register(t, d, "ada.id", "bob.id")
			list := append(ways(t, n, p), newWay(t, "private chain", d, p), newWay(t, "endpoint of the private chain", dialDevnet(t, d), p))
			copyChain(t, d, n)
			same(t, n, list)
			for i, depth := range []int{1, 3, 30} {
				if err := d.Mine(depth); err != nil {
					t.Fatal(err)
				}
				register(t, d, chain.Name([]string{"eve.id", "joe.id", "kim.id"}[i]))
				copyChain(t, d, n)
				before := same(t, n, list)
				if err := d.Reorg(depth); err != nil {
					t.Fatal(err)
				}
				copyChain(t, d, n)
				reorgs(t, list, i+1, before, same(t, n, list))
			}
		})
	}
}

// register registers names, each for a key of its own.
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

// copyChain has a node take the blocks of the private chain that it lacks.
func copyChain(t *testing.T, d *devnet.Node, n *btcdtest.Node) {
	t.Helper()
	hs, err := d.Headers(t.Context(), []chainhash.Hash{*chaincfg.RegressionNetParams.GenesisHash})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hs {
		raw, err := d.Block(t.Context(), h.BlockHash())
		if err != nil {
			t.Fatal(err)
		}
		n.Submit(raw)
	}
	n.WaitTip(hs[len(hs)-1].BlockHash())
}

func dialDevnet(t *testing.T, d *devnet.Node) *devnet.Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go d.Serve(l) // ends with Close
	c := devnet.Dial(l.Addr().String())
	t.Cleanup(func() { c.Close() })
	return c
}

package btcdtest_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"satchel/chain"
	"satchel/chain/bitcoin"
	"satchel/chain/bitcoin/esplora"
	"satchel/chain/bitcoin/multi"
	"satchel/chain/bitcoin/p2p"
	"satchel/chain/bitcoin/rpc"
	"satchel/chain/btcdtest"
)

// A way is one to a chain, and a follower that goes it.
type way struct {
	name     string
	index    *chain.Index
	follower *chain.Follower
}

// newWay returns a way whose follower has read nothing yet.
func newWay(t *testing.T, name string, src bitcoin.Source, p *chain.Params) *way {
	t.Helper()
	ix, err := chain.OpenIndex("", p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ix.Close() })
	return &way{name, ix, chain.NewFollower(src, ix, chain.FollowerOptions{Log: slog.New(slog.DiscardHandler)})}
}

// sources returns every way to a node's chain.
func sources(t *testing.T, n *btcdtest.Node) map[string]bitcoin.Source {
	t.Helper()
	return map[string]bitcoin.Source{
		"RPC": dialRPC(t, n), "Esplora": dialEsplora(t, n),
		"P2P":   peer{dialPeer(t, n), n.RPC},
		"mixed": mixed(t, dialPeer(t, n), dialRPC(t, n), dialEsplora(t, n)),
	}
}

// A peer has headers and blocks of a peer of the network, and previous
// transactions of something else.
type peer struct {
	*p2p.Source
	bitcoin.PrevTxer
}

func dialPeer(t *testing.T, n *btcdtest.Node) *p2p.Source {
	t.Helper()
	p, err := p2p.Open(p2p.Options{Params: n.Net, Peers: []string{n.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// mixed makes one source of several.
func mixed(t *testing.T, list ...bitcoin.Source) *multi.Source {
	t.Helper()
	var members []multi.Member
	for _, src := range list {
		members = append(members, multi.Member{Name: fmt.Sprintf("%T", src), Source: src})
	}
	s := multi.New(members...)
	t.Cleanup(func() { s.Close() })
	return s
}

func dialRPC(t *testing.T, n *btcdtest.Node) *rpc.Client {
	t.Helper()
	c, err := rpc.Dial(t.Context(), rpc.Options{URL: n.URL, User: n.User, Password: n.Password, Cookie: n.Cookie, Chain: n.Net})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func dialEsplora(t *testing.T, n *btcdtest.Node) *esplora.Client {
	t.Helper()
	s := btcdtest.StartEsplora(t, n.Net, n.RPC)
	c, err := esplora.Dial(t.Context(), esplora.Options{URL: s.URL, Chain: n.Net})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ways returns followers of every way to a node's chain.
func ways(t *testing.T, n *btcdtest.Node, p *chain.Params) (list []*way) {
	t.Helper()
	for name, src := range sources(t, n) {
		list = append(list, newWay(t, name, src, p))
	}
	return list
}

// reach follows until the tip is the block with that hash.
func (w *way) reach(t *testing.T, tip chainhash.Hash) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		err = w.follower.Sync(t.Context())
		if _, hash := w.index.Tip(); err == nil && hash == tip {
			return
		}
	}
	height, hash := w.index.Tip()
	t.Fatalf("%s: at %d %v, not at %v: %v", w.name, height, hash, tip, err)
}

// hashes returns the consensus hash of each height, from the first that has one
// of its own on.
func (w *way) hashes(t *testing.T) (list [][16]byte) {
	t.Helper()
	tip, _ := w.index.Tip()
	for h := w.index.Params().FirstBlock; h <= tip; h++ {
		c, err := w.index.ConsensusHash(h)
		if err != nil {
			t.Fatalf("%s: block %d: %v", w.name, h, err)
		}
		list = append(list, c)
	}
	return list
}

// same checks that all ways lead to a node's tip, and to the consensus hashes
// that a follower finds which reads the node's chain for the first time. It
// returns those.
func same(t *testing.T, n *btcdtest.Node, list []*way) [][16]byte {
	t.Helper()
	tip := n.Tip()
	fresh := newWay(t, "a fresh one", n.RPC, list[0].index.Params())
	fresh.reach(t, tip)
	want := fresh.hashes(t)
	for _, w := range list {
		w.reach(t, tip)
		got := w.hashes(t)
		if len(got) != len(want) {
			t.Errorf("%s: %d consensus hashes, want %d", w.name, len(got), len(want))
			continue
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: consensus hash of block %d is %x, want %x", w.name, i+fresh.index.Params().FirstBlock, got[i], want[i])
				break
			}
		}
	}
	return want
}

// reorgs checks that the followers have gone through so many reorganisations,
// and that the last one changed the consensus hash of what was the newest block.
func reorgs(t *testing.T, list []*way, want int, before, after [][16]byte) {
	t.Helper()
	if last := len(before) - 1; before[last] == after[last] {
		t.Errorf("reorganisation %d changed nothing", want)
	}
	for _, w := range list {
		if got := w.follower.Status().Reorgs; got != want {
			t.Errorf("%s: %d reorganisations, want %d", w.name, got, want)
		}
	}
}

// Package btcdtest runs real Bitcoin nodes for tests: btcd, which is built from
// the module that go.mod names, and bitcoind if the environment variable
// BITCOIND says where it is. Nodes listen on loopback, keep their files in the
// test's folder and are killed when it ends, or dies.
//
// What is easily forgotten: btcd on regtest forgets its chain at each start, on
// simnet it keeps it. Over the peer-to-peer network a node answers no request for
// headers while its tip is more than a day old, as the genesis block is: mine a
// block first. Generate returns before connected nodes have the blocks: Sync.
package btcdtest

import (
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"

	"satchel/chain/bitcoin/rpc"
	"satchel/chain/ops"
)

// Options are the options of a node.
type Options struct {
	Net     *chaincfg.Params  // nil: RegressionNetParams; btcd knows SimNetParams too
	Miner   *btcec.PrivateKey // paid for blocks; nil: the same for all nodes
	Connect []*Node           // to connect with at once
	TLS     bool              // RPC over https
	NoIndex bool              // of transactions and addresses
	Args    []string          // to add, such as --rejectnonstd
}

// A Node is a node that runs.
type Node struct {
	T   testing.TB
	Net *chaincfg.Params
	// Miner is paid by Generate. It is Options.Miner, or a key that is the same
	// for all nodes.
	Miner *btcec.PrivateKey

	RPC  *rpc.Client // allowed everything
	Addr string      // of its peer-to-peer side, host and port
	// What it takes to make another client: a URL, credentials, the file with
	// btcd's certificate if Options.TLS, and bitcoind's cookie.
	URL, User, Password, CA, Cookie string

	dir  string
	kind kind
	o    Options
	proc *process
}

// kind is how a program is started and in which its commands differ.
type kind interface {
	args(n *Node, p2p, rpc string) []string
	generate(n *Node, count int) error
	connect(n *Node, addr string) error
	disconnect(n *Node, addr string) error
}

// Start starts btcd. The test is skipped if there is no Go tool to build it.
func Start(t testing.TB, o Options) *Node {
	t.Helper()
	return start(t, o, build(t), btcd{})
}

// StartBitcoind starts bitcoind. The test is skipped if BITCOIND doesn't say
// where it is.
func StartBitcoind(t testing.TB, o Options) *Node {
	t.Helper()
	return start(t, o, bitcoindPath(t), bitcoind{})
}

func start(t testing.TB, o Options, program string, k kind) *Node {
	t.Helper()
	n := &Node{T: t, Net: o.Net, Miner: o.Miner, User: "satchel", Password: "only for tests", dir: t.TempDir(), kind: k, o: o}
	if n.Net == nil {
		n.Net = &chaincfg.RegressionNetParams
	}
	if n.Miner == nil {
		n.Miner, _ = btcec.PrivKeyFromBytes([]byte("the miner of all nodes in tests."))
	}
	if o.TLS {
		n.CA = filepath.Join(n.dir, "rpc.cert")
	}
	n.proc = &process{program: program, dir: n.dir}
	t.Cleanup(n.cleanup)
	n.Restart()
	for _, other := range o.Connect {
		n.Connect(other)
	}
	return n
}

// tries is how often a node is started before its free ports are no excuse.
const tries = 5

// Restart starts a node that was stopped, at another address.
func (n *Node) Restart() {
	n.T.Helper()
	var err error
	for range tries {
		if err = n.run(); err == nil {
			return
		}
		n.proc.kill()
	}
	n.T.Fatalf("%s: %v\n%s", filepath.Base(n.proc.program), err, n.proc.log())
}

func (n *Node) run() error {
	p2p, err := freeAddr()
	if err != nil {
		return err
	}
	rpcAddr, err := freeAddr()
	if err != nil {
		return err
	}
	if err := n.proc.start(n.kind.args(n, p2p, rpcAddr)); err != nil {
		return err
	}
	n.Addr, n.URL = p2p, "http://"+rpcAddr
	if n.o.TLS {
		n.URL = "https://" + rpcAddr
	}
	return n.up()
}

// up waits until the node answers.
func (n *Node) up() error {
	deadline := time.Now().Add(waitTime)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		c, err := rpc.Open(rpc.Options{URL: n.URL, User: n.User, Password: n.Password, Cookie: n.Cookie, CA: n.CA, Chain: n.Net})
		if err == nil {
			if err = c.Call(n.T.Context(), nil, "getblockcount"); err == nil {
				n.RPC = c
				return nil
			}
		}
		if n.proc.ended() || time.Now().After(deadline) {
			return fmt.Errorf("it doesn't answer: %w", err)
		}
		time.Sleep(pause)
	}
}

// Stop stops the node as its user would.
func (n *Node) Stop() {
	n.T.Helper()
	if err := n.proc.stop(); err != nil {
		n.T.Error(err)
	}
}

func (n *Node) cleanup() {
	n.proc.kill()
	if n.RPC != nil {
		n.RPC.Close()
	}
	if n.T.Failed() {
		n.T.Logf("log of the node at %s:\n%s", n.Addr, n.proc.log())
	}
}

// Call asks the node; the test ends if it refuses.
func (n *Node) Call(v any, method string, params ...any) {
	n.T.Helper()
	if err := n.RPC.Call(n.T.Context(), v, method, params...); err != nil {
		n.T.Fatalf("%s: %v", n.Addr, err)
	}
}

// Generate mines blocks whose coins go to Miner.
func (n *Node) Generate(count int) {
	n.T.Helper()
	want := n.Height() + count
	if err := n.kind.generate(n, count); err != nil {
		n.T.Fatal(err)
	}
	n.wait("blocks that it mined", func() bool { return n.Height() >= want })
}

// MinerScript is the script of Miner's coins.
func (n *Node) MinerScript() []byte {
	h := address.Hash160(n.Miner.PubKey().SerializeCompressed())
	s := append([]byte{txscript.OP_DUP, txscript.OP_HASH160, txscript.OP_DATA_20}, h...)
	return append(s, txscript.OP_EQUALVERIFY, txscript.OP_CHECKSIG)
}

// MinerAddress is the address of MinerScript.
func (n *Node) MinerAddress() string { return ops.Address(n.MinerScript(), n.Net) }

// Height returns the height of the tip.
func (n *Node) Height() (height int) {
	n.T.Helper()
	n.Call(&height, "getblockcount")
	return height
}

// Tip returns the hash of the newest block.
func (n *Node) Tip() chainhash.Hash {
	n.T.Helper()
	return n.hash("getbestblockhash")
}

// Hash returns the hash of the block at a height.
func (n *Node) Hash(height int) chainhash.Hash {
	n.T.Helper()
	return n.hash("getblockhash", height)
}

func (n *Node) hash(method string, params ...any) chainhash.Hash {
	n.T.Helper()
	var s string
	n.Call(&s, method, params...)
	h, err := chainhash.NewHashFromStr(s)
	if err != nil {
		n.T.Fatal(err)
	}
	return *h
}

// Invalidate forbids a block and those that follow it.
func (n *Node) Invalidate(hash chainhash.Hash) {
	n.T.Helper()
	n.Call(nil, "invalidateblock", hash.String())
}

// Reconsider takes back what Invalidate did.
func (n *Node) Reconsider(hash chainhash.Hash) {
	n.T.Helper()
	n.Call(nil, "reconsiderblock", hash.String())
}

// Reorg replaces the newest blocks by one more. What they held may be mined again.
func (n *Node) Reorg(depth int) {
	n.T.Helper()
	n.Invalidate(n.Hash(n.Height() - depth + 1))
	n.Generate(depth + 1)
}

// Submit hands the node a block. One that it has is no error, nor is one of a
// chain that is not the best.
func (n *Node) Submit(raw []byte) {
	n.T.Helper()
	var why *string
	n.Call(&why, "submitblock", hex.EncodeToString(raw))
	if why == nil {
		return
	}
	for _, fine := range []string{"duplicate", "inconclusive", "already have"} {
		if strings.Contains(*why, fine) {
			return
		}
	}
	n.T.Fatalf("%s refuses a block: %s", n.Addr, *why)
}

// Connect connects the node with another.
func (n *Node) Connect(other *Node) {
	n.T.Helper()
	if n.connected(other) {
		return
	}
	if err := n.kind.connect(n, other.Addr); err != nil {
		n.T.Fatal(err)
	}
	n.wait("a connection", func() bool { return n.connected(other) })
}

// Disconnect ends the connection of two nodes, whoever began it.
func (n *Node) Disconnect(other *Node) {
	n.T.Helper()
	n.wait("the end of a connection", func() bool {
		if n.peer(other.Addr) {
			_ = n.kind.disconnect(n, other.Addr) // gone in between, or the next try finds it
		}
		if other.peer(n.Addr) {
			_ = other.kind.disconnect(other, n.Addr)
		}
		return !n.connected(other)
	})
}

func (n *Node) connected(other *Node) bool { return n.peer(other.Addr) || other.peer(n.Addr) }

// peer says if the node has a connection that it began to an address.
func (n *Node) peer(addr string) bool {
	n.T.Helper()
	var peers []struct{ Addr string }
	n.Call(&peers, "getpeerinfo")
	for _, p := range peers {
		if p.Addr == addr {
			return true
		}
	}
	return false
}

// Peers returns how many connections the node has.
func (n *Node) Peers() (count int) {
	n.T.Helper()
	n.Call(&count, "getconnectioncount")
	return count
}

// Sync waits until other nodes have the node's tip.
func (n *Node) Sync(others ...*Node) {
	n.T.Helper()
	want := n.Tip()
	for _, o := range others {
		o.WaitTip(want)
	}
}

// WaitTip waits until a block is the node's newest.
func (n *Node) WaitTip(hash chainhash.Hash) {
	n.T.Helper()
	n.wait("tip "+hash.String(), func() bool { return n.Tip() == hash })
}

// waitTime is how long a node may take for anything.
const waitTime = 30 * time.Second

func (n *Node) wait(what string, done func() bool) {
	n.T.Helper()
	deadline := time.Now().Add(waitTime)
	for pause := 5 * time.Millisecond; !done(); pause = min(2*pause, 100*time.Millisecond) {
		if time.Now().After(deadline) {
			n.T.Fatalf("%s: waited for %s", n.Addr, what)
		}
		time.Sleep(pause)
	}
}

package p2p

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/bitcoin"
	"satchel/chain/chaintest"
)

// quick are times for tests.
var quick = times{
	dial: time.Second, idle: 3 * time.Second, message: time.Second, write: time.Second,
	headers: 300 * time.Millisecond, block: 300 * time.Millisecond, hedgeMin: 50 * time.Millisecond, hedgeMax: time.Second,
	peer: time.Second, tick: 20 * time.Millisecond, ping: 100 * time.Millisecond,
	minPause: 20 * time.Millisecond, maxPause: time.Second, ban: time.Hour, seeds: 50 * time.Millisecond,
	good: time.Minute, ring: 10 * time.Millisecond, settle: 200 * time.Millisecond, broadcast: time.Second,
}

const firstBlock = 5

// A node is a peer that a test makes. It is honest but for what hooks change.
type node struct {
	t      *testing.T
	chain  *chaintest.Chain
	l      net.Listener
	addr   string
	calls  atomic.Int64 // how often it was called
	loops  sync.WaitGroup
	mu     sync.Mutex
	conns  map[*conn]bool
	closed bool

	net     wire.BitcoinNet
	version func(m *wire.MsgVersion)
	// hear is told of each message; true means that it was dealt with.
	hear func(c *conn, m wire.Message) bool
	met  func(c *conn) // called after the handshake
}

// A conn is a connection that a node was called with.
type conn struct {
	net.Conn
	n  *node
	mu sync.Mutex
}

// newNode returns a node that listens; start makes it answer.
func newNode(t *testing.T, c *chaintest.Chain) *node {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, chain: c, l: l, addr: l.Addr().String(), net: c.Params.Chain.Net, conns: make(map[*conn]bool)}
	t.Cleanup(n.stop)
	return n
}

func (n *node) start() *node {
	n.loops.Go(func() {
		for {
			raw, err := n.l.Accept()
			if err != nil {
				return
			}
			n.calls.Add(1)
			c := &conn{Conn: raw, n: n}
			n.mu.Lock()
			n.conns[c] = true
			closed := n.closed
			n.mu.Unlock()
			if closed {
				raw.Close()
			}
			n.loops.Go(func() {
				defer raw.Close()
				c.serve()
				n.mu.Lock()
				delete(n.conns, c)
				n.mu.Unlock()
			})
		}
	})
	return n
}

// hangUp ends all connections.
func (n *node) hangUp() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		c.Close()
	}
}

func (n *node) stop() {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.l.Close()
	n.hangUp()
	n.loops.Wait()
}

func (c *conn) say(m wire.Message) { _ = c.sayErr(m) } // or the connection has ended

func (c *conn) sayErr(m wire.Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := wire.WriteMessageWithEncodingN(c, m, pver, c.n.net, wire.BaseEncoding)
	return err
}

// wait waits for the end of the connection without reading, for a while.
func (c *conn) wait() { time.Sleep(3 * time.Second) }

func (c *conn) serve() {
	for {
		_, m, _, err := wire.ReadMessageWithEncodingN(c, pver, c.n.chain.Params.Chain.Net, wire.WitnessEncoding)
		if errors.Is(err, wire.ErrUnknownMessage) {
			continue
		}
		if err != nil {
			return
		}
		if c.n.hear == nil || !c.n.hear(c, m) {
			c.answer(m)
		}
		if _, ok := m.(*wire.MsgVerAck); ok && c.n.met != nil {
			c.n.met(c)
		}
	}
}

// answer is what an honest node does.
func (c *conn) answer(m wire.Message) {
	ctx := context.Background()
	switch m := m.(type) {
	case *wire.MsgVersion:
		v := wire.NewMsgVersion(&wire.NetAddress{}, &wire.NetAddress{}, 1, int32(c.n.chain.Height()))
		v.ProtocolVersion, v.Services, v.UserAgent = int32(wire.AddrV2Version), wire.SFNodeNetwork|wire.SFNodeWitness, "/honest\x1b:1/"
		if c.n.version != nil {
			c.n.version(v)
		}
		c.say(v)
		c.say(wire.NewMsgSendAddrV2())
		c.say(wire.NewMsgVerAck())
	case *wire.MsgPing:
		c.say(wire.NewMsgPong(m.Nonce))
	case *wire.MsgGetHeaders:
		var locator []chainhash.Hash
		for _, h := range m.BlockLocatorHashes {
			locator = append(locator, *h)
		}
		hs, _ := c.n.chain.Headers(ctx, locator)
		c.say(headersMessage(hs))
	case *wire.MsgGetData:
		for _, v := range m.InvList {
			raw, err := c.n.chain.Block(ctx, v.Hash)
			if err != nil {
				missing := wire.NewMsgNotFound()
				_ = missing.AddInvVect(v)
				c.say(missing)
				continue
			}
			c.say(blockMessage(raw))
		}
	}
}

func headersMessage(hs []wire.BlockHeader) *wire.MsgHeaders {
	m := wire.NewMsgHeaders()
	for i := range hs {
		_ = m.AddBlockHeader(&hs[i])
	}
	return m
}

func blockMessage(raw []byte) *wire.MsgBlock {
	var b wire.MsgBlock
	_ = b.Deserialize(bytes.NewReader(raw))
	return &b
}

// local is the world of fixed peers.
var local = world{dial: new(net.Dialer).DialContext}

// openSource opens a source with fixed peers that the test closes.
func openSource(t *testing.T, c *chaintest.Chain, tm times, nodes ...*node) *Source {
	t.Helper()
	var peers []string
	for _, n := range nodes {
		peers = append(peers, n.addr)
	}
	s, err := open(Options{Params: c.Params.Chain, Peers: peers}, tm, local)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// withTxs adds previous transactions, which peers don't have.
type withTxs struct {
	*Source
	bitcoin.PrevTxer
}

// newChain makes a chain with a name.
func newChain(t *testing.T) *chaintest.Chain {
	c := chaintest.New(t, firstBlock)
	alice := chaintest.NewKey("alice")
	c.Namespace("id", 0xffffffff)
	c.MineBlock(c.PreorderTx("alice.id", alice))
	c.MineBlock(c.RegisterTx("alice.id", alice))
	c.Mine(20)
	return c
}

// follow follows a source to the tip of a chain.
func follow(t *testing.T, src bitcoin.Source, c *chaintest.Chain) *chain.Index {
	t.Helper()
	ix, err := chain.OpenIndex("", c.Params)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ix.Close() })
	f := chain.NewFollower(src, ix, chain.FollowerOptions{Log: slog.New(slog.DiscardHandler)})
	reach(t, f, ix, c)
	return ix
}

func reach(t *testing.T, f *chain.Follower, ix *chain.Index, c *chaintest.Chain) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		err := f.Sync(t.Context())
		height, hash := ix.Tip()
		if err == nil && height == c.Height() && hash == c.Hash(height) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("at block %d of %d: %v", height, c.Height(), err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if rec, err := ix.Lookup("alice.id"); err != nil || rec.Expired {
		t.Errorf("alice.id: %+v, %v", rec, err)
	}
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after 10 seconds: %s", what)
		}
	}
}

// statusOf returns what a source says of a node.
func statusOf(s *Source, n *node) Status {
	for _, st := range s.Status() {
		if st.Addr == n.addr {
			return st
		}
	}
	return Status{}
}

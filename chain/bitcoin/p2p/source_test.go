package p2p

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/chaintest"
)

// counted counts the blocks that a node is asked for.
func counted(n *node) *atomic.Int64 {
	count, before := new(atomic.Int64), n.hear
	n.hear = func(c *conn, m wire.Message) bool {
		if g, ok := m.(*wire.MsgGetData); ok {
			count.Add(int64(len(g.InvList)))
		}
		return before != nil && before(c, m)
	}
	return count
}

// TestSpread: blocks come from several peers at once, and from the faster ones
// more of them.
func TestSpread(t *testing.T) {
	c := newChain(t)
	c.Mine(200)
	pause := func(d time.Duration) func(*conn, wire.Message) bool {
		return onBlock(func(cn *conn, raw []byte) { time.Sleep(d); cn.say(blockMessage(raw)) })
	}
	fast, middle, slow := newNode(t, c), newNode(t, c), newNode(t, c)
	fast.hear, middle.hear, slow.hear = pause(time.Millisecond), pause(2*time.Millisecond), pause(20*time.Millisecond)
	counts := []*atomic.Int64{counted(fast), counted(middle), counted(slow)}
	tm := quick
	tm.block = 5 * time.Second
	s := openSource(t, c, tm, fast.start(), middle.start(), slow.start())
	eventually(t, "all are connected", func() bool { return len(s.connected()) == 3 })
	follow(t, withTxs{s, c}, c)
	a, b, z := counts[0].Load(), counts[1].Load(), counts[2].Load()
	if a == 0 || b == 0 || z == 0 || z > b || b > a+a/2 {
		t.Errorf("asked for %d, %d and %d blocks", a, b, z)
	}
}

// TestReassign: a block that one peer doesn't send comes from another, long before
// the first is given up.
func TestReassign(t *testing.T) {
	c := newChain(t)
	silent, good := newNode(t, c), newNode(t, c)
	silent.hear = onBlock(func(*conn, []byte) {})
	asked := counted(silent)
	tm := quick
	tm.block = time.Minute
	s := openSource(t, c, tm, silent.start(), good.start())
	eventually(t, "both are connected", func() bool { return len(s.connected()) == 2 })
	begun := time.Now()
	for h := 1; h <= 10; h++ {
		if _, err := s.Block(t.Context(), c.Hash(h)); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begun); took > 3*time.Second || asked.Load() == 0 || len(s.connected()) != 2 {
		t.Errorf("it took %v; the silent one was asked for %d; %d are connected", took, asked.Load(), len(s.connected()))
	}
}

// TestOneUnknownBlock: a peer that doesn't have a block says nothing, and is kept.
func TestOneUnknownBlock(t *testing.T) {
	c := newChain(t)
	n := newNode(t, c)
	missing := c.Hash(2)
	n.hear = onBlock(func(cn *conn, raw []byte) {
		if b := blockMessage(raw); b.BlockHash() != missing {
			cn.say(b)
		}
	})
	s := openSource(t, c, quick, n.start())
	for range 2 {
		if _, err := s.Block(t.Context(), missing); !errors.Is(err, errStalls) {
			t.Errorf("got %v", err)
		}
		if _, err := s.Block(t.Context(), c.Hash(3)); err != nil {
			t.Error(err)
		}
	}
	if n.calls.Load() != 1 {
		t.Errorf("called %d times", n.calls.Load())
	}
}

// TestLateBlock: a block that comes when nobody waits for it any more is no
// offence.
func TestLateBlock(t *testing.T) {
	c := newChain(t)
	n := newNode(t, c)
	release := make(chan struct{})
	n.hear = onBlock(func(cn *conn, raw []byte) {
		if b := blockMessage(raw); b.BlockHash() == c.Hash(2) {
			<-release
		}
		cn.say(blockMessage(raw))
	})
	s := openSource(t, c, quick, n.start())
	if _, err := s.Block(t.Context(), c.Hash(2)); !errors.Is(err, errStalls) {
		t.Errorf("got %v", err)
	}
	close(release)
	if _, err := s.Block(t.Context(), c.Hash(3)); err != nil {
		t.Error(err)
	}
	if n.calls.Load() != 1 {
		t.Errorf("called %d times", n.calls.Load())
	}
}

// TestLateHeaders: headers that come late are not taken for what was asked since,
// and are no offence.
func TestLateHeaders(t *testing.T) {
	c := newChain(t)
	n := newNode(t, c)
	var asked atomic.Int64
	n.hear = onHeaders(func(cn *conn, hs []wire.BlockHeader) {
		if asked.Add(1) == 1 {
			time.Sleep(100 * time.Millisecond)
		}
		cn.say(headersMessage(hs))
	})
	s := openSource(t, c, quick, n.start())
	eventually(t, "it is connected", func() bool { return len(s.connected()) == 1 })
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Headers(short, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	for range 3 {
		hs, err := s.Headers(t.Context(), []chainhash.Hash{c.Hash(5)})
		if err != nil || len(hs) > 0 && hs[0].PrevBlock != c.Hash(5) && hs[0].PrevBlock != c.Hash(0) {
			t.Errorf("%d headers, %v", len(hs), err)
		}
	}
	if n.calls.Load() != 1 {
		t.Errorf("called %d times", n.calls.Load())
	}
}

// TestReconnect: a node that hangs up is called again, one that does so all the
// time more and more seldom.
func TestReconnect(t *testing.T) {
	c := newChain(t)
	n := newNode(t, c).start()
	s := openSource(t, c, quick, n)
	for i := int64(1); i <= 3; i++ {
		eventually(t, "it is connected", func() bool { return n.calls.Load() == i && len(s.connected()) == 1 })
		n.hangUp()
		eventually(t, "that is noticed", func() bool { return n.calls.Load() > i })
	}
	rude := newNode(t, c)
	rude.hear = func(c *conn, m wire.Message) bool { c.Close(); return true }
	tm := quick
	tm.minPause = 10 * time.Millisecond
	openSource(t, c, tm, rude.start())
	time.Sleep(600 * time.Millisecond)
	if calls := rude.calls.Load(); calls < 3 || calls > 8 { // 10, 20, 40 … ms
		t.Errorf("called %d times", calls)
	}
}

// TestWake: new blocks wake, whoever announces them and how; a flood does so not
// too often.
func TestWake(t *testing.T) {
	c := newChain(t)
	n := newNode(t, c)
	conns := make(chan *conn, 1)
	n.met = func(c *conn) { conns <- c }
	tm := quick
	tm.ring = 50 * time.Millisecond
	s := openSource(t, c, tm, n.start())
	cn := <-conns
	woken := func(why string) {
		t.Helper()
		select {
		case <-s.Wake():
		case <-time.After(5 * time.Second):
			t.Errorf("not woken: %s", why)
		}
	}
	woken("a new peer")
	c.Mine(1)
	hs, _ := c.Headers(t.Context(), []chainhash.Hash{c.Hash(c.Height() - 1)})
	cn.say(headersMessage(hs))
	woken("headers")
	inv := wire.NewMsgInv()
	hash := c.Hash(c.Height())
	_ = inv.AddInvVect(wire.NewInvVect(wire.InvTypeBlock, &hash))
	cn.say(inv)
	woken("inv")
	for range 1000 {
		cn.say(inv)
	}
	times := 0
	for end := time.After(500 * time.Millisecond); ; {
		select {
		case <-s.Wake():
			times++
			continue
		case <-end:
		}
		break
	}
	if times > 12 {
		t.Errorf("woken %d times in half a second", times)
	}
}

// TestNobody: without a peer there is an answer, and why.
func TestNobody(t *testing.T) {
	c := newChain(t)
	n := newNode(t, c)
	n.stop()
	tm := quick
	tm.peer = 200 * time.Millisecond
	s := openSource(t, c, tm, n)
	if got := s.Members(); len(got) != 1 {
		t.Fatalf("%d members", len(got))
	}
	if _, err := s.Members()[0].Headers(t.Context(), nil); !errors.Is(err, ErrNoPeer) {
		t.Errorf("headers: %v", err)
	}
	if _, err := s.Block(t.Context(), c.Hash(1)); !errors.Is(err, ErrNoPeer) {
		t.Errorf("block: %v", err)
	}
	if _, err := s.Broadcast(t.Context(), chaintest.Raw(payment())); !errors.Is(err, ErrNoPeer) {
		t.Errorf("broadcast: %v", err)
	}
}

// TestCloseLeavesNothing closes a source in the middle of everything.
func TestCloseLeavesNothing(t *testing.T) {
	c := newChain(t)
	n := newNode(t, c)
	n.hear = onBlock(func(*conn, []byte) {})
	n.start()
	before := runtime.NumGoroutine()
	tm := quick
	tm.block, tm.broadcast = time.Minute, time.Minute
	for range 5 {
		s, err := open(Options{Params: c.Params.Chain, Peers: []string{n.addr}}, tm, local)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is connected", func() bool { return len(s.connected()) == 1 })
		failed := make(chan error, 2)
		go func() {
			_, err := s.Block(context.Background(), c.Hash(1))
			failed <- err
		}()
		go func() {
			_, err := s.Broadcast(context.Background(), chaintest.Raw(payment()))
			failed <- err
		}()
		time.Sleep(10 * time.Millisecond)
		s.Close()
		for range 2 {
			if err := <-failed; err == nil {
				t.Error("no error from a closed source")
			}
		}
		if _, err := s.Headers(context.Background(), nil); !errors.Is(err, ErrClosed) {
			t.Errorf("headers: %v", err)
		}
	}
	eventually(t, "no more goroutines than before", func() bool { return runtime.NumGoroutine() <= before })
}

// payment is a transaction with a witness.
func payment() *wire.MsgTx {
	tx := wire.NewMsgTx(2)
	in := wire.NewTxIn(&wire.OutPoint{Hash: chainhash.Hash{1}}, nil, [][]byte{{1, 2, 3}})
	tx.AddTxIn(in)
	tx.AddTxOut(wire.NewTxOut(1000, []byte{0x51}))
	return tx
}

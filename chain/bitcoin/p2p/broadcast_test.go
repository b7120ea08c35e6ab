package p2p

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/chaintest"
)

// getTx asks for a transaction.
func getTx(kind wire.InvType, id chainhash.Hash) *wire.MsgGetData {
	m := wire.NewMsgGetData()
	_ = m.AddInvVect(wire.NewInvVect(kind, &id))
	return m
}

// offered calls fn when a node is told of a transaction.
func offered(fn func(c *conn, id chainhash.Hash)) func(*conn, wire.Message) bool {
	return func(c *conn, m wire.Message) bool {
		if inv, ok := m.(*wire.MsgInv); ok {
			fn(c, inv.InvList[0].Hash)
		}
		return false
	}
}

func refuse(c *conn, id chainhash.Hash) {
	c.say(getTx(wire.InvTypeWitnessTx, id))
	m := wire.NewMsgReject("tx", wire.RejectDust, "dust\n")
	m.Hash = id
	c.say(m)
}

func fetch(c *conn, id chainhash.Hash) { c.say(getTx(wire.InvTypeWitnessTx, id)) }

func announce(c *conn, id chainhash.Hash) {
	m := wire.NewMsgInv()
	_ = m.AddInvVect(wire.NewInvVect(wire.InvTypeTx, &id))
	c.say(m)
}

func ignore(*conn, chainhash.Hash) {}

// TestBroadcastOutcome: what a transaction's fate is, by what peers do with it.
func TestBroadcastOutcome(t *testing.T) {
	type reaction = func(*conn, chainhash.Hash)
	for _, c := range []struct {
		why   string
		peers []reaction
		word  string // of the error; empty: it is taken
	}{
		{"fetched", []reaction{fetch}, ""},
		{"fetched by one", []reaction{ignore, fetch}, ""},
		{"announced by another", []reaction{ignore, announce}, ""},
		{"refused", []reaction{refuse}, "dust?"},
		{"refused by all", []reaction{refuse, refuse}, "dust?"},
		{"refused by one", []reaction{refuse, fetch}, ""},
		{"ignored", []reaction{ignore, ignore}, "no peer has asked"},
	} {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			chain := newChain(t)
			var nodes []*node
			for _, r := range c.peers {
				n := newNode(t, chain)
				n.hear = offered(r)
				nodes = append(nodes, n.start())
			}
			s := openSource(t, chain, quick, nodes...)
			eventually(t, "all are connected", func() bool { return len(s.connected()) == len(nodes) })
			tx := payment()
			id, err := s.Broadcast(t.Context(), chaintest.Raw(tx))
			if c.word == "" {
				if err != nil || id != tx.TxHash() {
					t.Errorf("got %v, %v", id, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.word) {
				t.Errorf("got %v, want %q", err, c.word)
			}
			r := (interface{ Rejected() bool })(nil)
			if errors.As(err, &r) != strings.HasPrefix(c.why, "refused") {
				t.Errorf("rejected: %v", r)
			}
		})
	}
}

// TestServe: a peer gets a transaction once, in the form that it asks for; nothing
// when none is on its way; and one that wants none isn't told.
func TestServe(t *testing.T) {
	c := newChain(t)
	tx := payment()
	var plain, witness, told, missing atomic.Int64
	answer := func(kind wire.InvType, got *atomic.Int64) func(*conn, wire.Message) bool {
		return func(c *conn, m wire.Message) bool {
			switch m := m.(type) {
			case *wire.MsgInv:
				g := wire.NewMsgGetData()
				for range 1000 {
					_ = g.AddInvVect(wire.NewInvVect(kind, &m.InvList[0].Hash))
				}
				c.say(g)
			case *wire.MsgTx:
				if m.HasWitness() == (kind == wire.InvTypeWitnessTx) && m.TxHash() == tx.TxHash() {
					got.Add(1)
				}
			case *wire.MsgNotFound:
				missing.Add(1)
			}
			return false
		}
	}
	a, b, silent := newNode(t, c), newNode(t, c), newNode(t, c)
	a.hear, b.hear = answer(wire.InvTypeTx, &plain), answer(wire.InvTypeWitnessTx, &witness)
	a.met = func(c *conn) { c.say(getTx(wire.InvTypeTx, chainhash.Hash{1})) }
	silent.version = func(m *wire.MsgVersion) { m.DisableRelayTx = true }
	silent.hear = offered(func(*conn, chainhash.Hash) { told.Add(1) })
	s := openSource(t, c, quick, a.start(), b.start(), silent.start())
	eventually(t, "all are connected", func() bool { return len(s.connected()) == 3 })
	if _, err := s.Broadcast(t.Context(), chaintest.Raw(tx)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an answer for what isn't there", func() bool { return missing.Load() == 1 })
	if plain.Load() != 1 || witness.Load() != 1 || told.Load() != 0 {
		t.Errorf("got it %d and %d times; told who wants none %d times", plain.Load(), witness.Load(), told.Load())
	}
}

// TestLateComer: a peer that comes while a transaction is on its way is told of
// it, and one that only fetched it and announces it says nothing new by that.
func TestLateComer(t *testing.T) {
	c := newChain(t)
	a, b := newNode(t, c), newNode(t, c)
	a.hear = offered(ignore)
	var served atomic.Int64
	b.hear = func(cn *conn, m wire.Message) bool {
		switch m := m.(type) {
		case *wire.MsgInv:
			fetch(cn, m.InvList[0].Hash)
		case *wire.MsgTx:
			served.Add(1)
			announce(cn, m.TxHash())
		}
		return false
	}
	tm := quick
	tm.settle, tm.broadcast = 300*time.Millisecond, 10*time.Second
	s := openSource(t, c, tm, a.start(), b) // b listens and doesn't answer yet
	eventually(t, "one is connected", func() bool { return len(s.connected()) == 1 })
	time.AfterFunc(100*time.Millisecond, func() { b.start() })
	begun := time.Now()
	if _, err := s.Broadcast(t.Context(), chaintest.Raw(payment())); err != nil || served.Load() != 1 {
		t.Errorf("served %d times, %v", served.Load(), err)
	}
	if took := time.Since(begun); took < tm.settle {
		t.Errorf("taken after %v, too early to know", took)
	}
}

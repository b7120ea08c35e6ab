package p2p

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/chaintest"
)

// onBlock makes a node answer requests for blocks in its own way.
func onBlock(fn func(c *conn, raw []byte)) func(*conn, wire.Message) bool {
	return func(c *conn, m wire.Message) bool {
		g, ok := m.(*wire.MsgGetData)
		if !ok {
			return false
		}
		for _, v := range g.InvList {
			if raw, err := c.n.chain.Block(context.Background(), v.Hash); err == nil {
				fn(c, raw)
			}
		}
		return true
	}
}

// onHeaders does so for headers. fn gets what an honest node would send.
func onHeaders(fn func(c *conn, hs []wire.BlockHeader)) func(*conn, wire.Message) bool {
	return func(c *conn, m wire.Message) bool {
		g, ok := m.(*wire.MsgGetHeaders)
		if !ok {
			return false
		}
		var locator []chainhash.Hash
		for _, h := range g.BlockLocatorHashes {
			locator = append(locator, *h)
		}
		hs, _ := c.n.chain.Headers(context.Background(), locator)
		fn(c, hs)
		return true
	}
}

// frame returns a message with a head of our choice.
func frame(n *node, command string, size int, payload []byte) []byte {
	m := make([]byte, 0, wire.MessageHeaderSize+len(payload))
	m = append(m, byte(n.net), byte(n.net>>8), byte(n.net>>16), byte(n.net>>24))
	m = append(m, append([]byte(command), make([]byte, 12-len(command))...)...)
	m = append(m, byte(size), byte(size>>8), byte(size>>16), byte(size>>24))
	sum := chainhash.DoubleHashB(payload)
	return append(append(m, sum[:4]...), payload...)
}

// editBlock changes a block's transactions.
func editBlock(raw []byte, fn func(b *wire.MsgBlock)) *wire.MsgBlock {
	b := blockMessage(raw)
	fn(b)
	return b
}

// fate is what becomes of a peer.
type fate int

const (
	banned fate = iota // left and not called again
	left               // left and called again
	kept
)

var lies = []struct {
	why  string
	lie  func(n *node)
	fate fate
	word string // of the status
}{
	{"garbage", func(n *node) {
		n.met = func(c *conn) { c.Write(bytes.Repeat([]byte("garbage"), 100)) }
	}, banned, "another network"},
	{"garbage at once", func(n *node) {
		n.hear = func(c *conn, m wire.Message) bool { c.Write(bytes.Repeat([]byte{0xff}, 100)); return true }
	}, banned, "another network"},
	{"another network", func(n *node) { n.net = wire.MainNet }, banned, "another network"},
	{"an odd command", func(n *node) {
		n.met = func(c *conn) { c.Write(frame(n, "a\x01b", 0, nil)) }
	}, banned, "odd bytes"},
	{"bytes behind a command", func(n *node) {
		n.met = func(c *conn) { c.Write(frame(n, "ping\x00x", 8, make([]byte, 8))) }
	}, banned, "behind it"},
	{"bad checksum", func(n *node) {
		n.met = func(c *conn) {
			m := frame(n, "ping", 8, make([]byte, 8))
			m[20]++
			c.Write(m)
		}
	}, banned, "checksum"},
	{"huge message", func(n *node) {
		n.met = func(c *conn) { c.Write(frame(n, "anything", 1<<31, nil)) }
	}, banned, "more than"},
	{"huge ping", func(n *node) {
		n.met = func(c *conn) { c.Write(frame(n, "ping", 1<<20, nil)) }
	}, banned, "more than"},
	{"huge block", func(n *node) {
		n.hear = onBlock(func(c *conn, raw []byte) { c.Write(frame(n, "block", 4_000_001, raw)) })
	}, banned, "more than"},
	{"unrequested block", func(n *node) {
		n.met = func(c *conn) {
			raw, _ := n.chain.Block(context.Background(), n.chain.Hash(3))
			c.say(blockMessage(raw))
		}
	}, banned, "nobody asked for"},
	{"another block", func(n *node) {
		n.hear = onBlock(func(c *conn, raw []byte) {
			other, _ := n.chain.Block(context.Background(), n.chain.Hash(1))
			c.say(blockMessage(other))
		})
	}, banned, "nobody asked for"},
	{"unrequested headers", func(n *node) {
		n.met = func(c *conn) {
			hs, _ := n.chain.Headers(context.Background(), nil)
			c.say(headersMessage(append(hs[1:], hs...)))
		}
	}, banned, "nobody asked for"},
	{"too many headers", func(n *node) {
		n.hear = onHeaders(func(c *conn, hs []wire.BlockHeader) {
			c.Write(frame(n, "headers", 3+2001*81, append([]byte{0xfd, 0xd1, 0x07}, make([]byte, 2001*81)...)))
		})
	}, banned, ""},
	{"headers with transactions", func(n *node) {
		n.hear = onHeaders(func(c *conn, hs []wire.BlockHeader) {
			c.Write(frame(n, "headers", 82, append([]byte{1}, bytes.Repeat([]byte{7}, 81)...)))
		})
	}, banned, "may not contain"},
	{"bad PoW", func(n *node) {
		n.hear = onHeaders(func(c *conn, hs []wire.BlockHeader) {
			if len(hs) > 0 {
				for h := &hs[len(hs)-1]; ; h.Nonce++ {
					if b := h.BlockHash(); b[31] >= 0x80 {
						break
					}
				}
			}
			c.say(headersMessage(hs))
		})
	}, banned, "bad header"},
	{"a gap in the headers", func(n *node) {
		n.hear = onHeaders(func(c *conn, hs []wire.BlockHeader) {
			if len(hs) > 2 {
				hs = append(hs[:1], hs[2:]...)
			}
			c.say(headersMessage(hs))
		})
	}, banned, "bad header"},
	{"endless headers", func(n *node) {
		n.chain.Mine(120) // who tells fewer at a time is not asked for more
		n.hear = onHeaders(func(c *conn, hs []wire.BlockHeader) {
			if len(hs) == 0 {
				hs, _ = n.chain.Headers(context.Background(), nil)
				hs = hs[:len(hs)-1] // in circles
			}
			c.say(headersMessage(hs))
		})
	}, banned, "bad header"},
	{"bad merkle root", func(n *node) {
		n.hear = onBlock(func(c *conn, raw []byte) {
			c.say(editBlock(raw, func(b *wire.MsgBlock) { b.Transactions = append(b.Transactions, wire.NewMsgTx(7)) }))
		})
	}, banned, "bad block"},
	{"mutated tree", func(n *node) {
		n.hear = onBlock(func(c *conn, raw []byte) {
			c.say(editBlock(raw, func(b *wire.MsgBlock) {
				b.Transactions = append(b.Transactions, b.Transactions[len(b.Transactions)-1])
			}))
		})
	}, banned, "bad block"},
	{"a block that is cut off", func(n *node) {
		n.hear = onBlock(func(c *conn, raw []byte) {
			c.Write(frame(n, "block", len(raw)-1, raw[:len(raw)-1]))
		})
	}, banned, "bad block"},
	{"a block of a few bytes", func(n *node) {
		n.hear = onBlock(func(c *conn, raw []byte) { c.Write(frame(n, "block", 3, raw[:3])) })
	}, banned, "3 bytes"},
	{"endless pings", func(n *node) {
		n.met = func(c *conn) {
			n.loops.Go(func() {
				ping := frame(n, "ping", 8, make([]byte, 8))
				for {
					if _, err := c.Write(bytes.Repeat(ping, 100)); err != nil {
						return
					}
				}
			})
		}
	}, banned, "too much"},
	{"endless messages that nobody knows", func(n *node) {
		n.met = func(c *conn) {
			n.loops.Go(func() {
				m := frame(n, "what", 300_000, make([]byte, 300_000))
				for {
					if _, err := c.Write(m); err != nil {
						return
					}
				}
			})
		}
	}, banned, "too much"},
	{"two versions", func(n *node) {
		n.met = func(c *conn) { c.answer(&wire.MsgVersion{}) }
	}, banned, "second version"},
	{"an old version", func(n *node) {
		n.version = func(m *wire.MsgVersion) { m.ProtocolVersion = 60000 }
	}, banned, "too old"},
	{"a version that is cut off", func(n *node) {
		n.hear = func(c *conn, m wire.Message) bool {
			c.Write(frame(n, "version", 20, make([]byte, 20)))
			return true
		}
	}, banned, "version"},
	{"it asks for the same without end", func(n *node) {
		n.met = func(c *conn) {
			n.loops.Go(func() {
				for c.sayErr(wire.NewMsgGetHeaders()) == nil {
				}
			})
		}
	}, banned, "too much"},
	{"it doesn't read", func(n *node) {
		n.met = func(c *conn) { // blocks its reader
			n.loops.Go(func() {
				for c.sayErr(wire.NewMsgPing(1)) == nil {
				}
			})
			c.wait()
		}
	}, banned, "too much"},
	{"silence from the beginning", func(n *node) {
		n.hear = func(c *conn, m wire.Message) bool { return true }
	}, left, "introduce"},
	{"silence when asked for headers", func(n *node) {
		n.hear = onHeaders(func(*conn, []wire.BlockHeader) {})
	}, left, "doesn't answer"},
	{"no blocks", func(n *node) {
		n.hear = onBlock(func(*conn, []byte) {})
	}, left, "doesn't send the blocks"},
	{"blocks not found", func(n *node) {
		n.hear = onBlock(func(c *conn, raw []byte) {
			h := blockMessage(raw).BlockHash()
			m := wire.NewMsgNotFound()
			_ = m.AddInvVect(wire.NewInvVect(wire.InvTypeBlock, &h))
			c.say(m)
		})
	}, kept, ""},
	{"half a block", func(n *node) {
		var done atomic.Bool
		half := onBlock(func(c *conn, raw []byte) {
			if !done.Swap(true) {
				c.Write(frame(n, "block", len(raw), raw)[:30])
			}
		})
		n.hear = func(c *conn, m wire.Message) bool { return done.Load() || half(c, m) }
	}, left, ""},
	{"end in the middle of a block", func(n *node) {
		n.hear = onBlock(func(c *conn, raw []byte) {
			c.Write(frame(n, "block", len(raw), raw)[:30])
			c.Close()
		})
	}, left, ""},
	{"end at once", func(n *node) {
		n.hear = func(c *conn, m wire.Message) bool { c.Close(); return true }
	}, left, ""},
	{"no headers at all", func(n *node) {
		n.hear = onHeaders(func(c *conn, _ []wire.BlockHeader) { c.say(wire.NewMsgHeaders()) })
	}, kept, ""},
	{"not all blocks", func(n *node) { // fine for one that was named
		n.version = func(m *wire.MsgVersion) { m.Services = 0 }
	}, kept, ""},
}

// TestLies puts a peer that misbehaves beside an honest one: the chain is followed,
// and the peer is left in peace if it deserves that.
func TestLies(t *testing.T) {
	for _, c := range lies {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			honest := newChain(t)
			good, evil := newNode(t, honest).start(), newNode(t, honest)
			c.lie(evil)
			evil.start()
			s := openSource(t, honest, quick, good, evil)
			eventually(t, "the liar was called", func() bool { return evil.calls.Load() > 0 })
			follow(t, withTxs{s, honest}, honest)
			gone := func() bool { st := statusOf(s, evil); return st.Error != "" && strings.Contains(st.Error, c.word) }
			if c.fate != kept && !gone() {
				// It may have stood aside so far: now it is alone.
				good.stop()
				eventually(t, "the liar was left", func() bool { ask(t, s, honest); return gone() })
			}
			calls := evil.calls.Load()
			switch c.fate {
			case banned:
				time.Sleep(5 * quick.minPause)
				if got := evil.calls.Load(); got != 1 {
					t.Errorf("called %d times", got)
				}
			case left:
				eventually(t, "it was called again", func() bool { return evil.calls.Load() > calls || calls > 1 })
			case kept:
				if calls != 1 || !statusOf(s, evil).Connected {
					t.Errorf("called %d times, %+v", calls, s.Status())
				}
			}
			if st := statusOf(s, good); st.Error != "" && strings.Contains(st.Error, errBad.Error()) {
				t.Errorf("the honest one is blamed: %+v", st)
			}
		})
	}
}

// ask has a follower that knows nothing ask for everything, for a while.
func ask(t *testing.T, s *Source, c *chaintest.Chain) {
	ix, err := chain.OpenIndex("", c.Params)
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	f := chain.NewFollower(withTxs{s, c}, ix, chain.FollowerOptions{Log: slog.New(slog.DiscardHandler)})
	_ = f.Sync(ctx)
}

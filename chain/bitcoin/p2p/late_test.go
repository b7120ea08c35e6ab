package p2p

import (
	"testing"
	"time"
)

// TestLateTwice: a peer that was late for a block, and so was asked for it again,
// may answer both times.
func TestLateTwice(t *testing.T) {
	c := newChain(t)
	n := newNode(t, c)
	first := true
	n.hear = onBlock(func(cn *conn, raw []byte) {
		if first {
			first = false
			time.Sleep(quick.block + 150*time.Millisecond)
		}
		cn.say(blockMessage(raw))
	})
	s := openSource(t, c, quick, n.start())
	if _, err := s.Block(t.Context(), c.Hash(3)); err == nil {
		t.Error("the block came in time")
	}
	if _, err := s.Block(t.Context(), c.Hash(3)); err != nil {
		t.Error(err)
	}
	if _, err := s.Block(t.Context(), c.Hash(4)); err != nil { // after the copy
		t.Error(err)
	}
	if st := statusOf(s, n); !st.Connected {
		t.Errorf("the peer was left: %v", st.Error)
	}
}

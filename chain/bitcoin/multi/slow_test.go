package multi

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/bitcoin"
	"satchel/chain/chaintest"
)

// A dripper tells one header that everybody knows per answer, each time nearly too
// late.
type dripper struct {
	*chaintest.Chain
	told int
}

func (d *dripper) Headers(ctx context.Context, _ []chainhash.Hash) ([]wire.BlockHeader, error) {
	time.Sleep(150 * time.Millisecond)
	all, err := d.Chain.Headers(ctx, nil)
	if err != nil || d.told == len(all) {
		return nil, err
	}
	d.told++
	return all[d.told-1 : d.told], nil
}

// TestDrip: a source that drips holds nobody up.
func TestDrip(t *testing.T) {
	c := chaintest.New(t, firstBlock)
	c.Mine(100)
	s := quiet(Member{"dripping", &dripper{Chain: c}}, Member{"honest", &liar{Chain: c}})
	defer s.Close()
	ix, err := chain.OpenIndex("", c.Params)
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	f := chain.NewFollower(s, ix, chain.FollowerOptions{Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second) // a hundred answers take 15
	defer cancel()
	for h := -1; h != c.Height(); h, _ = ix.Tip() {
		if err := f.Sync(ctx); err != nil {
			t.Fatalf("at block %d of %d: %v", h, c.Height(), err)
		}
	}
}

// TestBlamedRests: who lied is not back soon because another question failed too.
func TestBlamedRests(t *testing.T) {
	m := &member{Member: Member{"liar", &liar{}}, limit: time.Second}
	end := m.begin(block)
	m.Blame(bitcoin.ErrBadBlock)
	end(errors.New("it hung up"))
	if left := time.Until(m.rest); left < blameRest/2 {
		t.Errorf("rests for %v, want %v", left, blameRest)
	}
}

type noPrevTx struct{ bitcoin.Source }

// TestOnlyOneIsAble: the only member that has previous transactions is asked,
// though it failed a moment ago and others did not.
func TestOnlyOneIsAble(t *testing.T) {
	c := chaintest.New(t, firstBlock)
	c.Namespace("id", 0xffffffff)
	failing := true
	node := &liar{Chain: c, fail: func(context.Context) error {
		if failing {
			return errors.New("not now")
		}
		return nil
	}}
	s := quiet(Member{"p2p", noPrevTx{c}}, Member{"rpc", node})
	defer s.Close()
	for _, m := range s.Members() {
		_, _ = m.Headers(t.Context(), nil)
	}
	failing = false
	if _, err := s.PrevTx(t.Context(), c.Coin(c.Miner.Script).Hash); err != nil {
		t.Error(err)
	}
}

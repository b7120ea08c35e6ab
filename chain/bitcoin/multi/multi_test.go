package multi

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/bitcoin"
	"satchel/chain/chaintest"
	"satchel/chain/ops"
)

const firstBlock = 5

// liar is a source of an honest chain that changes what it hands out.
type liar struct {
	*chaintest.Chain
	headers func(hs []wire.BlockHeader) []wire.BlockHeader
	block   func(raw []byte) []byte
	prevTx  func(raw []byte) []byte
	fail    func(ctx context.Context) error
	blamed  atomic.Int64
}

func (l *liar) Blame(error)           { l.blamed.Add(1) }
func (l *liar) Wake() <-chan struct{} { return nil }

func (l *liar) Broadcast(ctx context.Context, tx []byte) (h chainhash.Hash, err error) {
	if err := l.failure(ctx); err != nil {
		return h, err
	}
	return l.Chain.Broadcast(ctx, tx)
}

func (l *liar) failure(ctx context.Context) error {
	if l.fail != nil {
		return l.fail(ctx)
	}
	return nil
}

func (l *liar) Headers(ctx context.Context, locator []chainhash.Hash) ([]wire.BlockHeader, error) {
	hs, err := l.Chain.Headers(ctx, locator)
	if l.headers != nil {
		hs = l.headers(hs)
	}
	return hs, errors.Join(err, l.failure(ctx))
}

func (l *liar) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	raw, err := l.Chain.Block(ctx, hash)
	if l.block != nil && err == nil {
		if raw = l.block(raw); raw == nil {
			return nil, os.ErrNotExist
		}
	}
	return raw, errors.Join(err, l.failure(ctx))
}

func (l *liar) PrevTx(ctx context.Context, txid chainhash.Hash) ([]byte, error) {
	raw, err := l.Chain.PrevTx(ctx, txid)
	if l.prevTx != nil && err == nil {
		if raw = l.prevTx(raw); raw == nil {
			return nil, os.ErrNotExist
		}
	}
	return raw, errors.Join(err, l.failure(ctx))
}

func edit(fn func(*wire.MsgBlock)) func([]byte) []byte {
	return func(raw []byte) []byte {
		var b wire.MsgBlock
		if err := b.Deserialize(bytes.NewReader(raw)); err != nil {
			panic(err)
		}
		fn(&b)
		var w bytes.Buffer
		b.Serialize(&w)
		return w.Bytes()
	}
}

// quiet makes a source that doesn't wait long.
func quiet(members ...Member) *Source {
	s := New(members...)
	s.hedge = 20 * time.Millisecond
	for _, m := range s.members {
		m.limit = 200 * time.Millisecond
	}
	return s
}

// TestLiarBesideHonest: whatever one source does, first or last in the list, names
// are followed by the other.
func TestLiarBesideHonest(t *testing.T) {
	alice := chaintest.NewKey("alice")
	lastHeader := func(change func(h *wire.BlockHeader)) func([]wire.BlockHeader) []wire.BlockHeader {
		return func(hs []wire.BlockHeader) []wire.BlockHeader {
			if len(hs) > 0 {
				change(&hs[len(hs)-1])
			}
			return hs
		}
	}
	for _, c := range []struct {
		why   string
		lie   func(l *liar)
		blame bool
	}{
		{"bad PoW", func(l *liar) {
			l.headers = lastHeader(func(h *wire.BlockHeader) {
				for ; ; h.Nonce++ {
					if b := h.BlockHash(); b[31] >= 0x80 {
						return
					}
				}
			})
		}, true},
		{"too easy", func(l *liar) {
			l.headers = lastHeader(func(h *wire.BlockHeader) { h.Bits = 0x207ffffe; chaintest.Work(h) })
		}, true},
		{"too many headers", func(l *liar) {
			l.headers = func([]wire.BlockHeader) []wire.BlockHeader { return make([]wire.BlockHeader, bitcoin.MaxHeaders+1) }
		}, true},
		{"headers in a circle", func(l *liar) {
			n := 0
			l.headers = func(hs []wire.BlockHeader) []wire.BlockHeader {
				all, _ := l.Chain.Headers(context.Background(), nil)
				n++
				return all[:len(all)-n%2]
			}
		}, false},
		{"headers of a lighter chain", func(l *liar) {
			l.headers = func(hs []wire.BlockHeader) []wire.BlockHeader {
				h := l.Params.Chain.GenesisBlock.Header
				h.PrevBlock, h.Timestamp = h.BlockHash(), h.Timestamp.Add(time.Second)
				chaintest.Work(&h)
				return []wire.BlockHeader{h}
			}
		}, false},
		{"no headers", func(l *liar) {
			l.headers = func([]wire.BlockHeader) []wire.BlockHeader { return nil }
		}, false},
		{"bad merkle root", func(l *liar) {
			l.block = edit(func(b *wire.MsgBlock) { b.Transactions[0].LockTime++ })
		}, true},
		{"mutated tree", func(l *liar) {
			l.block = edit(func(b *wire.MsgBlock) {
				b.Transactions = append(b.Transactions, b.Transactions[len(b.Transactions)-1])
			})
		}, true},
		{"another block", func(l *liar) {
			l.block = func([]byte) []byte {
				b, _ := l.Chain.Block(context.Background(), l.Hash(1))
				return b
			}
		}, true},
		{"huge block", func(l *liar) {
			l.block = func(raw []byte) []byte { return append(raw, make([]byte, 4_000_000)...) }
		}, true},
		{"an empty block", func(l *liar) { l.block = func(raw []byte) []byte { return []byte{} } }, true},
		{"withheld block", func(l *liar) { l.block = func(raw []byte) []byte { return nil } }, false},
		{"wrong previous transaction", func(l *liar) {
			l.prevTx = func([]byte) []byte {
				b, _ := l.Chain.PrevTx(context.Background(), l.Coin(alice.Script).Hash)
				return b
			}
		}, true},
		{"no previous transaction", func(l *liar) { l.prevTx = func([]byte) []byte { return nil } }, false},
		{"down", func(l *liar) { l.fail = func(context.Context) error { return errors.New("down") } }, false},
		{"silent", func(l *liar) {
			l.fail = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		}, false},
	} {
		for _, place := range []string{"first", "last"} {
			t.Run(c.why+", "+place, func(t *testing.T) {
				honest := chaintest.New(t, firstBlock)
				honest.Namespace("id", 0xffffffff)
				honest.MineBlock(honest.PreorderTx("alice.id", alice), honest.PreorderTx("bob.id", alice))
				honest.MineBlock(honest.RegisterTx("alice.id", alice))
				honest.Mine(3)
				l := &liar{Chain: honest}
				c.lie(l)
				// The honest one is slower, so that the liar is asked.
				slowly := func(raw []byte) []byte { time.Sleep(3 * time.Millisecond); return raw }
				slow := &liar{Chain: honest, block: slowly, prevTx: slowly}
				members := []Member{{"liar", l}, {"honest", slow}}
				if place == "last" {
					members[0], members[1] = members[1], members[0]
				}
				src := quiet(members...)
				defer src.Close()
				follow(t, src, honest)
				if c.blame && l.blamed.Load() == 0 && place == "first" || slow.blamed.Load() > 0 { // last, it may not be asked what it lies about
					t.Errorf("the liar was blamed %d times, the honest one %d times: %+v", l.blamed.Load(), slow.blamed.Load(), src.Status())
				}
			})
		}
	}
}

// follow follows a source to the tip of the honest chain.
func follow(t *testing.T, src bitcoin.Source, honest *chaintest.Chain) {
	t.Helper()
	ix, err := chain.OpenIndex("", honest.Params)
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	f := chain.NewFollower(src, ix, chain.FollowerOptions{Log: slog.New(slog.DiscardHandler)})
	for deadline := time.Now().Add(10 * time.Second); ; {
		err := f.Sync(t.Context())
		height, hash := ix.Tip()
		if err == nil && height == honest.Height() && hash == honest.Hash(height) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("at block %d of %d: %v", height, honest.Height(), err)
		}
	}
	if rec, err := ix.Lookup("alice.id"); err != nil || rec.Expired {
		t.Errorf("alice.id: %+v, %v", rec, err)
	}
}

// only is a source and nothing else.
type only struct{ bitcoin.Source }

func TestAbilities(t *testing.T) {
	c := chaintest.New(t, firstBlock)
	bare := only{c}
	s := quiet(Member{"bare", bare}, Member{"bare too", bare})
	defer s.Close()
	if _, err := s.PrevTx(t.Context(), c.Hash(1)); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("previous transaction of nobody: %v", err)
	}
	if _, err := s.Broadcast(t.Context(), nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("broadcast by nobody: %v", err)
	}
	if _, err := s.Unspent(t.Context(), nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("coins of nobody: %v", err)
	}
	if _, err := s.FeeRate(t.Context(), 3); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("fee rate of nobody: %v", err)
	}
	both := quiet(Member{"bare", bare}, Member{"chain", c})
	defer both.Close()
	if _, err := both.Broadcast(t.Context(), chaintest.Raw(c.Tx(c.Miner, announce, chaintest.Payment{}))); err != nil {
		t.Errorf("broadcast by one of two: %v", err)
	}
	if _, err := both.PrevTx(t.Context(), chainhash.Hash{1}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("unknown transaction: %v", err)
	}
	c.Mine(1)
	select {
	case <-both.Wake():
	case <-time.After(5 * time.Second):
		t.Error("a new block wakes nobody")
	}
}

// refusing refuses transactions, as a node does that checks them, or fails to.
type refusing struct {
	bitcoin.Source
	err error
}

func (r refusing) Broadcast(context.Context, []byte) (chainhash.Hash, error) {
	return chainhash.Hash{}, r.err
}

type rejection struct{ error }

func (rejection) Rejected() bool { return true }

func TestBroadcastTellsWhoRefused(t *testing.T) {
	c := chaintest.New(t, firstBlock)
	s := quiet(Member{"down", refusing{c, errors.New("down")}}, Member{"strict", refusing{c, rejection{errors.New("dust")}}})
	defer s.Close()
	_, err := s.Broadcast(t.Context(), nil)
	r := (interface{ Rejected() bool })(nil)
	if !errors.As(err, &r) || !r.Rejected() || !strings.Contains(err.Error(), "strict: dust") || !strings.Contains(err.Error(), "down: down") {
		t.Errorf("got %v", err)
	}
}

// several is a source made of others.
type several struct {
	bitcoin.Source
	members []bitcoin.Source
}

func (s several) Members() []bitcoin.Source { return s.members }

// TestMembersOfMembers: of a member that is made of several each is asked for
// headers, and what one does wrong is not held against the others.
func TestMembersOfMembers(t *testing.T) {
	c := chaintest.New(t, firstBlock)
	c.Namespace("id", 0xffffffff)
	c.Register("alice.id", chaintest.NewKey("alice"), [20]byte{1})
	bad := &liar{Chain: c, headers: func([]wire.BlockHeader) []wire.BlockHeader {
		return make([]wire.BlockHeader, bitcoin.MaxHeaders+1)
	}}
	down := &liar{Chain: c, fail: func(context.Context) error { return errors.New("down") }}
	last := c.Hash(c.Height() - 1)
	behind := &liar{Chain: c, headers: func(hs []wire.BlockHeader) []wire.BlockHeader {
		return slices.DeleteFunc(hs, func(h wire.BlockHeader) bool { return h.PrevBlock == last })
	}}
	good := &liar{Chain: c}
	net := several{c, []bitcoin.Source{bad, down, good}}
	s := quiet(Member{"behind", behind}, Member{"net", net})
	defer s.Close()
	if got := len(s.Members()); got != 4 {
		t.Errorf("%d members", got)
	}
	follow(t, s, c)
	if bad.blamed.Load() == 0 || good.blamed.Load() > 0 || behind.blamed.Load() > 0 {
		t.Errorf("blamed: %d, %d, %d times", bad.blamed.Load(), good.blamed.Load(), behind.blamed.Load())
	}
	st := s.Status()
	if st[1].Blamed == 0 || st[0].Blamed > 0 || st[1].Tip != c.Hash(c.Height()) || st[0].Tip == st[1].Tip {
		t.Errorf("status %+v", st)
	}
	if got := len(s.Members()); got != 4 {
		t.Errorf("%d members afterwards", got)
	}
}

// alone is a source made of others that has none.
type alone struct{ *liar }

func (a alone) Members() []bitcoin.Source { return []bitcoin.Source{a} }

// TestNobodyIsThere: a member that has nobody to ask is given a rest, and says why.
func TestNobodyIsThere(t *testing.T) {
	c := chaintest.New(t, firstBlock)
	net := alone{&liar{Chain: c, fail: func(context.Context) error { return errors.New("nobody is there") }}}
	s := quiet(Member{"net", net}, Member{"good", &liar{Chain: c}})
	defer s.Close()
	for _, m := range s.Members() {
		_, _ = m.Headers(t.Context(), nil)
	}
	if got := s.Members(); len(got) != 1 || got[0].(*member).Name != "good" {
		t.Errorf("%d members are asked next", len(got))
	}
	if st := s.Status(); st[0].Error != "nobody is there" || st[1].Error != "" {
		t.Errorf("status %+v", st)
	}
}

// TestSlowLine: a block may take longer than other answers.
func TestSlowLine(t *testing.T) {
	c := chaintest.New(t, firstBlock)
	slow := &liar{Chain: c, block: func(raw []byte) []byte { return raw }, fail: func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(300 * time.Millisecond):
			return nil
		}
	}}
	s := quiet(Member{"slow", slow})
	defer s.Close()
	if _, err := s.Block(t.Context(), c.Hash(1)); err != nil {
		t.Errorf("block: %v", err)
	}
	if _, err := s.Headers(t.Context(), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("headers: %v", err)
	}
}

// TestHedge: a member that takes long for a block or a transaction doesn't hold up
// the others, nor does one that never says if it took a transaction.
func TestHedge(t *testing.T) {
	c := chaintest.New(t, firstBlock)
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	silent, good := &liar{Chain: c, fail: hang}, &liar{Chain: c}
	s := quiet(Member{"silent", silent}, Member{"good", good})
	for _, m := range s.members {
		m.limit = time.Minute
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := s.Block(ctx, c.Hash(2)); err != nil {
		t.Errorf("block: %v", err)
	}
	tx := c.Tx(c.Miner, announce, chaintest.Payment{})
	if _, err := s.Broadcast(ctx, chaintest.Raw(tx)); err != nil {
		t.Errorf("broadcast: %v", err)
	}
	if _, err := s.PrevTx(ctx, tx.TxHash()); err != nil {
		t.Errorf("previous transaction: %v", err)
	}
}

// TestClosed: what is going on ends with Close, and nothing begins after it.
func TestClosed(t *testing.T) {
	c := chaintest.New(t, firstBlock)
	asked := make(chan bool, 1)
	s := quiet(Member{"silent", &liar{Chain: c, fail: func(ctx context.Context) error {
		asked <- true
		<-ctx.Done()
		return ctx.Err()
	}}})
	s.members[0].limit = time.Minute
	failed := make(chan error)
	go func() {
		_, err := s.Block(t.Context(), c.Hash(2))
		failed <- err
	}()
	<-asked
	s.Close()
	if err := <-failed; err == nil {
		t.Error("a block of a closed source")
	}
	if _, err := s.Block(t.Context(), c.Hash(2)); !errors.Is(err, ErrClosed) {
		t.Errorf("block: %v", err)
	}
	if _, err := s.Broadcast(t.Context(), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("broadcast: %v", err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	c := chaintest.New(t, firstBlock)
	before := runtime.NumGoroutine()
	for range 10 {
		s := New(Member{"a", c}, Member{"b", &liar{Chain: c}})
		s.Close()
	}
	after := runtime.NumGoroutine()
	for deadline := time.Now().Add(5 * time.Second); after > before && time.Now().Before(deadline); after = runtime.NumGoroutine() {
		time.Sleep(time.Millisecond) // a goroutine that is done takes a moment to be gone
	}
	if after > before {
		t.Errorf("%d goroutines, then %d", before, after)
	}
}

func TestRest(t *testing.T) {
	c := chaintest.New(t, firstBlock)
	down := &liar{Chain: c, fail: func(context.Context) error { return errors.New("down") }}
	s := quiet(Member{"down", down}, Member{"up", &liar{Chain: c}})
	defer s.Close()
	if _, err := s.Headers(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got := s.Members(); len(got) != 1 || got[0].(*member).Name != "up" {
		t.Errorf("%d members are asked next, want the one that is up", len(got))
	}
	if st := s.Status(); st[0].Error != "down" || st[1].Error != "" {
		t.Errorf("status %+v", st)
	}
	alone := quiet(Member{"down", down})
	defer alone.Close()
	_, _ = alone.Headers(t.Context(), nil)
	if len(alone.Members()) != 1 {
		t.Error("the only member is not asked any more")
	}
}

var announce = ops.Announce{Hash: [20]byte{1}}

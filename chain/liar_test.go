package chain_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/bitcoin"
	"satchel/chain/chaintest"
)

// liar is a source that changes what it hands out.
type liar struct {
	*chaintest.Chain
	down    error
	headers func([]wire.BlockHeader) []wire.BlockHeader
	endless func([]wire.BlockHeader) []wire.BlockHeader // as headers, and where there are none
	silent  chainhash.Hash                              // the block that is never answered for
	block   func([]byte) []byte
	prevTx  func([]byte) []byte // nil bytes: not there
}

func (l *liar) Headers(ctx context.Context, locator []chainhash.Hash) ([]wire.BlockHeader, error) {
	hs, err := l.Chain.Headers(ctx, locator)
	if l.down != nil {
		return nil, l.down
	}
	if l.headers != nil && len(hs) > 0 {
		hs = l.headers(hs)
	}
	if l.endless != nil {
		hs = l.endless(hs)
	}
	return hs, err
}

func (l *liar) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	if hash == l.silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	raw, err := l.Chain.Block(ctx, hash)
	if l.block != nil && err == nil {
		if raw = l.block(raw); raw == nil {
			return nil, os.ErrNotExist
		}
	}
	return raw, err
}

func (l *liar) PrevTx(ctx context.Context, txid chainhash.Hash) ([]byte, error) {
	raw, err := l.Chain.PrevTx(ctx, txid)
	if l.prevTx != nil && err == nil {
		if raw = l.prevTx(raw); raw == nil {
			return nil, os.ErrNotExist
		}
	}
	return raw, err
}

// edit returns a function that changes a block's transactions.
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

// TestLiars: whatever a source does, a lie is named and changes nothing.
func TestLiars(t *testing.T) {
	alice := chaintest.NewKey("alice")
	theft := wire.NewMsgTx(2)
	for _, c := range []struct {
		why  string
		lie  func(l *liar)
		want error
		word string
	}{
		{"bad PoW", func(l *liar) {
			l.headers = func(hs []wire.BlockHeader) []wire.BlockHeader {
				for h := &hs[len(hs)-1]; ; h.Nonce++ {
					if b := h.BlockHash(); b[31] >= 0x80 {
						return hs
					}
				}
			}
		}, bitcoin.ErrBadHeader, "higher than expected max"},
		{"too easy", func(l *liar) {
			l.headers = func(hs []wire.BlockHeader) []wire.BlockHeader {
				hs[len(hs)-1].Bits = 0x207ffffe
				chaintest.Work(&hs[len(hs)-1])
				return hs
			}
		}, bitcoin.ErrBadHeader, "difficulty"},
		{"before the median time", func(l *liar) {
			l.headers = func(hs []wire.BlockHeader) []wire.BlockHeader {
				hs[len(hs)-1].Timestamp = l.Params.Chain.GenesisBlock.Header.Timestamp
				chaintest.Work(&hs[len(hs)-1])
				return hs
			}
		}, bitcoin.ErrBadHeader, "timestamp"},
		{"a gap", func(l *liar) {
			l.headers = func(hs []wire.BlockHeader) []wire.BlockHeader { return append(hs[:1:1], hs[2:]...) }
		}, bitcoin.ErrOrphan, "follows no header"},
		{"too many headers", func(l *liar) {
			l.headers = func(hs []wire.BlockHeader) []wire.BlockHeader {
				return make([]wire.BlockHeader, bitcoin.MaxHeaders+1)
			}
		}, bitcoin.ErrBadHeader, "2001"},
		{"another block", func(l *liar) {
			l.block = func([]byte) []byte {
				b, _ := l.Chain.Block(context.Background(), l.Hash(firstBlock))
				return b
			}
		}, bitcoin.ErrBadBlock, "it is block"},
		{"bad merkle root", func(l *liar) {
			l.block = edit(func(b *wire.MsgBlock) { b.Transactions = b.Transactions[:1] })
		}, bitcoin.ErrBadBlock, "merkle root"},
		{"a transaction added", func(l *liar) {
			l.block = edit(func(b *wire.MsgBlock) { b.Transactions = append(b.Transactions, theft) })
		}, bitcoin.ErrBadBlock, ""},
		{"mutated tree", func(l *liar) {
			l.block = edit(func(b *wire.MsgBlock) {
				if len(b.Transactions) == 3 {
					b.Transactions = append(b.Transactions, b.Transactions[2])
				}
			})
		}, bitcoin.ErrBadBlock, "repeated"},
		{"cut off", func(l *liar) {
			l.block = func(raw []byte) []byte { return raw[:len(raw)-1] }
		}, bitcoin.ErrBadBlock, "ends too early"},
		{"something behind", func(l *liar) {
			l.block = func(raw []byte) []byte { return append(raw, 0) }
		}, bitcoin.ErrBadBlock, "left over"},
		{"empty", func(l *liar) {
			l.block = func(raw []byte) []byte { return []byte{} }
		}, bitcoin.ErrBadBlock, "ends too early"},
		{"huge block", func(l *liar) {
			l.block = func(raw []byte) []byte { return append(raw, make([]byte, 4_000_000)...) }
		}, bitcoin.ErrBadBlock, "too many"},
		{"withheld block", func(l *liar) {
			l.block = func(raw []byte) []byte { return nil }
		}, os.ErrNotExist, "block"},
		{"wrong previous transaction", func(l *liar) {
			l.prevTx = func([]byte) []byte {
				b, _ := l.Chain.PrevTx(context.Background(), l.Coin(alice.Script).Hash)
				return b
			}
		}, bitcoin.ErrBadTx, "asked for"},
		{"no previous transaction", func(l *liar) {
			l.prevTx = func([]byte) []byte { return nil }
		}, os.ErrNotExist, "sender of"},
	} {
		t.Run(c.why, func(t *testing.T) {
			src := &liar{Chain: openID(t)}
			ix, err := chain.OpenIndex("", src.Params)
			if err != nil {
				t.Fatal(err)
			}
			defer ix.Close()
			f := chain.NewFollower(src, ix, chain.FollowerOptions{})
			sync(t, f)
			before, _ := ix.Tip()
			src.MineBlock(src.PreorderTx("alice.id", alice), src.PreorderTx("bob.id", alice))
			src.Mine(2)
			c.lie(src)
			if err := f.Sync(context.Background()); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.word) {
				t.Errorf("got %v, want %v with %q", err, c.want, c.word)
			}
			if after, _ := ix.Tip(); after != before {
				t.Errorf("tip moved from %d to %d", before, after)
			}
			src.headers, src.block, src.prevTx = nil, nil, nil
			sync(t, f)
			if h, hash := ix.Tip(); h != src.Height() || hash != src.Hash(h) {
				t.Errorf("afterwards the tip is %d %v", h, hash)
			}
		})
	}
}

// TestEndlessHeaders: a source that makes up ever more headers, or goes round
// in circles, is told off; the honest one that comes after it is followed.
func TestEndlessHeaders(t *testing.T) {
	for _, c := range []struct {
		why  string
		next func(hs []wire.BlockHeader) []wire.BlockHeader // after those that were handed out last
		want error
	}{
		{"endless headers", func(hs []wire.BlockHeader) []wire.BlockHeader { return moreHeaders(hs[len(hs)-1]) }, bitcoin.ErrEndless},
		{"a circle", func(hs []wire.BlockHeader) []wire.BlockHeader {
			if len(hs) > 1 {
				return hs[:len(hs)-1]
			}
			return hs
		}, bitcoin.ErrBadHeader},
	} {
		t.Run(c.why, func(t *testing.T) {
			src := &liar{Chain: openID(t)}
			ix, err := chain.OpenIndex("", steady(src.Params))
			if err != nil {
				t.Fatal(err)
			}
			defer ix.Close()
			f := chain.NewFollower(src, ix, chain.FollowerOptions{})
			sync(t, f)
			before, _ := ix.Tip()
			src.Mine(120) // who tells fewer is not asked for more
			answers, last := 0, []wire.BlockHeader(nil)
			src.endless = func(hs []wire.BlockHeader) []wire.BlockHeader {
				answers++
				if last == nil {
					last = hs
				} else {
					last = c.next(last)
				}
				return last
			}
			if err := f.Sync(context.Background()); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if after, _ := ix.Tip(); after != before || answers > 10 {
				t.Errorf("tip moved from %d to %d after %d answers", before, after, answers)
			}
			src.endless = nil
			sync(t, f)
			if h, hash := ix.Tip(); h != src.Height() || hash != src.Hash(h) {
				t.Errorf("afterwards the tip is %d %v", h, hash)
			}
		})
	}
}

// several is a source of several.
type several struct {
	*chaintest.Chain
	members []bitcoin.Source
}

func (s several) Members() []bitcoin.Source { return s.members }

// TestEndlessHeadersBesideHonest: whoever of several sources makes up headers
// without end, in that very round the tip of the honest one is reached.
func TestEndlessHeadersBesideHonest(t *testing.T) {
	honest := openID(t)
	endless, last := &liar{Chain: honest}, honest.Params.Chain.GenesisBlock.Header
	endless.endless = func([]wire.BlockHeader) []wire.BlockHeader {
		hs := moreHeaders(last)
		last = hs[len(hs)-1]
		return hs
	}
	for _, members := range [][]bitcoin.Source{{honest, endless}, {endless, honest}} {
		last = honest.Params.Chain.GenesisBlock.Header
		ix, err := chain.OpenIndex("", steady(honest.Params))
		if err != nil {
			t.Fatal(err)
		}
		defer ix.Close()
		sync(t, chain.NewFollower(several{honest, members}, ix, chain.FollowerOptions{}))
		if h, hash := ix.Tip(); h != honest.Height() || hash != honest.Hash(h) {
			t.Errorf("tip %d %v, want %d", h, hash, honest.Height())
		}
	}
}

// steady are the rules for a chain whose difficulty stays, though it is one
// that retargets, so that its length has to fit the time.
func steady(p *chain.Params) *chain.Params {
	params, c := *p, *p.Chain
	c.PoWNoRetargeting, c.ReduceMinDifficulty, c.RetargetAdjustmentFactor = false, false, 1
	params.Chain = &c
	return &params
}

// moreHeaders makes up a full answer.
func moreHeaders(h wire.BlockHeader) (hs []wire.BlockHeader) {
	for range bitcoin.MaxHeaders {
		h.Version, h.PrevBlock, h.Timestamp = 0x20000000, h.BlockHash(), h.Timestamp.Add(time.Second)
		chaintest.Work(&h)
		hs = append(hs, h)
	}
	return hs
}

// TestSilentSource never answers when it is asked for one block: the follower
// gives up, says which, and has applied those before it.
func TestSilentSource(t *testing.T) {
	src := &liar{Chain: openID(t)}
	ix, err := chain.OpenIndex("", src.Params)
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	f := chain.NewFollower(src, ix, chain.FollowerOptions{Timeout: 50 * time.Millisecond})
	sync(t, f)
	src.Mine(20)
	src.silent = src.Hash(src.Height() - 10)
	before := runtime.NumGoroutine()
	err = f.Sync(context.Background())
	if !errors.Is(err, chain.ErrNoAnswer) || !strings.Contains(err.Error(), src.silent.String()) {
		t.Errorf("got %v", err)
	}
	if h, _ := ix.Tip(); h != src.Height()-11 {
		t.Errorf("tip %d", h)
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := f.Sync(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines, %d before", after, before)
	}
	src.silent = chainhash.Hash{}
	sync(t, f)
}

// TestFutureHeader: a block that is ahead of our clock waits, and what is before
// it is applied.
func TestFutureHeader(t *testing.T) {
	src := &liar{Chain: openID(t)}
	ix, err := chain.OpenIndex("", src.Params)
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	f := chain.NewFollower(src, ix, chain.FollowerOptions{})
	src.headers = func(hs []wire.BlockHeader) []wire.BlockHeader {
		h := &hs[len(hs)-1]
		h.Timestamp = time.Now().Add(3 * time.Hour).Truncate(time.Second)
		chaintest.Work(h)
		return hs
	}
	if err := f.Sync(context.Background()); !errors.Is(err, bitcoin.ErrFuture) || !errors.Is(f.Status().Err, bitcoin.ErrFuture) {
		t.Errorf("got %v", err)
	}
	if h, _ := ix.Tip(); h != src.Height()-1 {
		t.Errorf("tip %d, want %d", h, src.Height()-1)
	}
	src.headers = nil
	sync(t, f)
}

// TestForgedSender spends an output that anybody may spend, with a signature
// script that looks like the victim's.
func TestForgedSender(t *testing.T) {
	c := openID(t)
	ix, f := follow(t, c)
	alice, thief := chaintest.NewKey("alice"), chaintest.NewKey("thief")
	c.Register("alice.id", alice, [20]byte{1})
	forged := c.TransferTx("alice.id", alice, thief, true)
	forged.TxIn[0].PreviousOutPoint = c.Coin([]byte{0x51}) // OP_TRUE
	c.MineBlock(forged)
	sync(t, f)
	if rec := lookup(t, ix, "alice.id"); rec.Address != alice.Address {
		t.Errorf("the name went to %s", rec.Address)
	}
	// and the other way round: a script that shows nothing of the owner's key
	real := c.TransferTx("alice.id", alice, thief, true)
	real.TxIn[0].SignatureScript = nil
	c.MineBlock(real)
	sync(t, f)
	if rec := lookup(t, ix, "alice.id"); rec.Address != thief.Address {
		t.Errorf("the name stays at %s", rec.Address)
	}
}

// TestSenderInSameBlock spends an output of the same block.
func TestSenderInSameBlock(t *testing.T) {
	c := openID(t)
	ix, f := follow(t, c)
	alice := chaintest.NewKey("alice")
	pre := c.PreorderTx("alice.id", alice)
	reg := c.RegisterTx("alice.id", alice)
	reg.TxIn[0].PreviousOutPoint = wire.OutPoint{Hash: pre.TxHash(), Index: 1}
	c.MineBlock(pre, reg)
	sync(t, f)
	if rec := lookup(t, ix, "alice.id"); rec.Address != alice.Address {
		t.Errorf("got %+v", rec)
	}
}

// bare is a source without previous transactions.
type bare struct{ bitcoin.Source }

func TestNoPreviousTransactions(t *testing.T) {
	c := openID(t)
	ix, _ := follow(t, c)
	f := chain.NewFollower(bare{c}, ix, chain.FollowerOptions{})
	if err := f.Sync(context.Background()); !errors.Is(err, chain.ErrNoPrevTx) {
		t.Errorf("got %v", err)
	}
}

// TestHeavierHeadersWithoutBlocks: who has only the headers of a heavier chain
// makes nobody forget a name.
func TestHeavierHeadersWithoutBlocks(t *testing.T) {
	src := &liar{Chain: openID(t)}
	ix, err := chain.OpenIndex("", src.Params)
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	f := chain.NewFollower(src, ix, chain.FollowerOptions{})
	src.Register("alice.id", chaintest.NewKey("alice"), [20]byte{1})
	sync(t, f)
	src.Reorg(3)
	var asked atomic.Int64
	src.block = func(raw []byte) []byte { // one is missing
		if asked.Add(1) > 3 {
			return nil
		}
		return raw
	}
	if err := f.Sync(context.Background()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	lookup(t, ix, "alice.id")
	src.block = nil
	sync(t, f)
	if _, err := ix.Lookup("alice.id"); !errors.Is(err, chain.ErrUnknownName) {
		t.Errorf("with the blocks: %v", err)
	}
}

// TestLighterChain: a source that was set back, or is another one, is not
// followed, and that is said.
func TestLighterChain(t *testing.T) {
	c := openID(t)
	ix, f := follow(t, c)
	c.Register("alice.id", chaintest.NewKey("alice"), [20]byte{1})
	sync(t, f)
	other := openID(t)
	other.Mine(1)
	f = chain.NewFollower(other, ix, chain.FollowerOptions{})
	if err := f.Sync(context.Background()); !errors.Is(err, chain.ErrLessWork) {
		t.Errorf("got %v", err)
	}
	lookup(t, ix, "alice.id")
	if f.Status().Err == nil {
		t.Error("Status says nothing")
	}
}

package chain_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/chaintest"
)

const firstBlock = 120

// follow returns an index in memory and a follower of c.
func follow(t *testing.T, c *chaintest.Chain) (*chain.Index, *chain.Follower) {
	t.Helper()
	return followIn(t, c, "")
}

func followIn(t *testing.T, c *chaintest.Chain, dir string) (*chain.Index, *chain.Follower) {
	t.Helper()
	ix, err := chain.OpenIndex(dir, c.Params)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ix.Close(); err != nil {
			t.Error(err)
		}
	})
	return ix, chain.NewFollower(c, ix, chain.FollowerOptions{Poll: time.Hour})
}

func sync(t *testing.T, f *chain.Follower) {
	t.Helper()
	if err := f.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func lookup(t *testing.T, ix *chain.Index, n chain.Name) chain.Record {
	t.Helper()
	rec, err := ix.Lookup(n)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// openID returns a chain with the namespace id.
func openID(t *testing.T) *chaintest.Chain {
	t.Helper()
	c := chaintest.New(t, firstBlock)
	c.Namespace("id", 1000)
	return c
}

func TestFollowName(t *testing.T) {
	c := openID(t)
	ix, f := follow(t, c)
	alice, bob := chaintest.NewKey("alice"), chaintest.NewKey("bob")
	zone := [20]byte{1}
	sync(t, f)
	if _, err := ix.Lookup("alice.id"); !errors.Is(err, chain.ErrUnknownName) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("unknown name: %v", err)
	}
	c.Register("alice.id", alice, zone)
	sync(t, f)
	rec := lookup(t, ix, "alice.id")
	want := chain.Record{
		Name: "alice.id", Owner: alice.Script, Address: alice.Address, ValueHash: zone, HasValue: true,
		FirstRegistered: firstBlock + 4, LastRenewed: firstBlock + 4, BlockNumber: firstBlock + 3,
		Expires: firstBlock + 4 + 2*1000 + 1, Txid: rec.Txid, Op: "+",
	}
	if !equal(rec, want) {
		t.Errorf("registered:\n got %+v\nwant %+v", rec, want)
	}
	if !ix.HasValue(zone) || ix.HasValue([20]byte{2}) {
		t.Error("HasValue is wrong")
	}
	c.MineBlock(c.TransferTx("alice.id", alice, bob, false))
	sync(t, f)
	rec = lookup(t, ix, "alice.id")
	if rec.Address != bob.Address || rec.HasValue || rec.Op != ">~" || ix.HasValue(zone) {
		t.Errorf("transferred: %+v", rec)
	}
	mine, err := ix.NamesOf(bob.Script)
	old, err2 := ix.NamesOf(alice.Script)
	if err != nil || err2 != nil || !slices.Equal(mine, []chain.Name{"alice.id"}) || len(old) != 0 {
		t.Errorf("bob has %v, alice %v", mine, old)
	}
	c.MineBlock(c.RevokeTx("alice.id", bob))
	sync(t, f)
	if rec = lookup(t, ix, "alice.id"); !rec.Revoked || rec.Expired {
		t.Errorf("revoked: %+v", rec)
	}
}

func equal(a, b chain.Record) bool {
	owners := string(a.Owner) == string(b.Owner)
	a.Owner, b.Owner = nil, nil
	return owners && a.Name == b.Name && a.Address == b.Address && a.ValueHash == b.ValueHash && a.HasValue == b.HasValue &&
		a.FirstRegistered == b.FirstRegistered && a.LastRenewed == b.LastRenewed && a.BlockNumber == b.BlockNumber &&
		a.Expires == b.Expires && a.Revoked == b.Revoked && a.Expired == b.Expired && a.Txid == b.Txid && a.Op == b.Op
}

// TestSameHashes follows a chain at once, block by block and through a
// reorganisation: the consensus hashes must be the same.
func TestSameHashes(t *testing.T) {
	c := openID(t)
	alice := chaintest.NewKey("alice")
	stepwise, f1 := follow(t, c)
	sync(t, f1)
	c.MineBlock(c.PreorderTx("gone.id", alice))
	c.MineBlock(c.RegisterTx("gone.id", alice))
	sync(t, f1)
	c.Reorg(2)
	sync(t, f1)
	for _, n := range []string{"a.id", "b.id", "c.id"} {
		c.Register(n, alice, [20]byte{n[0]})
		sync(t, f1)
	}
	atOnce, f2 := follow(t, c)
	sync(t, f2)
	for h := firstBlock - 4; h <= c.Height(); h++ {
		a, err1 := stepwise.ConsensusHash(h)
		b, err2 := atOnce.ConsensusHash(h)
		if a != b || err1 != nil || err2 != nil {
			t.Fatalf("height %d: %x and %x, %v %v", h, a, b, err1, err2)
		}
	}
	if f1.Status().Reorgs != 1 || f2.Status().Reorgs != 0 {
		t.Errorf("reorgs: %d and %d", f1.Status().Reorgs, f2.Status().Reorgs)
	}
}

func TestReorgForgetsName(t *testing.T) {
	c := openID(t)
	ix, f := follow(t, c)
	c.Register("bob.id", chaintest.NewKey("bob"), [20]byte{2})
	sync(t, f)
	c.Register("alice.id", chaintest.NewKey("alice"), [20]byte{1})
	sync(t, f)
	lookup(t, ix, "alice.id")
	var got []chain.Change
	defer f.Subscribe(func(ch chain.Change) { got = append(got, ch) })()
	changed := f.Changed()
	c.Reorg(3)
	sync(t, f)
	if rec, err := ix.Lookup("alice.id"); !errors.Is(err, chain.ErrUnknownName) {
		t.Errorf("after the reorganisation: %+v, %v", rec, err)
	}
	if ix.HasValue([20]byte{1}) || !ix.HasValue([20]byte{2}) {
		t.Error("values are wrong after the reorganisation")
	}
	height, hash := ix.Tip()
	if height != c.Height() || hash != c.Hash(height) {
		t.Errorf("tip %d %v", height, hash)
	}
	if len(got) != 1 || !got[0].Reorg || !slices.Equal(got[0].Names, []chain.Name{"alice.id"}) || got[0].Height != height {
		t.Errorf("told %+v", got)
	}
	select {
	case <-changed:
	default:
		t.Error("Changed says nothing")
	}
}

// TestReorgBelowFirstBlock leaves a chain at a block that the rules don't read.
func TestReorgBelowFirstBlock(t *testing.T) {
	c := openID(t)
	ix, f := follow(t, c)
	c.Register("alice.id", chaintest.NewKey("alice"), [20]byte{1})
	sync(t, f)
	c.Reorg(c.Height() - firstBlock + 10)
	sync(t, f)
	if height, hash := ix.Tip(); height != c.Height() || hash != c.Hash(height) {
		t.Errorf("tip %d %v, want %d", height, hash, c.Height())
	}
	if _, err := ix.Lookup("alice.id"); !errors.Is(err, chain.ErrUnknownName) {
		t.Errorf("after the reorganisation: %v", err)
	}
	if _, err := ix.Namespace("id"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("namespace: %v", err)
	}
}

// TestReorgs replaces more and more blocks, at last more than there is undo data
// for: the table is the same as if the new chain had been the only one.
func TestReorgs(t *testing.T) {
	for _, depth := range []int{1, 3, 30, 144, chain.UndoBlocks, chain.UndoBlocks + 5} {
		t.Run(strconv.Itoa(depth), func(t *testing.T) {
			t.Parallel()
			c := openID(t)
			ix, f := follow(t, c)
			c.Register("alice.id", chaintest.NewKey("alice"), [20]byte{1})
			c.Mine(chain.UndoBlocks) // so that undo data is dropped
			kept := c.Height()
			c.Register("bob.id", chaintest.NewKey("bob"), [20]byte{2})
			c.Mine(max(depth-3, 0))
			sync(t, f)
			told := make(map[chain.Name]bool)
			var last chain.Change
			defer f.Subscribe(func(ch chain.Change) {
				for _, n := range ch.Names {
					told[n] = true
				}
				last = ch
			})()
			c.Reorg(depth)
			sync(t, f)
			if height, hash := ix.Tip(); height != c.Height() || hash != c.Hash(height) || last.Height != height {
				t.Errorf("tip %d %v, told %d", height, hash, last.Height)
			}
			lookup(t, ix, "alice.id")
			rec, err := ix.Lookup("bob.id")
			switch {
			case depth == 1 && !rec.HasValue && rec.Op == ":": // without the update
			case depth == 3 && errors.Is(err, chain.ErrUnknownName): // without any of the three
			case depth > 3 && errors.Is(err, chain.ErrUnknownName) && c.Height()-depth-1 == kept:
			default:
				t.Errorf("bob.id: %+v, %v, forked at %d", rec, err, c.Height()-depth-1)
			}
			if !told["bob.id"] || f.Status().Reorgs != 1 {
				t.Errorf("told %v, %d reorganisations", told, f.Status().Reorgs)
			}
			sameHashes(t, c, ix)
		})
	}
}

// sameHashes compares the consensus hashes of an index with those of another
// one that follows the same chain from the start.
func sameHashes(t *testing.T, c *chaintest.Chain, ix *chain.Index) {
	t.Helper()
	fresh, f := follow(t, c)
	sync(t, f)
	tip, _ := ix.Tip()
	for h := firstBlock; h <= tip; h++ {
		a, err1 := ix.ConsensusHash(h)
		b, err2 := fresh.ConsensusHash(h)
		if a != b || err1 != nil || err2 != nil {
			t.Fatalf("height %d: %x and %x, %v %v", h, a, b, err1, err2)
		}
	}
}

// TestConfirmations: with six of them a reorganisation of the last six blocks
// undoes nothing, a deeper one does.
func TestConfirmations(t *testing.T) {
	for _, c := range []struct{ depth, reorgs int }{{1, 0}, {6, 0}, {7, 1}, {30, 1}} {
		ch := openID(t)
		ch.Mine(40)
		p := *ch.Params
		p.Confirmations = 6
		ix, err := chain.OpenIndex("", &p)
		if err != nil {
			t.Fatal(err)
		}
		defer ix.Close()
		f := chain.NewFollower(ch, ix, chain.FollowerOptions{})
		sync(t, f)
		height, _ := ix.Tip()
		if s := f.Status(); height != ch.Height()-6 || s.Height != height || s.Best != ch.Height() {
			t.Errorf("tip %d, %+v", height, s)
		}
		reorged := false
		defer f.Subscribe(func(ch chain.Change) { reorged = reorged || ch.Reorg })()
		ch.Reorg(c.depth)
		sync(t, f)
		if got := f.Status().Reorgs; got != c.reorgs || reorged != (c.reorgs > 0) {
			t.Errorf("%d blocks replaced: %d reorganisations, told %v", c.depth, got, reorged)
		}
		if h, hash := ix.Tip(); h != height+1 || hash != ch.Hash(h) {
			t.Errorf("%d blocks replaced: tip %d %v, want %d", c.depth, h, hash, height+1)
		}
	}
}

// TestManyChangesOfMind leaves one chain for the other, and back, with a name on
// each.
func TestManyChangesOfMind(t *testing.T) {
	c := openID(t)
	ix, f := follow(t, c)
	alice := chaintest.NewKey("alice")
	for i := range 20 {
		n := fmt.Sprintf("n%d.id", i)
		c.Register(n, alice, [20]byte{byte(i)})
		sync(t, f)
		lookup(t, ix, chain.Name(n))
		c.Reorg(3 + i%3)
		if i%2 == 0 { // else it is a part of a longer one
			sync(t, f)
		}
	}
	sync(t, f)
	sameHashes(t, c, ix)
}

// busy counts how many questions a source is asked at a time.
type busy struct {
	*chaintest.Chain
	now, most, prevs atomic.Int64
}

func (b *busy) enter() {
	n := b.now.Add(1)
	for m := b.most.Load(); n > m && !b.most.CompareAndSwap(m, n); m = b.most.Load() {
	}
	time.Sleep(100 * time.Microsecond)
}

func (b *busy) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	b.enter()
	defer b.now.Add(-1)
	return b.Chain.Block(ctx, hash)
}

func (b *busy) PrevTx(ctx context.Context, txid chainhash.Hash) ([]byte, error) {
	b.enter()
	defer b.now.Add(-1)
	b.prevs.Add(1)
	return b.Chain.PrevTx(ctx, txid)
}

// TestAskedAtOnce: blocks and previous transactions are asked for several at a
// time, and not too many.
func TestAskedAtOnce(t *testing.T) {
	c := openID(t)
	alice := chaintest.NewKey("alice")
	var txs []*wire.MsgTx
	for i := range 20 {
		txs = append(txs, c.PreorderTx(fmt.Sprintf("n%d.id", i), alice))
	}
	c.MineBlock(txs...)
	c.Mine(60)
	ix, err := chain.OpenIndex("", c.Params)
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	src := &busy{Chain: c}
	f := chain.NewFollower(src, ix, chain.FollowerOptions{Requests: 4})
	sync(t, f)
	if most := src.most.Load(); most != 4 {
		t.Errorf("%d questions at a time, want 4", most)
	}
	if n := src.prevs.Load(); n != 23 { // the namespace took three
		t.Errorf("%d previous transactions were asked for", n)
	}
	sameHashes(t, c, ix)
}

func TestRestart(t *testing.T) {
	c := openID(t)
	dir := t.TempDir()
	ix, f := followIn(t, c, dir)
	alice := chaintest.NewKey("alice")
	c.Register("alice.id", alice, [20]byte{1})
	sync(t, f)
	height, hash := ix.Tip()
	want, _ := ix.ConsensusHash(height)
	if err := ix.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := ix.Lookup("alice.id"); err == nil {
		t.Error("a closed index answers")
	}
	ix, f = followIn(t, c, dir)
	if h, x := ix.Tip(); h != height || x != hash {
		t.Errorf("tip %d %v", h, x)
	}
	if got, err := ix.ConsensusHash(height); got != want || err != nil {
		t.Errorf("consensus hash %x, %v", got, err)
	}
	lookup(t, ix, "alice.id")
	c.Reorg(3) // of blocks that were applied before the restart
	sync(t, f)
	if _, err := ix.Lookup("alice.id"); !errors.Is(err, chain.ErrUnknownName) {
		t.Errorf("after the reorganisation: %v", err)
	}
}

// TestMadeAnew: an index that lacks a block is made anew, and who listens hears of
// the names that it had.
func TestMadeAnew(t *testing.T) {
	c := openID(t)
	ix, f := follow(t, c)
	c.Register("alice.id", chaintest.NewKey("alice"), [20]byte{1})
	sync(t, f)
	if err := chain.LoseHeader(ix, firstBlock+1); err != nil {
		t.Fatal(err)
	}
	c.Reorg(3)
	f = chain.NewFollower(c, ix, chain.FollowerOptions{})
	told := make(map[chain.Name]bool)
	f.Subscribe(func(ch chain.Change) {
		for _, n := range ch.Names {
			told[n] = true
		}
	})
	sync(t, f)
	if _, err := ix.Lookup("alice.id"); !errors.Is(err, chain.ErrUnknownName) || !told["alice.id"] {
		t.Errorf("%v, told %v", err, told)
	}
	sameHashes(t, c, ix)
}

// TestOtherRules opens an index that other rules made: it begins anew.
func TestOtherRules(t *testing.T) {
	c := openID(t)
	dir := t.TempDir()
	ix, f := followIn(t, c, dir)
	sync(t, f)
	if err := ix.Close(); err != nil {
		t.Fatal(err)
	}
	ix, err := chain.OpenIndex(dir, chain.Satchel(c.Params.Chain, firstBlock+1))
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	if h, x := ix.Tip(); h != 0 || x != *c.Params.Chain.GenesisHash {
		t.Errorf("tip %d %v", h, x)
	}
}

func TestRun(t *testing.T) {
	c := openID(t)
	ix, f := follow(t, c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	c.Register("alice.id", chaintest.NewKey("alice"), [20]byte{1})
	deadline := time.After(10 * time.Second)
	for { // woken, since it would poll once an hour
		changed := f.Changed()
		if ix.HasValue([20]byte{1}) {
			break
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("never followed: %+v", f.Status())
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run ended with %v", err)
	}
}

func TestStatus(t *testing.T) {
	c := openID(t)
	src := &liar{Chain: c}
	ix, err := chain.OpenIndex("", c.Params)
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	f := chain.NewFollower(src, ix, chain.FollowerOptions{})
	src.down = errors.New("connection refused")
	if err := f.Sync(context.Background()); !errors.Is(err, src.down) {
		t.Errorf("Sync: %v", err)
	}
	if s := f.Status(); !errors.Is(s.Err, src.down) || s.Height != 0 || !s.Time.IsZero() {
		t.Errorf("source down: %+v", s)
	}
	src.down = nil
	sync(t, f)
	if s := f.Status(); s.Err != nil || s.Height != c.Height() || s.Best != c.Height() || s.Hash == (chainhash.Hash{}) || s.Time.IsZero() {
		t.Errorf("source up: %+v", s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := f.Sync(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

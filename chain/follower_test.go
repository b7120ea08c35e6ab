package chain_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

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

// TestDeepReorg undoes more blocks than there is undo data for.
func TestDeepReorg(t *testing.T) {
	c := openID(t)
	ix, f := follow(t, c)
	c.Register("alice.id", chaintest.NewKey("alice"), [20]byte{1})
	c.Mine(20)
	kept := c.Height()
	c.Register("bob.id", chaintest.NewKey("bob"), [20]byte{2})
	c.Mine(chain.UndoBlocks + 5)
	sync(t, f)
	var names []chain.Name
	defer f.Subscribe(func(ch chain.Change) { names = append(names, ch.Names...) })()
	c.Reorg(c.Height() - kept)
	sync(t, f)
	lookup(t, ix, "alice.id")
	if _, err := ix.Lookup("bob.id"); !errors.Is(err, chain.ErrUnknownName) {
		t.Errorf("after the reorganisation: %v", err)
	}
	if !slices.Contains(names, "bob.id") {
		t.Errorf("told %v", names)
	}
	if height, hash := ix.Tip(); height != c.Height() || hash != c.Hash(height) {
		t.Errorf("tip %d %v", height, hash)
	}
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

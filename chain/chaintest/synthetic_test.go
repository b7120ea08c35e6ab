package chaintest_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"satchel/chain"
	"satchel/chain/chaintest"
)

var small = chaintest.Shape{Names: 300, Blocks: 60, Bulk: 5000, Tips: 3, TipOps: 90}

// TestSynthetic follows a synthetic chain: all its operations are accepted, so
// the consensus hashes are those that its maker found by itself.
func TestSynthetic(t *testing.T) {
	dir := t.TempDir()
	s, err := chaintest.MakeSynthetic(dir, small)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ix, err := chain.OpenIndex("", s.Params)
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	f := chain.NewFollower(s, ix, chain.FollowerOptions{})
	s.Show(small.Blocks)
	for _, tip := range []int{small.Blocks, s.Height()} {
		s.Show(tip)
		if err := f.Sync(context.Background()); err != nil {
			t.Fatal(err)
		}
		if h, hash := ix.Tip(); h != tip || hash != s.Hash(tip) {
			t.Fatalf("tip %d %v, want %d", h, hash, tip)
		}
	}
	for h := s.Params.FirstBlock; h <= s.Height(); h++ {
		if got, err := ix.ConsensusHash(h); err != nil || got != s.Consensus(h) {
			t.Fatalf("height %d: consensus hash %x, want %x, %v", h, got, s.Consensus(h), err)
		}
	}
	for i := range small.Names {
		rec, err := ix.Lookup(chaintest.SyntheticName(i))
		if err != nil || !rec.HasValue || rec.Expired {
			t.Fatalf("name %d: %+v, %v", i, rec, err)
		}
	}
}

// TestSyntheticIsTheSame makes the same chain twice, and opens one again.
func TestSyntheticIsTheSame(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for _, dir := range []string{a, b, a} {
		s, err := chaintest.MakeSynthetic(dir, small)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	for _, name := range []string{"blocks", "bulk", "prev", "rows"} {
		x, err1 := os.ReadFile(filepath.Join(a, name))
		y, err2 := os.ReadFile(filepath.Join(b, name))
		if err1 != nil || err2 != nil || !bytes.Equal(x, y) || len(x) == 0 {
			t.Errorf("%s: %d and %d bytes, %v %v", name, len(x), len(y), err1, err2)
		}
	}
}

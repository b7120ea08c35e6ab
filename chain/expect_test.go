package chain_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"satchel/chain"
	"satchel/chain/chaintest"
)

// TestExpect stops before the first block whose hash is another one than
// expected, wherever in a batch it is, and goes on once it is as expected.
func TestExpect(t *testing.T) {
	src := openID(t)
	src.Register("alice.id", chaintest.NewKey("alice"), [20]byte{1})
	src.Mine(20)
	whole := src.Index()
	tip, _ := whole.Tip()
	wrong := errors.New("not as expected")
	for bad := src.Params.FirstBlock; bad <= tip; bad += 3 {
		ix, err := chain.OpenIndex("", src.Params)
		if err != nil {
			t.Fatal(err)
		}
		defer ix.Close()
		asked := 0
		f := chain.NewFollower(src, ix, chain.FollowerOptions{Expect: func(height int, c [16]byte) error {
			asked++
			if want, err := whole.ConsensusHash(height); err != nil || want != c {
				t.Errorf("asked about block %d with %x, want %x, %v", height, c, want, err)
			}
			if height == bad {
				return wrong
			}
			return nil
		}})
		if err := f.Sync(t.Context()); !errors.Is(err, wrong) || !errors.Is(f.Status().Err, wrong) {
			t.Fatalf("block %d: got %v", bad, err)
		}
		if at, _ := ix.Tip(); at != bad-1 || asked == 0 {
			t.Errorf("block %d: stopped at %d after %d questions", bad, at, asked)
		}
		f = chain.NewFollower(src, ix, chain.FollowerOptions{})
		sync(t, f)
		if at, _ := ix.Tip(); at != tip {
			t.Errorf("block %d: afterwards at %d, want %d", bad, at, tip)
		}
	}
}

func TestReadExpected(t *testing.T) {
	hash := strings.Repeat("0a", 16)
	got, err := chain.ReadExpected(strings.NewReader("# a table\n\n101 " + hash + "\n 102\t" + hash + " # the same\n"))
	if err != nil || len(got) != 2 || got[101][3] != 0x0a || got[102] != got[101] {
		t.Errorf("got %v, %v", got, err)
	}
	for text, word := range map[string]string{
		"101":                "line 1",
		"101 " + hash + " x": "want a height and",
		"\n-1 " + hash:       "line 2",
		"101 " + hash[2:]:    "no consensus hash",
		"101 xx":             "no consensus hash",
		"x " + hash:          "no height",
		"7 " + hash + "\n7 " + strings.Repeat("0b", 16): "another hash",
		strings.Repeat("x", 100_000):                    "too long",
	} {
		if got, err := chain.ReadExpected(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%.20q: got %v, %v, want %q", text, got, err, word)
		}
	}
}

func FuzzReadExpected(f *testing.F) {
	f.Add("101 " + strings.Repeat("0a", 16))
	f.Fuzz(func(t *testing.T, text string) {
		table, err := chain.ReadExpected(strings.NewReader(text))
		if err != nil {
			return
		}
		var b strings.Builder
		for height, hash := range table {
			fmt.Fprintf(&b, "%d %x\n", height, hash)
		}
		again, err := chain.ReadExpected(strings.NewReader(b.String()))
		if err != nil || len(again) != len(table) {
			t.Errorf("%d hashes, read again %d, %v", len(table), len(again), err)
		}
	})
}

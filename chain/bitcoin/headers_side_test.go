package bitcoin

import (
	"encoding/binary"
	"errors"
	"math/big"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// chainHash is a made-up hash.
func chainHash(i int) (h chainhash.Hash) {
	binary.BigEndian.PutUint64(h[:], uint64(i))
	return h
}

// TestEndlessHeaders: a chain that costs nothing, or is too long for its time,
// ends in an error.
func TestEndlessHeaders(t *testing.T) {
	steady := fast()
	steady.RetargetAdjustmentFactor = 1 // the difficulty never changes
	for _, c := range []struct {
		why   string
		p     *chaincfg.Params
		step  time.Duration
		bound int
	}{
		{"no work", &chaincfg.RegressionNetParams, time.Second, 1000},
		{"too long for its time", steady, time.Second, 102},
	} {
		h := NewHeaders(c.p)
		h.mostEasy, h.slack = 1000, 100
		added, err := h.Add(extend(c.p.GenesisBlock.Header, 1500, c.step, easiest, 'a'))
		if !errors.Is(err, ErrEndless) || !strings.Contains(err.Error(), "that long") || added < c.bound || added > c.bound+3 {
			t.Errorf("%s: added %d, %v", c.why, added, err)
		}
	}
	h := NewHeaders(steady)
	h.slack = 100
	if _, err := h.Add(extend(steady.GenesisBlock.Header, 1500, time.Minute, easiest, 'a')); err != nil {
		t.Errorf("a chain that keeps time: %v", err)
	}
}

// TestSideIsLimited: branches with less work are forgotten, those with the
// least first, and a branch that is too long ends in an error.
func TestSideIsLimited(t *testing.T) {
	p := &chaincfg.RegressionNetParams
	c := NewHeaders(p)
	c.maxSide = 40
	main := extend(p.GenesisBlock.Header, 100, time.Minute, easiest, 'a')
	add := func(hs []wire.BlockHeader) {
		t.Helper()
		if _, err := c.Add(hs); err != nil {
			t.Fatal(err)
		}
		if len(c.side) > c.maxSide {
			t.Fatalf("%d on the side", len(c.side))
		}
	}
	knows := func(h wire.BlockHeader) bool { return c.side[h.BlockHash()] != nil }
	add(main)
	heavy := extend(main[89], 9, time.Minute, easiest, 'b') // up to height 99
	add(heavy)
	light := extend(main[9], 12, time.Minute, easiest, 'c')
	lighter := extend(light[7], 3, time.Minute, easiest, 'd') // leaves light's 8th
	add(light)
	add(lighter)
	third := extend(main[19], 18, time.Minute, easiest, 'e')
	add(third) // 9 + 12 + 3 + 18 are more than 40
	if !knows(heavy[8]) || !knows(third[17]) {
		t.Error("what was in use was forgotten")
	}
	if knows(lighter[2]) || knows(light[11]) && !knows(light[0]) {
		t.Error("what has the least work was not forgotten")
	}
	for _, n := range c.side { // nobody hangs in the air
		if parent, ok := c.find(n.header.PrevBlock); !ok || parent.height != n.height-1 {
			t.Errorf("header %d has no parent", n.height)
		}
	}
	long := extend(main[0], 60, time.Minute, easiest, 'f')
	if n, err := c.Add(long); !errors.Is(err, ErrEndless) || n != 40 || !strings.Contains(err.Error(), "too many") {
		t.Errorf("a long branch: added %d, %v", n, err)
	}
	if c.Best().Hash != main[99].BlockHash() {
		t.Error("the best chain changed")
	}
	add(extend(main[89], 12, time.Minute, easiest, 'g')) // one with more work is taken all the same
	if c.Best().Height != 102 || len(c.side) > c.maxSide {
		t.Errorf("best is %d, %d on the side", c.Best().Height, len(c.side))
	}
}

// TestDeepBranchWins replaces more blocks than are kept on the side.
func TestDeepBranchWins(t *testing.T) {
	p := &chaincfg.RegressionNetParams
	hs := extend(p.GenesisBlock.Header, 30, time.Minute, easiest, 'a')
	c := NewHeaders(p)
	if _, err := c.Add(hs); err != nil {
		t.Fatal(err)
	}
	other := extend(p.GenesisBlock.Header, 31, time.Minute, easiest, 'b')
	if _, err := c.Add(other[:30]); err != nil {
		t.Fatal(err)
	}
	c.maxSide = 20
	if _, err := c.Add(other[30:]); err != nil || c.Best().Hash != other[30].BlockHash() {
		t.Fatalf("best is %v, %v", c.Best().Hash, err)
	}
	if len(c.side) != 0 || c.Fork(hs[29].BlockHash()) != 0 || c.best.work.Cmp(c.best.workAt(31)) != 0 {
		t.Errorf("%d on the side", len(c.side))
	}
}

// mine is extend for many headers.
func mine(n int) []wire.BlockHeader {
	h := chaincfg.RegressionNetParams.GenesisBlock.Header
	hs := make([]wire.BlockHeader, n)
	hash := h.BlockHash()
	for i := range hs {
		h.PrevBlock, h.Timestamp, h.Version = hash, h.Timestamp.Add(time.Second), 4
		for h.Nonce = 0; ; h.Nonce++ {
			p := pack(&h)
			if hash = p.hash(h.PrevBlock); hash[31] < 0x7f {
				break
			}
		}
		hs[i] = h
	}
	return hs
}

// TestHeadersAreSmall measures what a long chain takes.
func TestHeadersAreSmall(t *testing.T) {
	const n = 200_000
	hs := mine(n)
	before := heap()
	c := NewHeaders(&chaincfg.RegressionNetParams)
	if _, err := c.Add(hs); err != nil {
		t.Fatal(err)
	}
	if each := float64(heap()-before) / n; each > 60 {
		t.Errorf("a header takes %.0f bytes", each)
	}
	for _, height := range []int{1, 15, 16, 17, 4095, 4096, 4097, 100_000, n} {
		if h, ok := c.At(height); !ok || h.BlockHeader != hs[height-1] || h.Hash != hs[height-1].BlockHash() {
			t.Errorf("height %d is %+v", height, h)
		}
		if !c.OnBest(hs[height-1].BlockHash()) {
			t.Errorf("height %d is not found", height)
		}
	}
	runtime.KeepAlive(hs)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkHeaders adds a million headers.
func BenchmarkHeaders(b *testing.B) {
	hs := mine(1_000_000)
	for b.Loop() {
		before := heap()
		c := NewHeaders(&chaincfg.RegressionNetParams)
		for at := 0; at < len(hs); at += MaxHeaders {
			if _, err := c.Add(hs[at : at+MaxHeaders]); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(heap()-before)/1e6, "MB")
		runtime.KeepAlive(c)
	}
}

// FuzzHeaders grows a tree as the bytes say, two for a header: which one it
// follows and how hard it is. A plain model must agree on what is best.
func FuzzHeaders(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 0, 1, 1, 3, 2, 1, 0, 0})
	f.Add([]byte{0, 0, 1, 0, 2, 0, 3, 0, 1, 0, 5, 0, 6, 0, 7, 0, 2, 2, 9, 2, 10, 2})
	p := chaincfg.RegressionNetParams
	p.ReduceMinDifficulty = false
	f.Fuzz(func(t *testing.T, script []byte) {
		type known struct {
			header wire.BlockHeader
			parent int
			work   *big.Int
		}
		genesis := p.GenesisBlock.Header
		tree := []known{{genesis, -1, blockchain.CalcWork(genesis.Bits)}}
		best := 0
		c := NewHeaders(&p)
		for ; len(script) >= 2 && len(tree) < 200; script = script[2:] {
			parent := int(script[0]) % len(tree)
			h := extend(tree[parent].header, 1, time.Duration(script[1])*time.Second+time.Second, easiest, byte(len(tree)))
			if n, err := c.Add(h); n != 1 || err != nil {
				t.Fatalf("added %d, %v", n, err)
			}
			work := new(big.Int).Add(tree[parent].work, blockchain.CalcWork(h[0].Bits))
			if tree = append(tree, known{h[0], parent, work}); work.Cmp(tree[best].work) > 0 {
				best = len(tree) - 1
			}
		}
		on := make(map[int]bool)
		tip := c.Best()
		for i, height := best, tip.Height; i >= 0; i, height = tree[i].parent, height-1 {
			on[i] = true
			if h, ok := c.At(height); !ok || h.Hash != tree[i].header.BlockHash() || h.BlockHeader.BlockHash() != h.Hash || h.Height != height {
				t.Fatalf("height %d is %v", height, h.Hash)
			}
		}
		for i := range tree {
			if got := c.OnBest(tree[i].header.BlockHash()); got != on[i] {
				t.Fatalf("header %d: on best is %v", i, got)
			}
			fork := i
			for !on[fork] {
				fork = tree[fork].parent
			}
			at, _ := c.At(c.Fork(tree[i].header.BlockHash()))
			if at.Hash != tree[fork].header.BlockHash() {
				t.Fatalf("header %d: fork at %d", i, at.Height)
			}
		}
		if c.best.work.Cmp(tree[best].work) != 0 {
			t.Fatalf("work %v, want %v", c.best.work, tree[best].work)
		}
	})
}

// FuzzBadHeaders: whatever bytes a header has, it is taken or refused.
func FuzzBadHeaders(f *testing.F) {
	f.Add(make([]byte, 80))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var h wire.BlockHeader
		if err := h.Deserialize(strings.NewReader(string(raw))); err != nil {
			return
		}
		for _, p := range []*chaincfg.Params{&chaincfg.MainNetParams, &chaincfg.TestNet4Params, &chaincfg.RegressionNetParams, fast()} {
			c := NewHeaders(p)
			h.PrevBlock = *p.GenesisHash
			if n, err := c.Add([]wire.BlockHeader{h}); (n == 1) != (err == nil) || c.Best().Height != n {
				t.Errorf("%s: added %d, %v", p.Name, n, err)
			}
		}
	})
}

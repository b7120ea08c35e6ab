package bitcoin

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// extend mines n headers on parent, each step after the one before.
func extend(parent wire.BlockHeader, n int, step time.Duration, bits func(i int) uint32, salt byte) []wire.BlockHeader {
	var hs []wire.BlockHeader
	for i := range n {
		h := wire.BlockHeader{Version: 4, PrevBlock: parent.BlockHash(), Timestamp: parent.Timestamp.Add(step),
			Bits: bits(i), MerkleRoot: chainhash.Hash{salt}}
		work(&h)
		hs = append(hs, h)
		parent = h
	}
	return hs
}

func work(h *wire.BlockHeader) {
	target := blockchain.CompactToBig(h.Bits)
	for {
		hash := h.BlockHash()
		if blockchain.HashToBig(&hash).Cmp(target) <= 0 {
			return
		}
		h.Nonce++
	}
}

func easiest(int) uint32 { return chaincfg.RegressionNetParams.PowLimitBits }

func TestMostWorkWins(t *testing.T) {
	genesis := chaincfg.RegressionNetParams.GenesisBlock.Header
	c := NewHeaders(&chaincfg.RegressionNetParams)
	a := extend(genesis, 5, time.Minute, easiest, 'a')
	b := extend(a[1], 4, time.Minute, easiest, 'b') // leaves a at height 2
	add := func(want int, hs ...wire.BlockHeader) {
		t.Helper()
		if got, err := c.Add(hs); got != want || err != nil {
			t.Fatalf("added %d, %v, want %d", got, err, want)
		}
	}
	best := func(height int, h wire.BlockHeader) {
		t.Helper()
		if got := c.Best(); got.Height != height || got.Hash != h.BlockHash() {
			t.Fatalf("best is %d %v, want %d %v", got.Height, got.Hash, height, h.BlockHash())
		}
	}
	add(5, a...)
	best(5, a[4])
	add(0, a...)
	add(3, b[:3]...) // as much work: the first stays
	best(5, a[4])
	if c.OnBest(b[2].BlockHash()) || c.Fork(b[2].BlockHash()) != 2 {
		t.Error("the side chain is not one")
	}
	add(1, b[3])
	best(6, b[3])
	if c.OnBest(a[4].BlockHash()) || !c.OnBest(a[1].BlockHash()) || c.Fork(a[4].BlockHash()) != 2 || c.Fork(chainhash.Hash{1}) != 0 {
		t.Error("the old chain is not left at 2")
	}
	for height, want := range []wire.BlockHeader{genesis, a[0], a[1], b[0], b[1], b[2], b[3]} {
		if h, ok := c.At(height); !ok || h.Hash != want.BlockHash() || h.Height != height {
			t.Errorf("height %d is %v", height, h.Hash)
		}
	}
	if _, ok := c.At(7); ok {
		t.Error("there is a block above the tip")
	}
	if l := c.LocatorFrom(a[4].BlockHash()); l[0] != a[4].BlockHash() || l[len(l)-1] != genesis.BlockHash() || len(l) != 6 {
		t.Errorf("locator of the side chain %v", l)
	}
}

// TestKnownHeaders adds headers again, the first one of all too.
func TestKnownHeaders(t *testing.T) {
	genesis := chaincfg.RegressionNetParams.GenesisBlock.Header
	c := NewHeaders(&chaincfg.RegressionNetParams)
	hs := append([]wire.BlockHeader{genesis}, extend(genesis, 40, time.Minute, easiest, 'a')...)
	for i, want := range []int{40, 0} {
		if got, err := c.Add(hs); got != want || err != nil {
			t.Errorf("time %d: added %d, %v", i, got, err)
		}
	}
	for from := range hs {
		if got, err := c.Add(hs[from:]); got != 0 || err != nil {
			t.Errorf("from %d: added %d, %v", from, got, err)
		}
	}
}

func TestLocator(t *testing.T) {
	c := NewHeaders(&chaincfg.RegressionNetParams)
	hs := extend(chaincfg.RegressionNetParams.GenesisBlock.Header, 3000, time.Second, easiest, 'a')
	if _, err := c.Add(hs); err != nil {
		t.Fatal(err)
	}
	l := c.Locator()
	if len(l) > 25 || l[0] != hs[2999].BlockHash() || l[1] != hs[2998].BlockHash() || l[len(l)-1] != *chaincfg.RegressionNetParams.GenesisHash {
		t.Errorf("%d hashes: %v", len(l), l)
	}
}

func TestBadHeaders(t *testing.T) {
	genesis := chaincfg.RegressionNetParams.GenesisBlock.Header
	good := extend(genesis, 12, time.Minute, easiest, 'a')
	for _, c := range []struct {
		why, word string
		h         wire.BlockHeader
	}{
		{"not after the median", "not after expected", extend(good[11], 1, -time.Hour, easiest, 'b')[0]},
		{"no parent", "no header that is known", extend(wire.BlockHeader{}, 1, time.Hour, easiest, 'b')[0]},
		{"harder than it must be", "difficulty", extend(good[11], 1, time.Minute, func(int) uint32 { return 0x207ffffe }, 'b')[0]},
		{"target zero", "target", wire.BlockHeader{PrevBlock: good[11].BlockHash(), Timestamp: good[11].Timestamp.Add(time.Minute)}},
	} {
		h := NewHeaders(&chaincfg.RegressionNetParams)
		added, err := h.Add(append(good[:12:12], c.h))
		if added != 12 || !errors.Is(err, ErrBadHeader) || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: added %d, %v", c.why, added, err)
		}
		if h.Best().Height != 12 {
			t.Errorf("%s: best %d", c.why, h.Best().Height)
		}
	}
}

func hash(s string) chainhash.Hash {
	h, err := chainhash.NewHashFromStr(s)
	if err != nil {
		panic(err)
	}
	return *h
}

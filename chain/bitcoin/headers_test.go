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

// TestRetarget mines through two difficulty periods of a chain made small: the
// second one must be four times as hard.
func TestRetarget(t *testing.T) {
	p := chaincfg.RegressionNetParams
	p.PoWNoRetargeting, p.ReduceMinDifficulty = false, false
	p.TargetTimePerBlock, p.TargetTimespan = time.Minute, 20*time.Minute
	genesis := p.GenesisBlock.Header
	bits := func(i int) uint32 { // the block at height i+1
		if i+1 < 20 {
			return p.PowLimitBits
		}
		return 0x201fffff // a quarter
	}
	c := NewHeaders(&p)
	hs := extend(genesis, 25, time.Second, bits, 'a')
	if _, err := c.Add(hs); err != nil {
		t.Fatal(err)
	}
	easy := extend(hs[18], 1, time.Second, easiest, 'b')
	if _, err := c.Add(easy); !errors.Is(err, ErrBadHeader) || !strings.Contains(err.Error(), "difficulty") {
		t.Errorf("a block without the harder work: %v", err)
	}
	long := extend(genesis, 19, time.Second, easiest, 'c') // as long as the harder one's easy part
	if _, err := c.Add(long); err != nil || c.Best().Hash != hs[24].BlockHash() {
		t.Errorf("less work wins: %v", err)
	}
}

func TestBadHeaders(t *testing.T) {
	genesis := chaincfg.RegressionNetParams.GenesisBlock.Header
	good := extend(genesis, 12, time.Minute, easiest, 'a')
	for _, c := range []struct {
		why, word string
		h         wire.BlockHeader
	}{
		{"future", "future", extend(good[11], 1, (time.Since(good[11].Timestamp) + 3*time.Hour).Truncate(time.Second), easiest, 'b')[0]},
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

// TestMainnetRules takes the first real headers of Bitcoin.
func TestMainnetRules(t *testing.T) {
	first := wire.BlockHeader{
		Version:    1,
		PrevBlock:  *chaincfg.MainNetParams.GenesisHash,
		MerkleRoot: hash("0e3e2357e806b6cdb1f70b54c3a3a17b6714ee1f0e68bebb44a74b1efd512098"),
		Timestamp:  time.Unix(1231469665, 0),
		Bits:       0x1d00ffff,
		Nonce:      2573394689,
	}
	c := NewHeaders(&chaincfg.MainNetParams)
	if _, err := c.Add([]wire.BlockHeader{first}); err != nil {
		t.Fatal(err)
	}
	if got := c.Best().Hash.String(); got != "00000000839a8e6886ab5951d76f411475428afc90947ee320161bbf18eb6048" {
		t.Errorf("block 1 is %s", got)
	}
	first.Nonce++
	if _, err := c.Add([]wire.BlockHeader{first}); !errors.Is(err, ErrBadHeader) {
		t.Errorf("without work: %v", err)
	}
}

func hash(s string) chainhash.Hash {
	h, err := chainhash.NewHashFromStr(s)
	if err != nil {
		panic(err)
	}
	return *h
}

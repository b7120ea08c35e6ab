package bitcoin

import (
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

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

// TestRealRetargets has what is known of real blocks around some retargets of
// mainnet: heights, times and difficulties.
func TestRealRetargets(t *testing.T) {
	for _, c := range []struct {
		height      int   // of the last block of a period
		first, last int64 // times of the first and last block of the period
		bits, want  uint32
	}{
		{2015, 1231006505, 1233061996, 0x1d00ffff, 0x1d00ffff}, // never easier than the limit
		{32255, 1261130161, 1262152739, 0x1d00ffff, 0x1d00d86a},
		{68543, 1279008237, 1279297671, 0x1c05a3f4, 0x1c0168fd}, // four times as hard at most
	} {
		h := NewHeaders(&chaincfg.MainNetParams)
		for i := 1; i <= c.height; i++ {
			at := c.first - 600*int64(c.height-2015-i)
			if i > c.height-2015 {
				at = c.first + (c.last-c.first)*int64(i-(c.height-2015))/2015
			}
			h.best.push(&wire.BlockHeader{PrevBlock: h.best.tip, Timestamp: time.Unix(at, 0), Bits: c.bits}, chainHash(i))
		}
		tip := link{c: h, height: int32(c.height)}
		for _, bits := range []uint32{c.want, c.want - 1} {
			next := wire.BlockHeader{Version: 4, Timestamp: time.Unix(c.last+600, 0), Bits: bits}
			err := blockchain.CheckBlockHeaderContext(&next, tip, blockchain.BFNone, (*rules)(h), true)
			if good := bits == c.want; (err == nil) != good {
				t.Errorf("block %d with %x: %v", c.height+1, bits, err)
			}
		}
	}
}

// fast are the parameters of a chain made small that retargets every 20 blocks
// as the real one does.
func fast() *chaincfg.Params {
	p := chaincfg.RegressionNetParams
	p.PoWNoRetargeting, p.ReduceMinDifficulty = false, false
	p.TargetTimePerBlock, p.TargetTimespan = time.Minute, 20*time.Minute
	return &p
}

// Difficulties of fast chains.
const (
	easyBits = 0x207fffff
	hardBits = 0x201fffff // four times as hard
)

func bitsOf(bits uint32) func(int) uint32 { return func(int) uint32 { return bits } }

// TestRetarget mines through a difficulty period in a hurry and one slowly.
func TestRetarget(t *testing.T) {
	p := fast()
	c := NewHeaders(p)
	genesis := p.GenesisBlock.Header
	hs := extend(genesis, 19, time.Second, easiest, 'a')
	hs = append(hs, extend(hs[18], 20, time.Hour, bitsOf(hardBits), 'a')...)
	hs = append(hs, extend(hs[38], 5, time.Minute, bitsOf(4*hardBits&0xffffff|0x20000000), 'a')...) // four times as easy at most
	if _, err := c.Add(hs); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []wire.BlockHeader{
		extend(hs[18], 1, time.Second, easiest, 'b')[0],
		extend(hs[20], 1, time.Second, easiest, 'b')[0],
		extend(hs[43], 1, time.Second, bitsOf(hardBits), 'b')[0],
	} {
		if _, err := c.Add([]wire.BlockHeader{bad}); !errors.Is(err, ErrBadHeader) || !strings.Contains(err.Error(), "difficulty") {
			t.Errorf("another difficulty: %v", err)
		}
	}
	long := extend(genesis, 19, time.Second, easiest, 'c')
	if _, err := c.Add(long); err != nil || c.Best().Hash != hs[43].BlockHash() {
		t.Errorf("less work wins: %v", err)
	}
	// A branch retargets by its own times: these blocks are not hurried.
	slow := extend(genesis, 19, time.Minute, easiest, 'd')
	slow = append(slow, extend(slow[18], 1, time.Minute, bitsOf(retarget(easyBits, 19*time.Minute)), 'd')...)
	if _, err := c.Add(slow); err != nil {
		t.Error(err)
	}
}

// TestTwentyMinutes: on test networks a block that comes late may be easy, and
// the one after it is as hard as before.
func TestTwentyMinutes(t *testing.T) {
	p := fast()
	p.ReduceMinDifficulty, p.MinDiffReductionTime = true, 2*time.Minute
	c := NewHeaders(p)
	hs := extend(p.GenesisBlock.Header, 19, time.Second, easiest, 'a')
	hs = append(hs, extend(hs[18], 2, time.Second, bitsOf(hardBits), 'a')...)
	hs = append(hs, extend(hs[20], 1, 2*time.Minute+time.Second, easiest, 'a')...) // late
	hs = append(hs, extend(hs[21], 1, 2*time.Minute+time.Second, easiest, 'a')...) // late again
	hs = append(hs, extend(hs[22], 1, 2*time.Minute, bitsOf(hardBits), 'a')...)    // just in time
	if _, err := c.Add(hs); err != nil {
		t.Fatal(err)
	}
	for why, bad := range map[string]wire.BlockHeader{
		"easy and not late": extend(hs[23], 1, 2*time.Minute, easiest, 'b')[0],
		"late and not easy": extend(hs[23], 1, 3*time.Minute, bitsOf(hardBits), 'b')[0],
	} {
		if _, err := c.Add([]wire.BlockHeader{bad}); !errors.Is(err, ErrBadHeader) {
			t.Errorf("%s: %v", why, err)
		}
	}
}

// TestStormAndWarp: on testnet4 an easy block at the end of a period does not
// make the next one easy, and a period does not begin long before the last one
// ended (BIP 94).
func TestStormAndWarp(t *testing.T) {
	for _, c := range []struct {
		bip94 bool
		late  time.Duration // by which the easy block ends the period
		step  time.Duration // to the next one
		old   uint32        // what the next difficulty follows from
		word  string        // of the error
	}{
		{false, 3 * time.Minute, time.Second, easyBits, ""},
		{false, 3 * time.Minute, time.Second, hardBits, "difficulty"},
		{true, 3 * time.Minute, time.Second, hardBits, ""},
		{true, 3 * time.Minute, time.Second, easyBits, "difficulty"},
		{false, 13 * time.Minute, -11 * time.Minute, easyBits, ""},
		{true, 13 * time.Minute, -11 * time.Minute, hardBits, "too early"},
		{true, 13 * time.Minute, -10 * time.Minute, hardBits, ""},
	} {
		p := fast()
		p.ReduceMinDifficulty, p.MinDiffReductionTime, p.EnforceBIP94 = true, 2*time.Minute, c.bip94
		hs := extend(p.GenesisBlock.Header, 19, time.Second, easiest, 'a')
		hs = append(hs, extend(hs[18], 19, time.Second, bitsOf(hardBits), 'a')...)
		hs = append(hs, extend(hs[37], 1, c.late, easiest, 'a')...)
		bits := retarget(c.old, hs[38].Timestamp.Sub(hs[19].Timestamp))
		hs = append(hs, extend(hs[38], 1, c.step, bitsOf(bits), 'a')...)
		n, err := NewHeaders(p).Add(hs)
		switch good := c.word == ""; {
		case good && err != nil, n < 39:
			t.Errorf("%+v: added %d, %v", c, n, err)
		case !good && (!errors.Is(err, ErrBadHeader) || !strings.Contains(err.Error(), c.word)):
			t.Errorf("%+v: added %d, %v", c, n, err)
		}
	}
}

// retarget returns the difficulty after a period of a fast chain.
func retarget(old uint32, took time.Duration) uint32 {
	target := new(big.Int).Mul(blockchain.CompactToBig(old), big.NewInt(int64(max(took, 5*time.Minute)/time.Second)))
	return blockchain.BigToCompact(target.Div(target, big.NewInt(20*60)))
}

// TestCheckpoints: a chain has the blocks that it must have, and what was
// before them is not argued about.
func TestCheckpoints(t *testing.T) {
	p := chaincfg.RegressionNetParams
	hs := extend(p.GenesisBlock.Header, 12, time.Minute, easiest, 'a')
	hash := hs[9].BlockHash()
	p.Checkpoints = []chaincfg.Checkpoint{{Height: 10, Hash: &hash}}
	c := NewHeaders(&p)
	other := extend(p.GenesisBlock.Header, 10, time.Minute, easiest, 'b')
	if n, err := c.Add(other); n != 9 || !errors.Is(err, ErrBadHeader) || !strings.Contains(err.Error(), "checkpoint") {
		t.Errorf("another block at the checkpoint: added %d, %v", n, err)
	}
	if n, err := c.Add(hs); n != 12 || err != nil || c.Best().Height != 12 {
		t.Errorf("the right one: added %d, %v", n, err)
	}
	if _, err := c.Add(extend(hs[4], 1, time.Minute, easiest, 'c')); !errors.Is(err, ErrBadHeader) || !strings.Contains(err.Error(), "forks") {
		t.Errorf("a branch from before the checkpoint: %v", err)
	}
	if _, err := c.Add(extend(hs[9], 1, time.Minute, easiest, 'c')); err != nil {
		t.Errorf("a branch from the checkpoint: %v", err)
	}
}

// TestClockSetBack: what was accepted stays so, what is new waits.
func TestClockSetBack(t *testing.T) {
	p := &chaincfg.RegressionNetParams
	hs := extend(p.GenesisBlock.Header, 100, time.Minute, easiest, 'a')
	c := NewHeaders(p)
	now := hs[49].Timestamp
	c.now = func() time.Time { return now }
	if err := c.Load(hs[:99]); err != nil || c.Best().Height != 99 {
		t.Fatalf("loaded up to %d, %v", c.Best().Height, err)
	}
	now = hs[99].Timestamp.Add(-2*time.Hour - time.Second)
	if _, err := c.Add(hs); !errors.Is(err, ErrFuture) || errors.Is(err, ErrBadHeader) {
		t.Errorf("from the future: %v", err)
	}
	now = now.Add(time.Second)
	if n, err := c.Add(hs); n != 1 || err != nil {
		t.Errorf("later: added %d, %v", n, err)
	}
}

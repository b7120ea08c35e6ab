package bitcoin

import (
	"errors"
	"fmt"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// check says if a header that follows a known one is good.
func (c *Headers) check(h *wire.BlockHeader, parent link) error {
	err := blockchain.CheckBlockHeaderSanity(h, c.params.PowLimit, (*clock)(c), blockchain.BFNone)
	if rule := (blockchain.RuleError{}); errors.As(err, &rule) && rule.ErrorCode == blockchain.ErrTimeTooNew {
		return fmt.Errorf("%w: at height %d, %v", ErrFuture, parent.height+1, h.Timestamp.UTC())
	}
	if err == nil {
		err = blockchain.CheckBlockHeaderContext(h, parent, blockchain.BFNone, (*rules)(c), false)
	}
	if err == nil && int(parent.height) >= c.longest(h.Timestamp) {
		return fmt.Errorf("%w at height %d: a chain can't be that long by %v", ErrEndless, parent.height+1, h.Timestamp.UTC())
	}
	if err != nil {
		return fmt.Errorf("%w at height %d: %w", ErrBadHeader, parent.height+1, err)
	}
	return nil
}

// longest returns how many blocks a chain can have that ends at a time. Real
// chains are a few in a hundred ahead of what they aim at, and the test networks
// with their easy blocks about six times; what is beyond all measure is there to
// fill our memory.
func (c *Headers) longest(end time.Time) int {
	p := c.params
	if p.PoWNoRetargeting {
		return c.mostEasy
	}
	factor := 2
	if p.ReduceMinDifficulty {
		factor = 12
	}
	return c.slack + factor*int(end.Sub(p.GenesisBlock.Header.Timestamp)/p.TargetTimePerBlock)
}

const (
	slack    = 10_000  // blocks by which a young chain may be ahead
	mostEasy = 1 << 20 // blocks of a chain that costs no work
)

// clock is what btcd's rules ask for the time. Headers of our own index are
// not held against it: it may have been set back since.
type clock Headers

var never = time.Unix(1<<33, 0)

// AdjustedTime returns the time that is now.
func (c *clock) AdjustedTime() time.Time {
	if c.loading {
		return never
	}
	return c.now()
}

// AddTimeSample ignores what others take for the time.
func (c *clock) AddTimeSample(string, time.Time) {}

// Offset returns 0.
func (c *clock) Offset() time.Duration { return 0 }

// link is what btcd's rules ask about a header.
type link struct {
	c      *Headers
	height int32
	side   *node // nil if the header is on the best chain
}

// Height returns the header's height.
func (l link) Height() int32 { return l.height }

// Bits returns the header's difficulty.
func (l link) Bits() uint32 {
	if l.side != nil {
		return l.side.header.Bits
	}
	return l.c.best.packed(int(l.height)).bits
}

// Timestamp returns the header's time.
func (l link) Timestamp() int64 {
	if l.side != nil {
		return l.side.header.Timestamp.Unix()
	}
	return int64(l.c.best.packed(int(l.height)).time)
}

func (l link) parent() link {
	up := link{c: l.c, height: l.height - 1}
	if l.side != nil {
		up.side = l.c.side[l.side.header.PrevBlock]
	}
	return up
}

// Parent returns the header before, nil for the first one.
func (l link) Parent() blockchain.HeaderCtx { return l.RelativeAncestorCtx(1) }

// RelativeAncestorCtx returns the header so many before, nil if there is none.
func (l link) RelativeAncestorCtx(distance int32) blockchain.HeaderCtx {
	if distance > l.height {
		return nil
	}
	return l.ancestor(l.height - distance)
}

// ancestor returns the header at a height of the chain that ends in l.
func (l link) ancestor(height int32) link {
	for l.side != nil && l.height > height {
		l = l.parent()
	}
	if l.side == nil {
		l.height = height
	}
	return l
}

// rules is what btcd's rules ask about a chain.
type rules Headers

// ChainParams returns the parameters of the chain.
func (r *rules) ChainParams() *chaincfg.Params { return r.params }

func (r *rules) timespan() int64 { return int64(r.params.TargetTimespan / time.Second) }

// BlocksPerRetarget returns for how many blocks a difficulty holds.
func (r *rules) BlocksPerRetarget() int32 {
	return int32(r.params.TargetTimespan / r.params.TargetTimePerBlock)
}

// MinRetargetTimespan returns the least time, in seconds, that these count for.
func (r *rules) MinRetargetTimespan() int64 {
	return r.timespan() / r.params.RetargetAdjustmentFactor
}

// MaxRetargetTimespan returns the most time, in seconds, that these count for.
func (r *rules) MaxRetargetTimespan() int64 {
	return r.timespan() * r.params.RetargetAdjustmentFactor
}

// VerifyCheckpoint says if a block may be at a height.
func (r *rules) VerifyCheckpoint(height int32, hash *chainhash.Hash) bool {
	for _, c := range r.params.Checkpoints {
		if c.Height == height {
			return *c.Hash == *hash
		}
	}
	return true
}

// FindPreviousCheckpoint returns the last checkpoint that the best chain has
// passed, nil if none. A header at its height has its hash, else it would not be
// there.
func (r *rules) FindPreviousCheckpoint() (blockchain.HeaderCtx, error) {
	for i := len(r.params.Checkpoints) - 1; i >= 0; i-- {
		if h := r.params.Checkpoints[i].Height; int(h) < r.best.n {
			return link{c: (*Headers)(r), height: h}, nil
		}
	}
	return nil, nil
}

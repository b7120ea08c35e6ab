package bitcoin

import (
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// ErrBadHeader reports a header that breaks a rule: whoever sent it lies or is
// broken.
var ErrBadHeader = errors.New("bad header")

// ErrOrphan reports a header whose parent is unknown.
var ErrOrphan = fmt.Errorf("%w: it follows no header that is known", ErrBadHeader)

// A Header is a verified header at its place in a chain.
type Header struct {
	wire.BlockHeader
	Hash   chainhash.Hash
	Height int
}

// Headers holds every header that was found good, and knows the chain of them
// with the most work. Of two chains with equal work the one known first stays.
// It is safe for concurrent use.
type Headers struct {
	params *chaincfg.Params
	mu     sync.RWMutex
	byHash map[chainhash.Hash]*node
	best   []*node // by height
	clock  blockchain.MedianTimeSource
}

// node is a header that was found good.
type node struct {
	parent *node
	header wire.BlockHeader
	hash   chainhash.Hash
	height int32
	work   *big.Int // of the chain up to here
}

// NewHeaders returns a chain that has the genesis block of p alone.
func NewHeaders(p *chaincfg.Params) *Headers {
	h := p.GenesisBlock.Header
	genesis := &node{header: h, hash: *p.GenesisHash, work: blockchain.CalcWork(h.Bits)}
	return &Headers{
		params: p,
		byHash: map[chainhash.Hash]*node{genesis.hash: genesis},
		best:   []*node{genesis},
		clock:  blockchain.NewMedianTime(),
	}
}

// Add checks headers, each of which follows a known one, and keeps the good
// ones. It stops at the first bad one with an error that says which and why;
// those before it stay. added counts the headers that were new.
func (c *Headers) Add(hs []wire.BlockHeader) (added int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range hs {
		hash := hs[i].BlockHash()
		if c.byHash[hash] != nil {
			continue
		}
		if err := c.add(&hs[i], hash); err != nil {
			return added, fmt.Errorf("header %v: %w", hash, err)
		}
		added++
	}
	return added, nil
}

func (c *Headers) add(h *wire.BlockHeader, hash chainhash.Hash) error {
	parent := c.byHash[h.PrevBlock]
	if parent == nil {
		return ErrOrphan
	}
	err := blockchain.CheckBlockHeaderSanity(h, c.params.PowLimit, c.clock, blockchain.BFNone)
	if err == nil {
		err = blockchain.CheckBlockHeaderContext(h, parent, blockchain.BFNone, (*rules)(c), false)
	}
	if err != nil {
		return fmt.Errorf("%w at height %d: %w", ErrBadHeader, parent.height+1, err)
	}
	n := &node{parent: parent, header: *h, hash: hash, height: parent.height + 1}
	n.work = new(big.Int).Add(parent.work, blockchain.CalcWork(h.Bits))
	c.byHash[hash] = n
	if n.work.Cmp(c.tip().work) > 0 {
		c.setBest(n)
	}
	return nil
}

func (c *Headers) tip() *node { return c.best[len(c.best)-1] }

// setBest makes n the tip of the best chain.
func (c *Headers) setBest(n *node) {
	old := len(c.best)
	for len(c.best) <= int(n.height) {
		c.best = append(c.best, nil)
	}
	clear(c.best[n.height+1:]) // of a chain that was longer and had less work
	c.best = c.best[:n.height+1]
	for ; n != nil && (int(n.height) >= old || c.best[n.height] != n); n = n.parent {
		c.best[n.height] = n
	}
}

// Best returns the tip of the chain with the most work.
func (c *Headers) Best() Header {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.tip().public()
}

// At returns the header at a height of the best chain.
func (c *Headers) At(height int) (h Header, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if height < 0 || height >= len(c.best) {
		return Header{}, false
	}
	return c.best[height].public(), true
}

// OnBest says if the best chain has the block with that hash.
func (c *Headers) OnBest(hash chainhash.Hash) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n := c.byHash[hash]
	return n != nil && int(n.height) < len(c.best) && c.best[n.height] == n
}

// Fork returns the height of the last block that the chain which ends in a
// known header has in common with the best chain; 0 for an unknown one.
func (c *Headers) Fork(hash chainhash.Hash) int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n := c.byHash[hash]
	for n != nil && (int(n.height) >= len(c.best) || c.best[n.height] != n) {
		n = n.parent
	}
	if n == nil {
		return 0
	}
	return int(n.height)
}

// Locator returns hashes of the best chain, from the tip back to the genesis
// block in steps that grow, for Source.Headers.
func (c *Headers) Locator() []chainhash.Hash {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.locator(c.tip())
}

// LocatorFrom is Locator for the chain that ends in a known header.
func (c *Headers) LocatorFrom(hash chainhash.Hash) []chainhash.Hash {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n := c.byHash[hash]
	if n == nil {
		n = c.tip()
	}
	return c.locator(n)
}

func (c *Headers) locator(n *node) (hashes []chainhash.Hash) {
	for step := int32(1); n != nil; {
		hashes = append(hashes, n.hash)
		if n.height == 0 {
			break
		}
		if len(hashes) > 10 {
			step *= 2
		}
		n = c.ancestor(n, max(n.height-step, 0))
	}
	return hashes
}

// ancestor returns the header at a height of the chain that ends in n.
func (c *Headers) ancestor(n *node, height int32) *node {
	for n != nil && n.height > height {
		if int(n.height) < len(c.best) && c.best[n.height] == n {
			return c.best[height]
		}
		n = n.parent
	}
	return n
}

func (n *node) public() Header {
	return Header{BlockHeader: n.header, Hash: n.hash, Height: int(n.height)}
}

// Height, Bits, Timestamp, Parent and RelativeAncestorCtx are what btcd's
// rules ask about a header.
func (n *node) Height() int32    { return n.height }
func (n *node) Bits() uint32     { return n.header.Bits }
func (n *node) Timestamp() int64 { return n.header.Timestamp.Unix() }

func (n *node) Parent() blockchain.HeaderCtx {
	if n.parent == nil {
		return nil // not a nil *node in an interface
	}
	return n.parent
}

func (n *node) RelativeAncestorCtx(distance int32) blockchain.HeaderCtx {
	for ; n != nil && distance > 0; distance-- {
		n = n.parent
	}
	if n == nil {
		return nil
	}
	return n
}

// rules is what btcd's rules ask about a chain.
type rules Headers

func (r *rules) ChainParams() *chaincfg.Params { return r.params }

func (r *rules) timespan() int64 { return int64(r.params.TargetTimespan / time.Second) }

func (r *rules) BlocksPerRetarget() int32 {
	return int32(r.params.TargetTimespan / r.params.TargetTimePerBlock)
}

func (r *rules) MinRetargetTimespan() int64 {
	return r.timespan() / r.params.RetargetAdjustmentFactor
}

func (r *rules) MaxRetargetTimespan() int64 {
	return r.timespan() * r.params.RetargetAdjustmentFactor
}

func (r *rules) VerifyCheckpoint(height int32, hash *chainhash.Hash) bool {
	for _, c := range r.params.Checkpoints {
		if c.Height == height {
			return *c.Hash == *hash
		}
	}
	return true
}

// FindPreviousCheckpoint returns the last checkpoint that the best chain has
// passed, nil if none.
func (r *rules) FindPreviousCheckpoint() (blockchain.HeaderCtx, error) {
	for i := len(r.params.Checkpoints) - 1; i >= 0; i-- {
		c := r.params.Checkpoints[i]
		if int(c.Height) < len(r.best) && r.best[c.Height].hash == *c.Hash {
			return r.best[c.Height], nil
		}
	}
	return nil, nil
}

package bitcoin

import (
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// ErrBadHeader reports a header that breaks a rule: whoever sent it lies or is
// broken.
var ErrBadHeader = errors.New("bad header")

// ErrOrphan reports a header whose parent is unknown.
var ErrOrphan = fmt.Errorf("%w: it follows no header that is known", ErrBadHeader)

// ErrEndless reports headers that are good but too many to be true. Those that
// were kept should be forgotten with whoever sent them.
var ErrEndless = fmt.Errorf("%w: there are too many", ErrBadHeader)

// ErrFuture reports a header that is more than two hours ahead of our clock: it
// may be good later, or the clock is wrong.
var ErrFuture = errors.New("a block from the future (is the clock of this computer right?)")

// A Header is a verified header at its place in a chain.
type Header struct {
	wire.BlockHeader
	Hash   chainhash.Hash
	Height int
}

// Headers holds headers that were found good, and knows the chain of them with
// the most work. Of two chains with equal work the one known first stays. It is
// safe for concurrent use.
//
// A million headers take about 54 MB. What a liar can make it keep is limited:
// headers beside the best chain to 50,000, the length of a chain by the times
// in it, and on the real chain by checkpoints and what work costs.
type Headers struct {
	params *chaincfg.Params
	now    func() time.Time

	mostEasy, slack, maxSide int

	mu      sync.RWMutex
	best    best
	side    map[chainhash.Hash]*node
	loading bool
}

// NewHeaders returns a chain that has the genesis block of p alone.
func NewHeaders(p *chaincfg.Params) *Headers {
	c := &Headers{
		params: p, now: time.Now, mostEasy: mostEasy, slack: slack, maxSide: maxSide,
		best: best{work: new(big.Int)},
		side: make(map[chainhash.Hash]*node),
	}
	c.best.push(&p.GenesisBlock.Header, *p.GenesisHash)
	return c
}

// Add checks headers, each of which follows a known one, and keeps the good
// ones. It stops at the first bad one with an error that says which and why;
// those before it stay. added counts the headers that were new.
func (c *Headers) Add(hs []wire.BlockHeader) (added int, err error) {
	return c.addAll(hs, false)
}

// Load is Add for headers that were good once: they are not held against the
// clock, which may have been set back since.
func (c *Headers) Load(hs []wire.BlockHeader) error {
	_, err := c.addAll(hs, true)
	return err
}

func (c *Headers) addAll(hs []wire.BlockHeader, loading bool) (added int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loading = loading
	parent, last := link{c: c, height: -1}, chainhash.Hash{}
	for i := range hs {
		h, hash := &hs[i], hs[i].BlockHash()
		if parent.height < 0 || h.PrevBlock != last {
			var ok bool
			if parent, ok = c.find(h.PrevBlock); !ok {
				if parent.height = -1; hash != *c.params.GenesisHash {
					return added, fmt.Errorf("header %v: %w", hash, ErrOrphan)
				}
			}
		}
		at, known := c.child(parent, hash)
		if !known {
			if at, err = c.add(h, hash, parent); err != nil {
				return added, fmt.Errorf("header %v: %w", hash, err)
			}
			added++
		}
		parent, last = at, hash
	}
	return added, nil
}

// find returns the known header with a hash.
func (c *Headers) find(hash chainhash.Hash) (l link, ok bool) {
	if n := c.side[hash]; n != nil {
		return link{c: c, height: n.height, side: n}, true
	}
	height, ok := c.best.find(hash)
	return link{c: c, height: int32(height)}, ok
}

// child returns the header with a hash that follows another one, if it is
// known.
func (c *Headers) child(parent link, hash chainhash.Hash) (l link, known bool) {
	l = link{c: c, height: parent.height + 1}
	if l.side = c.side[hash]; l.side != nil {
		return l, true
	}
	return l, parent.side == nil && int(l.height) < c.best.n && c.best.hash(int(l.height)) == hash
}

// add checks a header that is not known and keeps it.
func (c *Headers) add(h *wire.BlockHeader, hash chainhash.Hash, parent link) (link, error) {
	if err := c.check(h, parent); err != nil {
		return link{}, err
	}
	if parent.side == nil && int(parent.height) == c.best.n-1 {
		c.best.push(h, hash)
		return link{c: c, height: parent.height + 1}, nil
	}
	return c.addSide(h, hash, parent)
}

// Best returns the tip of the chain with the most work.
func (c *Headers) Best() Header {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.at(c.best.n - 1)
}

// At returns the header at a height of the best chain.
func (c *Headers) At(height int) (h Header, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if height < 0 || height >= c.best.n {
		return Header{}, false
	}
	return c.at(height), true
}

func (c *Headers) at(height int) Header {
	h, hash := c.best.at(height)
	return Header{h, hash, height}
}

// OnBest says if the best chain has the block with that hash.
func (c *Headers) OnBest(hash chainhash.Hash) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	_, ok := c.best.find(hash)
	return ok
}

// Height returns the height of a known header.
func (c *Headers) Height(hash chainhash.Hash) (height int, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	l, ok := c.find(hash)
	return int(l.height), ok
}

// Fork returns the height of the last block that the chain which ends in a
// known header has in common with the best chain; 0 for an unknown one.
func (c *Headers) Fork(hash chainhash.Hash) int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	l, ok := c.find(hash)
	for ok && l.side != nil {
		l = l.parent()
	}
	return int(l.height)
}

// Locator returns hashes of the best chain, from the tip back to the genesis
// block in steps that grow, for Source.Headers.
func (c *Headers) Locator() []chainhash.Hash {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.locator(link{c: c, height: int32(c.best.n - 1)})
}

// LocatorFrom is Locator for the chain that ends in a known header.
func (c *Headers) LocatorFrom(hash chainhash.Hash) []chainhash.Hash {
	c.mu.RLock()
	defer c.mu.RUnlock()
	l, ok := c.find(hash)
	if !ok {
		l = link{c: c, height: int32(c.best.n - 1)}
	}
	return c.locator(l)
}

func (c *Headers) locator(l link) (hashes []chainhash.Hash) {
	for step := int32(1); ; l = l.ancestor(max(l.height-step, 0)) {
		if l.side != nil {
			hashes = append(hashes, l.side.hash)
		} else {
			hashes = append(hashes, c.best.hash(int(l.height)))
		}
		if l.height == 0 {
			return hashes
		}
		if len(hashes) > 10 {
			step *= 2
		}
	}
}

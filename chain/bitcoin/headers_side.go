package bitcoin

import (
	"fmt"
	"math/big"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// node is a good header beside the best chain. Its parent is another one or on
// the best chain.
type node struct {
	header wire.BlockHeader
	hash   chainhash.Hash
	height int32
	work   *big.Int // of the chain up to here
}

// maxSide limits how many headers beside the best chain are kept. A branch that
// is longer than that would have to replace a year of blocks.
const maxSide = 50_000

// addSide keeps a header that follows parent and makes its chain the best one
// if it has the most work.
func (c *Headers) addSide(h *wire.BlockHeader, hash chainhash.Hash, parent link) (link, error) {
	var before *big.Int
	if parent.side != nil {
		before = parent.side.work
	} else {
		before = c.best.workAt(int(parent.height))
	}
	n := &node{header: *h, hash: hash, height: parent.height + 1, work: new(big.Int).Add(before, c.best.calc(h.Bits))}
	if n.work.Cmp(c.best.work) > 0 {
		c.setBest(n)
		return link{c: c, height: n.height}, nil
	}
	if len(c.side) >= c.maxSide {
		if c.prune(parent); len(c.side) >= c.maxSide {
			return link{}, fmt.Errorf("%w: %d on a chain that has less work than another one", ErrEndless, c.maxSide)
		}
	}
	c.side[hash] = n
	return link{c: c, height: n.height, side: n}, nil
}

// setBest makes n, whose ancestors are known, the tip of the best chain.
func (c *Headers) setBest(n *node) {
	branch := []*node{n}
	for p := c.side[n.header.PrevBlock]; p != nil; p = c.side[p.header.PrevBlock] {
		branch = append(branch, p)
		delete(c.side, p.hash)
	}
	fork := int(branch[len(branch)-1].height) - 1
	if c.best.n-1-fork > c.maxSide {
		clear(c.side) // with the parents of some of them
	}
	for keep := c.best.n-1-fork <= c.maxSide; c.best.n-1 > fork; {
		height, work := c.best.n-1, new(big.Int).Set(c.best.work)
		if h, hash := c.best.pop(); keep {
			c.side[hash] = &node{h, hash, int32(height), work}
		}
	}
	for _, p := range slices.Backward(branch) {
		c.best.push(&p.header, p.hash)
	}
}

// prune drops a quarter of the headers beside the best chain, those of the
// branches with the least work first, but none that keep leads back to. If one
// of them is needed again its source sends it again.
func (c *Headers) prune(keep link) {
	kept, children := make(map[chainhash.Hash]bool), make(map[chainhash.Hash]int)
	for ; keep.side != nil; keep = keep.parent() {
		kept[keep.side.hash] = true
	}
	for _, n := range c.side {
		children[n.header.PrevBlock]++
	}
	var leaves []*node
	for hash, n := range c.side {
		if children[hash] == 0 {
			leaves = append(leaves, n)
		}
	}
	slices.SortFunc(leaves, func(a, b *node) int { return a.work.Cmp(b.work) })
	for _, n := range leaves {
		if len(c.side) <= c.maxSide*3/4 {
			return
		}
		for n != nil && children[n.hash] == 0 && !kept[n.hash] {
			delete(c.side, n.hash)
			children[n.header.PrevBlock]--
			n = c.side[n.header.PrevBlock]
		}
	}
}

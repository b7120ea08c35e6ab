package esplora

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"golang.org/x/sync/errgroup"
)

const (
	// window is how many headers are fetched for one answer.
	window = 400
	// page is how many headers servers tell of at once, at least.
	page = 10
)

// Headers implements bitcoin.Source.
func (c *Client) Headers(ctx context.Context, locator []chainhash.Hash) ([]wire.BlockHeader, error) {
	const maxReorgs = 3 // that come in between
	for try := 1; ; try++ {
		fork, hash, err := c.fork(ctx, locator)
		if err != nil {
			return nil, err
		}
		tip, err := c.tip(ctx)
		if err != nil || tip <= fork {
			return nil, err
		}
		list, err := c.headers(ctx, fork+1, min(tip, fork+window))
		if errors.Is(err, errMoved) && try < maxReorgs {
			continue
		}
		if err != nil {
			return nil, err
		}
		if fork == 0 || list[0].PrevBlock == hash || try == maxReorgs {
			return connected(list), nil
		}
	}
}

// fork returns the first hash of the locator that is on the server's best chain,
// and its height; 0 if none is.
func (c *Client) fork(ctx context.Context, locator []chainhash.Hash) (int, chainhash.Hash, error) {
	for _, h := range locator {
		var v struct {
			Best bool `json:"in_best_chain"`
			at
		}
		err := c.getJSON(ctx, "/block/"+h.String()+"/status", &v)
		if err == nil && v.Best && v.Height == nil {
			err = c.getJSON(ctx, "/block/"+h.String(), &v.at) // not all say it in the status
		}
		switch {
		case errors.Is(err, os.ErrNotExist), err == nil && !v.Best:
			continue
		case err != nil:
			return 0, h, err
		case v.Height == nil || *v.Height < 0 || *v.Height > maxHeight:
			return 0, h, fmt.Errorf("height of block %v from %s: there is none", h, c.shown)
		}
		return *v.Height, h, nil
	}
	return 0, chainhash.Hash{}, nil
}

// at is where a block stands.
type at struct {
	Height *int `json:"height"`
}

// maxHeight is more than any chain will have.
const maxHeight = 1 << 30

func (c *Client) tip(ctx context.Context) (int, error) {
	b, err := c.get(ctx, "/blocks/tip/height", maxText)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || n < 0 || n > maxHeight {
		return 0, fmt.Errorf("height from %s: %q is none", c.shown, excerpt(b))
	}
	return n, nil
}

// headers returns those of the best chain from one height to another, the pages
// of which are fetched several at a time.
func (c *Client) headers(ctx context.Context, from, to int) ([]wire.BlockHeader, error) {
	list := make([]wire.BlockHeader, to-from+1)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for at := 0; at < len(list); at += page {
		part := list[at:min(at+page, len(list))]
		g.Go(func() error { return c.fill(ctx, part, from+at) })
	}
	return list, g.Wait()
}

// errMoved reports heights that are not there any more.
var errMoved = fmt.Errorf("the server's chain became shorter: %w", os.ErrNotExist)

// fill fetches the headers from a height on.
func (c *Client) fill(ctx context.Context, list []wire.BlockHeader, from int) error {
	for n := len(list); n > 0; {
		path := fmt.Sprintf("/blocks/%d", from+n-1)
		var blocks []summary
		err := c.getJSON(ctx, path, &blocks)
		if errors.Is(err, os.ErrNotExist) || err == nil && len(blocks) == 0 {
			return errMoved
		}
		if err != nil {
			return err
		}
		for _, b := range blocks {
			if n == 0 {
				break
			}
			h, err := b.header(from + n - 1)
			if err != nil {
				return fmt.Errorf("%s from %s: %w", path, c.shown, err)
			}
			n--
			list[n] = h
		}
	}
	return nil
}

// A summary is what a server tells of a block.
type summary struct {
	ID        string  `json:"id"`
	Height    int     `json:"height"`
	Version   int64   `json:"version"`
	Timestamp uint32  `json:"timestamp"`
	Bits      uint32  `json:"bits"`
	Nonce     uint32  `json:"nonce"`
	Merkle    string  `json:"merkle_root"`
	Prev      *string `json:"previousblockhash"` // null for the first
}

// header returns the header of the block, which must be the one at a height.
func (s *summary) header(height int) (h wire.BlockHeader, err error) {
	if s.Height != height {
		return h, fmt.Errorf("block %d, want %d", s.Height, height)
	}
	prev := chainhash.Hash{}
	if s.Prev != nil {
		if prev, err = parseHash(*s.Prev); err != nil {
			return h, err
		}
	}
	merkle, err := parseHash(s.Merkle)
	if err != nil {
		return h, err
	}
	h = wire.BlockHeader{Version: int32(s.Version), PrevBlock: prev, MerkleRoot: merkle,
		Timestamp: time.Unix(int64(s.Timestamp), 0), Bits: s.Bits, Nonce: s.Nonce}
	if got := h.BlockHash().String(); got != s.ID {
		return h, fmt.Errorf("what it says of block %d makes %s, not %.64q", height, got, s.ID)
	}
	return h, nil
}

func parseHash(s string) (chainhash.Hash, error) {
	h, err := chainhash.NewHashFromStr(s)
	if err != nil || len(s) != 2*chainhash.HashSize {
		return chainhash.Hash{}, fmt.Errorf("%.64q is no hash", s)
	}
	return *h, nil
}

// connected returns the headers up to the first that doesn't follow the one
// before it: a reorganisation went on while they were asked for.
func connected(list []wire.BlockHeader) []wire.BlockHeader {
	for i := 1; i < len(list); i++ {
		if list[i].PrevBlock != list[i-1].BlockHash() {
			return list[:i]
		}
	}
	return list
}

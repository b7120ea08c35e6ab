package chain

import (
	"context"
	"fmt"
	"sync"

	"github.com/btcsuite/btcd/wire/v2"
	"golang.org/x/sync/semaphore"

	"satchel/chain/bitcoin"
	"satchel/chain/ops"
)

// What is fetched ahead of the index is limited in blocks and in bytes. A block
// counts as the largest possible one while it is being fetched.
const (
	maxAhead      = 64
	maxAheadBytes = 32 << 20
	unknownSize   = wire.MaxBlockPayload
)

// fetched is a verified block's operations with their senders.
type fetched struct {
	header bitcoin.Header
	txs    []*ops.Tx
}

// A window fetches and verifies the blocks of a stretch of the best chain ahead
// of whoever takes them, several at a time. It must be stopped.
type window struct {
	f      *Follower
	ctx    context.Context
	cancel context.CancelFunc
	room   *semaphore.Weighted // bytes
	order  chan *ahead
	busy   sync.WaitGroup

	head  *ahead // taken from order and not given out
	taken int64  // of room, by the blocks that were given out last
}

// ahead is a block on its way.
type ahead struct {
	done   chan struct{} // closed when the rest is set
	block  *fetched
	err    error
	weight int64 // of room
}

// window begins to fetch the blocks of those heights, the last one included.
func (f *Follower) window(ctx context.Context, from, to int) *window {
	w := &window{f: f, room: semaphore.NewWeighted(maxAheadBytes), order: make(chan *ahead, maxAhead)}
	w.ctx, w.cancel = context.WithCancel(ctx)
	w.busy.Go(func() { w.start(from, to) })
	return w
}

// start starts fetching one block after the other as soon as there is room.
func (w *window) start(from, to int) {
	defer close(w.order)
	for h := from; h <= to; h++ {
		if w.room.Acquire(w.ctx, unknownSize) != nil {
			return
		}
		a := &ahead{done: make(chan struct{}), weight: unknownSize}
		select {
		case w.order <- a:
		case <-w.ctx.Done():
			return
		}
		w.busy.Go(func() { w.fetch(h, a) })
	}
}

func (w *window) fetch(height int, a *ahead) {
	defer close(a.done)
	var weight int
	a.block, weight, a.err = w.f.fetch(w.ctx, height)
	kept := min(int64(weight), a.weight)
	w.room.Release(a.weight - kept)
	a.weight = kept
}

// take waits for the next block in order and returns it with those after it
// that are there already, maxAhead at most; none after the last one. Blocks that come with an error
// are those before the one that failed. They count as taken care of when take is
// called again.
func (w *window) take() (blocks []*fetched, err error) {
	w.room.Release(w.taken)
	w.taken = 0
	for len(blocks) < maxAhead && w.await(len(blocks) == 0) {
		a := w.head
		w.head, w.taken = nil, w.taken+a.weight
		if a.err != nil {
			return blocks, a.err
		}
		blocks = append(blocks, a.block)
	}
	if len(blocks) == 0 {
		return nil, w.ctx.Err()
	}
	return blocks, nil
}

// await makes the next block the head; false if there is none, or, unless it
// may wait, if it is still on its way.
func (w *window) await(wait bool) bool {
	if w.head == nil && wait {
		w.head = <-w.order // nil after the last one
	} else if w.head == nil {
		select {
		case w.head = <-w.order:
		default:
		}
	}
	if w.head == nil {
		return false
	}
	if wait {
		<-w.head.done
		return true
	}
	select {
	case <-w.head.done:
		return true
	default:
		return false
	}
}

// stop cancels what is on its way and waits for it to end.
func (w *window) stop() {
	w.cancel()
	w.busy.Wait()
}

// fetch gets the block at a height of the best chain and verifies it. weight
// is about how much memory it keeps.
func (f *Follower) fetch(ctx context.Context, height int) (b *fetched, weight int, err error) {
	h, ok := f.headers.At(height)
	if !ok {
		return nil, 0, fmt.Errorf("block %d: no header", height)
	}
	raw, err := ask(ctx, f, func(ctx context.Context) ([]byte, error) { return f.src.Block(ctx, h.Hash) })
	if err != nil {
		return nil, 0, fmt.Errorf("block %d (%v): %w", height, h.Hash, err)
	}
	verified, err := bitcoin.Verify(h, raw)
	if err != nil {
		return nil, 0, fmt.Errorf("the source of blocks is broken or lies: %w", err)
	}
	b = &fetched{header: h}
	if weight, err = f.operations(ctx, verified, b); err != nil {
		return nil, 0, fmt.Errorf("block %d (%v): %w", height, h.Hash, err)
	}
	return b, weight, nil
}

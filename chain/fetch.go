package chain

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"golang.org/x/sync/errgroup"
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

// opWeight is about what an operation takes besides its transaction.
const opWeight = 1000

// operations finds the operations in a block and their senders.
func (f *Follower) operations(ctx context.Context, b *bitcoin.Block, to *fetched) (weight int, err error) {
	var spent []wire.OutPoint
	err = b.Returns(func(index int, tx *wire.MsgTx) error {
		if t, ok := ops.Read(f.index.p.Magic, tx); ok {
			t.Index = index
			to.txs = append(to.txs, t)
			spent = append(spent, tx.TxIn[0].PreviousOutPoint)
			weight += opWeight + tx.SerializeSize()
		}
		return nil
	})
	if err != nil || len(spent) == 0 {
		return weight, err
	}
	outs, err := f.outputs(ctx, b, spent)
	if err != nil {
		return weight, fmt.Errorf("sender of an operation: %w", err)
	}
	for i, t := range to.txs {
		t.SetSender(outs[i].PkScript)
	}
	return weight, nil
}

// outputs returns the outputs that inputs spend: of transactions of the same
// block, or of the source, whose hashes are those that the inputs name.
func (f *Follower) outputs(ctx context.Context, b *bitcoin.Block, spent []wire.OutPoint) ([]*wire.TxOut, error) {
	outs, users, txs := make([]*wire.TxOut, len(spent)), make(map[chainhash.Hash][]int), make(map[chainhash.Hash][]byte)
	for i, op := range spent {
		users[op.Hash], txs[op.Hash] = append(users[op.Hash], i), nil
	}
	take := func(id chainhash.Hash, raw []byte) error {
		indexes := make([]uint32, len(users[id]))
		for n, i := range users[id] {
			indexes[n] = spent[i].Index
		}
		found, err := bitcoin.OutputsOf(raw, id, indexes)
		if err != nil {
			return fmt.Errorf("the source of blocks is broken or lies: %w", err)
		}
		for n, i := range users[id] {
			outs[i] = found[n]
		}
		return nil
	}
	b.Find(txs)
	var missing []chainhash.Hash
	for id, raw := range txs {
		if raw == nil {
			missing = append(missing, id)
		} else if err := take(id, raw); err != nil {
			return nil, err
		}
	}
	return outs, f.prevTxs(ctx, missing, take)
}

// prevTxs gets transactions from the source, several at a time, and gives each
// to take, which is called by several goroutines.
func (f *Follower) prevTxs(ctx context.Context, ids []chainhash.Hash, take func(chainhash.Hash, []byte) error) error {
	queue := make(chan chainhash.Hash, len(ids))
	for _, id := range ids {
		queue <- id
	}
	close(queue)
	g, ctx := errgroup.WithContext(ctx)
	for range min(len(ids), f.o.Requests) {
		g.Go(func() error {
			a, err := f.asker(ctx)
			if err != nil {
				return err
			}
			defer a.stop()
			for id := range queue {
				raw, err := answer(a, func(ctx context.Context) ([]byte, error) { return f.prev.PrevTx(ctx, id) })
				if err != nil {
					return fmt.Errorf("previous transaction %v: %w", id, err)
				}
				if err := take(id, raw); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// ErrNoAnswer reports a source that was asked for something and did not answer
// in time.
var ErrNoAnswer = errors.New("no answer")

// An asker asks the source for one thing after the other. It waits until the
// source has not too much to do, and must be stopped.
type asker struct {
	f           *Follower
	parent, ctx context.Context
	cancel      context.CancelFunc
	timer       *time.Timer // cancels ctx
}

func (f *Follower) asker(ctx context.Context) (*asker, error) {
	if err := f.asking.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	a := &asker{f: f, parent: ctx}
	a.ctx, a.cancel = context.WithCancel(ctx)
	a.timer = time.AfterFunc(f.o.Timeout, a.cancel)
	return a, nil
}

func (a *asker) stop() {
	a.timer.Stop()
	a.cancel()
	a.f.asking.Release(1)
}

// answer waits for the answer to a question, but not for ever.
func answer[T any](a *asker, question func(context.Context) (T, error)) (T, error) {
	a.timer.Reset(a.f.o.Timeout)
	t, err := question(a.ctx)
	if err != nil && a.ctx.Err() != nil && a.parent.Err() == nil {
		err = fmt.Errorf("%w in %v: %v", ErrNoAnswer, a.f.o.Timeout.Round(time.Millisecond), err)
	}
	return t, err
}

// ask asks one thing.
func ask[T any](ctx context.Context, f *Follower, question func(context.Context) (T, error)) (t T, err error) {
	a, err := f.asker(ctx)
	if err != nil {
		return t, err
	}
	defer a.stop()
	return answer(a, question)
}

package chain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"golang.org/x/sync/semaphore"

	"satchel/chain/bitcoin"
)

// ErrNoPrevTx reports a source that has no previous transactions. Without them
// the sender of an operation can only be guessed from its signature script,
// which anybody can forge.
var ErrNoPrevTx = errors.New("the source of blocks has no previous transactions, so nobody can tell who sent an operation: " +
	"add a source that has them (a node with a transaction index)")

// ErrLessWork reports a source whose chain has left the one that the index
// follows and has less work: it is another chain, or the source was set back.
var ErrLessWork = errors.New("the source is on another chain that has less work")

// FollowerOptions are the options of a Follower.
type FollowerOptions struct {
	Log      *slog.Logger  // nil: slog.Default
	Poll     time.Duration // between questions for new headers; 0: 30 s
	Timeout  time.Duration // of each question to the source; 0: 1 min
	Requests int           // to the source at a time; 0: 8

	// Expect is asked before a block is applied, if it isn't nil: with an error
	// the follower stops before that block.
	Expect func(height int, consensus [16]byte) error
}

// Status tells how a Follower is doing.
type Status struct {
	Height int            // of the last block applied
	Hash   chainhash.Hash // of it
	Best   int            // height of the best chain of verified headers
	Reorgs int            // since the start
	Err    error          // why the last round failed; nil if it went well
	Time   time.Time      // of the last round that went well; zero if none did
}

// A Follower keeps an index at the tip of a source's chain. One index has one
// follower.
type Follower struct {
	src   bitcoin.Source
	prev  bitcoin.PrevTxer // nil if src is none
	index *Index
	o     FollowerOptions
	turn  chan struct{} // holds one value while nobody is in a round

	asking  *semaphore.Weighted // requests to src
	headers *bitcoin.Headers    // made in the first round

	mu      sync.Mutex
	status  Status
	changed chan struct{}
	subs    map[int]func(Change)
	nextSub int
}

// NewFollower returns a follower; Run or Sync starts it.
func NewFollower(src bitcoin.Source, ix *Index, o FollowerOptions) *Follower {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	o.Poll, o.Timeout = cmp.Or(o.Poll, 30*time.Second), cmp.Or(o.Timeout, time.Minute)
	o.Requests = cmp.Or(o.Requests, 8)
	f := &Follower{
		src: src, index: ix, o: o,
		turn:    make(chan struct{}, 1),
		asking:  semaphore.NewWeighted(int64(o.Requests)),
		changed: make(chan struct{}),
		subs:    make(map[int]func(Change)),
	}
	f.prev, _ = src.(bitcoin.PrevTxer)
	ix.expect = o.Expect
	f.turn <- struct{}{}
	return f
}

// Run follows until ctx ends and returns its error. What fails is logged, shown
// by Status and tried again, after longer and longer pauses.
func (f *Follower) Run(ctx context.Context) error {
	var wake <-chan struct{}
	if w, ok := f.src.(bitcoin.Waker); ok {
		wake = w.Wake()
	}
	pause, said := minPause, ""
	for {
		wait := f.o.Poll
		err := f.Sync(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			wait = pause + rand.N(pause/2)
			pause = min(2*pause, maxPause)
			if err.Error() != said {
				f.o.Log.Warn("cannot follow the chain", "err", err)
			}
			said = err.Error()
		} else {
			if said != "" {
				f.o.Log.Info("following the chain again", "height", f.Status().Height)
			}
			pause, said = minPause, ""
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// Pauses after rounds that failed.
const (
	minPause = 250 * time.Millisecond
	maxPause = 30 * time.Second
)

// Sync returns when the tip that the source has now is applied, or with what
// kept it from that; it does not try again. It may be called while Run runs.
func (f *Follower) Sync(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-f.turn:
	}
	defer func() { f.turn <- struct{}{} }()
	err := f.round(ctx)
	if err != nil && ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if errors.Is(err, context.Canceled) {
		return err // says nothing about the source
	}
	f.status.Err = err
	if err == nil {
		f.status.Time = time.Now()
	}
	return err
}

// Status returns the follower's state.
func (f *Follower) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.status
	s.Height, s.Hash = f.index.Tip()
	s.Best = max(s.Best, s.Height)
	return s
}

// Changed returns a channel that is closed when the index next moves. Take
// the channel first, then look at the index, then wait.
func (f *Follower) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

// Subscribe has fn called after each move of the index until cancel is called.
// Calls come one at a time, from the follower, which waits for them: fn must not
// call Sync.
func (f *Follower) Subscribe(fn func(Change)) (cancel func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := f.nextSub
	f.nextSub++
	f.subs[id] = fn
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.subs, id)
	}
}

// move collects what a round changes until it is told.
type move struct {
	names  map[Name]bool
	blocks int
	reorg  bool
}

func (m *move) add(names []Name) {
	if m.names == nil {
		m.names = make(map[Name]bool)
	}
	for _, n := range names {
		m.names[n] = true
	}
	m.blocks++
}

// tell tells the subscribers what changed and forgets it.
func (f *Follower) tell(m *move) {
	if m.blocks == 0 {
		return
	}
	c := Change{Names: slices.Sorted(maps.Keys(m.names)), Reorg: m.reorg}
	c.Height, c.Hash = f.index.Tip()
	*m = move{}
	f.mu.Lock()
	close(f.changed)
	f.changed = make(chan struct{})
	subs := slices.Collect(maps.Values(f.subs))
	f.mu.Unlock()
	for _, fn := range subs {
		fn(c)
	}
}

// round brings the index to the tip that the source has now.
func (f *Follower) round(ctx context.Context) error {
	if f.prev == nil {
		return ErrNoPrevTx
	}
	if err := f.index.revive(); err != nil {
		return err
	}
	var m move
	defer f.tell(&m)
	if err := f.loadHeaders(&m); err != nil {
		return err
	}
	future := f.fetchHeaders(ctx, &m)
	if future != nil && !errors.Is(future, bitcoin.ErrFuture) {
		return future
	}
	if err := f.leaveFork(ctx, &m); err != nil {
		return err
	}
	if err := f.catchUp(ctx, &m); err != nil {
		return err
	}
	return future // the blocks before it are applied
}

// tellBlocks is how many blocks at most are applied before that is told.
const tellBlocks = 200

// loadHeaders takes the headers of the blocks that the index has from it, so
// that they need not be fetched, nor the chain left for a lighter one.
func (f *Follower) loadHeaders(m *move) error {
	if f.headers != nil {
		return nil
	}
	h := bitcoin.NewHeaders(f.index.p.Chain)
	err := f.index.headers(h.Load)
	if err != nil {
		f.o.Log.Warn("making the index of names anew", "why", err)
		names, err := f.index.restart()
		m.add(names)
		if err != nil {
			return err
		}
		h = bitcoin.NewHeaders(f.index.p.Chain)
	}
	f.headers = h
	return nil
}

// fetchHeaders asks for headers until the source has no more; of several, each,
// and one that answers well is enough.
func (f *Follower) fetchHeaders(ctx context.Context, m *move) error {
	s, ok := f.src.(bitcoin.Several)
	if !ok {
		return f.fetchHeadersFrom(ctx, f.src)
	}
	var errs []error
	good := false
	members := s.Members()
	for i := 0; i < len(members); i++ {
		err := f.fetchHeadersFrom(ctx, members[i])
		if b, ok := members[i].(bitcoin.Blamer); ok && errors.Is(err, bitcoin.ErrBadHeader) && !errors.Is(err, bitcoin.ErrFuture) {
			b.Blame(err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if f.headers == nil { // what the others sent is forgotten too: ask them again
			members, i = slices.Concat(members[:i], members[i+1:]), -1
		}
		if err := f.loadHeaders(m); err != nil {
			return err
		}
		good = good || err == nil
		if err != nil {
			errs = append(errs, err)
		}
	}
	if good {
		return nil
	}
	return errors.Join(errs...)
}

// fewHeaders is less than any source answers with that has more.
const fewHeaders = 100

// fetchHeadersFrom asks one source.
func (f *Follower) fetchHeadersFrom(ctx context.Context, src bitcoin.Source) error {
	locator, tip, height := f.headers.Locator(), chainhash.Hash{}, -1
	defer f.showBest()
	for {
		hs, err := ask(ctx, f, func(ctx context.Context) ([]wire.BlockHeader, error) { return src.Headers(ctx, locator) })
		if err != nil {
			return fmt.Errorf("headers: %w", err)
		}
		if len(hs) > bitcoin.MaxHeaders {
			return fmt.Errorf("%w: %d in one answer", bitcoin.ErrBadHeader, len(hs))
		}
		if len(hs) == 0 || hs[len(hs)-1].BlockHash() == tip {
			return f.checkSide(tip)
		}
		_, err = f.headers.Add(hs)
		switch {
		case errors.Is(err, bitcoin.ErrFuture):
			return err
		case errors.Is(err, bitcoin.ErrEndless):
			f.headers = nil // the index has the real ones
			fallthrough
		case err != nil:
			return fmt.Errorf("the source of blocks is broken, lies or is on another chain: %w", err)
		}
		last := height
		tip = hs[len(hs)-1].BlockHash()
		if height, _ = f.headers.Height(tip); height <= last {
			return fmt.Errorf("%w: what follows block %d is block %d", bitcoin.ErrBadHeader, last, height)
		}
		f.showBest()
		if len(hs) < fewHeaders {
			// That is all, or it tells what it has so slowly that the others would
			// wait for it.
			return f.checkSide(tip)
		}
		locator = f.headers.LocatorFrom(tip)
	}
}

func (f *Follower) showBest() {
	best := 0
	if f.headers != nil {
		best = f.headers.Best().Height
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.Best = best
}

// checkSide reports a source whose tip is on a side chain.
func (f *Follower) checkSide(tip chainhash.Hash) error {
	if tip == (chainhash.Hash{}) || f.headers.OnBest(tip) {
		return nil
	}
	height, hash := f.index.Tip()
	return fmt.Errorf("%w than the one followed so far (block %d, %v)", ErrLessWork, height, hash)
}

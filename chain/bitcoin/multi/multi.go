// Package multi makes one source of several: headers of each, blocks from the
// fastest that has them, previous transactions from whoever has them. A member
// that is down, slow or lies costs some time and nothing else, as long as an
// honest one is among them.
package multi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
)

// ErrNone reports that no member has an ability.
var ErrNone = fmt.Errorf("no source of blocks can do that: %w", errors.ErrUnsupported)

// ErrClosed reports a source that was closed.
var ErrClosed = errors.New("the sources of blocks were closed")

// A Member is one of the sources, with the name that a person knows it by.
type Member struct {
	Name   string
	Source bitcoin.Source
}

// A Status tells how a member is doing.
type Status struct {
	Name   string        `json:"name"`
	Error  string        `json:"error,omitempty"` // the last one, if nothing went well since
	Blamed int           `json:"blamed"`          // how often what it said was bad
	Speed  time.Duration `json:"speed"`           // that a block takes, about; headers if none was asked for
	// Tip is the last header that it gave, which need not be a good one; Height
	// is what it says of itself, 0 if it says nothing.
	Tip    chainhash.Hash `json:"tip"`
	Height int            `json:"height,omitempty"`
}

// A Source is its members. It is a bitcoin.Several with all abilities, and
// safe for concurrent use.
type Source struct {
	members []*member
	wake    chan struct{}
	hedge   time.Duration
	ctx     context.Context // ends with Close

	mu    sync.Mutex // of closing
	stop  context.CancelFunc
	loops sync.WaitGroup
}

// New returns a source of these members, which it closes with itself if they can
// be.
func New(members ...Member) *Source {
	s := &Source{wake: make(chan struct{}, 1), hedge: hedge}
	s.ctx, s.stop = context.WithCancel(context.Background())
	for _, m := range members {
		s.members = append(s.members, &member{Member: m, limit: askTime})
		if w, ok := m.Source.(bitcoin.Waker); ok {
			s.loops.Go(func() { s.forward(s.ctx, w.Wake()) })
		}
	}
	return s
}

// Close ends what is going on, and closes the members.
func (s *Source) Close() error {
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	s.loops.Wait()
	var err error
	for _, m := range s.members {
		if c, ok := m.Source.(interface{ Close() error }); ok {
			err = errors.Join(err, c.Close())
		}
	}
	return err
}

// run runs fn in a goroutine that Close waits for. fn gets a context that ends
// with ctx and with Close. It is false if the source was closed.
func (s *Source) run(ctx context.Context, fn func(ctx context.Context)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return false
	}
	s.loops.Go(func() {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(s.ctx, cancel)()
		fn(ctx)
	})
	return true
}

func (s *Source) forward(ctx context.Context, wake <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		}
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// Wake implements bitcoin.Waker.
func (s *Source) Wake() <-chan struct{} { return s.wake }

// Status returns how each member is doing.
func (s *Source) Status() (list []Status) {
	for _, m := range s.members {
		list = append(list, m.status())
	}
	return list
}

// Members implements bitcoin.Several: those that did not fail a moment ago; all if
// each did.
func (s *Source) Members() (list []bitcoin.Source) {
	for _, m := range s.ranked(headers) {
		list = append(list, m.members()...)
	}
	return list
}

// ranked returns the members that are not resting, all if each is, the least busy
// and fastest first.
func (s *Source) ranked(k kind) []*member { return rank(s.members, k) }

// rankedAble is ranked for the members with an ability.
func rankedAble[A any](s *Source, k kind) []*member {
	return rank(slices.DeleteFunc(slices.Clone(s.members), func(m *member) bool { _, ok := m.Source.(A); return !ok }), k)
}

func rank(members []*member, k kind) []*member {
	awake := slices.DeleteFunc(slices.Clone(members), (*member).resting)
	if len(awake) == 0 {
		awake = slices.Clone(members)
	}
	slices.SortStableFunc(awake, func(a, b *member) int { return cmp.Compare(a.cost(k), b.cost(k)) })
	return awake
}

// Headers implements bitcoin.Source: those of the first member that answers. A
// follower asks the Members instead.
func (s *Source) Headers(ctx context.Context, locator []chainhash.Hash) ([]wire.BlockHeader, error) {
	var errs []error
	for _, m := range s.ranked(headers) {
		hs, err := m.Headers(ctx, locator)
		if err == nil {
			return hs, nil
		}
		errs = append(errs, m.named(err))
	}
	return nil, join(errs)
}

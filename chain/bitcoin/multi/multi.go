// Package multi makes one source of several: headers of each, blocks from the
// fastest that has them, previous transactions from whoever has them. A member
// that is down, slow or lies costs some time and nothing else, as long as an
// honest one is among them.
package multi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
)

// ErrNone reports that no member has an ability.
var ErrNone = fmt.Errorf("no source of blocks can do that: %w", errors.ErrUnsupported)

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
	Speed  time.Duration `json:"speed"`           // that an answer takes, about
}

// A Source is its members. It is a bitcoin.Several with all abilities, and
// safe for concurrent use.
type Source struct {
	members []*member
	wake    chan struct{}
	hedge   time.Duration
	stop    context.CancelFunc
	loops   sync.WaitGroup
}

// New returns a source of these members, which it closes with itself if they can
// be.
func New(members ...Member) *Source {
	s := &Source{wake: make(chan struct{}, 1), hedge: hedge}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	for _, m := range members {
		s.members = append(s.members, &member{Member: m, limit: askTime})
		if w, ok := m.Source.(bitcoin.Waker); ok {
			s.loops.Go(func() { s.forward(ctx, w.Wake()) })
		}
	}
	return s
}

// Close ends what New began, and closes the members.
func (s *Source) Close() error {
	s.stop()
	s.loops.Wait()
	var err error
	for _, m := range s.members {
		if c, ok := m.Source.(interface{ Close() error }); ok {
			err = errors.Join(err, c.Close())
		}
	}
	return err
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
	for _, m := range s.ranked() {
		list = append(list, m)
	}
	return list
}

// ranked returns the members that are not resting, all if each is, the least busy
// and fastest first.
func (s *Source) ranked() []*member {
	awake := slices.DeleteFunc(slices.Clone(s.members), (*member).resting)
	if len(awake) == 0 {
		awake = slices.Clone(s.members)
	}
	slices.SortStableFunc(awake, func(a, b *member) int { return int(a.cost() - b.cost()) })
	return awake
}

// Headers implements bitcoin.Source: those of the first member that answers. A
// follower asks the Members instead.
func (s *Source) Headers(ctx context.Context, locator []chainhash.Hash) ([]wire.BlockHeader, error) {
	return first(s, func(m *member) ([]wire.BlockHeader, error) { return m.Headers(ctx, locator) })
}

// first returns the first answer that is no error.
func first[T any](s *Source, ask func(m *member) (T, error)) (v T, err error) {
	var errs []error
	for _, m := range s.ranked() {
		if v, err = ask(m); err == nil {
			return v, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", m.Name, err))
	}
	return v, join(errs)
}

// join makes one error of those of several members. Only if none has what was
// asked for it is os.ErrNotExist.
func join(errs []error) error {
	if len(errs) == 0 {
		return ErrNone
	}
	if slices.ContainsFunc(errs, func(err error) bool { return !errors.Is(err, os.ErrNotExist) }) {
		errs = slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, os.ErrNotExist) })
	}
	return errors.Join(errs...)
}

// hedge is how long a member may take for a block before another one is asked
// too.
const hedge = 2 * time.Second

// Block implements bitcoin.Source: the first member's that answers with the very
// block, whole.
func (s *Source) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	return s.race(ctx, s.ranked(), func(ctx context.Context, m *member) ([]byte, error) { return m.block(ctx, hash) })
}

// PrevTx implements bitcoin.PrevTxer.
func (s *Source) PrevTx(ctx context.Context, txid chainhash.Hash) ([]byte, error) {
	able := slices.DeleteFunc(s.ranked(), func(m *member) bool { _, ok := m.Source.(bitcoin.PrevTxer); return !ok })
	return s.race(ctx, able, func(ctx context.Context, m *member) ([]byte, error) { return m.prevTx(ctx, txid) })
}

// race asks one member after the other, the next one when one fails or takes long,
// and returns the first good answer.
func (s *Source) race(ctx context.Context, list []*member, ask func(ctx context.Context, m *member) ([]byte, error)) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		b   []byte
		err error
	}
	answers := make(chan answer, len(list))
	var errs []error
	timer := time.NewTimer(0)
	defer timer.Stop()
	for next, waiting := 0, 0; next < len(list) || waiting > 0; {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			if next == len(list) {
				continue
			}
			m := list[next]
			next, waiting = next+1, waiting+1
			go func() {
				b, err := ask(ctx, m)
				if err != nil {
					err = fmt.Errorf("%s: %w", m.Name, err)
				}
				answers <- answer{b, err}
			}()
			timer.Reset(s.hedge)
		case a := <-answers:
			if a.err == nil {
				return a.b, nil
			}
			waiting--
			errs = append(errs, a.err)
			timer.Reset(0)
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, join(errs)
}

// Broadcast implements bitcoin.Broadcaster: all members that can are told, one has
// to take it. If none does the error is of one that refused it, if any did.
func (s *Source) Broadcast(ctx context.Context, tx []byte) (h chainhash.Hash, err error) {
	var taken bool
	var errs []error
	for _, m := range s.members {
		b, ok := m.Source.(bitcoin.Broadcaster)
		if !ok {
			continue
		}
		got, err := b.Broadcast(ctx, tx)
		if err == nil {
			h, taken = got, true
			continue
		}
		err = fmt.Errorf("%s: %w", m.Name, err)
		if r := (interface{ Rejected() bool })(nil); errors.As(err, &r) && r.Rejected() {
			errs = slices.Insert(errs, 0, err)
		} else {
			errs = append(errs, err)
		}
	}
	if taken {
		return h, nil
	}
	return h, join(errs)
}

// Unspent implements bitcoin.Unspenter, by the first member that can say.
func (s *Source) Unspent(ctx context.Context, script []byte) ([]bitcoin.Output, error) {
	return able(s, func(u bitcoin.Unspenter) ([]bitcoin.Output, error) { return u.Unspent(ctx, script) })
}

// FeeRate implements bitcoin.FeeEstimator, by the first member that can say.
func (s *Source) FeeRate(ctx context.Context, blocks int) (int64, error) {
	rate, err := able(s, func(e bitcoin.FeeEstimator) (int64, error) { return e.FeeRate(ctx, blocks) })
	if errors.Is(err, errors.ErrUnsupported) {
		err = fmt.Errorf("fee rate: %w", os.ErrNotExist)
	}
	return rate, err
}

// able is first among the members with an ability.
func able[A, T any](s *Source, ask func(A) (T, error)) (v T, err error) {
	var errs []error
	for _, m := range s.ranked() {
		a, ok := m.Source.(A)
		if !ok {
			continue
		}
		if v, err = ask(a); err == nil {
			return v, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", m.Name, err))
	}
	return v, join(errs)
}

package multi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"satchel/chain/bitcoin"
)

// Broadcast implements bitcoin.Broadcaster: all members that can are told, even
// when the first has taken it and that is returned. If none does the error is of
// one that refused it, if any did.
func (s *Source) Broadcast(ctx context.Context, tx []byte) (chainhash.Hash, error) {
	type answer struct {
		id  chainhash.Hash
		err error
	}
	answers, waiting := make(chan answer, len(s.members)), 0
	for _, m := range s.members {
		b, ok := m.Source.(bitcoin.Broadcaster)
		if !ok {
			continue
		}
		if !s.run(context.WithoutCancel(ctx), func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, tellTime)
			defer cancel()
			id, err := b.Broadcast(ctx, tx)
			answers <- answer{id, m.named(err)}
		}) {
			return chainhash.Hash{}, ErrClosed
		}
		waiting++
	}
	var errs []error
	for ; waiting > 0; waiting-- {
		select {
		case <-ctx.Done():
			return chainhash.Hash{}, ctx.Err()
		case a := <-answers:
			if a.err == nil {
				return a.id, nil
			}
			errs = append(errs, a.err)
		}
	}
	slices.SortStableFunc(errs, func(a, b error) int { return cmp.Compare(refused(b), refused(a)) })
	return chainhash.Hash{}, join(errs)
}

// refused is 1 if an error says that a transaction was refused, else 0.
func refused(err error) int {
	if r := (interface{ Rejected() bool })(nil); errors.As(err, &r) && r.Rejected() {
		return 1
	}
	return 0
}

// How long a member may take to take a transaction, and to find coins or fees.
const (
	tellTime = time.Minute
	coinTime = 10 * time.Minute // a node may look through all there are
	feeTime  = 20 * time.Second
)

// Unspent implements bitcoin.Unspenter, by the first member that can say.
func (s *Source) Unspent(ctx context.Context, script []byte) ([]bitcoin.Output, error) {
	return able(ctx, s, coinTime, func(ctx context.Context, u bitcoin.Unspenter) ([]bitcoin.Output, error) {
		return u.Unspent(ctx, script)
	})
}

// FeeRate implements bitcoin.FeeEstimator, by the first member that can say.
func (s *Source) FeeRate(ctx context.Context, blocks int) (int64, error) {
	rate, err := able(ctx, s, feeTime, func(ctx context.Context, e bitcoin.FeeEstimator) (int64, error) {
		return e.FeeRate(ctx, blocks)
	})
	if errors.Is(err, errors.ErrUnsupported) {
		err = fmt.Errorf("fee rate: %w", os.ErrNotExist)
	}
	return rate, err
}

// able returns the first answer of the members with an ability that is no error.
func able[A, T any](ctx context.Context, s *Source, limit time.Duration, ask func(context.Context, A) (T, error)) (v T, err error) {
	var errs []error
	for _, m := range rankedAble[A](s, other) {
		a := m.Source.(A)
		short, cancel := context.WithTimeout(ctx, limit)
		v, err = ask(short, a)
		cancel()
		if err == nil || ctx.Err() != nil {
			return v, err
		}
		errs = append(errs, m.named(err))
	}
	return v, join(errs)
}

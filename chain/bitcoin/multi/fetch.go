package multi

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"satchel/chain/bitcoin"
)

// hedge is how long a member may take for a block or a transaction before another
// one is asked too: that long at least, and one that is known to be slow up to ten
// times as long, lest a slow line has to carry everything twice.
const hedge = 2 * time.Second

func (s *Source) patience(m *member, k kind) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return min(max(s.hedge, 3*m.speed[k]), 10*s.hedge)
}

// Block implements bitcoin.Source: the first member's that answers with the very
// block, whole.
func (s *Source) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	return s.race(ctx, block, s.ranked(block), func(ctx context.Context, m *member) ([]byte, error) { return m.block(ctx, hash) })
}

// PrevTx implements bitcoin.PrevTxer.
func (s *Source) PrevTx(ctx context.Context, txid chainhash.Hash) ([]byte, error) {
	return s.race(ctx, prevTx, rankedAble[bitcoin.PrevTxer](s, prevTx), func(ctx context.Context, m *member) ([]byte, error) { return m.prevTx(ctx, txid) })
}

// race asks one member after the other, the next one when one fails or takes long,
// and returns the first good answer.
func (s *Source) race(ctx context.Context, k kind, list []*member, ask func(ctx context.Context, m *member) ([]byte, error)) ([]byte, error) {
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
			if !s.run(ctx, func(ctx context.Context) {
				b, err := ask(ctx, m)
				answers <- answer{b, m.named(err)}
			}) {
				return nil, ErrClosed
			}
			timer.Reset(s.patience(m, k))
		case a := <-answers:
			if a.err == nil {
				return a.b, nil
			}
			waiting--
			errs = append(errs, a.err)
			timer.Reset(0)
		}
	}
	return nil, join(errs)
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

package multi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
)

// A member is a Member and what became of asking it. It is a bitcoin.Source and
// bitcoin.Blamer.
type member struct {
	Member
	limit time.Duration // of a question

	mu     sync.Mutex
	busy   int // questions on their way
	speed  time.Duration
	err    error
	fails  int       // in a row
	rest   time.Time // until when it is left alone
	blamed int
}

const (
	// askTime is how long a member may take to answer: others wait for it.
	askTime = 20 * time.Second

	minRest = time.Second
	maxRest = 5 * time.Minute

	// blameRest is how long one is left alone that lied.
	blameRest = 10 * time.Minute
)

func (m *member) resting() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Before(m.rest)
}

// cost is by what members are ranked: the time that one more answer would take.
func (m *member) cost() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.speed * time.Duration(m.busy+1)
}

func (m *member) status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Status{Name: m.Name, Blamed: m.blamed, Speed: m.speed}
	if m.err != nil {
		s.Error = m.err.Error()
	}
	return s
}

// Blame implements bitcoin.Blamer.
func (m *member) Blame(err error) {
	m.mu.Lock()
	m.err, m.rest = err, time.Now().Add(blameRest)
	m.blamed++
	m.mu.Unlock()
	if b, ok := m.Source.(bitcoin.Blamer); ok {
		b.Blame(err)
	}
}

// begin counts a question; the returned function is told how it ended.
func (m *member) begin() (end func(err error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.busy++
	start := time.Now()
	return func(err error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.busy--
		took := time.Now().Sub(start)
		if m.speed == 0 {
			m.speed = took
		}
		m.speed += (took - m.speed) / 8
		switch {
		case err == nil:
			m.err, m.fails = nil, 0
		case errors.Is(err, os.ErrNotExist), errors.Is(err, context.Canceled):
			// it does not have it, or nobody wants it any more
		default:
			m.err = err
			m.rest = time.Now().Add(min(minRest<<min(m.fails, 10), maxRest))
			m.fails++
		}
	}
}

// ask asks a member with a limit of time.
func ask[T any](ctx context.Context, m *member, f func(ctx context.Context) (T, error)) (v T, err error) {
	end := m.begin()
	asked, cancel := context.WithTimeout(ctx, m.limit)
	defer cancel()
	v, err = f(asked)
	if ctx.Err() != nil {
		err = ctx.Err() // whatever it says
	}
	end(err)
	return v, err
}

// Headers implements bitcoin.Source.
func (m *member) Headers(ctx context.Context, locator []chainhash.Hash) ([]wire.BlockHeader, error) {
	return ask(ctx, m, func(ctx context.Context) ([]wire.BlockHeader, error) { return m.Source.Headers(ctx, locator) })
}

// Block implements bitcoin.Source, with a block that was checked to be whole.
func (m *member) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	return m.block(ctx, hash)
}

// block returns a block that is the one with that hash; a member that gives
// another one is blamed.
func (m *member) block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	raw, err := ask(ctx, m, func(ctx context.Context) ([]byte, error) { return m.Source.Block(ctx, hash) })
	if err != nil {
		return nil, err
	}
	h := bitcoin.Header{Hash: hash}
	if len(raw) >= wire.MaxBlockHeaderPayload {
		if err := h.Deserialize(bytes.NewReader(raw[:wire.MaxBlockHeaderPayload])); err != nil {
			return nil, err
		}
	}
	if _, err := bitcoin.Verify(h, raw); err != nil {
		err = fmt.Errorf("it is broken or lies: %w", err)
		m.Blame(err)
		return nil, err
	}
	return raw, nil
}

// prevTx returns a transaction that is the one with that id; a member that gives
// another one is blamed.
func (m *member) prevTx(ctx context.Context, txid chainhash.Hash) ([]byte, error) {
	p := m.Source.(bitcoin.PrevTxer)
	raw, err := ask(ctx, m, func(ctx context.Context) ([]byte, error) { return p.PrevTx(ctx, txid) })
	if err != nil {
		return nil, err
	}
	if _, err := bitcoin.OutputOf(raw, wire.OutPoint{Hash: txid}); err != nil {
		err = fmt.Errorf("it is broken or lies: %w", err)
		m.Blame(err)
		return nil, err
	}
	return raw, nil
}

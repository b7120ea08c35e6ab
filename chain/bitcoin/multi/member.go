package multi

import (
	"bytes"
	"cmp"
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
	busy   int                  // questions on their way
	speed  [kinds]time.Duration // that an answer takes, about
	tip    chainhash.Hash
	err    error
	fails  int       // in a row
	rest   time.Time // until when it is left alone
	blamed int
}

// A kind is what is asked for.
type kind int

const (
	headers kind = iota
	block
	prevTx
	other
	kinds
)

const (
	// askTime is how long a member may take to answer: others wait for it. For a
	// block nobody does, another member is asked meanwhile; on a slow line several
	// blocks at once take long.
	askTime    = 20 * time.Second
	blockTimes = 6 // as long

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
func (m *member) cost(k kind) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.speed[k] * time.Duration(m.busy+1)
}

func (m *member) status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Status{Name: m.Name, Blamed: m.blamed, Speed: cmp.Or(m.speed[block], m.speed[headers]), Tip: m.tip}
	if h, ok := m.Source.(interface{ Height() int }); ok {
		s.Height = h.Height()
	}
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

// named says whose error it is.
func (m *member) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", m.Name, err)
}

// begin counts a question; the returned function is told how it ended.
func (m *member) begin(k kind) (end func(err error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.busy++
	start := time.Now()
	return func(err error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.busy--
		took := time.Since(start)
		if m.speed[k] == 0 {
			m.speed[k] = took
		}
		m.speed[k] += (took - m.speed[k]) / 8
		switch {
		case err == nil:
			m.err, m.fails = nil, 0
		case errors.Is(err, os.ErrNotExist), errors.Is(err, context.Canceled):
			// it does not have it, or nobody wants it any more
		default:
			m.err = err
			m.restFor(min(minRest<<min(m.fails, 10), maxRest))
			m.fails++
		}
	}
}

// restFor has the member asked last for so long, with the lock held. What it has to
// rest for already, for a lie perhaps, it rests.
func (m *member) restFor(d time.Duration) {
	if until := time.Now().Add(d); until.After(m.rest) {
		m.rest = until
	}
}

// ask asks a member with a limit of time.
func ask[T any](ctx context.Context, m *member, k kind, f func(ctx context.Context) (T, error)) (v T, err error) {
	end := m.begin(k)
	limit := m.limit
	if k == block {
		limit *= blockTimes
	}
	asked, cancel := context.WithTimeout(ctx, limit)
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
	hs, err := ask(ctx, m, headers, func(ctx context.Context) ([]wire.BlockHeader, error) { return m.Source.Headers(ctx, locator) })
	m.sawTip(hs)
	return hs, err
}

// sawTip takes note of the last header that the member gave.
func (m *member) sawTip(hs []wire.BlockHeader) {
	if len(hs) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tip = hs[len(hs)-1].BlockHash()
}

// members returns those that the member is made of, if it is made of several,
// each of which may be on another chain; else itself. It is also itself when
// it has nobody to ask, so that it is given a rest if that stays so.
func (m *member) members() (list []bitcoin.Source) {
	s, ok := m.Source.(bitcoin.Several)
	if !ok {
		return []bitcoin.Source{m}
	}
	for _, src := range s.Members() {
		if _, whole := src.(bitcoin.Several); whole {
			return []bitcoin.Source{m}
		}
		list = append(list, part{src, m})
	}
	return list
}

// A part is one of those that a member is made of. What it does wrong is not held
// against the others.
type part struct {
	bitcoin.Source
	of *member
}

// Headers implements bitcoin.Source.
func (p part) Headers(ctx context.Context, locator []chainhash.Hash) ([]wire.BlockHeader, error) {
	ctx, cancel := context.WithTimeout(ctx, p.of.limit)
	defer cancel()
	hs, err := p.Source.Headers(ctx, locator)
	p.of.sawTip(hs)
	if !errors.Is(err, context.Canceled) {
		p.of.mu.Lock()
		p.of.err = err
		p.of.mu.Unlock()
	}
	return hs, err
}

// Blame implements bitcoin.Blamer.
func (p part) Blame(err error) {
	p.of.mu.Lock()
	p.of.blamed++
	p.of.mu.Unlock()
	if b, ok := p.Source.(bitcoin.Blamer); ok {
		b.Blame(err)
	}
}

// Block implements bitcoin.Source, with a block that was checked to be whole.
func (m *member) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	return m.block(ctx, hash)
}

// block returns a block that is the one with that hash; a member that gives
// another one is blamed.
func (m *member) block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	raw, err := ask(ctx, m, block, func(ctx context.Context) ([]byte, error) { return m.Source.Block(ctx, hash) })
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
	raw, err := ask(ctx, m, prevTx, func(ctx context.Context) ([]byte, error) { return p.PrevTx(ctx, txid) })
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

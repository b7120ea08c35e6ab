package p2p

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
)

// A request is for a block from one peer.
type request struct {
	at      time.Time
	expired bool // nobody waits for it any more
	to      []chan<- answer
}

// An answer is a block that was verified, or why there is none.
type answer struct {
	raw []byte
	err error
}

// end tells those who wait. Their channels have room.
func (r *request) end(a answer) {
	for _, to := range r.to {
		to <- a
	}
	r.to = nil
}

const (
	// maxTries is how many peers are asked for a block before that fails.
	maxTries = 8
	// maxTrial is how many blocks a peer is asked for before it has sent one.
	maxTrial = 2
	// busyPause is how long to wait when all peers have enough to do.
	busyPause = 20 * time.Millisecond
)

// Block implements bitcoin.Source, without witnesses as a rule. The block is the
// first one that comes from any of several peers and is what its header says; the
// next peer is asked when one fails or takes long.
func (s *Source) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	if _, err := s.waitPeers(ctx); err != nil {
		return nil, err
	}
	answers, tried := make(chan answer, maxTries), make(map[*peer]bool)
	var errs []error
	timer := time.NewTimer(0)
	defer timer.Stop()
	for waiting := 0; ; {
		select {
		case <-s.ctx.Done():
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		case a := <-answers:
			if a.err == nil {
				return a.raw, nil
			}
			waiting--
			errs = append(errs, a.err)
			timer.Reset(0)
		case <-timer.C:
			p, busy := s.pick(hash, tried)
			switch {
			case p != nil:
				tried[p] = true
				waiting++
				p.ask(hash, answers)
				timer.Reset(s.hedge())
			case busy:
				timer.Reset(busyPause)
			case waiting == 0 && len(errs) == 0:
				return nil, s.book.nobody()
			case waiting == 0:
				return nil, join(errs)
			}
		}
	}
}

// join makes one error of several. Only if all peers don't have it, it is
// os.ErrNotExist.
func join(errs []error) error {
	absent := func(err error) bool { return errors.Is(err, os.ErrNotExist) }
	if some := slices.DeleteFunc(slices.Clone(errs), absent); len(some) > 0 {
		return errors.Join(some...)
	}
	return errors.Join(errs...)
}

// pick chooses whom to ask for a block among those that were not. busy says that
// there is somebody else, who has enough to do.
func (s *Source) pick(hash chainhash.Hash, tried map[*peer]bool) (p *peer, busy bool) {
	if len(tried) == maxTries {
		return nil, false
	}
	var best rank
	for _, q := range s.connected() {
		if tried[q] {
			continue
		}
		r := q.rank(hash)
		if r.full {
			busy = true
		} else if p == nil || r.less(best) {
			p, best = q, r
		}
	}
	return p, busy
}

// rank is how suitable a peer is for a block.
type rank struct {
	full    bool // it has enough to do
	doubt   int
	waiting time.Duration
}

func (r rank) less(o rank) bool {
	return cmp.Or(cmp.Compare(r.doubt, o.doubt), cmp.Compare(r.waiting, o.waiting)) < 0
}

func (p *peer) rank(hash chainhash.Hash) (r rank) {
	p.mu.Lock()
	defer p.mu.Unlock()
	open := p.open()
	r.full, r.waiting = open >= maxAsked, p.speed*time.Duration(open+1)
	if p.speed == 0 {
		r.full = open >= maxTrial
	}
	r.doubt = 2 * p.silent
	if !p.full {
		r.doubt += 4
	}
	if p.fresh[hash] {
		r.doubt--
	}
	return r
}

// open counts the requests that somebody waits for.
func (p *peer) open() (n int) {
	for _, r := range p.asked {
		if !r.expired {
			n++
		}
	}
	return n
}

// hedge is how long a peer may take before another one is asked too. It grows
// when all are slow, as they are when the line is.
func (s *Source) hedge() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(max(3*s.speed, s.t.hedgeMin), s.t.hedgeMax)
}

// ask asks a peer for a block; an answer will come, whatever happens.
func (p *peer) ask(hash chainhash.Hash, to chan<- answer) {
	p.mu.Lock()
	r, again := p.asked[hash]
	switch {
	case p.ctx.Err() != nil:
		p.mu.Unlock()
		to <- answer{err: p.gone()}
		return
	case again && !r.expired:
		r.to = append(r.to, to)
		p.mu.Unlock()
		return
	}
	now := time.Now()
	if p.open() == 0 {
		p.progress.Store(now.UnixNano())
	}
	if again {
		p.copies[hash]++ // it answers the first question too, late
	}
	p.asked[hash] = &request{at: now, to: []chan<- answer{to}}
	p.mu.Unlock()
	m := wire.NewMsgGetData()
	_ = m.AddInvVect(wire.NewInvVect(wire.InvTypeBlock, &hash)) // there is room
	_ = p.send(m)                                               // or it is left, and end answers
}

// Block implements bitcoin.Source.
func (p *peer) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	to := make(chan answer, 1)
	p.ask(hash, to)
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case a := <-to:
		return a.raw, a.err
	}
}

// expectsBlock says if the peer was asked for a block that didn't come yet.
func (p *peer) expectsBlock() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.asked) > 0 || len(p.copies) > 0
}

// answered returns the request for a block and forgets it; nil if there is none.
func (p *peer) answered(hash chainhash.Hash) *request {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.asked[hash]
	delete(p.asked, hash)
	return r
}

// takeCopy says if one more copy of a block was to come, because the peer was
// asked again when it was late.
func (p *peer) takeCopy(hash chainhash.Hash) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.copies[hash]
	if p.copies[hash] = n - 1; n <= 1 {
		delete(p.copies, hash)
	}
	return n > 0
}

// hearBlock verifies a block and hands it to those who wait for it.
func (p *peer) hearBlock(raw []byte) error {
	var h bitcoin.Header
	if len(raw) < wire.MaxBlockHeaderPayload {
		return bad("a block of %d bytes", len(raw))
	}
	if err := h.Deserialize(bytes.NewReader(raw)); err != nil {
		return bad("a block: %w", err)
	}
	h.Hash = h.BlockHash()
	r := p.answered(h.Hash)
	if r == nil && p.takeCopy(h.Hash) {
		return nil
	}
	if r == nil {
		return bad("block %v, which nobody asked for", h.Hash)
	}
	if _, err := bitcoin.Verify(h, raw); err != nil {
		err = bad("%w", err)
		r.end(answer{err: p.fail(err)})
		return err
	}
	p.delivered(r)
	r.end(answer{raw: raw})
	return nil
}

// delivered takes note of how long a block took.
func (p *peer) delivered(r *request) {
	p.mu.Lock()
	now := time.Now()
	begun := r.at
	if p.last.After(begun) {
		begun = p.last // it sends one after the other
	}
	p.silent, p.last, p.speed = 0, now, average(p.speed, now.Sub(begun))
	p.mu.Unlock()
	p.s.mu.Lock()
	p.s.speed = average(p.s.speed, now.Sub(r.at))
	p.s.mu.Unlock()
}

// average moves an average a bit towards a new value.
func average(old, now time.Duration) time.Duration {
	if old == 0 {
		return now
	}
	return old + (now-old)/8
}

// fail says whose error it is.
func (p *peer) fail(err error) error { return fmt.Errorf("%s: %w", p.addr.host, err) }

// maxLate is how many blocks may be on their way that nobody waits for.
const maxLate = 64

// expire gives up on requests that nothing has come nearer for long, and on a
// peer that lets many of them be. One alone is no fault: it may be for a new
// block that the peer has not heard of.
func (p *peer) expire() {
	now := time.Now()
	quiet := now.Sub(time.Unix(0, p.progress.Load())) > p.s.t.block
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.asked {
		if quiet && !r.expired && now.Sub(r.at) > p.s.t.block {
			r.expired = true
			r.end(answer{err: p.fail(errStalls)})
			p.silent++
		}
	}
	if p.silent >= maxSilent || len(p.asked)-p.open() > maxLate {
		p.drop(errStalls)
	}
}

// end answers everybody who waits for a peer that was left.
func (p *peer) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for hash, r := range p.asked {
		delete(p.asked, hash)
		r.end(answer{err: p.fail(err)})
	}
}

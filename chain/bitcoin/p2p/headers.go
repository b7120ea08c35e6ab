package p2p

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
)

// A question is one for headers, by a locator.
type question struct {
	locator []chainhash.Hash
	answer  chan []wire.BlockHeader
}

// maxAnnounced is how many headers a peer may send without being asked: those of
// new blocks.
const maxAnnounced = 16

// Members implements bitcoin.Several: the peers that are connected, the fastest
// first. If there are none the only member waits for one.
func (s *Source) Members() (list []bitcoin.Source) {
	for _, p := range s.ranked() {
		list = append(list, p)
	}
	if len(list) == 0 {
		list = append(list, s)
	}
	return list
}

// ranked returns the peers that are connected, the fastest first.
func (s *Source) ranked() []*peer {
	peers := s.connected()
	pace := make(map[*peer]time.Duration, len(peers))
	for _, p := range peers {
		p.mu.Lock()
		pace[p] = cmp.Or(p.pace, time.Hour) // those unknown last
		p.mu.Unlock()
	}
	slices.SortStableFunc(peers, func(a, b *peer) int { return cmp.Compare(pace[a], pace[b]) })
	return peers
}

// Headers implements bitcoin.Source: those of the first peer that answers. Whoever
// verifies headers asks the Members instead, so that it can be told who lies.
func (s *Source) Headers(ctx context.Context, locator []chainhash.Hash) ([]wire.BlockHeader, error) {
	if _, err := s.waitPeers(ctx); err != nil {
		return nil, err
	}
	var errs []error
	for _, p := range s.ranked() {
		hs, err := p.Headers(ctx, locator)
		if err == nil || ctx.Err() != nil {
			return hs, err
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return nil, s.book.nobody()
	}
	return nil, errors.Join(errs...)
}

// Headers implements bitcoin.Source. A peer that doesn't answer is left.
func (p *peer) Headers(ctx context.Context, locator []chainhash.Hash) ([]wire.BlockHeader, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.ctx.Done():
		return nil, p.gone()
	case <-p.turn:
	}
	defer func() { p.turn <- struct{}{} }()
	if len(locator) == 0 {
		locator = []chainhash.Hash{*p.s.params.GenesisHash} // none at all means something else to a node
	}
	m := wire.NewMsgGetHeaders()
	m.ProtocolVersion = pver
	for i := range locator[:min(len(locator), wire.MaxBlockLocatorsPerMsg)] {
		_ = m.AddBlockLocatorHash(&locator[i]) // there is room
	}
	begun, q := time.Now(), &question{locator, make(chan []wire.BlockHeader, 1)}
	p.wait(q)
	defer p.wait(nil)
	if err := p.send(m); err != nil {
		return nil, err
	}
	late := time.NewTimer(p.s.t.headers)
	defer late.Stop()
	select {
	case hs := <-q.answer:
		p.mu.Lock()
		p.pace = average(p.pace, time.Since(begun))
		p.mu.Unlock()
		return hs, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-late.C:
		p.drop(errSilent)
	case <-p.ctx.Done():
	}
	return nil, p.gone()
}

// wait makes a question the one that is waited for, and counts the one before if
// it was not answered.
func (p *peer) wait(q *question) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting != nil {
		p.owed++
	}
	p.waiting = q
}

// hearHeaders takes headers, which are an answer, a late one or new blocks: the
// protocol doesn't tell them apart, their content does.
func (p *peer) hearHeaders(payload []byte) error {
	var m wire.MsgHeaders
	if err := decode(&m, payload); err != nil {
		return err
	}
	hs := make([]wire.BlockHeader, len(m.Headers))
	for i, h := range m.Headers {
		hs[i] = *h
	}
	if len(hs) <= maxAnnounced {
		for i := range hs {
			p.has(hs[i].BlockHash())
		}
	}
	if p.reply(hs) {
		return nil
	}
	if len(hs) > maxAnnounced {
		return bad("%d headers that nobody asked for", len(hs))
	}
	signal(p.s.rung)
	return p.budget.spend(len(payload))
}

// reply gives headers to whom they answer. It is false if they answer nobody.
func (p *peer) reply(hs []wire.BlockHeader) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if q := p.waiting; q != nil && (len(hs) == 0 || q.fits(hs[0].PrevBlock, *p.s.params.GenesisHash)) {
		q.answer <- hs
		p.waiting = nil
		return true
	}
	if p.owed > 0 && (len(hs) == 0 || len(hs) > maxAnnounced) {
		p.owed--
		return true
	}
	return false
}

// fits says if an answer to the question may follow a block.
func (q *question) fits(prev, genesis chainhash.Hash) bool {
	return prev == genesis || slices.Contains(q.locator, prev)
}

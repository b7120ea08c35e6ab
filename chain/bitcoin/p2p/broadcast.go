package p2p

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
)

// A sending is a transaction on its way to peers.
type sending struct {
	id   chainhash.Hash
	tx   *wire.MsgTx
	told chan news

	mu     sync.Mutex
	served map[*peer]bool
}

// news is what a peer did with a transaction.
type news struct {
	p       *peer
	kind    int
	refused error
}

const (
	newsAsked = iota
	newsHas
	newsRefused
)

// A rejection is why peers refused a transaction.
type rejection struct{ error }

// Rejected tells a transaction that was refused from peers that failed.
func (rejection) Rejected() bool { return true }

func (r rejection) Unwrap() error { return r.error }

// Broadcast implements bitcoin.Broadcaster. It offers a transaction to all peers
// and returns when one of them has it, either because it gives it back or because
// it announces it though it didn't get it from us, or when some fetched it and did
// not all refuse it within a few seconds.
//
// That is no promise: the peers may all lie, most nodes don't say when they refuse
// a transaction, and one that took it may drop it again. Only a block that has it
// tells that it went well; until then it may have to be sent again, which is no
// error.
func (s *Source) Broadcast(ctx context.Context, raw []byte) (chainhash.Hash, error) {
	tx := wire.NewMsgTx(2)
	r := bytes.NewReader(raw)
	if err := tx.Deserialize(r); err != nil || r.Len() > 0 {
		return chainhash.Hash{}, fmt.Errorf("p2p: that is no transaction: %w", errors.Join(err, errors.ErrUnsupported))
	}
	if _, err := s.waitPeers(ctx); err != nil {
		return chainhash.Hash{}, err
	}
	b := &sending{id: tx.TxHash(), tx: tx, told: make(chan news, 4*maxWant), served: make(map[*peer]bool)}
	s.begin(b)
	defer s.end(b)
	if err := s.follow(ctx, b); err != nil {
		return chainhash.Hash{}, fmt.Errorf("transaction %v: %w", b.id, err)
	}
	return b.id, nil
}

// begin offers a transaction to the peers that are there; join does to others.
func (s *Source) begin(b *sending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sending = append(s.sending, b)
	for _, p := range s.peers {
		b.offer(p)
	}
}

// end takes an offer back. Peers need not tell of transactions any more.
func (s *Source) end(b *sending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sending = slices.DeleteFunc(s.sending, func(o *sending) bool { return o == b })
	for _, p := range s.peers {
		if len(s.sending) == 0 {
			_ = p.send(wire.NewMsgFeeFilter(btcutil.MaxSatoshi)) // or it is left
		}
	}
}

// sendings returns what is on its way now.
func (s *Source) sendings() []*sending {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sending)
}

// eachSending calls fn for what is sent under an id.
func (s *Source) eachSending(id chainhash.Hash, fn func(*sending)) {
	for _, b := range s.sendings() {
		if b.id == id {
			fn(b)
		}
	}
}

// follow waits for what becomes of a transaction.
func (s *Source) follow(ctx context.Context, b *sending) error {
	limit := time.NewTimer(s.t.broadcast)
	defer limit.Stop()
	again := time.NewTicker(s.t.settle / 4)
	defer again.Stop()
	var settled <-chan time.Time
	asked, refused := make(map[*peer]bool), make(map[*peer]error)
	for {
		select {
		case <-s.ctx.Done():
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			return errors.New("no peer has asked for it")
		case <-settled:
			if len(refused) < len(asked) {
				return nil
			}
			return refusal(refused)
		case <-again.C:
			for _, p := range s.connected() {
				b.inquire(p)
			}
		case n := <-b.told:
			switch n.kind {
			case newsHas:
				return nil
			case newsAsked:
				asked[n.p] = true
				if settled == nil {
					settled = time.After(s.t.settle)
				}
			case newsRefused:
				refused[n.p] = n.refused
				if len(refused) >= len(s.connected()) {
					return refusal(refused)
				}
			}
		}
	}
}

func refusal(refused map[*peer]error) error {
	for p, err := range refused {
		return rejection{p.fail(err)} // one says as much as all
	}
	return nil
}

// offer tells a peer of the transaction and asks for what it has.
func (b *sending) offer(p *peer) {
	if !p.relays {
		return
	}
	m := wire.NewMsgInv()
	_ = m.AddInvVect(wire.NewInvVect(wire.InvTypeTx, &b.id))    // there is room
	_ = errors.Join(p.send(wire.NewMsgFeeFilter(0)), p.send(m)) // or it is left
	b.inquire(p)
}

// inquire asks a peer for the transaction, to see if it has it.
func (b *sending) inquire(p *peer) {
	if !p.relays {
		return
	}
	m := wire.NewMsgGetData()
	_ = m.AddInvVect(wire.NewInvVect(wire.InvTypeTx, &b.id)) // there is room
	_ = p.send(m)                                            // or it is left
}

// serve sends the transaction to a peer that asks for it, once.
func (b *sending) serve(p *peer, witness bool) error {
	b.mu.Lock()
	again := b.served[p]
	b.served[p] = true
	b.mu.Unlock()
	if again {
		return nil
	}
	b.tell(news{p: p, kind: newsAsked})
	if witness {
		return p.sendAs(b.tx, wire.WitnessEncoding)
	}
	return p.sendAs(b.tx, wire.BaseEncoding)
}

// announced is called when a peer says that it has the transaction, which says
// something if it is not from us.
func (b *sending) announced(p *peer) {
	b.mu.Lock()
	ours := b.served[p]
	b.mu.Unlock()
	if !ours {
		b.tell(news{p: p, kind: newsHas})
	}
}

// tell passes on what happened; with too much going on, some of it.
func (b *sending) tell(n news) {
	select {
	case b.told <- n:
	default:
	}
}

// hearTx takes a transaction that comes back.
func (p *peer) hearTx(raw []byte) {
	for _, b := range p.s.sendings() {
		if _, err := bitcoin.OutputOf(raw, wire.OutPoint{Hash: b.id}); err == nil {
			b.tell(news{p: p, kind: newsHas})
		}
	}
}

// hearReject takes the refusal of a transaction.
func (p *peer) hearReject(payload []byte) error {
	var m wire.MsgReject
	if err := decode(&m, payload); err != nil {
		return err
	}
	if m.Cmd == wire.CmdTx {
		p.s.eachSending(m.Hash, func(b *sending) {
			b.tell(news{p: p, kind: newsRefused, refused: errors.New(printable(m.Reason))})
		})
	}
	return nil
}

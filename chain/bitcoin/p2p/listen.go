package p2p

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A budget is what a peer may say without being asked: about 20 KB a second, and
// at most 1 MB at once. It makes an end to floods of any kind.
type budget struct {
	left int
	at   time.Time
}

const (
	budgetMost  = 1 << 20
	budgetRate  = 20 << 10 // a second
	messageCost = 100      // besides its bytes
)

func newBudget() budget { return budget{budgetMost, time.Now()} }

func (b *budget) spend(size int) error {
	now := time.Now()
	earned := int(min(now.Sub(b.at), time.Hour).Seconds() * budgetRate)
	if earned > 0 {
		b.left, b.at = min(b.left+earned, budgetMost), now
	}
	if b.left -= size + messageCost; b.left < 0 {
		return bad("it says too much that nobody asked for")
	}
	return nil
}

// read reads a message; of one that nobody wants to know the head alone.
func (p *peer) read() (h head, payload []byte, err error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(p.s.t.idle)); err != nil {
		return h, nil, err
	}
	if h, err = readHead(p.r, p.s.params.Net); err != nil {
		return h, nil, err
	}
	if err := p.allow(h); err != nil {
		return h, nil, err
	}
	if err := p.conn.SetReadDeadline(time.Now().Add(p.s.t.message)); err != nil {
		return h, nil, err
	}
	if _, known := maxPayload[h.command]; !known {
		_, err = io.CopyN(io.Discard, p.r, int64(h.size))
		return h, nil, err
	}
	if payload, err = p.readPayload(h); err != nil {
		return h, nil, err
	}
	return h, payload, h.check(payload)
}

// allow says if a message may be read. Headers that nobody asked for are looked
// at later.
func (p *peer) allow(h head) error {
	switch h.command {
	case wire.CmdHeaders:
		return nil
	case wire.CmdBlock:
		if !p.expectsBlock() {
			return bad("a block that nobody asked for")
		}
		return nil
	}
	return p.budget.spend(int(h.size))
}

// chunk is how much of a block has to come for it to count as progress.
const chunk = 64 << 10

func (p *peer) readPayload(h head) ([]byte, error) {
	payload := make([]byte, h.size)
	for at := 0; at < len(payload); {
		n, err := io.ReadFull(p.r, payload[at:min(at+chunk, len(payload))])
		if err != nil {
			return nil, err
		}
		at += n
		if h.command == wire.CmdBlock {
			p.progress.Store(time.Now().UnixNano())
		}
	}
	return payload, nil
}

// handle does what a message asks for. An error ends the connection.
func (p *peer) handle(command string, payload []byte) error {
	switch command {
	case wire.CmdVersion, wire.CmdVerAck:
		return bad("a second %s", command)
	case wire.CmdPing:
		var m wire.MsgPing
		if err := decode(&m, payload); err != nil {
			return err
		}
		return p.answer(wire.NewMsgPong(m.Nonce))
	case wire.CmdAddr:
		return p.hearAddresses(payload)
	case wire.CmdInv:
		return p.hearInventory(payload)
	case wire.CmdHeaders:
		return p.hearHeaders(payload)
	case wire.CmdBlock:
		return p.hearBlock(payload)
	case wire.CmdNotFound:
		return p.hearNotFound(payload)
	case wire.CmdTx:
		p.hearTx(payload)
	case wire.CmdReject:
		return p.hearReject(payload)
	case wire.CmdGetData:
		return p.hearGetData(payload)
	case wire.CmdGetHeaders:
		return p.answer(wire.NewMsgHeaders()) // we have none
	}
	return nil
}

// hearAddresses takes addresses of other nodes, not too many from one peer.
func (p *peer) hearAddresses(payload []byte) error {
	var m wire.MsgAddr
	if err := decode(&m, payload); err != nil || !p.s.book.open {
		return err
	}
	p.gave += p.s.book.hear(m.AddrList, maxGave-p.gave)
	signal(p.s.poked)
	return nil
}

// hearInventory takes note of what the peer has.
func (p *peer) hearInventory(payload []byte) error {
	var m wire.MsgInv
	if err := decode(&m, payload); err != nil {
		return err
	}
	for _, v := range m.InvList {
		switch v.Type {
		case wire.InvTypeBlock:
			p.has(v.Hash)
			signal(p.s.rung)
		case wire.InvTypeTx:
			p.s.eachSending(v.Hash, func(tx *sending) { tx.announced(p) })
		}
	}
	return nil
}

// has takes note of a new block that the peer has.
func (p *peer) has(hash chainhash.Hash) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.fresh) >= maxFresh {
		clear(p.fresh)
	}
	p.fresh[hash] = true
}

// hearNotFound ends requests for blocks that the peer doesn't have.
func (p *peer) hearNotFound(payload []byte) error {
	var m wire.MsgNotFound
	if err := decode(&m, payload); err != nil {
		return err
	}
	for _, v := range m.InvList {
		if v.Type == wire.InvTypeBlock {
			if r := p.answered(v.Hash); r != nil {
				r.end(answer{err: p.fail(os.ErrNotExist)})
			}
		}
	}
	return nil
}

// hearGetData answers for transactions that are being sent, once each.
func (p *peer) hearGetData(payload []byte) error {
	var m wire.MsgGetData
	if err := decode(&m, payload); err != nil {
		return err
	}
	missing := wire.NewMsgNotFound()
	var errs []error
	for _, v := range m.InvList {
		found := false
		if v.Type == wire.InvTypeTx || v.Type == wire.InvTypeWitnessTx {
			p.s.eachSending(v.Hash, func(tx *sending) {
				found = true
				errs = append(errs, tx.serve(p, v.Type == wire.InvTypeWitnessTx))
			})
		}
		if !found && len(missing.InvList) < maxMissing {
			errs = append(errs, missing.AddInvVect(v))
		}
	}
	if len(missing.InvList) > 0 {
		errs = append(errs, p.answer(missing))
	}
	return errors.Join(errs...)
}

// maxMissing is of how much at most it is said that we don't have it.
const maxMissing = 100

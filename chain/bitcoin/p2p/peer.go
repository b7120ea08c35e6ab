package p2p

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

var (
	errSilent = errors.New("it doesn't answer (if it is a node of your own: it doesn't while its newest block is more than a day old)")
	errStalls = errors.New("it doesn't send the blocks that it was asked for")
	errSlow   = errors.New("it takes too long to introduce itself")
	errDeaf   = errors.New("it doesn't read what it is sent")
)

// A peer is a connection with a node. It is a bitcoin.Source and Blamer.
type peer struct {
	s      *Source
	addr   *address
	conn   net.Conn
	r      *bufio.Reader
	budget budget
	out    chan []byte // for the writer

	// of the handshake
	agent  string
	height int
	full   bool // it has all blocks
	relays bool // it takes transactions

	ctx  context.Context // ends when it is left, with why
	drop context.CancelCauseFunc

	progress atomic.Int64  // when blocks that were asked for last came nearer
	turn     chan struct{} // holds a value while nobody asks it for headers

	mu      sync.Mutex
	waiting *question                   // for headers
	owed    int                         // questions for headers that nobody waits for any more
	pace    time.Duration               // that headers take, about
	asked   map[chainhash.Hash]*request // blocks
	copies  map[chainhash.Hash]int      // copies of blocks that it was asked for twice
	silent  int                         // requests for blocks in a row that were not answered
	last    time.Time                   // when a block came
	speed   time.Duration               // that a block takes, about
	fresh   map[chainhash.Hash]bool     // blocks that it told of
	gave    int                         // addresses that were taken from it
}

const (
	outLen = 64 // messages that wait to be sent

	// maxAsked is how many blocks a peer is asked for at a time, maxSilent how
	// many in a row it may not answer for: it need not have the newest.
	maxAsked  = 16
	maxSilent = 3

	maxFresh = 64
)

func newPeer(s *Source, a *address, conn net.Conn) *peer {
	p := &peer{
		s: s, addr: a, conn: conn, r: bufio.NewReader(conn), budget: newBudget(),
		out: make(chan []byte, outLen), turn: make(chan struct{}, 1),
		asked: make(map[chainhash.Hash]*request), copies: make(map[chainhash.Hash]int), fresh: make(map[chainhash.Hash]bool),
	}
	p.turn <- struct{}{}
	return p
}

// visit calls a node, stays connected until one of both leaves, and returns why.
func (s *Source) visit(a *address) error {
	short, cancel := context.WithTimeout(s.ctx, s.t.dial)
	conn, err := s.world.dial(short, "tcp", a.host)
	cancel()
	if err != nil {
		return err
	}
	p := newPeer(s, a, conn)
	p.ctx, p.drop = context.WithCancelCause(s.ctx)
	var closer sync.WaitGroup
	closer.Go(func() {
		<-p.ctx.Done()
		conn.Close() // so that reading and writing end
	})
	p.drop(p.talk())
	closer.Wait()
	err = context.Cause(p.ctx)
	p.end(err)
	return err
}

// talk introduces itself, and then answers and passes on what the node says until
// there is an error.
func (p *peer) talk() error {
	if err := p.handshake(); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	var writer sync.WaitGroup
	writer.Go(p.write)
	err := p.greet()
	if err == nil {
		p.s.join(p)
		err = p.listen()
		p.s.leave(p)
	}
	p.drop(err)
	writer.Wait()
	return err
}

// handshake exchanges versions.
func (p *peer) handshake() error {
	late := time.AfterFunc(p.s.t.dial, func() { p.drop(errSlow) })
	defer late.Stop()
	me := wire.NewMsgVersion(&wire.NetAddress{}, &wire.NetAddress{}, rand.Uint64(), 0)
	me.ProtocolVersion, me.UserAgent = int32(pver), "/satchel:1/"
	me.Services = wire.SFNodeWitness // else transactions are fetched from us without their witnesses
	if err := p.say(me); err != nil {
		return err
	}
	for version, verack := false, false; !version || !verack; {
		h, payload, err := p.read()
		if err != nil {
			return err
		}
		switch h.command {
		case wire.CmdVersion:
			if version {
				return bad("a second version")
			}
			version = true
			if err := p.meet(payload); err != nil {
				return err
			}
			if err := p.say(wire.NewMsgVerAck()); err != nil {
				return err
			}
		case wire.CmdVerAck:
			verack = true
		}
	}
	return nil
}

// say writes a message at once, while nobody else writes.
func (p *peer) say(m wire.Message) error {
	b, err := encode(p.s.params.Net, m, wire.LatestEncoding)
	if err == nil {
		_, err = p.conn.Write(b)
	}
	return err
}

// meet looks at a peer's version.
func (p *peer) meet(payload []byte) error {
	var m wire.MsgVersion
	if err := decode(&m, payload); err != nil {
		return err
	}
	if m.ProtocolVersion < int32(pver) {
		return bad("its version %d of the protocol is too old", m.ProtocolVersion)
	}
	p.full, p.relays = m.HasService(wire.SFNodeNetwork), !m.DisableRelayTx
	if !p.full && !p.addr.fixed {
		return bad("it has not all blocks")
	}
	p.agent, p.height = printable(m.UserAgent), max(0, int(m.LastBlock))
	return nil
}

// printable is what a peer says, fit for a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s[:min(len(s), 200)])
}

// greet tells what is wanted without asking: new blocks as headers, and no
// transactions.
func (p *peer) greet() error {
	err := errors.Join(p.send(wire.NewMsgSendHeaders()), p.send(wire.NewMsgFeeFilter(btcutil.MaxSatoshi)))
	if p.s.book.open {
		err = errors.Join(err, p.send(wire.NewMsgGetAddr()))
	}
	return err
}

// send has a message sent. A peer that lets too many wait is left.
func (p *peer) send(m wire.Message) error { return p.sendAs(m, wire.LatestEncoding) }

func (p *peer) sendAs(m wire.Message, enc wire.MessageEncoding) error {
	b, err := encode(p.s.params.Net, m, enc)
	if err != nil {
		return err
	}
	select {
	case <-p.ctx.Done():
	case p.out <- b:
		return nil
	default:
		p.drop(errDeaf)
	}
	return p.gone()
}

// answer has a message sent that the peer asked for; it is left out if too many
// wait.
func (p *peer) answer(m wire.Message) error {
	if len(p.out) > outLen/2 {
		return nil
	}
	return p.send(m)
}

// gone says why a peer was left.
func (p *peer) gone() error { return fmt.Errorf("%s: %w", p.addr.host, context.Cause(p.ctx)) }

// write sends what waits, and looks now and then at what is late.
func (p *peer) write() {
	tick := time.NewTicker(p.s.t.tick)
	defer tick.Stop()
	pinged := time.Now()
	for {
		select {
		case <-p.ctx.Done():
			return
		case b := <-p.out:
			err := p.conn.SetWriteDeadline(time.Now().Add(p.s.t.write))
			if err == nil {
				_, err = p.conn.Write(b)
			}
			if err != nil {
				p.drop(fmt.Errorf("%w: %w", errDeaf, err))
			}
		case <-tick.C:
			p.expire()
			if time.Since(pinged) > p.s.t.ping {
				pinged = time.Now()
				_ = p.send(wire.NewMsgPing(rand.Uint64())) // or it is left
			}
		}
	}
}

// listen handles what the peer says.
func (p *peer) listen() error {
	for {
		h, payload, err := p.read()
		if err != nil {
			return err
		}
		if err := p.handle(h.command, payload); err != nil {
			return err
		}
	}
}

// Blame implements bitcoin.Blamer.
func (p *peer) Blame(err error) { p.drop(fmt.Errorf("%w: %w", errBad, err)) }

func (p *peer) status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Status{Addr: p.addr.host, Connected: true, Agent: p.agent, Height: p.height, Speed: cmp.Or(p.speed, p.pace)}
}

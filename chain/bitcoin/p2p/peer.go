package p2p

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
)

var (
	errSilent = errors.New("it doesn't answer (if it is a node of your own: it doesn't while its newest block is more than a day old)")
	errStalls = errors.New("it doesn't send the blocks that it was asked for")
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

	ctx  context.Context // ends when it is left, with why
	drop context.CancelCauseFunc

	progress atomic.Int64 // when blocks that were asked for last came nearer
	turn     chan struct{} // holds a value while nobody asks it for headers

	mu      sync.Mutex
	waiting *question                    // for headers
	owed    int                          // questions for headers that nobody waits for any more
	asked   map[chainhash.Hash]*request  // blocks
	silent  int                          // requests in a row that were not answered
	speed   [2]time.Duration             // that a block takes, that headers take, about
	fresh   map[chainhash.Hash]time.Time // blocks that it told of
	gave    int                          // addresses
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
		asked: make(map[chainhash.Hash]*request), fresh: make(map[chainhash.Hash]time.Time),
	}
	p.turn <- struct{}{}
	return p
}

// visit calls a node and stays connected until one of both leaves, and returns
// why.
func (s *Source) visit(a *address) error {
	dialer := net.Dialer{Timeout: s.t.dial}
	conn, err := dialer.DialContext(s.ctx, "tcp", a.host)
	if err != nil {
		return err
	}
	p := newPeer(s, a, conn)
	p.ctx, p.drop = context.WithCancelCause(s.ctx)
	hung := make(chan struct{})
	go func() {
		defer close(hung)
		<-p.ctx.Done()
		conn.Close() // whoever reads or writes stops
	}()
	err = p.talk()
	p.drop(err)
	<-hung
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
	defer writer.Wait()
	defer p.drop(nil) // with why talk ends, unless there was a reason before
	err := p.greet()
	if err == nil {
		p.s.join(p)
		defer p.s.leave(p)
		err = p.listen()
	}
	p.drop(err)
	return err
}

// handshake exchanges versions.
func (p *peer) handshake() error {
	if err := p.conn.SetDeadline(time.Now().Add(p.s.t.dial)); err != nil {
		return err
	}
	me := wire.NewMsgVersion(&wire.NetAddress{}, &wire.NetAddress{}, rand.Uint64(), 0)
	me.ProtocolVersion, me.UserAgent = int32(pver), "/satchel:1/"
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
			if err := p.meet(payload); err != nil {
				return err
			}
			version = true
			if err := p.say(wire.NewMsgVerAck()); err != nil {
				return err
			}
		case wire.CmdVerAck:
			verack = true
		}
	}
	return p.conn.SetDeadline(time.Time{})
}

// say writes a message at once.
func (p *peer) say(m wire.Message) error {
	b, err := encode(p.s.params.Net, m)
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
	if m.ProtocolVersion < int32(minVersion) {
		return bad("its version %d of the protocol is too old", m.ProtocolVersion)
	}
	p.full = m.HasService(wire.SFNodeNetwork)
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

// greet asks for what is wanted without asking: new blocks as headers, and no
// transactions.
func (p *peer) greet() error {
	err := errors.Join(p.send(wire.NewMsgSendHeaders()), p.send(wire.NewMsgFeeFilter(btcutil.MaxSatoshi)))
	if p.s.book.open {
		err = errors.Join(err, p.send(wire.NewMsgGetAddr()))
	}
	return err
}

// send has a message sent. A peer that lets too many wait is left.
func (p *peer) send(m wire.Message) error {
	b, err := encode(p.s.params.Net, m)
	if err != nil {
		return err
	}
	select {
	case <-p.ctx.Done():
		return p.gone()
	case p.out <- b:
		return nil
	default:
		p.drop(errDeaf)
		return p.gone()
	}
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
			err := p.conn.SetWriteDeadline(time.Now().Add(p.s.t.message))
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
		if err := p.conn.SetReadDeadline(time.Now().Add(p.s.t.idle)); err != nil {
			return err
		}
		h, payload, err := p.read()
		if err != nil {
			return err
		}
		if err := p.handle(h.command, payload); err != nil {
			return err
		}
	}
}

// read reads a message; of one that nobody wants to know the head alone.
func (p *peer) read() (h head, payload []byte, err error) {
	if h, err = readHead(p.r, p.s.params.Net); err != nil {
		return h, nil, err
	}
	if h.command != wire.CmdBlock && h.command != wire.CmdHeaders { // these are handled as they deserve
		if err := p.budget.spend(int(h.size)); err != nil {
			return h, nil, err
		}
	}
	if p.ctx.Err() == nil && p.s.t.message > 0 && h.command == wire.CmdBlock {
		if !p.expects() {
			return h, nil, bad("a block that nobody asked for")
		}
	}
	if err := p.limitMessage(); err != nil {
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

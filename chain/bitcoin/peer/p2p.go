// Package peer fetches headers and blocks from peers of the Bitcoin network.
//
// Each Peer is one place for a connection, and a bitcoin.Source of its own, so
// that whoever verifies knows who said what; package multi makes one source of
// several. A peer that breaks the protocol, is silent, or is blamed is
// disconnected, and another address takes its place if there are others.
//
// Peers have no previous transactions: those have to come from elsewhere.
package peer

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
)

// Options say with whom to connect.
type Options struct {
	Chain *chaincfg.Params
	// Addrs are hosts and ports; one without a port has the network's. If there
	// are none the network's seeds are asked.
	Addrs []string
	// Want is how many peers are connected with if seeds are asked; 0: 4.
	Want int
	Log  *slog.Logger // nil: slog.Default

	lookup func(ctx context.Context, host string) ([]net.IP, error) // nil: DNS
	ask    time.Duration                                            // 0: askTime
}

// ErrOffline reports a place that is connected with nobody.
var ErrOffline = errors.New("not connected")

// wantPeers is the default of Options.Want.
const wantPeers = 4

// Open returns a place for each address, which connects until it is closed.
// Nothing needs to be reachable yet.
func Open(o Options) []*Peer {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Want <= 0 {
		o.Want = wantPeers
	}
	if o.lookup == nil {
		o.lookup = func(ctx context.Context, host string) ([]net.IP, error) {
			return net.DefaultResolver.LookupIP(ctx, "ip", host)
		}
	}
	if o.ask <= 0 {
		o.ask = askTime
	}
	var peers []*Peer
	for _, addr := range o.Addrs {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			addr = net.JoinHostPort(strings.Trim(addr, "[]"), o.Chain.DefaultPort)
		}
		peers = append(peers, newPeer(&o, addr, nil))
	}
	if len(peers) > 0 {
		return peers
	}
	b := newBook(&o)
	for range o.Want {
		peers = append(peers, newPeer(&o, "", b))
	}
	return peers
}

// A Peer is a place for one connection. It is a bitcoin.Source, Waker,
// Broadcaster and Blamer, and safe for concurrent use.
type Peer struct {
	o     *Options
	fixed string // address; empty: from book
	book  *book
	wake  chan struct{}
	stop  context.CancelFunc
	loop  sync.WaitGroup

	mu      sync.Mutex
	conn    *conn         // nil: none
	err     error         // why there is none
	changed chan struct{} // closed when these change
	retry   chan struct{} // gets a value when it is worth trying at once
}

func newPeer(o *Options, addr string, b *book) *Peer {
	p := &Peer{o: o, fixed: addr, book: b, wake: make(chan struct{}, 1), changed: make(chan struct{}), retry: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	p.loop.Go(func() { p.run(ctx) })
	return p
}

// Close disconnects.
func (p *Peer) Close() error {
	p.stop()
	p.loop.Wait()
	return nil
}

// Addr is with whom the place is connected, or should be; empty if it has
// nobody.
func (p *Peer) Addr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil {
		return p.conn.addr
	}
	return p.fixed
}

// Pauses between attempts to connect.
const (
	minPause = 500 * time.Millisecond
	maxPause = 2 * time.Minute
	goodTime = time.Minute // after which a connection was a good one
)

// run keeps the place connected until ctx ends.
func (p *Peer) run(ctx context.Context) {
	for pause := minPause; ctx.Err() == nil; pause = min(2*pause, maxPause) {
		start := time.Now()
		err := p.once(ctx)
		if ctx.Err() != nil {
			break
		}
		p.set(nil, err)
		if time.Since(start) > goodTime {
			pause = minPause
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-p.retry:
		}
		timer.Stop()
	}
	p.set(nil, net.ErrClosed)
}

// once connects, and returns when that has ended, and why.
func (p *Peer) once(ctx context.Context) error {
	addr := p.fixed
	if p.book != nil {
		var err error
		if addr, err = p.book.take(ctx); err != nil {
			return err
		}
		defer p.book.give(addr)
	}
	c, err := dial(ctx, p.o, addr)
	if err != nil {
		p.bad(addr, err)
		return err
	}
	c.block = p.ring
	if p.book != nil {
		c.addrs = p.book.add
	}
	p.set(c, nil)
	p.ring()
	err = c.serve(ctx)
	p.bad(addr, err)
	return err
}

// bad has an address left alone for a while.
func (p *Peer) bad(addr string, err error) {
	p.o.Log.Debug("peer", "addr", addr, "err", err)
	if p.book != nil {
		p.book.bad(addr)
	}
}

func (p *Peer) set(c *conn, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn, p.err = c, err
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Peer) ring() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Wake implements bitcoin.Waker.
func (p *Peer) Wake() <-chan struct{} { return p.wake }

// Blame implements bitcoin.Blamer.
func (p *Peer) Blame(err error) {
	p.mu.Lock()
	c := p.conn
	p.mu.Unlock()
	if c != nil && !c.ended() {
		_ = c.fail(err)
	}
}

// connected returns the connection; while the place is just connecting it is
// waited for.
func (p *Peer) connected(ctx context.Context) (*conn, error) {
	for first := true; ; first = false {
		p.mu.Lock()
		c, err, changed := p.conn, p.err, p.changed
		p.mu.Unlock()
		if c != nil && !c.ended() {
			return c, nil
		}
		if err != nil && (!first || errors.Is(err, net.ErrClosed)) {
			return nil, errors.Join(ErrOffline, err)
		}
		if err != nil { // one more attempt, since somebody wants it
			select {
			case p.retry <- struct{}{}:
			default:
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, errors.Join(ErrOffline, ctx.Err())
		}
	}
}

// Package p2p fetches headers and blocks from peers of the Bitcoin network,
// several at once, and sends transactions to them.
//
// A message is 4 bytes that name the network, a command of 12 bytes that is
// padded with zeros, the length of the payload in 4 bytes, the first 4 bytes of
// the double SHA-256 of the payload, and the payload; numbers are little endian.
// We say version, verack, sendheaders, feefilter, getaddr, getheaders, getdata,
// inv, tx, ping, pong, headers (always none) and notfound. What else a peer says
// than what it was asked for counts against its allowance (see budget), and a
// payload is only read when it has the size of its kind, a block's when one was
// asked for: so a peer can take no more memory than one block.
//
// Peers are believed in nothing. One that breaks the protocol, sends a block
// that is not what its header says, or is blamed for its headers, is left and
// not called again for a while; one that is slow is left and called again later,
// as is one that can't be reached, after longer and longer pauses.
//
// There are no previous transactions: the network looks up none.
package p2p

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"satchel/chain/bitcoin"
)

// ErrNoPeer reports that there is nobody to ask.
var ErrNoPeer = errors.New("no peer of the Bitcoin network is connected")

// ErrClosed reports a source that was closed.
var ErrClosed = errors.New("the connection with the Bitcoin network was closed")

// Options are the options of a Source.
type Options struct {
	Params *chaincfg.Params
	// Peers are the only ones that are called, as host or host:port. If there
	// are none, some are found through the DNS seeds of Params, and more by
	// asking those.
	Peers []string
	Want  int // how many to be connected with; 0: 8, or as many as Peers has
}

const (
	defaultWant = 8
	maxWant     = 64
)

// A Source is several peers. It is a bitcoin.Source, Several, Waker and
// Broadcaster.
type Source struct {
	params *chaincfg.Params
	want   int
	t      times
	book   *book
	world  world

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	loops  sync.WaitGroup
	poked  chan struct{} // for keep: there is something to do
	rung   chan struct{} // for ring: there is news
	wake   chan struct{}

	mu      sync.Mutex
	peers   []*peer       // that are connected
	joined  chan struct{} // closed and made anew when one more is
	sending []*sending
	speed   time.Duration // that a block takes, about
}

// times are how long things may take.
type times struct {
	dial      time.Duration // a connection and a handshake
	idle      time.Duration // silence
	message   time.Duration // reading the rest of a message
	write     time.Duration // writing one
	headers   time.Duration // an answer to getheaders
	block     time.Duration // without any progress with the blocks that were asked for
	hedgeMin  time.Duration // before a block is asked for elsewhere too, at least
	hedgeMax  time.Duration // and at most
	peer      time.Duration // waiting for one to be connected
	tick      time.Duration // between looks at what is late
	ping      time.Duration // between pings
	minPause  time.Duration // before a peer that failed is called again, at least
	maxPause  time.Duration // and at most
	ban       time.Duration // before one is that misbehaved
	seeds     time.Duration // before the seeds are asked again
	good      time.Duration // a connection that counts as one of use
	ring      time.Duration // between wake-ups
	settle    time.Duration // before a transaction that was fetched and not refused counts as taken
	broadcast time.Duration // for a transaction to be taken
}

var defaultTimes = times{
	dial: 15 * time.Second, idle: 150 * time.Second, message: 2 * time.Minute, write: 20 * time.Second,
	headers: 20 * time.Second, block: 20 * time.Second, hedgeMin: 2 * time.Second, hedgeMax: 20 * time.Second,
	peer: 15 * time.Second, tick: 500 * time.Millisecond, ping: time.Minute,
	minPause: time.Second, maxPause: 10 * time.Minute, ban: time.Hour, seeds: time.Minute, good: time.Minute,
	ring: 200 * time.Millisecond, settle: 4 * time.Second, broadcast: 30 * time.Second,
}

// Open starts calling peers and waits for none of them. The source must be
// closed.
func Open(o Options) (*Source, error) {
	return open(o, defaultTimes, world{net.DefaultResolver.LookupNetIP, new(net.Dialer).DialContext})
}

// A world is what is outside.
type world struct {
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
}

func open(o Options, t times, w world) (*Source, error) {
	if o.Params == nil {
		return nil, errors.New("p2p: no network is named")
	}
	if len(o.Peers) == 0 && len(o.Params.DNSSeeds) == 0 {
		return nil, fmt.Errorf("p2p: %s has no seeds: name a peer", o.Params.Name)
	}
	b, err := newBook(o.Params, o.Peers, t, w)
	if err != nil {
		return nil, err
	}
	want := defaultWant
	if n := len(b.list); n > 0 {
		want = min(n, defaultWant)
	}
	s := &Source{
		params: o.Params, want: min(cmp.Or(o.Want, want), maxWant), t: t, book: b, world: w,
		poked: make(chan struct{}, 1), rung: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		joined: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.loops.Go(s.keep)
	s.loops.Go(s.ring)
	return s, nil
}

// Close leaves all peers and waits until nothing of the source runs any more.
// Whoever still asks it gets ErrClosed.
func (s *Source) Close() error {
	s.cancel()
	s.loops.Wait()
	return nil
}

// Wake implements bitcoin.Waker: a peer told of a block, or is new.
func (s *Source) Wake() <-chan struct{} { return s.wake }

// ring passes news on to Wake, not too often, whatever peers say.
func (s *Source) ring() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.rung:
		}
		signal(s.wake)
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(s.t.ring):
		}
	}
}

// signal makes sure that a channel with room for one value has one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// A Status tells how it goes with a peer.
type Status struct {
	Addr      string        `json:"addr"`
	Connected bool          `json:"connected"`
	Agent     string        `json:"agent,omitempty"`  // what it says that it is
	Height    int           `json:"height,omitempty"` // that it claimed when it was called
	Speed     time.Duration `json:"speed,omitempty"`  // that a block or headers take, about
	Error     string        `json:"error,omitempty"`  // why it was left the last time
}

// Status returns the peers that are connected and, of those that were named, the
// others.
func (s *Source) Status() (list []Status) {
	connected := make(map[*address]bool)
	for _, p := range s.connected() {
		connected[p.addr] = true
		list = append(list, p.status())
	}
	for a, err := range s.book.failed() {
		if !connected[a] && a.fixed {
			list = append(list, Status{Addr: a.host, Error: err.Error()})
		}
	}
	slices.SortFunc(list, func(a, b Status) int { return cmp.Compare(a.Addr, b.Addr) })
	return list
}

// Height returns the height that most peers' chains had at least when they were
// called, as they claim; 0 if there is none.
func (s *Source) Height() int {
	var heights []int
	for _, p := range s.connected() {
		heights = append(heights, p.height)
	}
	if len(heights) == 0 {
		return 0
	}
	slices.Sort(heights)
	return heights[len(heights)/2]
}

// connected returns the peers that are connected.
func (s *Source) connected() []*peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.peers)
}

// waitPeers returns the peers that are connected, and waits a while for one.
func (s *Source) waitPeers(ctx context.Context) ([]*peer, error) {
	timer := time.NewTimer(s.t.peer)
	defer timer.Stop()
	for {
		s.mu.Lock()
		peers, joined := slices.Clone(s.peers), s.joined
		s.mu.Unlock()
		if len(peers) > 0 {
			return peers, nil
		}
		select {
		case <-joined:
		case <-s.ctx.Done():
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			return nil, s.book.nobody()
		}
	}
}

// join makes a peer one of those that are asked.
func (s *Source) join(p *peer) {
	s.mu.Lock()
	s.peers = append(s.peers, p)
	close(s.joined)
	s.joined = make(chan struct{})
	for _, tx := range s.sending {
		tx.offer(p)
	}
	s.mu.Unlock()
	signal(s.rung)
}

func (s *Source) leave(p *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers = slices.DeleteFunc(s.peers, func(q *peer) bool { return q == p })
}

var (
	_ bitcoin.Source      = (*Source)(nil)
	_ bitcoin.Several     = (*Source)(nil)
	_ bitcoin.Waker       = (*Source)(nil)
	_ bitcoin.Broadcaster = (*Source)(nil)
)

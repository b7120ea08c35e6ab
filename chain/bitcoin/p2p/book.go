package p2p

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// What the book of addresses takes.
const (
	maxBook     = 2000
	maxGave     = 64 // from one peer
	maxFromSeed = 32 // from one seed
	maxFails    = 3  // before an address is forgotten
)

// An address is where a node may be.
type address struct {
	host  string // host:port
	group string // addresses that one owner is likely to have; empty: its own
	fixed bool   // it was named

	// guarded by the book
	busy  bool // connected, or being called
	fails int  // in a row
	next  time.Time
	err   error
}

// A book has the addresses of nodes.
type book struct {
	params *chaincfg.Params
	t      times
	open   bool // more addresses are looked for
	world  world

	mu     sync.Mutex
	list   map[string]*address
	seeded time.Time
	err    error // why the last connection failed or ended
}

func newBook(p *chaincfg.Params, peers []string, t times, w world) (*book, error) {
	b := &book{params: p, t: t, open: len(peers) == 0, world: w, list: make(map[string]*address)}
	for _, s := range peers {
		host, port, err := net.SplitHostPort(s)
		if err != nil {
			host, port = strings.Trim(s, "[]"), p.DefaultPort
		}
		if n, err := strconv.ParseUint(port, 10, 16); host == "" || err != nil || n == 0 || strings.ContainsAny(host, "/@ ") {
			return nil, fmt.Errorf("p2p: peer %q: want HOST or HOST:PORT", s)
		}
		s = net.JoinHostPort(host, port)
		b.list[s] = &address{host: s, fixed: true}
	}
	return b, nil
}

// take returns an address to call, at random, and marks it; nil if there is none
// now.
func (b *book) take() *address {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, groups := time.Now(), make(map[string]bool)
	for _, a := range b.list {
		if a.busy && a.group != "" {
			groups[a.group] = true
		}
	}
	var able []*address
	for _, a := range b.list {
		if !a.busy && !groups[a.group] && !now.Before(a.next) {
			able = append(able, a)
		}
	}
	if len(able) == 0 {
		return nil
	}
	a := able[rand.N(len(able))]
	a.busy = true
	return a
}

// left takes note of how a visit ended. good says that the connection was of use.
func (b *book) left(a *address, err error, good bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a.busy, a.err, b.err = false, err, fmt.Errorf("%s: %w", a.host, err)
	if good {
		a.fails = 0
	}
	a.fails++
	most, ban := b.t.maxPause, b.t.ban
	if a.fixed { // somebody wants just this one
		most, ban = most/10, ban/6
	}
	pause := min(b.t.minPause<<min(a.fails-1, 20), most)
	if errors.Is(err, errBad) {
		pause = ban
	} else if a.fails >= maxFails && !a.fixed {
		delete(b.list, a.host)
	}
	a.next = time.Now().Add(pause + rand.N(pause/4+1))
}

// failed yields the addresses that are not connected, with why.
func (b *book) failed() iter.Seq2[*address, error] {
	return func(yield func(*address, error) bool) {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, a := range b.list {
			if a.err != nil && !yield(a, a.err) {
				return
			}
		}
	}
}

// nobody says why there is no peer.
func (b *book) nobody() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		return ErrNoPeer
	}
	return fmt.Errorf("%w: %w", ErrNoPeer, b.err)
}

// busy counts the addresses that are connected or being called.
func (b *book) busy() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.list {
		if a.busy {
			n++
		}
	}
	return n
}

// hear adds some of the addresses that a peer told of, at random, and returns how
// many.
func (b *book) hear(list []*wire.NetAddress, most int) (added int) {
	for _, i := range rand.Perm(len(list)) {
		if added >= most {
			break
		}
		ip, ok := netip.AddrFromSlice(list[i].IP)
		if ok && list[i].HasService(wire.SFNodeNetwork) && b.add(ip.Unmap(), list[i].Port) {
			added++
		}
	}
	return added
}

// add adds an address that anybody may have named. When the book is full it
// replaces another one.
func (b *book) add(ip netip.Addr, port uint16) bool {
	if !public(ip) || port == 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	a := &address{host: netip.AddrPortFrom(ip, port).String(), group: group(ip)}
	if b.list[a.host] != nil {
		return false
	}
	if len(b.list) >= maxBook {
		for host, old := range b.list { // in no order
			if !old.busy {
				delete(b.list, host)
				break
			}
		}
	}
	b.list[a.host] = a
	return true
}

// public says if an address can be one of a node of the network.
func public(ip netip.Addr) bool {
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && ip.Zone() == ""
}

// group returns the part of an address that one owner is likely to have.
func group(ip netip.Addr) string {
	bits := 32
	if ip.Is4() {
		bits = 16
	}
	prefix, _ := ip.Prefix(bits)
	return prefix.String()
}

// needsSeeds says if it is time to ask the seeds.
func (b *book) needsSeeds(want int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open || len(b.list) >= 4*want || !b.seeded.IsZero() && time.Since(b.seeded) < b.t.seeds {
		return false
	}
	b.seeded = time.Now()
	return true
}

// seed asks the seeds for addresses.
func (b *book) seed(ctx context.Context) {
	port, err := strconv.ParseUint(b.params.DefaultPort, 10, 16)
	for _, i := range rand.Perm(len(b.params.DNSSeeds)) {
		s := b.params.DNSSeeds[i]
		host := s.Host
		if s.HasFiltering {
			host = fmt.Sprintf("x%x.%s", uint64(wire.SFNodeNetwork), host)
		}
		short, cancel := context.WithTimeout(ctx, b.t.dial)
		ips, e := b.world.lookup(short, "ip", host)
		cancel()
		if err == nil && e != nil {
			err = fmt.Errorf("seed %s: %w", host, e)
		}
		added := 0
		for _, j := range rand.Perm(len(ips)) {
			if added < maxFromSeed && b.add(ips[j].Unmap(), uint16(port)) {
				added++
			}
		}
	}
	if err != nil {
		b.mu.Lock()
		b.err = err
		b.mu.Unlock()
	}
}

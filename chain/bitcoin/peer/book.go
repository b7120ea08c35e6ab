package peer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/btcsuite/btcd/wire/v2"
)

// A book knows addresses of peers: of the network's seeds, and of what peers tell.
// Peers tell what they like, so only public addresses with the network's own port
// are kept, not too many, and no two connections go to one neighbourhood.
type book struct {
	o    *Options
	port string

	mu      sync.Mutex
	asked   time.Time // when the seeds were
	addrs   map[netip.Addr]bool
	used    map[netip.Prefix]bool
	resting map[netip.Addr]time.Time // until when
}

const (
	maxAddrs = 2000
	seedTime = time.Minute // between questions to the seeds
	badTime  = 30 * time.Minute
)

func newBook(o *Options) *book {
	return &book{
		o: o, port: o.Chain.DefaultPort, addrs: make(map[netip.Addr]bool),
		used: make(map[netip.Prefix]bool), resting: make(map[netip.Addr]time.Time),
	}
}

// errNobody reports that no peer is known.
var errNobody = errors.New("no peers are known: the seeds of the network don't answer")

// take returns an address that nobody uses; give gives it back.
func (b *book) take(ctx context.Context) (string, error) {
	if a, ok := b.pick(); ok {
		return net.JoinHostPort(a.String(), b.port), nil
	}
	if err := b.seed(ctx); err != nil {
		return "", err
	}
	a, ok := b.pick()
	if !ok {
		return "", errNobody
	}
	return net.JoinHostPort(a.String(), b.port), nil
}

func (b *book) pick() (netip.Addr, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var free []netip.Addr
	for a := range b.addrs {
		if !b.used[neighbourhood(a)] && time.Now().After(b.resting[a]) {
			free = append(free, a)
		}
	}
	if len(free) == 0 {
		return netip.Addr{}, false
	}
	a := free[rand.N(len(free))]
	b.used[neighbourhood(a)] = true
	return a, true
}

func (b *book) give(addr string) {
	if ap, err := netip.ParseAddrPort(addr); err == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.used, neighbourhood(ap.Addr()))
	}
}

// bad has an address left alone for a while.
func (b *book) bad(addr string) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.resting[ap.Addr()] = time.Now().Add(badTime)
	maps.DeleteFunc(b.resting, func(_ netip.Addr, until time.Time) bool { return time.Now().After(until) })
}

// neighbourhood is what one owner of addresses is likely to have.
func neighbourhood(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is4() {
		bits = 16
	}
	p, _ := a.Prefix(bits)
	return p
}

// seed asks the network's seeds.
func (b *book) seed(ctx context.Context) error {
	b.mu.Lock()
	recent := time.Since(b.asked) < seedTime
	b.asked = time.Now()
	b.mu.Unlock()
	if recent {
		return nil
	}
	if len(b.o.Chain.DNSSeeds) == 0 {
		return fmt.Errorf("%s has no seeds: name a peer's address", b.o.Chain.Name)
	}
	var errs []error
	for _, s := range b.o.Chain.DNSSeeds {
		ips, err := b.o.lookup(ctx, s.Host)
		if err != nil {
			errs = append(errs, err)
		}
		for _, ip := range ips {
			b.keep(ip)
		}
	}
	if len(errs) == len(b.o.Chain.DNSSeeds) {
		return errors.Join(errs[0], errNobody)
	}
	return nil
}

// add keeps what a peer tells.
func (b *book) add(list []*wire.NetAddress) {
	for _, na := range list {
		if na.Services&wire.SFNodeNetwork != 0 && strconv.Itoa(int(na.Port)) == b.port {
			b.keep(na.IP)
		}
	}
}

func (b *book) keep(ip net.IP) {
	a, ok := netip.AddrFromSlice(ip)
	a = a.Unmap()
	if !ok || !a.IsGlobalUnicast() || a.IsPrivate() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.addrs) < maxAddrs {
		b.addrs[a] = true
	}
}

// known returns the addresses, sorted.
func (b *book) known() []netip.Addr {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.SortedFunc(maps.Keys(b.addrs), netip.Addr.Compare)
}

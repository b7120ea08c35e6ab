package p2p

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// internet has nodes at public addresses, and seeds.
type internet struct {
	t     *testing.T
	nodes map[string]*node // by host:port
	seeds map[string][]string

	mu     sync.Mutex
	asked  []string // of the seeds
	called []string
}

func (w *internet) world() world { return world{w.lookup, w.dial} }

func (w *internet) lookup(ctx context.Context, network, host string) (list []netip.Addr, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, host)
	for _, s := range w.seeds[host] {
		list = append(list, netip.MustParseAddr(s))
	}
	if list == nil {
		err = errors.New("no such host")
	}
	return list, err
}

func (w *internet) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.mu.Lock()
	w.called = append(w.called, addr)
	n := w.nodes[addr]
	w.mu.Unlock()
	if n == nil {
		return nil, errors.New("nobody is there")
	}
	return new(net.Dialer).DialContext(ctx, network, n.addr)
}

// TestDiscovery: nodes are found through seeds and through each other, in groups
// that differ, and only those that have all blocks.
func TestDiscovery(t *testing.T) {
	c := newChain(t)
	params := *c.Params.Chain
	params.DefaultPort = "8333"
	params.DNSSeeds = []chaincfg.DNSSeed{{Host: "one.seed", HasFiltering: true}, {Host: "two.seed"}}
	first, same, other, pruned := newNode(t, c), newNode(t, c), newNode(t, c), newNode(t, c)
	pruned.version = func(m *wire.MsgVersion) { m.Services = wire.SFNodeNetworkLimited }
	w := &internet{
		t: t,
		nodes: map[string]*node{
			"8.1.0.1:8333": first.start(), "8.1.0.2:8333": same.start(), "9.9.0.1:18444": other.start(), "11.1.1.1:8333": pruned.start(),
		},
		seeds: map[string][]string{"x1.one.seed": {"8.1.0.1", "127.0.0.1", "10.0.0.1", "fe80::1", "0.0.0.0"}},
	}
	first.hear = func(c *conn, m wire.Message) bool {
		if _, ok := m.(*wire.MsgGetAddr); ok {
			list := wire.NewMsgAddr()
			for _, a := range []struct {
				ip   string
				port uint16
				has  wire.ServiceFlag
			}{
				{"8.1.0.2", 8333, wire.SFNodeNetwork}, {"9.9.0.1", 18444, wire.SFNodeNetwork | wire.SFNodeWitness},
				{"11.1.1.1", 8333, wire.SFNodeNetwork}, {"12.1.1.1", 8333, 0}, {"13.1.1.1", 0, wire.SFNodeNetwork},
				{"192.168.1.1", 8333, wire.SFNodeNetwork}, {"224.0.0.1", 8333, wire.SFNodeNetwork},
			} {
				_ = list.AddAddress(wire.NewNetAddressIPPort(net.ParseIP(a.ip), a.port, a.has))
			}
			c.say(list)
		}
		return false
	}
	s, err := open(Options{Params: &params, Want: 3}, quick, w.world())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	eventually(t, "two are connected and one is refused", func() bool { return len(s.connected()) == 2 && pruned.calls.Load() > 0 })
	time.Sleep(100 * time.Millisecond)
	follow(t, withTxs{s, c}, c)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Contains(w.asked, "x1.one.seed") || !slices.Contains(w.asked, "two.seed") {
		t.Errorf("seeds asked: %q", w.asked)
	}
	slices.Sort(w.called)
	if got, want := fmt.Sprint(slices.Compact(w.called)), "[11.1.1.1:8333 8.1.0.1:8333 9.9.0.1:18444]"; got != want {
		t.Errorf("called %s, want %s", got, want)
	}
	if pruned.calls.Load() != 1 || same.calls.Load() != 0 {
		t.Errorf("pruned: %d calls, same group: %d calls", pruned.calls.Load(), same.calls.Load())
	}
}

// TestSeedsAgain: seeds that don't answer are asked again, and that is said.
func TestSeedsAgain(t *testing.T) {
	c := newChain(t)
	n := newNode(t, c).start()
	params := *c.Params.Chain
	params.DefaultPort = "8333"
	params.DNSSeeds = []chaincfg.DNSSeed{{Host: "one.seed"}}
	w := &internet{t: t, nodes: map[string]*node{"8.1.0.1:8333": n}}
	tm := quick
	tm.peer = 100 * time.Millisecond
	s, err := open(Options{Params: &params}, tm, w.world())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Headers(t.Context(), nil); !errors.Is(err, ErrNoPeer) || !strings.Contains(err.Error(), "one.seed") {
		t.Errorf("got %v", err)
	}
	w.mu.Lock()
	w.seeds = map[string][]string{"one.seed": {"8.1.0.1"}}
	w.mu.Unlock()
	eventually(t, "it is connected", func() bool { return len(s.connected()) == 1 })
}

// TestBookIsBounded: whatever peers tell, the book doesn't grow beyond its size,
// and one peer has little of it.
func TestBookIsBounded(t *testing.T) {
	params := chaincfg.MainNetParams
	b, err := newBook(&params, nil, quick, world{})
	if err != nil {
		t.Fatal(err)
	}
	list := func(from byte) (list []*wire.NetAddress) {
		for i := range 1000 {
			ip := net.IPv4(20+from, byte(i>>8), byte(i), 1)
			list = append(list, wire.NewNetAddressIPPort(ip, 8333, wire.SFNodeNetwork))
		}
		return list
	}
	if got := b.hear(list(0), maxGave); got != maxGave || len(b.list) != maxGave {
		t.Errorf("took %d, has %d", got, len(b.list))
	}
	busy := b.take()
	for i := range byte(50) {
		b.hear(list(i), 1000)
	}
	if len(b.list) != maxBook || b.list[busy.host] != busy {
		t.Errorf("%d addresses; the one in use is there: %v", len(b.list), b.list[busy.host] == busy)
	}
}

// TestPauses: failures lead to longer and longer pauses, misbehaviour to a long
// one; an address that was found is forgotten after a few failures.
func TestPauses(t *testing.T) {
	b, err := newBook(&chaincfg.MainNetParams, []string{"named.example"}, defaultTimes, world{})
	if err != nil {
		t.Fatal(err)
	}
	b.add(netip.MustParseAddr("8.1.0.1"), 8333)
	named, found := b.list["named.example:8333"], b.list["8.1.0.1:8333"]
	pause := func(a *address, err error, good bool) time.Duration {
		b.left(a, err, good)
		return time.Until(a.next).Round(time.Second)
	}
	last := time.Duration(0)
	for i := range 20 {
		p := pause(named, errSilent, false)
		if i < 6 && p <= last || p > defaultTimes.maxPause/5 {
			t.Errorf("pause %d is %v after %v", i, p, last)
		}
		last = p
	}
	if p := pause(named, errSilent, true); p > 2*time.Second {
		t.Errorf("pause %v after a good connection", p)
	}
	if p := pause(named, bad("x"), true); p < defaultTimes.ban/6 {
		t.Errorf("pause %v after misbehaviour", p)
	}
	if p := pause(found, bad("x"), true); p < defaultTimes.ban || b.list[found.host] == nil {
		t.Errorf("pause %v after misbehaviour of one that was found", p)
	}
	for range maxFails {
		b.left(found, errSilent, false)
	}
	if b.list[found.host] != nil || b.list[named.host] == nil {
		t.Errorf("remembered: found %v, named %v", b.list[found.host] != nil, b.list[named.host] != nil)
	}
}

func TestOptions(t *testing.T) {
	for peer, want := range map[string]string{
		"1.2.3.4":          "1.2.3.4:8333",
		"1.2.3.4:1":        "1.2.3.4:1",
		"node.example":     "node.example:8333",
		"node.example:100": "node.example:100",
		"::1":              "[::1]:8333",
		"[::1]:5":          "[::1]:5",
		"[::1]":            "[::1]:8333",
		"":                 "",
		":5":               "",
		"a:0":              "",
		"a:65536":          "",
		"a:x":              "",
		"a/b":              "",
		"me@host:5":        "",
	} {
		b, err := newBook(&chaincfg.MainNetParams, []string{peer}, quick, world{})
		if (err == nil) != (want != "") || err == nil && b.list[want] == nil {
			t.Errorf("%q: %v, want %q", peer, err, want)
		}
	}
	for why, o := range map[string]Options{
		"no network": {},
		"no seeds":   {Params: &chaincfg.RegressionNetParams},
		"odd peer":   {Params: &chaincfg.MainNetParams, Peers: []string{"a/b"}},
	} {
		if s, err := Open(o); err == nil {
			s.Close()
			t.Errorf("%s: no error", why)
		}
	}
}

package peer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

var regtest = &chaincfg.RegressionNetParams

// A fake is a peer that answers as a test wants it to.
type fake struct {
	t        *testing.T
	l        net.Listener
	services wire.ServiceFlag
	answer   func(c net.Conn, command string, payload []byte)

	mu    sync.Mutex
	conns int
	loops sync.WaitGroup
}

func newFake(t *testing.T, answer func(c net.Conn, command string, payload []byte)) *fake {
	t.Helper()
	return newFakeWith(t, wire.SFNodeNetwork, answer)
}

func newFakeWith(t *testing.T, services wire.ServiceFlag, answer func(c net.Conn, command string, payload []byte)) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{t: t, l: l, services: services, answer: answer}
	f.loops.Go(f.accept)
	t.Cleanup(func() { l.Close(); f.loops.Wait() })
	return f
}

func (f *fake) accept() {
	for {
		c, err := f.l.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns++
		f.mu.Unlock()
		f.loops.Go(func() { f.talk(c) })
	}
}

func (f *fake) connections() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.conns
}

func (f *fake) talk(c net.Conn) {
	defer c.Close()
	none := wire.NewNetAddressIPPort(net.IPv4zero, 0, 0)
	v := wire.NewMsgVersion(none, none, 1, 0)
	v.Services, v.ProtocolVersion = f.services, version
	say(c, v)
	say(c, wire.NewMsgVerAck())
	for {
		command, payload, err := readFrame(c, regtest.Net)
		if err != nil {
			return
		}
		f.answer(c, command, payload)
	}
}

func say(c net.Conn, msg wire.Message) {
	b, err := frame(regtest.Net, msg)
	if err == nil {
		_, _ = c.Write(b)
	}
}

// open opens places for a test.
func open(t *testing.T, addrs ...string) []*Peer {
	t.Helper()
	peers := Open(Options{Chain: regtest, Addrs: addrs, Log: slog.New(slog.DiscardHandler), ask: 2 * time.Second})
	t.Cleanup(func() {
		for _, p := range peers {
			p.Close()
		}
	})
	return peers
}

func pong(c net.Conn, command string, payload []byte) {
	if command == wire.CmdPing {
		_, _ = c.Write(rawFrame(regtest.Net, wire.CmdPong, payload))
	}
}

// TestEvilPeers: whatever a peer sends, questions end soon with an error, and the
// peer is disconnected.
func TestEvilPeers(t *testing.T) {
	genesis := regtest.GenesisBlock
	onHeaders := func(answer func(c net.Conn)) func(net.Conn, string, []byte) {
		return func(c net.Conn, command string, payload []byte) {
			if command == wire.CmdGetHeaders || command == wire.CmdGetData {
				answer(c)
			}
		}
	}
	write := func(b []byte) func(net.Conn, string, []byte) {
		return onHeaders(func(c net.Conn) { _, _ = c.Write(b) })
	}
	good, _ := frame(regtest.Net, &wire.MsgHeaders{})
	badSum := bytes.Clone(good)
	badSum[20] ^= 1
	huge := bytes.Clone(good)
	binary.LittleEndian.PutUint32(huge[16:], 0xffffffff)
	hugeUnknown := bytes.Clone(huge)
	copy(hugeUnknown[4:16], "strange\x00\x00\x00\x00\x00")
	block, _ := frame(regtest.Net, genesis)
	for what, f := range map[string]struct {
		answer func(net.Conn, string, []byte)
		want   string
	}{
		"garbage":           {write(bytes.Repeat([]byte("x"), 100)), "another network"},
		"wrong checksum":    {write(badSum), "checksum"},
		"huge":              {write(huge), "of 4294967295 bytes"},
		"huge and unknown":  {write(hugeUnknown), "of 4294967295 bytes"},
		"unrequested block": {write(block), "nobody asked for"},
		"short block":       {write(rawFrame(regtest.Net, wire.CmdBlock, []byte("short"))), "5 bytes"},
		"headers with more": {write(rawFrame(regtest.Net, wire.CmdHeaders, []byte{0, 1})), "too long"},
		"cut headers":       {write(rawFrame(regtest.Net, wire.CmdHeaders, []byte{9})), "breaks the protocol"},
		"hangs up":          {onHeaders(func(c net.Conn) { c.Close() }), ""},
		"silent":            {onHeaders(func(c net.Conn) {}), "gave no"},
	} {
		t.Run(what, func(t *testing.T) {
			e := newFake(t, f.answer)
			p := open(t, e.l.Addr().String())[0]
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			hs, err := p.Headers(ctx, nil)
			if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), f.want) {
				t.Errorf("headers: got %d, %v, want %q", len(hs), err, f.want)
			}
			b, err := p.Block(ctx, chainhash.Hash{1})
			if err == nil || ctx.Err() != nil {
				t.Errorf("block: got %d bytes, %v", len(b), err)
			}
			for deadline := time.Now().Add(5 * time.Second); e.connections() < 2; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("it was not disconnected")
				}
			}
		})
	}
}

// TestEndlessPings: a peer that only ever pings doesn't keep a question from
// ending.
func TestEndlessPings(t *testing.T) {
	e := newFake(t, func(c net.Conn, command string, payload []byte) {
		for i := uint64(0); command == wire.CmdGetHeaders; i++ {
			if _, err := c.Write(rawFrame(regtest.Net, wire.CmdPing, binary.LittleEndian.AppendUint64(nil, i))); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	if _, err := open(t, e.l.Addr().String())[0].Headers(t.Context(), nil); err == nil {
		t.Error("no error")
	}
}

// TestBusyPeer: a peer that answers pings and not what is asked is still reading
// the chain itself; that is said at once.
func TestBusyPeer(t *testing.T) {
	e := newFake(t, pong)
	p := open(t, e.l.Addr().String())[0]
	start := time.Now()
	_, err := p.Headers(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "still reading") || time.Since(start) > 1500*time.Millisecond {
		t.Errorf("got %v after %v", err, time.Since(start))
	}
	if n := e.connections(); n != 1 {
		t.Errorf("%d connections, want the one to stay", n)
	}
}

func TestPeerWithoutBlocks(t *testing.T) {
	e := newFakeWith(t, 0, pong)
	if _, err := open(t, e.l.Addr().String())[0].Headers(t.Context(), nil); !errors.Is(err, ErrOffline) || !strings.Contains(err.Error(), "all blocks") {
		t.Errorf("got %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	if _, err := open(t, addr)[0].Headers(t.Context(), nil); !errors.Is(err, ErrOffline) {
		t.Errorf("got %v", err)
	}
}

func TestNotFound(t *testing.T) {
	e := newFake(t, func(c net.Conn, command string, payload []byte) {
		if command == wire.CmdGetData {
			_, _ = c.Write(rawFrame(regtest.Net, wire.CmdNotFound, payload))
		}
	})
	p := open(t, e.l.Addr().String())[0]
	for range 2 * maxBlocks { // no slot is lost
		if _, err := p.Block(t.Context(), chainhash.Hash{1}); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("got %v", err)
		}
	}
}

// TestNobodyWaits: a block that comes after nobody waits for it any more is no
// reason to disconnect.
func TestNobodyWaits(t *testing.T) {
	release := make(chan struct{})
	e := newFake(t, func(c net.Conn, command string, payload []byte) {
		pong(c, command, payload)
		if command == wire.CmdGetData {
			<-release
			say(c, regtest.GenesisBlock)
		}
	})
	p := open(t, e.l.Addr().String())[0]
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.Block(ctx, *regtest.GenesisHash); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	close(release)
	b, err := p.Block(t.Context(), *regtest.GenesisHash)
	if err != nil || chainhash.DoubleHashH(b[:80]) != *regtest.GenesisHash {
		t.Errorf("got %d bytes, %v", len(b), err)
	}
	if n := e.connections(); n != 1 {
		t.Errorf("%d connections, want one", n)
	}
}

func TestBroadcastAndAnnouncement(t *testing.T) {
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(&wire.TxIn{})
	tx.AddTxOut(&wire.TxOut{})
	var raw bytes.Buffer
	_ = tx.Serialize(&raw)
	got := make(chan []byte, 1)
	e := newFake(t, func(c net.Conn, command string, payload []byte) {
		switch command {
		case wire.CmdInv:
			_, _ = c.Write(rawFrame(regtest.Net, wire.CmdGetData, payload))
		case wire.CmdTx:
			got <- payload
			inv := wire.NewMsgInv()
			_ = inv.AddInvVect(wire.NewInvVect(wire.InvTypeBlock, &chainhash.Hash{1}))
			say(c, inv)
		}
	})
	p := open(t, e.l.Addr().String())[0]
	select {
	case <-p.Wake(): // connected
	case <-time.After(5 * time.Second):
		t.Fatal("not connected")
	}
	id, err := p.Broadcast(t.Context(), raw.Bytes())
	if err != nil || id != tx.TxHash() || !bytes.Equal(<-got, raw.Bytes()) {
		t.Errorf("got %v, %v", id, err)
	}
	select {
	case <-p.Wake():
	case <-time.After(5 * time.Second):
		t.Error("an announced block wakes nobody")
	}
	deaf := newFake(t, pong)
	if _, err := open(t, deaf.l.Addr().String())[0].Broadcast(t.Context(), raw.Bytes()); err == nil {
		t.Error("a peer that asked for nothing took it")
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	e := newFake(t, pong)
	before := runtime.NumGoroutine()
	for range 5 {
		peers := Open(Options{Chain: regtest, Addrs: []string{e.l.Addr().String(), "127.0.0.1:1"}, Log: slog.New(slog.DiscardHandler)})
		_, _ = peers[0].Headers(t.Context(), nil)
		for _, p := range peers {
			p.Close()
		}
		if _, err := peers[0].Headers(t.Context(), nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, then %d", before, runtime.NumGoroutine())
		}
	}
}

func TestBook(t *testing.T) {
	asked := 0
	o := Options{Chain: &chaincfg.MainNetParams, lookup: func(ctx context.Context, host string) ([]net.IP, error) {
		if asked++; asked > 1 {
			return nil, errors.New("no answer")
		}
		return []net.IP{net.ParseIP("1.2.3.4"), net.ParseIP("1.2.9.9"), net.ParseIP("10.0.0.1"), net.ParseIP("127.0.0.1"), net.ParseIP("2001:db8::1")}, nil
	}}
	b := newBook(&o)
	taken := map[string]bool{}
	for range 2 {
		a, err := b.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		taken[a] = true
	}
	if taken["1.2.3.4:8333"] == taken["1.2.9.9:8333"] || !taken["[2001:db8::1]:8333"] {
		t.Errorf("took %v: want one of each neighbourhood", taken)
	}
	if a, err := b.take(t.Context()); err == nil {
		t.Errorf("took %s, whose neighbour is taken", a)
	}
	told := []*wire.NetAddress{
		wire.NewNetAddressIPPort(net.ParseIP("5.6.7.8"), 8333, wire.SFNodeNetwork),
		wire.NewNetAddressIPPort(net.ParseIP("5.7.7.8"), 22, wire.SFNodeNetwork),
		wire.NewNetAddressIPPort(net.ParseIP("5.8.7.8"), 8333, 0),
		wire.NewNetAddressIPPort(net.ParseIP("192.168.1.1"), 8333, wire.SFNodeNetwork),
	}
	b.add(told)
	a, err := b.take(t.Context())
	if err != nil || a != "5.6.7.8:8333" {
		t.Errorf("got %s, %v", a, err)
	}
	b.bad(a)
	b.give(a)
	if a, err := b.take(t.Context()); err == nil {
		t.Errorf("took %s, which was bad", a)
	}
	for i := range 3 * maxAddrs {
		b.keep(net.IP(netip.AddrFrom4([4]byte{byte(20 + i>>16), byte(i >> 8), byte(i), 1}).AsSlice()))
	}
	if n := len(b.known()); n > maxAddrs {
		t.Errorf("%d addresses are kept", n)
	}
	none := newBook(&Options{Chain: regtest})
	if _, err := none.take(t.Context()); err == nil || !strings.Contains(err.Error(), "name a peer") {
		t.Errorf("a network without seeds: %v", err)
	}
}

func FuzzFrames(f *testing.F) {
	good, _ := frame(regtest.Net, &wire.MsgHeaders{Headers: []*wire.BlockHeader{&regtest.GenesisBlock.Header}})
	f.Add(good)
	block, _ := frame(regtest.Net, regtest.GenesisBlock)
	f.Add(append(block, good...))
	f.Add(rawFrame(regtest.Net, "strange", []byte{1, 2, 3}))
	for _, c := range []string{wire.CmdInv, wire.CmdAddr, wire.CmdNotFound, wire.CmdGetData, wire.CmdPong, wire.CmdTx} {
		f.Add(rawFrame(regtest.Net, c, []byte{1, 2, 0, 0, 0}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		here, there := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, there) }()
		defer there.Close()
		c := &conn{Conn: here, magic: regtest.Net, ask: time.Second, done: make(chan struct{}),
			blocks: make(map[chainhash.Hash]*wanted), txs: make(map[chainhash.Hash]*offered), slots: make(chan struct{}, 1),
			addrs: func([]*wire.NetAddress) {}}
		defer here.Close()
		for r := bytes.NewReader(b); ; {
			command, payload, err := readFrame(r, regtest.Net)
			if err != nil {
				return
			}
			if len(payload) > limits[command] {
				t.Errorf("%s of %d bytes", command, len(payload))
			}
			_ = c.handle(command, payload)
		}
	})
}

package p2p

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A tape is a connection on which all that the peer says was said already.
type tape struct {
	net.Conn
	io.Reader
}

func (t tape) Read(b []byte) (int, error)      { return t.Reader.Read(b) }
func (tape) Write(b []byte) (int, error)       { return len(b), nil }
func (tape) SetReadDeadline(time.Time) error   { return nil }
func (tape) Close() error                      { return nil }
func (tape) RemoteAddr() (a net.Addr)          { return a }
func (tape) LocalAddr() (a net.Addr)           { return a }
func (tape) SetDeadline(time.Time) (err error) { return err }

// onTape returns a peer that says what is on the tape, was asked for headers and
// for a block, and is offered a transaction.
func onTape(said []byte) (p *peer, answers chan answer, q *question) {
	params := &chaincfg.RegressionNetParams
	b, _ := newBook(params, []string{"peer"}, quick, world{})
	b.open = true
	tx := payment()
	s := &Source{
		params: params, t: quick, book: b, poked: make(chan struct{}, 1), rung: make(chan struct{}, 1),
		sending: []*sending{{id: tx.TxHash(), tx: tx, told: make(chan news, 10), served: make(map[*peer]bool)}},
	}
	p = newPeer(s, b.take(), tape{Reader: bytes.NewReader(said)})
	p.ctx, p.drop = context.WithCancelCause(context.Background())
	answers = make(chan answer, 10)
	for _, hash := range []chainhash.Hash{*params.GenesisHash, {1}} {
		p.ask(hash, answers)
	}
	q = &question{[]chainhash.Hash{*params.GenesisHash}, make(chan []wire.BlockHeader, 1)}
	p.wait(q)
	return p, answers, q
}

// message returns a message as a peer sends it.
func message(m wire.Message) []byte {
	b, err := encode(chaincfg.RegressionNetParams.Net, m, wire.LatestEncoding)
	if err != nil {
		panic(err)
	}
	return b
}

// seeds are messages of each kind.
func seeds() (list [][]byte) {
	genesis := chaincfg.RegressionNetParams.GenesisBlock
	headers, inv, missing, addr := wire.NewMsgHeaders(), wire.NewMsgInv(), wire.NewMsgNotFound(), wire.NewMsgAddr()
	_ = headers.AddBlockHeader(&genesis.Header)
	v := wire.NewInvVect(wire.InvTypeBlock, &chainhash.Hash{1})
	_, _ = inv.AddInvVect(v), missing.AddInvVect(v)
	id := payment().TxHash()
	_ = inv.AddInvVect(wire.NewInvVect(wire.InvTypeTx, &id))
	_ = addr.AddAddress(wire.NewNetAddressIPPort(net.IPv4(8, 8, 8, 8), 8333, wire.SFNodeNetwork))
	reject := wire.NewMsgReject("tx", wire.RejectDust, "dust")
	reject.Hash = id
	version := wire.NewMsgVersion(&wire.NetAddress{}, &wire.NetAddress{}, 1, 1)
	for _, m := range []wire.Message{
		genesis, headers, inv, missing, addr, reject, payment(), getTx(wire.InvTypeTx, id), wire.NewMsgPing(1),
		version, wire.NewMsgVerAck(), wire.NewMsgSendHeaders(), wire.NewMsgGetHeaders(),
	} {
		list = append(list, message(m))
	}
	return list
}

// FuzzListen: whatever a peer says ends with an error, and what comes out of it
// was asked for.
func FuzzListen(f *testing.F) {
	for _, m := range seeds() {
		f.Add(m)
		f.Add(append(bytes.Clone(m), seeds()[0]...))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		p, answers, q := onTape(said)
		if err := p.listen(); err == nil {
			t.Error("no error at the end")
		}
		p.drop(io.EOF)
		p.end(io.EOF)
		check(t, p, answers, q)
	})
}

// FuzzHandle does so with messages whose head and checksum are right.
func FuzzHandle(f *testing.F) {
	for _, m := range seeds() {
		command, _, _ := bytes.Cut(m[4:16], []byte{0})
		f.Add(string(command), m[wire.MessageHeaderSize:])
	}
	f.Fuzz(func(t *testing.T, command string, payload []byte) {
		if len(payload) > int(maxPayload[command]) {
			return
		}
		p, answers, q := onTape(nil)
		_ = p.handle(command, payload) // good or bad
		if command == wire.CmdVersion {
			_ = p.meet(payload)
		}
		p.drop(io.EOF)
		p.end(io.EOF)
		check(t, p, answers, q)
	})
}

// check looks at what a peer has led to.
func check(t *testing.T, p *peer, answers chan answer, q *question) {
	t.Helper()
	for range 2 {
		select {
		case a := <-answers:
			genesis := chainhash.Hash{}
			if a.err == nil {
				genesis = chainhash.DoubleHashH(a.raw[:wire.MaxBlockHeaderPayload])
			}
			if a.err == nil && genesis != *p.s.params.GenesisHash {
				t.Errorf("block %v was not asked for", genesis)
			}
		default:
			t.Fatal("a request was not answered")
		}
	}
	select {
	case hs := <-q.answer:
		if len(hs) > wire.MaxBlockHeadersPerMsg || len(hs) > 0 && hs[0].PrevBlock != *p.s.params.GenesisHash {
			t.Errorf("%d headers that don't fit", len(hs))
		}
	default:
	}
	for host := range p.s.book.list {
		if _, _, err := net.SplitHostPort(host); err != nil {
			t.Errorf("address %q", host)
		}
	}
	if len(p.fresh) > maxFresh || len(p.out) > outLen {
		t.Errorf("%d blocks, %d messages are kept", len(p.fresh), len(p.out))
	}
}

// TestSeedsAreGood: the seeds do what they should.
func TestSeedsAreGood(t *testing.T) {
	said := seeds()
	p, answers, q := onTape(bytes.Join(said[:9], nil))
	if err := p.listen(); !errors.Is(err, io.EOF) {
		t.Errorf("listen: %v", err)
	}
	if a := <-answers; a.err != nil {
		t.Errorf("block: %v", a.err)
	}
	if len(q.answer) != 0 || len(p.fresh) == 0 || len(p.s.sending[0].told) == 0 || len(p.s.book.list) != 2 {
		t.Errorf("headers %d, new blocks %d, news %d, addresses %d", len(q.answer), len(p.fresh), len(p.s.sending[0].told), len(p.s.book.list))
	}
}

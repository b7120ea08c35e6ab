package registrar_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/bitcoin"
	"satchel/chain/devnet"
	"satchel/chain/ops"
	"satchel/chain/registrar"
)

// A pool is a chain with a memory pool over a private chain: what is sent is in no
// block until mine. It takes what nodes take: coins that are there, a higher fee
// from what replaces another transaction.
type pool struct {
	*devnet.Node
	t       *testing.T
	ix      *chain.Index
	f       *chain.Follower
	txs     []*wire.MsgTx
	floor   int64 // satoshi per 1,000 bytes below which nothing is taken
	rate    int64 // that FeeRate says; 0: it can't tell
	view    view  // of the pool, that Unspent has
	down    error
	fail    int // the next Broadcast fails: 1 before, 2 after it is taken
	refused int
	lock    sync.Mutex
	seen    map[chainhash.Hash]*wire.MsgTx
}

func newPool(t *testing.T, confirmations int) *pool {
	t.Helper()
	n, err := devnet.Open(t.TempDir(), devnet.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	params := *chain.Satchel(regtest, devnet.FirstBlock)
	params.Confirmations = confirmations
	p := &pool{Node: n, t: t, seen: make(map[chainhash.Hash]*wire.MsgTx)}
	if p.ix, err = chain.OpenIndex("", &params); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.ix.Close() })
	p.f = chain.NewFollower(p, p.ix, chain.FollowerOptions{Log: slog.New(slog.DiscardHandler)})
	return p
}

// A view is what a source knows of coins in the memory pool.
type view int

const (
	whole      view = iota
	spentOnly       // what is spent there is gone, what is made there not seen
	blocksOnly      // nothing
)

// PrevTx implements bitcoin.PrevTxer.
func (p *pool) PrevTx(ctx context.Context, txid chainhash.Hash) ([]byte, error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	for _, tx := range p.txs {
		if tx.TxHash() == txid {
			var b bytes.Buffer
			_ = tx.Serialize(&b)
			return b.Bytes(), nil
		}
	}
	return p.Node.PrevTx(ctx, txid)
}

// registrar returns one whose queue is in dir: another one stands for the process
// after a crash.
func (p *pool) registrar(dir string) *registrar.Registrar {
	return &registrar.Registrar{Chain: p, Index: p.ix, Follower: p.f, Dir: dir}
}

type refusal struct{ error }

func (refusal) Rejected() bool { return true }

func refuse(format string, args ...any) error { return refusal{fmt.Errorf(format, args...)} }

// Headers implements bitcoin.Source.
func (p *pool) Headers(ctx context.Context, l []chainhash.Hash) ([]wire.BlockHeader, error) {
	if p.down != nil {
		return nil, p.down
	}
	return p.Node.Headers(ctx, l)
}

// Fund is not offered: coins come from fund.
func (p *pool) Fund(context.Context, string, int64) (chainhash.Hash, error) {
	return chainhash.Hash{}, errors.ErrUnsupported
}

func (p *pool) fund(key *btcec.PrivateKey, satoshi int64) {
	p.t.Helper()
	if _, err := p.Node.Fund(p.t.Context(), address(registrar.ScriptOf(key)), satoshi); err != nil {
		p.t.Fatal(err)
	}
}

// FeeRate implements bitcoin.FeeEstimator.
func (p *pool) FeeRate(context.Context, int) (int64, error) {
	if p.rate == 0 {
		return 0, errors.New("not enough blocks seen")
	}
	return p.rate, nil
}

// coin returns an unspent output of the chain or the pool.
func (p *pool) coin(o wire.OutPoint) (*wire.TxOut, bool) {
	for _, tx := range p.txs {
		if tx.TxHash() == o.Hash && int(o.Index) < len(tx.TxOut) {
			return tx.TxOut[o.Index], true
		}
	}
	raw, err := p.Node.PrevTx(p.t.Context(), o.Hash)
	if err != nil {
		return nil, false
	}
	out, err := bitcoin.OutputOf(raw, o)
	if err != nil {
		return nil, false
	}
	coins, _ := p.Node.Unspent(p.t.Context(), out.PkScript)
	return out, slices.ContainsFunc(coins, func(c bitcoin.Output) bool { return c.OutPoint == o })
}

func (p *pool) fee(tx *wire.MsgTx) (fee int64, err error) {
	for _, in := range tx.TxIn {
		out, ok := p.coin(in.PreviousOutPoint)
		if !ok {
			return 0, refuse("bad-txns-inputs-missingorspent: %v", in.PreviousOutPoint)
		}
		fee += out.Value
	}
	for _, out := range tx.TxOut {
		fee -= out.Value
	}
	return fee, nil
}

func conflict(a, b *wire.MsgTx) bool {
	return slices.ContainsFunc(a.TxIn, func(in *wire.TxIn) bool {
		return slices.ContainsFunc(b.TxIn, func(other *wire.TxIn) bool { return in.PreviousOutPoint == other.PreviousOutPoint })
	})
}

// Broadcast implements bitcoin.Broadcaster.
func (p *pool) Broadcast(ctx context.Context, raw []byte) (chainhash.Hash, error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	fail := p.fail
	p.fail = 0
	if p.down != nil || fail == 1 {
		return chainhash.Hash{}, errDown
	}
	hash, err := p.take(ctx, raw)
	if fail == 2 {
		err = errDown
	}
	return hash, err
}

var errDown = errors.New("the way to the chain is cut")

func (p *pool) take(ctx context.Context, raw []byte) (chainhash.Hash, error) {
	tx := new(wire.MsgTx)
	if err := tx.Deserialize(bytes.NewReader(raw)); err != nil {
		p.t.Fatal(err)
	}
	hash := tx.TxHash()
	p.seen[hash] = tx
	if slices.ContainsFunc(p.txs, func(x *wire.MsgTx) bool { return x.TxHash() == hash }) {
		return hash, nil
	}
	if _, err := p.Node.PrevTx(ctx, hash); err == nil {
		return hash, nil
	}
	err := p.accept(tx)
	if err != nil {
		p.refused++
	}
	return hash, err
}

func (p *pool) accept(tx *wire.MsgTx) error {
	fee, err := p.fee(tx)
	if err != nil {
		return err
	}
	size := int64(tx.SerializeSize())
	if fee*1000 < p.floor*size {
		return refuse("min relay fee not met, %d", fee)
	}
	keep := p.txs[:0:0]
	for _, x := range p.txs {
		if !conflict(x, tx) {
			keep = append(keep, x)
			continue
		}
		if old, _ := p.fee(x); fee < old+size {
			return refuse("insufficient fee, rejecting replacement %v", x.TxHash())
		}
	}
	p.txs = append(keep, tx)
	return nil
}

// Unspent implements bitcoin.Unspenter.
func (p *pool) Unspent(ctx context.Context, script []byte) ([]bitcoin.Output, error) {
	if p.down != nil {
		return nil, p.down
	}
	p.lock.Lock()
	defer p.lock.Unlock()
	coins, err := p.Node.Unspent(ctx, script)
	if p.view == blocksOnly {
		return coins, err
	}
	for _, tx := range p.txs {
		if p.view == spentOnly {
			break
		}
		for i, out := range tx.TxOut {
			if bytes.Equal(out.PkScript, script) {
				coins = append(coins, bitcoin.Output{OutPoint: wire.OutPoint{Hash: tx.TxHash(), Index: uint32(i)}, Value: out.Value, Script: script})
			}
		}
	}
	return slices.DeleteFunc(coins, func(c bitcoin.Output) bool {
		return slices.ContainsFunc(p.txs, func(tx *wire.MsgTx) bool {
			return conflict(tx, &wire.MsgTx{TxIn: []*wire.TxIn{{PreviousOutPoint: c.OutPoint}}})
		})
	}), err
}

// mine mines all of the pool, each transaction in a block of its own.
func (p *pool) mine() {
	p.t.Helper()
	txs := p.txs
	p.txs = nil
	for _, tx := range txs {
		var b bytes.Buffer
		_ = tx.Serialize(&b)
		if _, err := p.Node.Broadcast(p.t.Context(), b.Bytes()); err != nil {
			p.t.Logf("not mined: %v", err)
		}
	}
}

// reorg undoes blocks. What was in them comes back into the pool if again says so.
func (p *pool) reorg(depth int, again bool) {
	p.t.Helper()
	if err := p.Node.Reorg(depth); err != nil {
		p.t.Fatal(err)
	}
	old := p.txs
	p.txs = nil
	for _, tx := range old {
		_ = p.accept(tx)
	}
	for hash, tx := range p.seen {
		if _, err := p.Node.PrevTx(p.t.Context(), hash); again && err != nil {
			_ = p.accept(tx)
		}
	}
}

// empty mines blocks without transactions.
func (p *pool) empty(n int) {
	p.t.Helper()
	if err := p.Node.Mine(n); err != nil {
		p.t.Fatal(err)
	}
}

// burnt returns how often and what was burnt since the chain began.
func (p *pool) burnt() (n int, sum int64) {
	p.t.Helper()
	coins, err := p.Node.Unspent(p.t.Context(), ops.BurnScript())
	if err != nil {
		p.t.Fatal(err)
	}
	for _, c := range coins {
		if c.Height > devnet.FirstBlock+2 {
			n, sum = n+1, sum+c.Value
		}
	}
	return n, sum
}

// until walks a job as long as it moves by itself, then calls step, until its end.
func (p *pool) until(r *registrar.Registrar, id int, key *btcec.PrivateKey, step func()) {
	p.t.Helper()
	if err := p.walk(r, id, key, step); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pool) walk(r *registrar.Registrar, id int, key *btcec.PrivateKey, step func()) error {
	for range 400 {
		err := p.run(r, id, key)
		if !errors.Is(err, context.Canceled) {
			return err
		}
		step()
	}
	jobs, _ := r.Jobs()
	return fmt.Errorf("no end: %+v", jobs)
}

// run walks a job until it has to wait: context.Canceled.
func (p *pool) run(r *registrar.Registrar, id int, key *btcec.PrivateKey) error {
	ctx, cancel := context.WithTimeout(p.t.Context(), 20*time.Second)
	defer cancel()
	return r.Run(ctx, id, key, registrar.Watch{State: func(string) { cancel() }})
}

// exclusive checks that of all transactions sent with an operation at most one can
// be mined, and returns how many there are.
func (p *pool) exclusive(code byte) (n int) {
	p.t.Helper()
	has := func(tx *wire.MsgTx) bool {
		o, ok := ops.Read([2]byte{'s', 'a'}, tx)
		return ok && o.Op.Code() == code
	}
	for i, a := range p.seen {
		if !has(a) {
			continue
		}
		n++
		for j, b := range p.seen {
			if i != j && has(b) && !conflict(a, b) {
				p.t.Errorf("%v and %v can both be mined", i, j)
			}
		}
	}
	return n
}

func goalOf(op, subject string, key *btcec.PrivateKey) registrar.Goal {
	g := registrar.Goal{Op: op, Subject: subject, Owner: registrar.ScriptOf(key)}
	if op == registrar.OpRegister || op == registrar.OpUpdate {
		g.Value = bytes.Repeat([]byte{7}, 20)
	}
	return g
}

func (p *pool) add(r *registrar.Registrar, g registrar.Goal, t registrar.Terms) int {
	p.t.Helper()
	id, err := r.Add(p.t.Context(), g, t)
	if err != nil {
		p.t.Fatal(err)
	}
	return id
}

// TestConfirmations walks a name over a chain whose blocks count when six others
// are on them.
func TestConfirmations(t *testing.T) {
	for v := whole; v <= blocksOnly; v++ {
		p := newPool(t, 6)
		p.view = v
		key, script := newKey(t)
		p.fund(key, 100_000)
		p.empty(6)
		dir := filepath.Join(t.TempDir(), "queue")
		r := p.registrar(dir)
		id := p.add(r, goalOf(registrar.OpRegister, "ada.id", key), registrar.Terms{})
		p.until(r, id, key, func() {
			p.mine()
			p.empty(1)
			r = p.registrar(dir) // and the process begins anew each time
		})
		rec, err := p.ix.Lookup("ada.id")
		if err != nil || !bytes.Equal(rec.Owner, script) || !rec.HasValue {
			t.Errorf("registered: %+v, %v", rec, err)
		}
		if n, sum := p.burnt(); n != 1 || sum != registrar.Dust {
			t.Errorf("burnt %d times, %d satoshi", n, sum)
		}
		if len(p.seen) != 3 {
			t.Errorf("%d transactions were sent, want 3", len(p.seen))
		}
	}
}

package registrar_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/ops"
	"satchel/chain/registrar"
)

// A transaction that could not be saved is not sent by the next round: a crash would
// forget it, and the price be burnt again.
func TestUnsavedIsNotSent(t *testing.T) {
	p := newPool(t, 6)
	key, _ := newKey(t)
	p.fund(key, 100_000)
	p.fund(key, 200_000)
	p.empty(6)
	dir := filepath.Join(t.TempDir(), "queue")
	r := p.registrar(dir)
	id := p.add(r, goalOf(registrar.OpRegister, "ada.id", key), registrar.Terms{})
	mend := noDisk(t, dir)
	for range 2 {
		if err := p.run(r, id, key); err == nil || errors.Is(err, context.Canceled) || len(p.txs) > 0 {
			t.Errorf("%v, and %d transactions were sent", err, len(p.txs))
		}
	}
	mend()
	r = p.registrar(dir)
	p.until(r, id, key, func() { p.mine(); p.empty(1) })
	if n, sum := p.burnt(); n != 1 {
		t.Errorf("burnt %d times, %d", n, sum)
	}
}

// A job whose transaction waits in the pool can't be cancelled since another one waits
// to be signed in its place.
func TestNoCancelWhileAnotherIsSigned(t *testing.T) {
	p := newPool(t, 6)
	p.rate = 2000
	key, _ := newKey(t)
	p.fund(key, 100_000)
	p.fund(key, 200_000)
	p.empty(6)
	r := p.registrar(filepath.Join(t.TempDir(), "queue"))
	g := goalOf(registrar.OpRegister, "ada.id", key)
	id := p.add(r, g, registrar.Terms{PSBT: true})
	if err := p.run(r, id, nil); !errors.Is(err, registrar.ErrUnsigned) {
		t.Fatal(err)
	}
	_, _, data, err := r.Unsigned(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Signed(t.Context(), signPSBT(t, data, key)); err != nil {
		t.Fatal(err)
	}
	if err := p.run(r, id, nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := r.Cancel(t.Context(), id); !errors.Is(err, registrar.ErrBusy) {
		t.Fatalf("before: %v", err)
	}
	// it waits in the pool; a higher fee is asked for
	p.empty(7)
	p.rate = 4000
	if err := p.run(r, id, nil); !errors.Is(err, registrar.ErrUnsigned) {
		t.Fatal(err)
	}
	if err := r.Cancel(t.Context(), id); !errors.Is(err, registrar.ErrBusy) {
		t.Errorf("cancelled with a transaction under way: %v", err)
	}
}

// An amended update whose coin is the change of the registration.
func TestAmendedUpdate(t *testing.T) {
	for v := whole; v <= blocksOnly; v++ {
		p := newPool(t, 0)
		p.view = v
		key, _ := newKey(t)
		p.fund(key, 300_000)
		p.fund(key, 100_000)
		r := p.registrar(filepath.Join(t.TempDir(), "queue"))
		g := goalOf(registrar.OpRegister, "ada.id", key)
		g.Value = bytes.Repeat([]byte{20}, 20)
		id := p.add(r, g, registrar.Terms{})
		for i := 0; len(p.seen) < 3 && i < 10; i++ {
			if err := p.run(r, id, key); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if len(p.seen) < 3 {
				p.mine()
			}
		}
		g.Value = bytes.Repeat([]byte{21}, 20)
		id = p.add(r, g, registrar.Terms{})
		if err := p.run(r, id, key); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if len(p.txs) > 1 {
			t.Errorf("view %d: both updates can be mined", v)
		}
		p.until(r, id, key, p.mine)
		rec, err := p.ix.Lookup("ada.id")
		if err != nil || !bytes.Equal(rec.ValueHash[:], g.Value) {
			t.Errorf("view %d: %x, %v", v, rec.ValueHash, err)
		}
	}
}

// The registration comes into a block after the preorder is too old.
func TestMinedTooLate(t *testing.T) {
	for v := whole; v <= blocksOnly; v++ {
		p := newPool(t, 6)
		p.view = v
		p.rate = 2000
		key, _ := newKey(t)
		p.fund(key, 300_000)
		p.fund(key, 100_000)
		p.empty(6)
		r := p.registrar(filepath.Join(t.TempDir(), "queue"))
		id := p.add(r, goalOf(registrar.OpRegister, "ada.id", key), registrar.Terms{})
		for i := 0; len(p.seen) < 2 && i < 20; i++ {
			if err := p.run(r, id, key); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if len(p.seen) < 2 {
				p.mine()
				p.empty(1)
			}
		}
		p.empty(300)
		if v != blocksOnly {
			p.mine()
		}
		p.mine()
		var err error
		for range 60 {
			if err = p.run(r, id, key); !errors.Is(err, context.Canceled) {
				break
			}
			p.mine()
			p.empty(1)
		}
		if b, _ := p.burnt(); b != 1 || !errors.Is(err, registrar.ErrSpent) {
			t.Errorf("view %d: burnt %d times, %v, want once and ErrSpent", v, b, err)
		}
	}
}

// pruned knows the transactions of the pool alone, as a bitcoind without txindex.
type pruned struct{ *pool }

func (p pruned) PrevTx(ctx context.Context, id chainhash.Hash) ([]byte, error) {
	for _, tx := range p.txs {
		if tx.TxHash() == id {
			return p.pool.PrevTx(ctx, id)
		}
	}
	return nil, os.ErrNotExist
}

// As TestMinedTooLate, with such a node: the price is paid once more, unasked.
func TestMinedTooLatePruned(t *testing.T) {
	p := newPool(t, 6)
	p.rate = 2000
	key, _ := newKey(t)
	p.fund(key, 300_000)
	p.fund(key, 100_000)
	p.empty(6)
	r := p.registrar(filepath.Join(t.TempDir(), "queue"))
	r.Chain = pruned{p}
	id := p.add(r, goalOf(registrar.OpRegister, "ada.id", key), registrar.Terms{})
	for i := 0; len(p.seen) < 2 && i < 20; i++ {
		if err := p.run(r, id, key); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if len(p.seen) < 2 {
			p.mine()
			p.empty(1)
		}
	}
	p.empty(300)
	p.mine()
	var err error
	for range 60 {
		if err = p.run(r, id, key); !errors.Is(err, context.Canceled) {
			break
		}
		p.mine()
		p.empty(1)
	}
	if b, sum := p.burnt(); b != 1 || !errors.Is(err, registrar.ErrSpent) {
		t.Errorf("burnt %d times %d, %v, want once and ErrSpent", b, sum, err)
	}
}

// Names that jobs before it will bring count for the quota of a job: else both would
// pay, and one get nothing.
func TestQuotaCountsWhatIsUnderWay(t *testing.T) {
	p := newPool(t, 6)
	key, script := newKey(t)
	p.fund(key, 1_000_000)
	p.empty(6)
	r := p.registrar(filepath.Join(t.TempDir(), "queue"))
	p.ix.Params().Quota = 2
	p.add(r, goalOf(registrar.OpRegister, "ada.id", key), registrar.Terms{})
	first := p.add(r, goalOf(registrar.OpRegister, "bob.id", key), registrar.Terms{})
	if _, err := r.Add(t.Context(), goalOf(registrar.OpRegister, "carol.id", key), registrar.Terms{}); !errors.Is(err, registrar.ErrQuota) {
		t.Fatal(err)
	}
	if err := r.Cancel(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	p.add(r, goalOf(registrar.OpRegister, "carol.id", key), registrar.Terms{})
	for range 40 {
		jobs, err := r.Jobs()
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range jobs {
			if err := p.run(r, j.ID, key); err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		p.mine()
		p.empty(1)
	}
	names, _ := p.ix.NamesOf(script)
	if n, sum := p.burnt(); n != 2 || len(names) != 2 {
		t.Errorf("burnt %d times (%d) for %d names", n, sum, len(names))
	}
}

// Somebody copies a preorder's hash out of the pool and is mined first.
func TestCopiedPreorder(t *testing.T) {
	p := newPool(t, 6)
	key, _ := newKey(t)
	eve, _ := newKey(t)
	p.fund(key, 300_000)
	p.fund(key, 300_000)
	p.fund(eve, 300_000)
	p.empty(7)
	r := p.registrar(filepath.Join(t.TempDir(), "queue"))
	id := p.add(r, goalOf(registrar.OpRegister, "ada.id", key), registrar.Terms{})
	p.run(r, id, key)
	h, _ := p.ix.Tip()
	c, err := p.ix.ConsensusHash(h)
	if err != nil {
		t.Fatal(err)
	}
	o, _ := ops.Read([2]byte{'s', 'a'}, p.txs[0])
	hash := o.Op.(ops.NamePreorder).Hash // public
	out, err := ops.Script([2]byte{'s', 'a'}, ops.NamePreorder{Hash: hash, Consensus: c})
	if err != nil {
		t.Fatal(err)
	}
	coins, _ := p.Unspent(t.Context(), registrar.ScriptOf(eve))
	tx, err := registrar.Build(eve, coins, []*wire.TxOut{wire.NewTxOut(0, out), wire.NewTxOut(registrar.Dust, ops.BurnScript())}, 1)
	if err != nil {
		t.Fatal(err)
	}
	p.txs = []*wire.MsgTx{tx, p.txs[0]}
	for range 80 {
		if err = p.run(r, id, key); !errors.Is(err, context.Canceled) {
			break
		}
		p.mine()
		p.empty(1)
	}
	n := 0
	for _, tx := range p.seen {
		if o, ok := ops.Read([2]byte{'s', 'a'}, tx); ok && o.Op.Code() == ':' {
			n++
		}
	}
	if !errors.Is(err, registrar.ErrTaken) || n > 0 {
		t.Errorf("%v; the name was revealed in %d registrations without a preorder of one's own", err, n)
	}
}

// A job that is signed elsewhere asks for a signature when what was sent needs a
// higher fee.
func TestHigherFeeIsSignedElsewhere(t *testing.T) {
	for v := whole; v <= blocksOnly; v++ {
		p := newPool(t, 6)
		p.view, p.rate = v, 2000
		key, _ := newKey(t)
		p.fund(key, 100_000)
		p.fund(key, 200_000)
		p.empty(6)
		r := p.registrar(filepath.Join(t.TempDir(), "queue"))
		id := p.add(r, goalOf(registrar.OpRegister, "ada.id", key), registrar.Terms{PSBT: true})
		if err := p.run(r, id, nil); !errors.Is(err, registrar.ErrUnsigned) {
			t.Fatal(err)
		}
		_, _, data, err := r.Unsigned(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Signed(t.Context(), signPSBT(t, data, key)); err != nil {
			t.Fatal(err)
		}
		p.run(r, id, nil)
		p.rate = 4000
		asked := false
		for range 60 {
			err = p.run(r, id, nil)
			asked = asked || errors.Is(err, registrar.ErrUnsigned)
			p.empty(1)
		}
		j, _ := r.Job(id)
		if !asked {
			t.Errorf("view %d: no signature was asked for in 60 blocks; %d transactions; %v, %s", v, len(j.Txs), err, j.State)
		}
	}
}

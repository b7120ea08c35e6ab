package registrar_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/ops"
	"satchel/chain/registrar"
)

// TestStale leaves a preorder out of blocks until the consensus hash in it is too
// old. What replaces it spends the same coins, so the price is burnt once,
// whichever of them is mined.
func TestStale(t *testing.T) {
	for i := range 6 {
		confirmations := 6 * (i % 2)
		p := newPool(t, confirmations)
		p.view = view(i / 2)
		p.rate = 2000 // all the time
		key, _ := newKey(t)
		p.fund(key, 100_000)
		p.fund(key, 100_000) // a second coin, that could pay
		p.empty(6)
		r := p.registrar(filepath.Join(t.TempDir(), "queue"))
		id := p.add(r, goalOf(registrar.OpRegister, "ada.id", key), registrar.Terms{})
		blocks := 0
		p.until(r, id, key, func() {
			if blocks++; blocks > 60 {
				p.mine()
			}
			p.empty(1)
		})
		preorders := p.exclusive('?')
		if n, _ := p.burnt(); n != 1 || preorders < 3 {
			t.Errorf("%d preorders were sent, %d burnt", preorders, n)
		}
		if p.refused > 0 {
			t.Errorf("%d transactions were refused", p.refused)
		}
	}
}

// TestAmended has a job change its mind about a zone file while the update to the
// first one waits for a block.
func TestAmended(t *testing.T) {
	for v := whole; v <= blocksOnly; v++ {
		testAmended(t, v)
	}
}

func testAmended(t *testing.T, v view) {
	p := newPool(t, 0)
	p.view = v
	key, _ := newKey(t)
	r := p.registrar(filepath.Join(t.TempDir(), "queue"))
	for range 3 {
		p.fund(key, 100_000)
	}
	g := goalOf(registrar.OpRegister, "ada.id", key)
	p.until(r, p.add(r, g, registrar.Terms{}), key, p.mine)
	g = goalOf(registrar.OpUpdate, "ada.id", key)
	for i := range byte(3) {
		g.Value = bytes.Repeat([]byte{20 + i}, 20)
		if err := p.run(r, p.add(r, g, registrar.Terms{}), key); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	last := p.txs
	p.until(r, p.add(r, g, registrar.Terms{}), key, p.mine)
	if rec, err := p.ix.Lookup("ada.id"); err != nil || !bytes.Equal(rec.ValueHash[:], g.Value) {
		t.Errorf("%+v, %v", rec, err)
	}
	if len(last) != 1 || len(p.seen) != 3+3 {
		t.Errorf("view %d: %d under way, %d sent", v, len(last), len(p.seen))
	}
}

// TestCoinComesBack undoes the block with the coin that a preorder spends. It is
// back before that is taken for final, so no other coin pays.
func TestCoinComesBack(t *testing.T) {
	p := newPool(t, 6)
	key, script := newKey(t)
	p.fund(key, 100_000)
	p.fund(key, 200_000)
	coins, err := p.Node.Unspent(t.Context(), script)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := p.Node.PrevTx(t.Context(), coins[1].OutPoint.Hash)
	if err != nil {
		t.Fatal(err)
	}
	p.empty(6)
	r := p.registrar(filepath.Join(t.TempDir(), "queue"))
	id := p.add(r, goalOf(registrar.OpRegister, "ada.id", key), registrar.Terms{})
	step := 0
	p.until(r, id, key, func() {
		switch step++; step {
		case 1:
			p.reorg(7, false)
		case 2, 3:
			p.empty(1)
		case 4:
			if _, err := p.Node.Broadcast(t.Context(), raw); err != nil {
				t.Fatal(err)
			}
		default:
			p.mine()
			p.empty(1)
		}
	})
	p.exclusive('?')
	if n, _ := p.burnt(); n != 1 {
		t.Errorf("%d burnt", n)
	}
}

// TestStuck has the network ask for more once a transaction is sent.
func TestStuck(t *testing.T) {
	p := newPool(t, 0)
	p.rate = 1000
	key, _ := newKey(t)
	p.fund(key, 100_000)
	r := p.registrar("")
	if err := p.f.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	id := p.add(r, goalOf(registrar.OpRegister, "ada.id", key), registrar.Terms{MaxFee: 5000})
	step := 0
	p.until(r, id, key, func() {
		switch step++; {
		case step == 1:
			p.rate = 8000
			p.empty(3)
		case step < 4:
			p.empty(3)
		default:
			p.mine()
		}
	})
	if n, _ := p.burnt(); n != 1 || len(p.seen) != 4 {
		t.Errorf("%d transactions, %d burnt", len(p.seen), n)
	}
}

// TestMaxFee has the network ask for more than the job may pay.
func TestMaxFee(t *testing.T) {
	p := newPool(t, 0)
	p.floor = 3000 // which nobody says
	key, _ := newKey(t)
	p.fund(key, 1_000_000)
	r := p.registrar("")
	g := goalOf(registrar.OpRegister, "ada.id", key)
	id := p.add(r, g, registrar.Terms{MaxFee: 600})
	if err := r.Run(t.Context(), id, key, registrar.Watch{}); !errors.Is(err, registrar.ErrMaxFee) {
		t.Errorf("%v", err)
	}
	if jobs, err := r.Jobs(); err != nil || len(jobs) != 1 || !strings.Contains(jobs[0].Problem, "600") {
		t.Errorf("%+v, %v", jobs, err)
	}
	p.add(r, g, registrar.Terms{MaxFee: 2000})
	p.until(r, id, key, p.mine)
	for _, tx := range p.seen {
		for _, out := range tx.TxOut {
			if out.Value != 0 && out.Value < registrar.Dust {
				t.Errorf("dust of %d satoshi", out.Value)
			}
		}
	}
	if n, _ := p.burnt(); n != 1 {
		t.Errorf("%d burnt", n)
	}
}

// TestSpentElsewhere has the coin of a transaction that is under way spent by
// another program with the same key.
func TestSpentElsewhere(t *testing.T) {
	for _, confirmations := range []int{0, 6} {
		p := newPool(t, confirmations)
		key, script := newKey(t)
		p.fund(key, 100_000)
		p.empty(6)
		r := p.registrar(filepath.Join(t.TempDir(), "queue"))
		id := p.add(r, goalOf(registrar.OpRegister, "ada.id", key), registrar.Terms{})
		step := 0
		p.until(r, id, key, func() {
			if step++; step == 1 {
				coins, err := p.Node.Unspent(t.Context(), script)
				if err != nil {
					t.Fatal(err)
				}
				tx, err := registrar.Build(key, coins, []*wire.TxOut{wire.NewTxOut(10_000, script)}, 1)
				if err != nil {
					t.Fatal(err)
				}
				p.txs = []*wire.MsgTx{tx}
			}
			p.mine()
			p.empty(1)
		})
		if n, _ := p.burnt(); n != 1 || len(p.seen) != 4 {
			t.Errorf("confirmations %d: %d transactions, %d burnt", confirmations, len(p.seen), n)
		}
	}
}

// TestPreorderExpires closes the laptop for longer than a preorder counts. On a
// chain with real confirmations the price is not paid again unasked.
func TestPreorderExpires(t *testing.T) {
	p := newPool(t, 6)
	key, _ := newKey(t)
	p.fund(key, 100_000)
	p.empty(6)
	r := p.registrar(filepath.Join(t.TempDir(), "queue"))
	g := goalOf(registrar.OpRegister, "ada.id", key)
	id := p.add(r, g, registrar.Terms{})
	if err := p.run(r, id, key); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	p.mine()
	p.empty(170)
	if err := r.Run(t.Context(), id, key, registrar.Watch{}); !errors.Is(err, registrar.ErrSpent) {
		t.Fatalf("%v", err)
	}
	if n, _ := p.burnt(); n != 1 {
		t.Errorf("%d burnt", n)
	}
	p.add(r, g, registrar.Terms{}) // asked for once more
	p.until(r, id, key, func() { p.mine(); p.empty(1) })
	if n, _ := p.burnt(); n != 2 {
		t.Errorf("%d burnt", n)
	}
}

// TestSharedCoin has two jobs and one coin, and two jobs and two coins.
func TestSharedCoin(t *testing.T) {
	for coins := 1; coins <= 2; coins++ {
		p := newPool(t, 0)
		key, script := newKey(t)
		for range coins {
			p.fund(key, 100_000)
		}
		r := p.registrar(filepath.Join(t.TempDir(), "queue"))
		ctx, cancel := context.WithCancel(t.Context())
		ids := []int{p.add(r, goalOf(registrar.OpRegister, "ada.id", key), registrar.Terms{}), p.add(r, goalOf(registrar.OpRegister, "bob.id", key), registrar.Terms{})}
		ended := make(chan registrar.Job, 2)
		worked := make(chan error)
		go func() { worked <- r.Work(ctx, key, func(j registrar.Job) { ended <- j }) }()
		for range 2 {
			for done := false; !done; {
				select {
				case <-ended:
					done = true
				case <-t.Context().Done():
					t.Fatal("no end")
				default:
					p.lock.Lock()
					p.mine()
					p.lock.Unlock()
					if err := p.f.Sync(ctx); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		cancel()
		if err := <-worked; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if n, _ := p.burnt(); n != 2 || len(p.seen) != 6 || p.refused > 0 {
			t.Errorf("%d coins: %d transactions, %d refused, %d burnt", coins, len(p.seen), p.refused, n)
		}
		names, err := p.ix.NamesOf(script)
		if err != nil || len(names) != 2 {
			t.Errorf("%d coins: %v, %v", coins, names, err)
		}
		for _, id := range ids {
			if j, err := r.Job(id); err != nil || len(j.Steps) != 3 {
				t.Errorf("job %d: %+v, %v", id, j, err)
			}
		}
	}
}

// TestOrder has jobs of one name wait for each other, and be attached to, amended
// and cancelled.
func TestOrder(t *testing.T) {
	p := newPool(t, 0)
	key, _ := newKey(t)
	_, bobs := newKey(t)
	p.fund(key, 1_000_000)
	ctx := t.Context()
	dir := filepath.Join(t.TempDir(), "queue")
	r := p.registrar(dir)
	register := goalOf(registrar.OpRegister, "ada.id", key)
	transfer := registrar.Goal{Op: registrar.OpTransfer, Subject: "ada.id", Owner: registrar.ScriptOf(key), To: bobs, Keep: true}
	a := p.add(r, register, registrar.Terms{})
	b := p.add(r, transfer, registrar.Terms{}) // of a name that isn't there yet
	again := register
	again.Value = bytes.Repeat([]byte{8}, 20)
	if got := p.add(r, again, registrar.Terms{}); got != a {
		t.Errorf("registered in job %d, want %d", got, a)
	}
	if _, err := r.Add(ctx, goalOf(registrar.OpRenew, "bob.id", key), registrar.Terms{}); !errors.Is(err, chain.ErrUnknownName) {
		t.Errorf("renewal of nobody's name: %v", err)
	}
	c := p.add(r, goalOf(registrar.OpRevoke, "ada.id", key), registrar.Terms{})
	if err := r.Cancel(ctx, c); err != nil {
		t.Error(err)
	}

	// Nothing of the second is sent before the first is done.
	stop, cancel := context.WithCancel(ctx)
	if err := r.Run(stop, b, key, registrar.Watch{State: func(s string) {
		if !strings.Contains(s, "waits for job 1") {
			t.Errorf("state %q", s)
		}
		cancel()
	}}); !errors.Is(err, context.Canceled) || len(p.seen) != 0 {
		t.Errorf("%v, %d sent", err, len(p.seen))
	}
	if err := p.run(r, a, key); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for _, p.down = range []error{nil, errDown} {
		_ = p.run(r, a, key)
		if err := r.Cancel(ctx, a); !errors.Is(err, registrar.ErrBusy) {
			t.Errorf("cancelled what was sent: %v", err)
		}
	}
	p.down = nil
	r = p.registrar(dir)
	jobs, err := r.Jobs()
	if err != nil || len(jobs) != 2 || jobs[0].ID != a || jobs[1].ID != b || !bytes.Equal(jobs[0].Value, again.Value) {
		t.Fatalf("%+v, %v", jobs, err)
	}
	p.until(r, a, key, p.mine)
	p.until(r, b, key, p.mine)
	rec, err := p.ix.Lookup("ada.id")
	if err != nil || !bytes.Equal(rec.Owner, bobs) || !bytes.Equal(rec.ValueHash[:], again.Value) {
		t.Errorf("%+v, %v", rec, err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestTakenMeanwhile has somebody else register the name between the preorder and
// the registration: the job ends, and can be taken out of the queue.
func TestTakenMeanwhile(t *testing.T) {
	p := newPool(t, 0)
	ada, _ := newKey(t)
	bob, _ := newKey(t)
	p.fund(ada, 100_000)
	p.fund(bob, 100_000)
	r := p.registrar(filepath.Join(t.TempDir(), "queue"))
	bobs := p.registrar("")
	id := p.add(r, goalOf(registrar.OpRegister, "ada.id", ada), registrar.Terms{})
	if err := p.run(r, id, ada); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	p.until(bobs, p.add(bobs, goalOf(registrar.OpRegister, "ada.id", bob), registrar.Terms{}), bob, p.mine)
	if err := p.walk(r, id, ada, p.mine); !errors.Is(err, registrar.ErrTaken) {
		t.Errorf("%v", err)
	}
	jobs, err := r.Jobs()
	if err != nil || len(jobs) != 1 || !strings.Contains(jobs[0].Problem, "registered already") {
		t.Errorf("%+v, %v", jobs, err)
	}
	if err := r.Cancel(t.Context(), id); err != nil {
		t.Error(err)
	}
	if err := r.Run(t.Context(), id, ada, registrar.Watch{}); err == nil || !strings.Contains(err.Error(), "out of the queue") {
		t.Errorf("%v", err)
	}
}

// TestAllOperations does what TestTransactions doesn't: renewals, revocations and
// namespaces with imports.
func TestAllOperations(t *testing.T) {
	p := newPool(t, 0)
	key, script := newKey(t)
	_, bobs := newKey(t)
	p.fund(key, 60_000_000)
	r := p.registrar(filepath.Join(t.TempDir(), "queue"))
	do := func(g registrar.Goal) {
		t.Helper()
		g.Owner = script
		p.until(r, p.add(r, g, registrar.Terms{}), key, p.mine)
	}
	value := bytes.Repeat([]byte{9}, 20)
	rules := &registrar.Rules{Lifetime: 100, Base: 4, Coefficient: 250, Buckets: [16]byte{6, 5, 4, 3, 2, 1}, NonAlpha: 4, NoVowel: 4}
	do(registrar.Goal{Op: registrar.OpNamespace, Subject: "longenough", Rules: rules, Hold: true})
	do(registrar.Goal{Op: registrar.OpImport, Subject: "ada.longenough", To: bobs, Value: value})
	do(registrar.Goal{Op: registrar.OpImport, Subject: "eve.longenough", To: script, Value: value})
	if ns, err := p.ix.Namespace("longenough"); err != nil || ns.Ready || ns.Lifetime != 100 {
		t.Errorf("held back: %+v, %v", ns, err)
	}
	do(registrar.Goal{Op: registrar.OpReady, Subject: "longenough"})
	do(registrar.Goal{Op: registrar.OpRegister, Subject: "joe.longenough", Value: value})
	before, err := p.ix.Lookup("joe.longenough")
	if err != nil {
		t.Fatal(err)
	}
	do(registrar.Goal{Op: registrar.OpRenew, Subject: "joe.longenough"})
	after, err := p.ix.Lookup("joe.longenough")
	if err != nil || after.LastRenewed <= before.LastRenewed || after.Op != "::" || after.Expires <= before.Expires {
		t.Errorf("renewed: %+v, %v", after, err)
	}
	do(registrar.Goal{Op: registrar.OpRevoke, Subject: "joe.longenough"})
	if rec, err := p.ix.Lookup("joe.longenough"); err != nil || !rec.Revoked {
		t.Errorf("revoked: %+v, %v", rec, err)
	}
	for name, owner := range map[chain.Name][]byte{"ada.longenough": bobs, "eve.longenough": script} {
		if rec, err := p.ix.Lookup(name); err != nil || !bytes.Equal(rec.Owner, owner) || !bytes.Equal(rec.ValueHash[:], value) {
			t.Errorf("imported: %+v, %v", rec, err)
		}
	}
	for _, tx := range p.seen {
		relayed(t, tx)
	}
	for _, refused := range []registrar.Goal{
		{Op: registrar.OpRenew, Subject: "joe.longenough"},
		{Op: registrar.OpImport, Subject: "joe.longenough", To: bobs, Value: value},
		{Op: registrar.OpUpdate, Subject: "ada.longenough", Value: value},
		{Op: registrar.OpReady, Subject: "id"},
		{Op: registrar.OpNamespace, Subject: "id", Rules: rules},
		{Op: registrar.OpNamespace, Subject: "other"},
		{Op: registrar.OpRevoke, Subject: "a.b.c"},
		{Op: "other", Subject: "eve.longenough"},
		{Op: registrar.OpTransfer, Subject: "eve.longenough"},
	} {
		refused.Owner = script
		if id, err := r.Add(t.Context(), refused, registrar.Terms{}); err == nil {
			t.Errorf("job %d takes %+v", id, refused)
		}
	}
}

// TestQuote says what a name costs before anything is sent, and is right.
func TestQuote(t *testing.T) {
	p := newPool(t, 0)
	key, script := newKey(t)
	r := p.registrar("")
	g := goalOf(registrar.OpRegister, "ada.id", key)
	q, err := r.Quote(t.Context(), g)
	if err != nil || len(q.Steps) != 3 || q.Burnt != registrar.Dust || q.Balance != 0 || q.Missing < q.Total || q.Address != address(script) {
		t.Fatalf("%+v, %v", q, err)
	}
	p.fund(key, q.Missing-10) // sizes are an upper limit
	if err := p.walk(r, p.add(r, g, registrar.Terms{}), key, p.mine); !errors.Is(err, registrar.ErrNoFunds) || !strings.Contains(err.Error(), q.Address) {
		t.Errorf("a satoshi short: %v", err)
	}
	rich, riches := newKey(t)
	g = goalOf(registrar.OpRegister, "bob.id", rich)
	p.fund(rich, q.Missing)
	p.until(r, p.add(r, g, registrar.Terms{}), rich, p.mine)
	took := q.Missing
	coins, err := p.Node.Unspent(t.Context(), riches)
	for _, c := range coins {
		took -= c.Value
	}
	if err != nil || took > q.Total+300 || took < q.Total-300 { // a coin more or less
		t.Errorf("it took %d satoshi, the quote said %d", took, q.Total)
	}
	if q, err = r.Quote(t.Context(), g); err != nil || len(q.Steps) != 0 || q.Total != 0 || q.Missing != 0 {
		t.Errorf("done: %+v, %v", q, err)
	}
}

// noDisk puts a file in the way of a folder until mend is called.
func noDisk(t *testing.T, dir string) (mend func()) {
	t.Helper()
	if err := errors.Join(os.Rename(dir, dir+".away"), os.WriteFile(dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(os.Remove(dir), os.Rename(dir+".away", dir)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAnyWeather crashes, reorganises, disconnects and fails to save at random. The name is
// registered in the end, and its price was burnt exactly once.
func TestAnyWeather(t *testing.T) {
	seeds := 12
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(uint64(seed), 1))
			confirmations := 3 * (seed % 2)
			p := newPool(t, confirmations)
			p.view = view(seed % 3)
			key, script := newKey(t)
			for range 1 + seed%3 {
				p.fund(key, 100_000)
			}
			p.empty(10)
			dir := filepath.Join(t.TempDir(), "queue")
			g := goalOf(registrar.OpRegister, "ada.id", key)
			r := p.registrar(dir)
			id := p.add(r, g, registrar.Terms{})
			height := p.Height()
			for round := 0; ; round++ {
				if round == 1000 {
					jobs, _ := r.Jobs()
					t.Fatalf("no end: %+v", jobs)
				}
				p.fail = rnd.IntN(6)
				mend := func() {}
				if rnd.IntN(5) == 0 {
					mend = noDisk(t, dir)
				}
				err := p.run(r, id, key)
				mend()
				if err == nil {
					break
				}
				if !errors.Is(err, context.Canceled) && !errors.Is(err, errDown) && !errors.Is(err, syscall.ENOTDIR) {
					t.Fatal(err)
				}
				p.down, p.fail = nil, 0
				switch rnd.IntN(8) {
				case 0:
					p.down = errDown
				case 1:
					p.empty(1 + rnd.IntN(3))
				case 2, 3:
					// Coins that were there before the job stay.
					if depth := min(1+rnd.IntN(4), p.Height()-height); depth > 0 && (confirmations == 0 || depth <= confirmations) {
						p.reorg(depth, rnd.IntN(2) == 0)
					}
				case 4:
					r = p.registrar(dir)
				default:
					p.mine()
				}
			}
			if n, sum := p.burnt(); n != 1 || sum != registrar.Dust {
				t.Errorf("burnt %d times, %d satoshi", n, sum)
			}
			rec, err := p.ix.Lookup("ada.id")
			if err != nil || !bytes.Equal(rec.Owner, script) || !bytes.Equal(rec.ValueHash[:], g.Value) {
				t.Errorf("%+v, %v", rec, err)
			}
			// Nothing that was ever sent can burn a second time.
			for _, tx := range p.seen {
				if o, ok := ops.Read([2]byte{'s', 'a'}, tx); ok && o.HasFee && p.accept(tx) == nil {
					t.Errorf("%v can still be mined", tx.TxHash())
				}
			}
		})
	}
}

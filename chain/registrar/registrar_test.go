package registrar_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	addr "github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/mempool"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/bitcoin"
	"satchel/chain/devnet"
	"satchel/chain/ops"
	"satchel/chain/registrar"
	"satchel/chain/zonefile"
)

var regtest = &chaincfg.RegressionNetParams

// A world is a private chain and a registrar on it. Its own Broadcast stands in
// the way to the chain, to fail there.
type world struct {
	*devnet.Node
	*registrar.Registrar
	t     *testing.T
	sent  []*wire.MsgTx
	fail  func(tx int) (before, after error) // before or after it was sent
	steps []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	n, err := devnet.Open(t.TempDir(), devnet.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	w := &world{Node: n, t: t}
	w.Registrar = &registrar.Registrar{Chain: w, Index: n.Index(), Follower: n.Follower(), Dir: filepath.Join(t.TempDir(), "registrar")}
	return w
}

func (w *world) Broadcast(ctx context.Context, raw []byte) (chainhash.Hash, error) {
	var tx wire.MsgTx
	if err := tx.Deserialize(bytes.NewReader(raw)); err != nil {
		w.t.Errorf("sent: %v", err)
	}
	var before, after error
	if w.fail != nil {
		before, after = w.fail(len(w.sent))
	}
	w.sent = append(w.sent, &tx)
	if before != nil {
		return chainhash.Hash{}, before
	}
	h, err := w.Node.Broadcast(ctx, raw)
	return h, errors.Join(err, after)
}

func (w *world) progress(s registrar.Step) { w.steps = append(w.steps, s.Op) }

// want checks a name's record.
func (w *world) want(n chain.Name, owner []byte, zone string) {
	w.t.Helper()
	rec, err := w.Node.Index().Lookup(n)
	switch {
	case err != nil:
		w.t.Errorf("%s: %v", n, err)
	case !bytes.Equal(rec.Owner, owner):
		w.t.Errorf("%s belongs to %s, want %s", n, rec.Address, address(owner))
	case zone == "" && rec.HasValue, zone != "" && (!rec.HasValue || rec.ValueHash != zonefile.Hash([]byte(zone))):
		w.t.Errorf("%s has value %x (%v), want that of %q", n, rec.ValueHash, rec.HasValue, zone)
	}
}

func newKey(t *testing.T) (*btcec.PrivateKey, []byte) {
	t.Helper()
	k, err := btcec.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k, registrar.ScriptOf(k)
}

func address(script []byte) string { return ops.Address(script, regtest) }

// p2sh is the script of "anybody may spend".
func p2sh() []byte {
	return slices.Concat([]byte{txscript.OP_HASH160, 20}, addr.Hash160([]byte{txscript.OP_TRUE}), []byte{txscript.OP_EQUAL})
}

// TestTransactions checks what is sent against the wire format, output by
// output, and against what nodes of the main network relay.
func TestTransactions(t *testing.T) {
	w := newWorld(t)
	key, script := newKey(t)
	if err := w.Register(t.Context(), "ada.id", key, []byte("one"), w.progress); err != nil {
		t.Fatal(err)
	}
	if err := w.Transfer(t.Context(), "ada.id", key, address(p2sh()), false, w.progress); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(w.steps, " "); got != "preorder register update transfer" {
		t.Errorf("steps %s", got)
	}
	w.want("ada.id", p2sh(), "")
	ret := func(code string) string { return fmt.Sprintf("6a* 7361%x", code) } // OP_RETURN, magic, code
	want := [][]string{
		{ret("?"), address(script), address(ops.BurnScript())},
		{ret(":"), address(script), address(script)},
		{ret("+"), address(script), address(script)},
		{ret(">~"), address(p2sh()), address(script)},
	}
	if len(w.sent) != len(want) {
		t.Fatalf("%d transactions, want %d", len(w.sent), len(want))
	}
	for i, tx := range w.sent {
		var got []string
		for j, out := range tx.TxOut {
			if data, ok := ops.ReturnData(out.PkScript); ok {
				code := strings.TrimPrefix(want[i][0], "6a* ")
				if j == 0 && strings.HasPrefix(fmt.Sprintf("%x", data), code) && out.Value == 0 {
					got = append(got, want[i][0])
					continue
				}
			} else if out.Value < registrar.Dust {
				t.Errorf("transaction %d pays %d satoshi, less than dust", i, out.Value)
			}
			got = append(got, address(out.PkScript))
		}
		if !slices.Equal(got, want[i]) {
			t.Errorf("transaction %d has outputs %q, want %q", i, got, want[i])
		}
		relayed(t, tx)
	}
}

// relayed checks a transaction by the policy of nodes on the main network.
func relayed(t *testing.T, tx *wire.MsgTx) {
	t.Helper()
	if err := mempool.CheckTransactionStandard(btcutil.NewTx(tx), 1000, time.Now(), mempool.DefaultMinRelayTxFee, 2); err != nil {
		t.Errorf("not relayed: %v", err)
	}
}

func TestBuild(t *testing.T) {
	key, script := newKey(t)
	_, other := newKey(t)
	coin := func(i byte, sat int64, script []byte) (o bitcoin.Output) {
		o.OutPoint.Hash[0], o.Value, o.Script = i, sat, script
		return o
	}
	pay := []*wire.TxOut{wire.NewTxOut(100_000, other)}
	cases := []struct {
		what   string
		coins  []bitcoin.Output
		inputs int // 0: not enough
	}{
		{"none", nil, 0},
		{"too few", []bitcoin.Output{coin(1, 100_000, script)}, 0},
		{"nothing left for change", []bitcoin.Output{coin(1, 102_000, script)}, 0},
		{"just enough", []bitcoin.Output{coin(1, 105_952, script)}, 1}, // 226 bytes at 2 satoshi
		{"one satoshi short", []bitcoin.Output{coin(1, 105_951, script)}, 0},
		{"another's", []bitcoin.Output{coin(1, 1e8, other)}, 0},
		{"the greatest first", []bitcoin.Output{coin(1, 100, script), coin(2, 1e8, script), coin(3, 1e7, script)}, 1},
		{"many", []bitcoin.Output{coin(1, 40_000, script), coin(2, 40_000, script), coin(3, 40_000, script)}, 3},
	}
	for _, c := range cases {
		tx, err := registrar.Build(key, c.coins, pay, 1)
		if c.inputs == 0 {
			if !errors.Is(err, registrar.ErrNoFunds) {
				t.Errorf("%s: %v, want that coins are missing", c.what, err)
			}
			continue
		}
		if err != nil || len(tx.TxIn) != c.inputs {
			t.Errorf("%s: %v, want %d inputs", c.what, err, c.inputs)
			continue
		}
		in, out := int64(0), int64(0)
		for i, txin := range tx.TxIn {
			k := slices.IndexFunc(c.coins, func(o bitcoin.Output) bool { return o.OutPoint == txin.PreviousOutPoint })
			in += c.coins[k].Value
			fetcher := txscript.NewCannedPrevOutputFetcher(script, c.coins[k].Value)
			vm, err := txscript.NewEngine(script, tx, i, txscript.StandardVerifyFlags, nil, nil, c.coins[k].Value, fetcher)
			if err == nil {
				err = vm.Execute()
			}
			if err != nil {
				t.Errorf("%s: input %d: %v", c.what, i, err)
			}
		}
		for _, o := range tx.TxOut {
			out += o.Value
		}
		if fee, size := in-out, int64(tx.SerializeSize()); fee < size || fee > 20*size {
			t.Errorf("%s: fee of %d satoshi for %d bytes", c.what, fee, size)
		}
		relayed(t, tx)
	}
}

// TestIdempotent does everything twice; the second time nothing is sent.
func TestIdempotent(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ada, adas := newKey(t)
	_, bobs := newKey(t)
	for round := range 2 {
		sent := len(w.sent)
		if err := w.Register(ctx, "ada.id", ada, []byte("one"), nil); err != nil {
			t.Fatal(err)
		}
		w.want("ada.id", adas, "one")
		if round > 0 && len(w.sent) != sent {
			t.Error("registered twice")
		}
	}
	for round := range 2 {
		sent := len(w.sent)
		if err := w.Update(ctx, "ada.id", ada, []byte("two"), nil); err != nil {
			t.Fatal(err)
		}
		w.want("ada.id", adas, "two")
		if round > 0 && len(w.sent) != sent {
			t.Error("updated twice")
		}
	}
	for round := range 2 {
		sent := len(w.sent)
		if err := w.Transfer(ctx, "ada.id", ada, address(bobs), true, nil); err != nil {
			t.Fatal(err)
		}
		w.want("ada.id", bobs, "two")
		if round > 0 && len(w.sent) != sent {
			t.Error("transferred twice")
		}
	}
	if left, err := os.ReadDir(w.Dir); err != nil || len(left) != 0 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ada, adas := newKey(t)
	bob, bobs := newKey(t)
	if err := w.Register(ctx, "ada.id", ada, []byte("one"), nil); err != nil {
		t.Fatal(err)
	}
	sent := len(w.sent)
	long := make([]byte, zonefile.MaxSize+1)
	cases := []struct {
		what string
		err  error
		is   error  // nil: any
		says string // a part of it
	}{
		{"another's name", w.Register(ctx, "ada.id", bob, []byte("x"), nil), registrar.ErrTaken, address(adas)},
		{"update of another's", w.Update(ctx, "ada.id", bob, []byte("x"), nil), registrar.ErrNotOwner, address(adas)},
		{"update of nobody's", w.Update(ctx, "eve.id", bob, []byte("x"), nil), chain.ErrUnknownName, "eve.id"},
		{"transfer of another's", w.Transfer(ctx, "ada.id", bob, address(bobs), false, nil), registrar.ErrNotOwner, address(adas)},
		{"transfer of nobody's", w.Transfer(ctx, "eve.id", bob, address(bobs), false, nil), chain.ErrUnknownName, "eve.id"},
		{"transfer to a network's burn", w.Transfer(ctx, "ada.id", ada, "1111111111111111111114oLvT2", false, nil), nil, "address"},
		{"transfer to nothing", w.Transfer(ctx, "ada.id", ada, "", false, nil), nil, "address"},
		{"no such namespace", w.Register(ctx, "ada.xyz", ada, []byte("x"), nil), os.ErrNotExist, "namespace"},
		{"no name", w.Register(ctx, "../x.id", ada, []byte("x"), nil), nil, "../x.id"},
		{"a long zone file", w.Register(ctx, "bob.id", bob, long, nil), nil, "4096"},
		{"a long zone file later", w.Update(ctx, "ada.id", ada, long, nil), nil, "4096"},
	}
	for _, c := range cases {
		if c.err == nil || c.is != nil && !errors.Is(c.err, c.is) || !strings.Contains(c.err.Error(), c.says) {
			t.Errorf("%s: %v", c.what, c.err)
		}
	}
	if len(w.sent) != sent {
		t.Errorf("%d transactions were paid for nothing", len(w.sent)-sent)
	}
	w.want("ada.id", adas, "one")
}

func TestQuota(t *testing.T) {
	w := newWorld(t)
	ada, adas := newKey(t)
	for i := range w.Node.Index().Params().Quota {
		if err := w.Register(t.Context(), chain.Name(fmt.Sprintf("ada%d.id", i)), ada, []byte("x"), nil); err != nil {
			t.Fatal(err)
		}
	}
	bob, bobs := newKey(t)
	if err := w.Register(t.Context(), "bob.id", bob, []byte("x"), nil); err != nil {
		t.Fatal(err)
	}
	sent := len(w.sent)
	if err := w.Register(t.Context(), "ada.id", ada, []byte("x"), nil); !errors.Is(err, registrar.ErrQuota) {
		t.Errorf("one name too many: %v", err)
	}
	if err := w.Transfer(t.Context(), "bob.id", bob, address(adas), false, nil); !errors.Is(err, registrar.ErrQuota) {
		t.Errorf("one name too many, given: %v", err)
	}
	w.want("bob.id", bobs, "x")
	if len(w.sent) != sent {
		t.Error("paid for nothing")
	}
	if err := w.Register(t.Context(), "ada3.id", ada, []byte("y"), nil); err != nil {
		t.Errorf("update at the quota: %v", err)
	}
}

// TestStoppedAnywhere has the way to the chain fail before and after each
// transaction. The next call goes on, and sends no second transaction of a kind.
func TestStoppedAnywhere(t *testing.T) {
	down := errors.New("the chain is down")
	for at := range 3 {
		for _, after := range []bool{false, true} {
			w := newWorld(t)
			key, script := newKey(t)
			w.fail = func(i int) (error, error) {
				switch {
				case i != at:
					return nil, nil
				case after:
					return nil, down
				}
				return down, nil
			}
			if err := w.Register(t.Context(), "ada.id", key, []byte("one"), nil); !errors.Is(err, down) {
				t.Fatalf("stopped at %d: %v", at, err)
			}
			if st, err := os.Stat(filepath.Join(w.Dir, "000001-ada.id.json")); err != nil || st.Mode().Perm() != 0o600 {
				t.Errorf("stopped at %d: %v, %v", at, st, err)
			}
			if err := w.Register(t.Context(), "ada.id", key, []byte("one"), nil); err != nil {
				t.Fatalf("stopped at %d, then: %v", at, err)
			}
			w.want("ada.id", script, "one")
			txids := map[chainhash.Hash]bool{}
			for _, tx := range w.sent {
				txids[tx.TxHash()] = true
			}
			if len(txids) != 3 {
				t.Errorf("stopped at %d, after %v: %d transactions, want 3", at, after, len(txids))
			}
		}
	}
}

// TestReorgs undoes blocks after each step: the name is registered all the same.
func TestReorgs(t *testing.T) {
	for at := 1; at <= 2; at++ {
		for depth := 1; depth <= 3; depth++ {
			w := newWorld(t)
			key, script := newKey(t)
			if err := w.Mine(2); err != nil {
				t.Fatal(err)
			}
			done := 0
			err := w.Register(t.Context(), "ada.id", key, []byte("one"), func(registrar.Step) {
				if done++; done == at {
					if err := w.Reorg(depth); err != nil {
						t.Fatal(err)
					}
				}
			})
			if err != nil {
				t.Fatalf("%d blocks undone after step %d: %v", depth, at, err)
			}
			w.want("ada.id", script, "one")
		}
	}
}

// TestReorgWhileSending replaces blocks between the look at the index and the
// block with the transaction, which so quotes a hash of the chain that was left.
func TestReorgWhileSending(t *testing.T) {
	w := newWorld(t)
	key, script := newKey(t)
	if err := w.Mine(5); err != nil {
		t.Fatal(err)
	}
	w.fail = func(i int) (error, error) {
		if i == 0 || i == 3 {
			return w.Reorg(3), nil
		}
		return nil, nil
	}
	if err := w.Register(t.Context(), "ada.id", key, []byte("one"), nil); err != nil {
		t.Fatal(err)
	}
	w.want("ada.id", script, "one")
}

// TestStaleConsensus has an operation quote the consensus hash of a chain that
// was left: it is mined, does nothing and is sent anew.
func TestStaleConsensus(t *testing.T) {
	for at, want := range []int{4, 3, 4} { // a registration quotes none
		w := newWorld(t)
		ada, adas := newKey(t)
		bob, _ := newKey(t)
		if _, err := w.Fund(t.Context(), address(adas), 1_000_000); err != nil {
			t.Fatal(err)
		}
		w.fail = func(i int) (error, error) {
			if i != at {
				return nil, nil
			}
			return w.Reorg(3), nil // what bob did a moment before
		}
		bobs := &registrar.Registrar{Chain: w.Node, Index: w.Node.Index(), Follower: w.Node.Follower()}
		doBob := func() {
			if err := bobs.Register(t.Context(), "bob.id", bob, []byte("one"), nil); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Fund(t.Context(), address(registrar.ScriptOf(bob)), 1_000_000); err != nil {
			t.Fatal(err)
		}
		done := 0
		if at == 0 {
			doBob()
		}
		err := w.Register(t.Context(), "ada.id", ada, []byte("one"), func(registrar.Step) {
			if done++; done == at {
				doBob()
			}
		})
		if err != nil {
			t.Fatalf("transaction %d: %v", at, err)
		}
		w.want("ada.id", adas, "one")
		if len(w.sent) != want {
			t.Errorf("transaction %d: %d were sent, want %d", at, len(w.sent), want)
		}
	}
}

// TestKeptOfAnotherChain has a transaction kept whose coins don't exist.
func TestKeptOfAnotherChain(t *testing.T) {
	old := newWorld(t)
	key, script := newKey(t)
	old.fail = func(i int) (error, error) { return errors.New("down"), nil }
	if err := old.Register(t.Context(), "ada.id", key, []byte("one"), nil); err == nil {
		t.Fatal("registered on a chain that is down")
	}
	w := newWorld(t)
	w.Dir = old.Dir
	if err := w.Register(t.Context(), "ada.id", key, []byte("one"), nil); err != nil {
		t.Fatal(err)
	}
	w.want("ada.id", script, "one")
}

// TestBadFiles has files in the folder that nobody here wrote. What may tell of a
// payment stops the queue; it is left for somebody to look at.
func TestBadFiles(t *testing.T) {
	for _, bad := range []string{"", "{", `{"id":1}`, `{"id":1,"op":"register","subject":"ada.id"}`, `[]`} {
		w := newWorld(t)
		key, _ := newKey(t)
		if err := os.MkdirAll(w.Dir, 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(w.Dir, "000001-ada.id.json")
		for _, f := range []string{path, filepath.Join(w.Dir, ".new-x"), filepath.Join(w.Dir, "ada.id.json"), filepath.Join(w.Dir, "x-y.json")} {
			if err := os.WriteFile(f, []byte(bad), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Register(t.Context(), "ada.id", key, []byte("one"), nil); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", bad, err)
		}
		if len(w.sent) != 0 {
			t.Errorf("%q: sent beside a file that can't be read", bad)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := w.Register(t.Context(), "ada.id", key, []byte("one"), nil); err != nil {
			t.Errorf("%q, then mended: %v", bad, err)
		}
	}
}

// TestKeptFile checks the file that is there while a transaction is under way.
func TestKeptFile(t *testing.T) {
	w := newWorld(t)
	key, _ := newKey(t)
	w.fail = func(i int) (error, error) {
		b, err := os.ReadFile(filepath.Join(w.Dir, "000001-ada.id.json"))
		if err != nil {
			t.Fatal(err)
		}
		var kept struct {
			Op, Subject string
			Txs         []struct{ Op, Tx string }
		}
		if err := json.Unmarshal(b, &kept); err != nil {
			t.Fatal(err)
		}
		if kept.Op != "register" || kept.Subject != "ada.id" || len(kept.Txs) != i+1 {
			t.Fatalf("transaction %d: %s", i, b)
		}
		if want, last := []string{"preorder", "register", "update"}[i], kept.Txs[i]; last.Op != want || last.Tx == "" {
			t.Errorf("transaction %d: %s", i, b)
		}
		return nil, nil
	}
	if err := w.Register(t.Context(), "ada.id", key, []byte("one"), nil); err != nil {
		t.Fatal(err)
	}
}

// poor is a chain that gives no coins away.
type poor struct{ registrar.Chain }

func TestNoFunds(t *testing.T) {
	w := newWorld(t)
	w.Chain = poor{w}
	key, script := newKey(t)
	err := w.Register(t.Context(), "ada.id", key, []byte("one"), nil)
	if !errors.Is(err, registrar.ErrNoFunds) || !strings.Contains(err.Error(), address(script)) {
		t.Errorf("without coins: %v", err)
	}
	if _, err := w.Fund(t.Context(), address(script), 100_000); err != nil {
		t.Fatal(err)
	}
	if err := w.Register(t.Context(), "ada.id", key, []byte("one"), nil); err != nil {
		t.Errorf("with coins: %v", err)
	}
}

func TestCanceled(t *testing.T) {
	w := newWorld(t)
	key, _ := newKey(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.fail = func(i int) (error, error) { cancel(); return nil, nil }
	if err := w.Register(ctx, "ada.id", key, []byte("one"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

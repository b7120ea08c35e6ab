package chain

import (
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/ops"
)

var makeRuns = flag.Bool("make", false, "make the runs in testdata anew")

// ownRuns has runs of our own making, in the format of the recorded ones: a line
// that is none, then a run a line.
const ownRuns = "testdata/runs.jsonl.gz"

const ownRunsNote = `{"_note": "Random operations, many of them invalid, and what the rules made of them. Made by go test ./chain -run TestOwnRuns -make; the signatures are none."}`

func writeOwnRuns(t *testing.T) {
	f, err := os.Create(ownRuns)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := gzip.NewWriter(f)
	fmt.Fprintln(z, ownRunsNote)
	for seed := range uint64(32) {
		run := ownRun(t, seed)
		if err := json.NewEncoder(z).Encode(run); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
}

// ownRun makes up a run: a namespace is revealed, perhaps names are imported,
// then all kinds of operations follow for as long as names expire and are taken
// by others.
func ownRun(t *testing.T, seed uint64) *recordedRun {
	rules := []string{"satchel", "blockstack"}[seed%2]
	run := recordedRun{Scenario: fmt.Sprintf("own_%s_%d", rules, seed), Version: "1", Rules: rules}
	replays := true
	run.Replays = &replays
	rnd := rand.New(rand.NewPCG(seed, 0))
	run.Env = map[string]any{"NAMESPACE_REVEAL_EXPIRE": fmt.Sprint(6 + rnd.IntN(40)), "MAX_NAMES_PER_SENDER": fmt.Sprint(2 + rnd.IntN(3))}
	if rules == "blockstack" {
		run.Env["EPOCH_1_END_BLOCK"] = fmt.Sprint(20 + rnd.IntN(60))
		run.Env["EPOCH_2_PRICE_MULTIPLIER_id"] = []string{"1.0", "0.5", "1.01"}[rnd.IntN(3)]
		run.Env["EPOCH_2_NAMESPACE_LIFETIME_MULTIPLIER_id"] = fmt.Sprint(1 + rnd.IntN(3))
	}
	run.Blocks = []recordedBlock{{Height: 10 + rnd.IntN(10)}}
	p, ignored := run.params()
	if len(ignored) > 0 {
		t.Fatal(ignored)
	}
	a := &author{maker: newMaker(t, p), rnd: rnd, owners: []party{root, ada, ben, one("cy"), club, board}}
	for range 50 {
		var txs []*wire.MsgTx
		for range rnd.IntN(4) {
			txs = append(txs, a.odd(a.next()))
		}
		a.mine(txs...)
	}
	run.Blocks = a.run.Blocks
	return &run
}

// An author makes up operations that often are acceptable.
type author struct {
	*maker
	rnd       *rand.Rand
	owners    []party
	preorders []preordered
}

// preordered is what a registration can refer to.
type preordered struct {
	name     string
	from, to party
}

func (a *author) owner() party { return a.owners[a.rnd.IntN(len(a.owners))] }

func (a *author) often(tries int) bool { return a.rnd.IntN(tries) > 0 }

var ownNames = []string{"amy.test", "bob.test", "0amy.test", "cy-1.test", "bcd.test", "dora.test", "e.test", "fay_2.test", "gus.test", "long-long-long-long-long-long-1.test"}

func (a *author) name() string { return ownNames[a.rnd.IntN(len(ownNames))] }

// held returns a name, mostly one that is there, and mostly its owner.
func (a *author) held() (string, party) {
	for range 5 {
		n := a.name()
		rec, err := a.ix.Lookup(Name(n))
		if err != nil {
			continue
		}
		for _, o := range a.owners {
			if a.often(8) && string(o.script) == string(rec.Owner) {
				return n, o
			}
		}
	}
	return a.name(), a.owner()
}

// quoted returns a consensus hash, mostly a recent one.
func (a *author) quoted() [16]byte {
	back := 0
	if !a.often(4) {
		back = a.rnd.IntN(28)
	}
	c, err := a.ix.ConsensusHash(a.tip() - back)
	if err != nil {
		return a.p.Genesis
	}
	return c
}

func (a *author) next() *wire.MsgTx {
	ns, err := a.ix.Namespace("test")
	switch {
	case err != nil || ns.Expired:
		return a.namespaceOp()
	case !ns.Ready && a.often(2):
		return a.importOp()
	case !ns.Ready || !a.often(15):
		return a.namespaceOp()
	}
	return a.nameOp()
}

func (a *author) namespaceOp() *wire.MsgTx {
	from, fee := root, int64(spaceCost)
	if !a.often(4) {
		from, fee = a.owner(), spaceCost-int64(a.rnd.IntN(2))
	}
	switch a.rnd.IntN(5) {
	case 0, 1:
		return a.tx(from, ops.NamespacePreorder{Hash: ops.HashName("test", from.script, from.addr), Consensus: a.quoted()}, from, fee)
	case 2, 3:
		r := space
		r.Lifetime, r.NonAlpha, r.Version = uint32(8+a.rnd.IntN(10)), byte(a.rnd.IntN(6)), uint16(1+a.rnd.IntN(9)/8)
		r.Coefficient, r.Base, r.Buckets = byte(1+a.rnd.IntN(9)), byte(1+a.rnd.IntN(3)), [16]byte{5, 4, 3, 2, 1}
		return a.reveal(r, from, from)
	}
	return a.ready("test", from)
}

func (a *author) importOp() *wire.MsgTx {
	from := root
	if !a.often(3) {
		from = childOf(root, a.rnd.IntN(7))
	}
	return a.give(a.name(), from, a.owner(), byte(a.rnd.IntN(9)))
}

func (a *author) nameOp() *wire.MsgTx {
	n, holder := a.held()
	switch a.rnd.IntN(12) {
	case 0, 1, 2:
		p := preordered{a.name(), a.owner(), a.owner()}
		if a.often(3) {
			p.to = p.from
		}
		a.preorders = append(a.preorders, p)
		return a.tx(p.from, ops.NamePreorder{Hash: ops.HashName(p.name, p.from.script, p.to.addr), Consensus: a.quoted()}, p.to, a.fee(p.name))
	case 3, 4, 5:
		if len(a.preorders) > 0 && a.often(8) {
			p := a.preorders[max(0, len(a.preorders)-1-a.rnd.IntN(4))]
			return a.register(p.name, p.from, p.to)
		}
		return a.register(n, a.owner(), a.owner())
	case 6, 7:
		return a.renew(n, holder, a.fee(n))
	case 8, 9:
		return a.tx(holder, ops.Update{NameHash: ops.UpdateHash(n, a.quoted()), Value: [20]byte{byte(a.rnd.IntN(9))}}, holder, 0)
	case 10:
		return a.tx(holder, ops.Transfer{Keep: a.often(2), NameHash: ops.Hash128(n), Consensus: a.quoted()}, a.owner(), 0)
	}
	switch a.rnd.IntN(5) {
	case 0, 1:
		return a.revoke(n, holder)
	case 2:
		return a.tx(holder, ops.Announce{Hash: [20]byte{1}}, holder, 0)
	}
	return a.importOp()
}

// fee is mostly what a name costs now.
func (a *author) fee(n string) int64 {
	price, err := a.ix.Price(Name(n))
	if err != nil || !a.often(8) {
		price = int64(a.rnd.IntN(2000))
	}
	return price
}

// odd makes some transactions odd: more outputs with data, pushes that lie about
// their length, opcodes and bytes that nobody knows.
func (a *author) odd(tx *wire.MsgTx) *wire.MsgTx {
	script := tx.TxOut[0].PkScript
	switch a.rnd.IntN(60) {
	case 0:
		tx.TxOut = append(tx.TxOut, &wire.TxOut{PkScript: []byte("\x6a\x03foo")})
	case 1:
		tx.TxOut = append([]*wire.TxOut{{PkScript: []byte("\x6a\x03foo")}}, tx.TxOut...)
	case 2:
		tx.TxOut[0].PkScript = append([]byte{script[0], 75}, script[2:]...)
	case 3:
		tx.TxOut[0].PkScript = append([]byte{script[0], 3}, script[2:]...)
	case 4:
		tx.TxOut[0].PkScript = []byte(fmt.Sprintf("\x6a\x0a%s:\xff\xfe.test", a.p.Magic))
	case 5:
		tx.TxOut = tx.TxOut[:2]
	}
	return tx
}

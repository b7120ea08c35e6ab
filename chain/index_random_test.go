package chain

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/dgraph-io/badger/v4"

	"satchel/chain/bitcoin"
	"satchel/chain/ops"
)

// lottery makes blocks of operations at random, of few people and few names, so
// that many are rejected, collide, expire and come again.
type lottery struct {
	r         *rand.Rand
	p         *Params
	people    []gambler
	preorders []bet // so far, of names
	openings  []bet // of namespaces
	salt      uint64
}

type gambler struct {
	party
	key []byte
}

// bet is a preorder.
type bet struct {
	subject  string
	from, to gambler
}

func newLottery(p *Params, seed uint64) *lottery {
	p.Quota, p.RevealExpiry, p.PreorderExpiry = 4, 15, min(p.PreorderExpiry, 20)
	l := &lottery{r: rand.New(rand.NewPCG(seed, seed)), p: p}
	for _, word := range []string{"ada", "bob", "eve", "joe", "may"} {
		l.people = append(l.people, gambler{one(word), keyOf(word).PubKey().SerializeCompressed()})
	}
	l.people = append(l.people, gambler{some("us"), nil})
	return l
}

func pick[T any](l *lottery, from ...T) T { return from[l.r.IntN(len(from))] }

func (l *lottery) person() gambler { return pick(l, l.people...) }

func (l *lottery) id() string { return pick(l, "id", "test", "x9") }

func (l *lottery) name() string {
	return pick(l, "ada", "bob", "a-b", "b_", "1", "ab", "x0y") + "." + l.id()
}

// block returns operations for the block after an index's tip.
func (l *lottery) block(ix *Index) (txs []*ops.Tx) {
	index := 0
	for range l.r.IntN(14) {
		t := l.tx(ix)
		index += 1 + l.r.IntN(3)
		t.Index = index
		l.salt++
		binary.BigEndian.PutUint64(t.Txid[:], l.r.Uint64())
		binary.BigEndian.PutUint64(t.Txid[8:], l.salt)
		txs = append(txs, t)
	}
	return txs
}

// recent returns a consensus hash that can be quoted, mostly.
func (l *lottery) recent(ix *Index) [16]byte {
	c, _ := ix.ConsensusHash(ix.getTip().height - l.r.IntN(l.p.Window+2))
	return c
}

func (l *lottery) tx(ix *Index) *ops.Tx {
	from, to := l.person(), l.person()
	t := &ops.Tx{Fee: 50e8, HasFee: l.r.IntN(20) > 0, Outputs: 3 + l.r.IntN(20)/19}
	name := l.name()
	rec, err := ix.Lookup(Name(name))
	if err == nil && l.r.IntN(8) > 0 {
		from = l.owner(rec.Owner)
	}
	switch n := l.r.IntN(20); {
	case n < 2:
		b := bet{l.id(), from, to}
		l.openings = append(l.openings, b)
		t.Op = ops.NamespacePreorder{Hash: ops.HashName(b.subject, from.script, to.addr), Consensus: l.recent(ix)}
	case n < 4 && len(l.openings) > 0:
		b := l.latest(l.openings)
		from, to = b.from, b.to
		t.Op = ops.NamespaceReveal{ID: b.subject, Version: 1, Lifetime: pick(l, uint32(9), 30, ops.Forever), NonAlpha: 1, NoVowel: 1}
	case n < 6:
		id := l.id()
		if ns, err := ix.Namespace(id); err == nil {
			from = l.owner(ns.Owner)
		}
		if l.r.IntN(3) == 0 {
			t.Op = ops.NamespaceReady{ID: id}
			break
		}
		t.Op = ops.Import{Name: pick(l, "ada", "imp", "ort") + "." + id}
		t.HasValue, t.Value[0] = true, byte(l.r.IntN(4))
	case n < 10:
		b := bet{name, from, to}
		l.preorders = append(l.preorders, b)
		t.Op = ops.NamePreorder{Hash: ops.HashName(name, from.script, to.addr), Consensus: l.recent(ix)}
	case n < 14 && len(l.preorders) > 0:
		b := l.latest(l.preorders)
		from, to = b.from, b.to
		t.Op = ops.Registration{Name: b.subject}
	case n < 15:
		to = from
		t.Op = ops.Registration{Name: name}
	case n < 17:
		u := ops.Update{NameHash: ops.UpdateHash(name, l.recent(ix))}
		u.Value[0] = byte(l.r.IntN(4))
		t.Op = u
	case n < 19:
		t.Op = ops.Transfer{Keep: l.r.IntN(2) == 0, NameHash: ops.Hash128(name), Consensus: l.recent(ix)}
	default:
		t.Op = pick[ops.Operation](l, ops.Revoke{Name: name}, ops.Announce{})
	}
	t.Sender, t.SenderKey, t.Recipient = from.script, from.key, to.script
	return t
}

// latest returns one of the last few bets.
func (l *lottery) latest(bets []bet) bet { return pick(l, bets[max(0, len(bets)-6):]...) }

func (l *lottery) owner(script []byte) gambler {
	for _, g := range l.people {
		if string(g.script) == string(script) {
			return g
		}
	}
	return l.person()
}

// play connects random blocks to an index and returns them.
func (l *lottery) play(t *testing.T, ix *Index, n int) (blocks []*fetched) {
	t.Helper()
	for range n {
		height, hash := ix.Tip()
		b := &fetched{header: l.header(height+1, hash), txs: l.block(ix)}
		if _, err := ix.connect(b.header, b.txs); err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// header returns one that no other has.
func (l *lottery) header(height int, prev chainhash.Hash) bitcoin.Header {
	h := bitcoin.Header{Height: height}
	h.PrevBlock, h.Nonce = prev, l.r.Uint32()
	h.Hash = h.BlockHash()
	return h
}

const randomRuns = 12

// eachLottery runs a test with several of them.
func eachLottery(t *testing.T, fn func(t *testing.T, l *lottery, ix *Index)) {
	for rules, params := range ruleSets {
		t.Run(rules, func(t *testing.T) {
			for seed := range uint64(randomRuns / len(ruleSets)) {
				p := params()
				ix, _ := openRun(t, p)
				fn(t, newLottery(p, seed), ix)
				ix.Close()
			}
		})
	}
}

// TestReplayAccepted: an index that is given only the operations which another
// one accepted is the same, in each of its rows. Rejected ones, those that collide
// too, leave nothing behind, and without them others are judged as before.
func TestReplayAccepted(t *testing.T) {
	var accepted, rejected, collided int
	eachLottery(t, func(t *testing.T, l *lottery, ix *Index) {
		twin, _ := openRun(t, l.p)
		defer twin.Close()
		for i := range 150 {
			b := l.play(t, ix, 1)[0]
			txs, err := ix.replayable(b.header.Height)
			if err != nil {
				t.Fatal(err)
			}
			accepted += len(txs)
			rejected += len(b.txs) - len(txs)
			collided += collisions(b.txs, txs)
			if _, err := twin.connect(b.header, txs); err != nil {
				t.Fatal(err)
			}
			if i%10 == 9 && !maps.Equal(dump(t, ix), dump(t, twin)) {
				t.Fatalf("block %d: the twin differs", b.header.Height)
			}
		}
	})
	t.Logf("%d accepted, %d rejected, at least %d of them collided", accepted, rejected, collided)
	if accepted < 1000 || rejected < 1000 || collided < 10 {
		t.Error("too little happened")
	}
}

// collisions counts names that several preordered registrations of a block are
// about of which none was accepted. Not each was acceptable by itself.
func collisions(all, accepted []*ops.Tx) (n int) {
	count := make(map[string]int)
	for _, t := range all {
		if op, ok := t.Op.(ops.Registration); ok && string(t.Sender) != string(t.Recipient) {
			count[op.Name]++
		}
	}
	for _, t := range accepted {
		if op, ok := t.Op.(ops.Registration); ok {
			delete(count, op.Name)
		}
	}
	for _, c := range count {
		n += c / 2
	}
	return n
}

// TestRandomReorganisations connects and disconnects at random, then compares
// every row with those of a new index of the blocks that are left.
func TestRandomReorganisations(t *testing.T) {
	eachLottery(t, func(t *testing.T, l *lottery, ix *Index) {
		blocks := l.play(t, ix, 20)
		for range 25 {
			for range l.r.IntN(min(12, len(blocks))) {
				if _, err := ix.disconnect(); err != nil {
					t.Fatal(err)
				}
				blocks = blocks[:len(blocks)-1]
			}
			blocks = append(blocks, l.play(t, ix, l.r.IntN(14))...)
		}
		fresh, _ := openRun(t, l.p)
		defer fresh.Close()
		for _, b := range blocks {
			if _, err := fresh.connect(b.header, b.txs); err != nil {
				t.Fatal(err)
			}
		}
		sameRows(t, dump(t, ix), dump(t, fresh))
		for range blocks {
			if _, err := ix.disconnect(); err != nil {
				t.Fatal(err)
			}
		}
		empty, _ := openRun(t, l.p)
		defer empty.Close()
		sameRows(t, dump(t, ix), dump(t, empty))
	})
}

func sameRows(t *testing.T, got, want map[string]string) {
	t.Helper()
	for k, v := range got {
		if w, ok := want[k]; !ok || w != v {
			t.Fatalf("key %q: %q, want %q (%v)", k, v, w, ok)
		}
	}
	for k, v := range want {
		if _, ok := got[k]; !ok {
			t.Fatalf("key %q is missing: %q", k, v)
		}
	}
}

// TestBatchIsTheSame applies blocks many at a time, with undo for the last ones,
// and finds the rows that come of applying them one by one.
func TestBatchIsTheSame(t *testing.T) {
	eachLottery(t, func(t *testing.T, l *lottery, ix *Index) {
		blocks := l.play(t, ix, 120)
		want := dump(t, ix)
		last := blocks[len(blocks)-1].header.Height
		kept := 1 + l.r.IntN(60) // blocks with undo
		batch, _ := openRun(t, l.p)
		defer batch.Close()
		for rest := blocks; len(rest) > 0; {
			n := min(len(rest), 1+l.r.IntN(50))
			batch.batchRows = l.r.IntN(100)
			done, err := batch.connectBatch(rest[:n], last-kept+UndoBlocks)
			if err != nil || len(done) != n {
				t.Fatalf("%d of %d, %v", len(done), n, err)
			}
			rest = rest[n:]
		}
		got := dump(t, batch)
		floor := last - kept
		forget := func(k, _ string) bool { return k[0] == keyUndo && k[:5] <= string(heightKey(keyUndo, floor)) }
		maps.DeleteFunc(want, forget)
		sameRows(t, got, want)
		for range kept {
			if _, err := batch.disconnect(); err != nil {
				t.Fatal(err)
			}
			if _, err := ix.disconnect(); err != nil {
				t.Fatal(err)
			}
		}
		if batch.canUndo(floor-1) || !batch.canUndo(floor) {
			t.Error("a block without undo can be undone")
		}
		want = dump(t, ix)
		maps.DeleteFunc(want, forget)
		sameRows(t, dump(t, batch), want)
	})
}

// TestBatchHoldsLittle: what many blocks read is not held until the last one, even if
// they write hardly anything.
func TestBatchHoldsLittle(t *testing.T) {
	p := ruleSets["satchel"]()
	ix, _ := openRun(t, p)
	defer ix.Close()
	var blocks []*fetched
	height, hash := ix.Tip()
	l := newLottery(p, 3)
	for i := range byte(10) {
		b := &fetched{header: l.header(height+1, hash)}
		for n := range 50 {
			var key [20]byte
			key[0], key[1] = i, byte(n)
			b.txs = append(b.txs, &ops.Tx{Op: ops.Update{}, Index: n + 1, Sender: p2pkh(key)})
		}
		blocks = append(blocks, b)
		height, hash = height+1, b.header.Hash
	}
	commits := 0
	ix.commit = func(txn *badger.Txn) error {
		commits++
		return txn.Commit()
	}
	ix.batchHeld = 3 * 50 * cellSize
	if _, err := ix.connectBatch(blocks, height); err != nil {
		t.Fatal(err)
	}
	if commits < 3 || commits >= len(blocks) {
		t.Errorf("%d commits", commits)
	}
}

// TestBatchForgetsOldUndo: undo data that blocks had before a batch goes when
// the batch is applied without.
func TestBatchForgetsOldUndo(t *testing.T) {
	p := ruleSets["satchel"]()
	ix, _ := openRun(t, p)
	defer ix.Close()
	l := newLottery(p, 1)
	l.play(t, ix, 40)
	height, hash := ix.Tip()
	b := &fetched{header: l.header(height+1, hash)}
	if _, err := ix.connectBatch([]*fetched{b}, height+1+UndoBlocks); err != nil {
		t.Fatal(err)
	}
	for k := range dump(t, ix) {
		if k[0] == keyUndo {
			t.Fatalf("there is %q", k)
		}
	}
	if _, err := ix.disconnect(); err == nil {
		t.Error("a block without undo was undone")
	}
}

// TestBatchStopsAtTheWrongBlock: what is applied is said, the rest is not.
func TestBatchStopsAtTheWrongBlock(t *testing.T) {
	p := ruleSets["satchel"]()
	ix, _ := openRun(t, p)
	defer ix.Close()
	l := newLottery(p, 2)
	blocks := l.play(t, ix, 10)
	other, _ := openRun(t, p)
	defer other.Close()
	wrong := slices.Clone(blocks)
	wrong[6] = &fetched{header: l.header(wrong[6].header.Height, chainhash.Hash{1})}
	done, err := other.connectBatch(wrong, 0)
	if tip, _ := other.Tip(); err == nil || len(done) != tip-p.FirstBlock+1 || len(done) > 6 {
		t.Fatalf("%d done, tip %d, %v", len(done), tip, err)
	}
	if _, err := other.connectBatch(blocks[len(done):], 0); err != nil {
		t.Fatal(err)
	}
	sameRows(t, dump(t, other), dump(t, ix))
}

package chain

import (
	"fmt"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/ops"
)

// A ruleCase makes a scene and returns transactions for one block. The last of
// them is judged.
type ruleCase struct {
	why  string
	want string // who accepts: both, none, satchel, blockstack
	make func(m *maker) []*wire.MsgTx
}

func testCases(t *testing.T, cases []ruleCase) {
	for _, c := range cases {
		for name, params := range ruleSets {
			t.Run(name+"/"+c.why, func(t *testing.T) {
				m := newMaker(t, params())
				accepted := m.mine(c.make(m)...)
				got := accepted[len(accepted)-1]
				if want := c.want == name || c.want == "both"; got != want {
					t.Errorf("accepted %v, want %v", got, want)
				}
			})
		}
	}
}

func txs(list ...*wire.MsgTx) []*wire.MsgTx { return list }

// names returns n names.
func names(prefix string, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("%s%d.test", prefix, i))
	}
	return list
}

// edit changes a transaction.
func edit(tx *wire.MsgTx, change func(tx *wire.MsgTx)) *wire.MsgTx {
	change(tx)
	return tx
}

func noFee(tx *wire.MsgTx) { tx.TxOut = tx.TxOut[:2] }

func TestNamespacePreorderRules(t *testing.T) {
	pre := func(m *maker) *wire.MsgTx { return m.preorderSpace("test", root, root, spaceCost) }
	quote := func(m *maker, c [16]byte) *wire.MsgTx {
		return m.tx(root, ops.NamespacePreorder{Hash: [20]byte{1}, Consensus: c}, root, 1)
	}
	testCases(t, []ruleCase{
		{"new", "both", func(m *maker) []*wire.MsgTx { return txs(pre(m)) }},
		{"of a script", "both", func(m *maker) []*wire.MsgTx { return txs(m.preorderSpace("test", club, root, 1)) }},
		{"in the first block", "both", func(m *maker) []*wire.MsgTx { return txs(quote(m, m.p.Genesis)) }},
		{"too small a fee, which the reveal will show", "both", func(m *maker) []*wire.MsgTx {
			return txs(m.preorderSpace("test", root, root, 1))
		}},
		{"no fee", "none", func(m *maker) []*wire.MsgTx { return txs(edit(pre(m), noFee)) }},
		{"sent before", "none", func(m *maker) []*wire.MsgTx { m.must(pre(m)); return txs(pre(m)) }},
		{"sent before by somebody else", "none", func(m *maker) []*wire.MsgTx {
			hash := ops.HashName("test", root.script, root.addr)
			m.must(m.tx(ben, ops.NamespacePreorder{Hash: hash, Consensus: m.consensus(0)}, ben, 1))
			return txs(pre(m))
		}},
		{"sent earlier in the block", "none", func(m *maker) []*wire.MsgTx { return txs(pre(m), pre(m)) }},
		{"the hash of a name's preorder", "both", func(m *maker) []*wire.MsgTx {
			hash := ops.HashName("test", root.script, root.addr)
			m.must(m.tx(root, ops.NamePreorder{Hash: hash, Consensus: m.consensus(0)}, root, 1))
			return txs(pre(m))
		}},
		{"used and sent again", "both", func(m *maker) []*wire.MsgTx { m.revealed(root); return txs(pre(m)) }},
		{"used, sent again and again", "both", func(m *maker) []*wire.MsgTx { m.revealed(root); m.must(pre(m)); return txs(pre(m)) }},
		{"used, sent again and again in the last block of the namespace's time", "both", func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			m.skip(100)
			m.must(pre(m))
			m.skip(42)
			return txs(pre(m))
		}},
		{"used, sent again, and again after the namespace's time", "none", func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			m.skip(100)
			m.must(pre(m))
			m.skip(43)
			return txs(pre(m))
		}},
		{"used, sent again, and again when somebody else has the namespace", "none", func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			m.skip(100)
			m.must(pre(m))
			m.skip(43)
			m.revealed(ben)
			return txs(pre(m))
		}},
		{"used, sent again and again for a namespace that is ready", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.skip(200)
			m.must(pre(m))
			return txs(pre(m))
		}},
		{"by one that can own nothing", "none", func(m *maker) []*wire.MsgTx {
			return txs(m.tx(nobody, ops.NamespacePreorder{Consensus: m.consensus(0)}, root, 1))
		}},
		{"quotes the hash of 24 blocks ago", "both", func(m *maker) []*wire.MsgTx {
			m.skip(3)
			c := m.consensus(0)
			m.skip(23)
			return txs(quote(m, c))
		}},
		{"quotes the hash of 25 blocks ago", "none", func(m *maker) []*wire.MsgTx {
			m.skip(3)
			c := m.consensus(0)
			m.skip(24)
			return txs(quote(m, c))
		}},
		{"quotes the first hash when its four blocks are too old", "none", func(m *maker) []*wire.MsgTx {
			m.skip(24)
			return txs(quote(m, m.p.Genesis))
		}},
		{"quotes the first hash in the last block", "both", func(m *maker) []*wire.MsgTx {
			m.skip(23)
			return txs(quote(m, m.p.Genesis))
		}},
		{"quotes another chain's hash", "none", func(m *maker) []*wire.MsgTx { return txs(quote(m, [16]byte{7})) }},
		{"sent 144 blocks ago", "none", func(m *maker) []*wire.MsgTx { m.must(pre(m)); m.skip(143); return txs(pre(m)) }},
		{"sent 145 blocks ago", "satchel", func(m *maker) []*wire.MsgTx { m.must(pre(m)); m.skip(144); return txs(pre(m)) }},
	})
}

func TestRevealRules(t *testing.T) {
	priced := func(id string, fee int64) func(m *maker) []*wire.MsgTx {
		return func(m *maker) []*wire.MsgTx {
			m.must(m.preorderSpace(id, root, root, fee))
			r := space
			r.ID = id
			return txs(m.reveal(r, root, root))
		}
	}
	with := func(change func(r *ops.NamespaceReveal)) func(m *maker) []*wire.MsgTx {
		return func(m *maker) []*wire.MsgTx {
			m.must(m.preorderSpace("test", root, root, spaceCost))
			r := space
			change(&r)
			return txs(m.reveal(r, root, root))
		}
	}
	outputs := func(change func(tx *wire.MsgTx)) func(m *maker) []*wire.MsgTx {
		return func(m *maker) []*wire.MsgTx {
			m.must(m.preorderSpace("test", root, root, spaceCost))
			return txs(edit(m.reveal(space, root, root), change))
		}
	}
	// again reveals a namespace for the second time, some blocks after the
	// first.
	again := func(after int, who party) func(m *maker) []*wire.MsgTx {
		return func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			m.skip(after - 2)
			m.must(m.preorderSpace("test", who, who, spaceCost))
			return txs(m.reveal(space, who, who))
		}
	}
	aged := func(blocks int) func(m *maker) []*wire.MsgTx {
		return func(m *maker) []*wire.MsgTx {
			m.must(m.preorderSpace("test", root, root, spaceCost))
			m.skip(blocks - 1)
			return txs(m.reveal(space, root, root))
		}
	}
	testCases(t, []ruleCase{
		{"preordered", "both", aged(1)},
		{"preordered earlier in the block", "both", func(m *maker) []*wire.MsgTx {
			return txs(m.preorderSpace("test", root, root, spaceCost), m.reveal(space, root, root))
		}},
		{"not preordered", "none", func(m *maker) []*wire.MsgTx { return txs(m.reveal(space, root, root)) }},
		{"another id preordered", "none", with(func(r *ops.NamespaceReveal) { r.ID = "tess" })},
		{"preordered for another revealer", "none", func(m *maker) []*wire.MsgTx {
			m.must(m.preorderSpace("test", root, root, spaceCost))
			return txs(m.reveal(space, root, ada))
		}},
		{"for somebody else, as preordered", "both", func(m *maker) []*wire.MsgTx {
			m.must(m.preorderSpace("test", root, ada, spaceCost))
			return txs(m.reveal(space, root, ada))
		}},
		{"preorder copied and sent first by somebody else", "none", func(m *maker) []*wire.MsgTx {
			hash := ops.HashName("test", root.script, root.addr)
			m.must(m.tx(ben, ops.NamespacePreorder{Hash: hash, Consensus: m.consensus(0)}, ben, spaceCost))
			return txs(m.reveal(space, root, root))
		}},
		{"a name's preorder of the same hash", "none", func(m *maker) []*wire.MsgTx {
			hash := ops.HashName("test", root.script, root.addr)
			m.must(m.tx(root, ops.NamePreorder{Hash: hash, Consensus: m.consensus(0)}, root, spaceCost))
			return txs(m.reveal(space, root, root))
		}},
		{"1 character", "both", priced("t", 41e8)},
		{"1 character, too little", "none", priced("t", 41e8-1)},
		{"2 characters", "both", priced("te", 40e8)},
		{"3 characters, too little", "none", priced("tes", 40e8-1)},
		{"4 characters", "both", priced("test", 4e8)},
		{"7 characters, too little", "none", priced("testing", 4e8-1)},
		{"8 characters", "both", priced("testings", 4e7)},
		{"19 characters", "both", priced("testings-are-all_01", 4e7)},
		{"8 characters, too little", "none", priced("testings", 4e7-1)},
		{"version 0", "none", with(func(r *ops.NamespaceReveal) { r.Version = 0 })},
		{"version 2", "none", with(func(r *ops.NamespaceReveal) { r.Version = 2 })},
		{"discounts of 15", "both", with(func(r *ops.NamespaceReveal) { r.NonAlpha, r.NoVowel = 15, 15 })},
		{"no discount for digits", "none", with(func(r *ops.NamespaceReveal) { r.NonAlpha = 0 })},
		{"no discount without vowels", "none", with(func(r *ops.NamespaceReveal) { r.NoVowel = 0 })},
		{"names that cost nothing and last for ever", "both", with(func(r *ops.NamespaceReveal) {
			r.Coefficient, r.Base, r.Lifetime = 0, 0, ops.Forever
		})},
		{"two outputs", "none", outputs(func(tx *wire.MsgTx) { tx.TxOut = tx.TxOut[:2] })},
		{"four outputs", "none", outputs(func(tx *wire.MsgTx) { tx.AddTxOut(tx.TxOut[1]) })},
		{"a script as revealer", "none", func(m *maker) []*wire.MsgTx {
			m.must(m.preorderSpace("test", root, club, spaceCost))
			return txs(m.reveal(space, root, club))
		}},
		{"a script as sender", "blockstack", func(m *maker) []*wire.MsgTx {
			m.must(m.preorderSpace("test", club, root, spaceCost))
			return txs(m.reveal(space, club, root))
		}},
		{"two in a block, the second", "none", func(m *maker) []*wire.MsgTx {
			m.must(m.preorderSpace("test", root, root, spaceCost), m.preorderSpace("test", ada, ada, spaceCost))
			return txs(m.reveal(space, root, root), m.reveal(space, ada, ada))
		}},
		{"two in a block, the first", "none", func(m *maker) []*wire.MsgTx {
			m.must(m.preorderSpace("test", root, root, spaceCost), m.preorderSpace("test", ada, ada, spaceCost))
			m.mine(m.reveal(space, root, root), m.reveal(space, ada, ada))
			ns, err := m.ix.Namespace("test")
			if err == nil {
				m.t.Errorf("it is there: %+v", ns)
			}
			return txs(m.reveal(space, ada, root))
		}},
		{"after two in a block", "both", func(m *maker) []*wire.MsgTx {
			m.must(m.preorderSpace("test", root, root, spaceCost), m.preorderSpace("test", ada, ada, spaceCost))
			m.mine(m.reveal(space, root, root), m.reveal(space, ada, ada))
			return txs(m.reveal(space, root, root))
		}},
		{"beside one that paid too little", "both", func(m *maker) []*wire.MsgTx {
			m.must(m.preorderSpace("test", root, root, 1), m.preorderSpace("test", ada, ada, spaceCost))
			return txs(m.reveal(space, root, root), m.reveal(space, ada, ada))
		}},
		{"beside another namespace", "both", func(m *maker) []*wire.MsgTx {
			m.must(m.preorderSpace("tess", root, root, spaceCost), m.preorderSpace("test", ada, ada, spaceCost))
			r := space
			r.ID = "tess"
			return txs(m.reveal(r, root, root), m.reveal(space, ada, ada))
		}},
		{"after another in the block, with preorders in it", "none", func(m *maker) []*wire.MsgTx {
			return txs(m.preorderSpace("test", root, root, spaceCost), m.preorderSpace("test", ada, ada, spaceCost),
				m.reveal(space, root, root), m.reveal(space, ada, ada))
		}},
		{"twice, the preorder being used up", "none", func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			m.skip(144)
			return txs(m.reveal(space, root, root))
		}},
		{"revealed already", "none", again(10, ada)},
		{"in the last block of another's time", "none", again(144, ada)},
		{"after another's time", "both", again(145, ada)},
		{"again after its own time", "both", again(145, root)},
		{"ready already", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.must(m.preorderSpace("test", ada, ada, spaceCost))
			m.skip(143)
			return txs(m.reveal(space, ada, ada))
		}},
		{"preordered 144 blocks ago", "both", aged(144)},
		{"preordered 145 blocks ago", "blockstack", aged(145)},
	})
}

func TestImportRules(t *testing.T) {
	after := func(blocks int) func(m *maker) []*wire.MsgTx {
		return func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			m.skip(blocks - 1)
			return txs(m.give("amy.test", root, ada, 1))
		}
	}
	// child imports a second name by a child of the revealer's key.
	child := func(n int) func(m *maker) []*wire.MsgTx {
		return func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			m.must(m.give("amy.test", root, ada, 1))
			return txs(m.give("bob.test", childOf(root, n), ada, 1))
		}
	}
	changed := func(change func(tx *wire.MsgTx)) func(m *maker) []*wire.MsgTx {
		return func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			return txs(edit(m.give("amy.test", root, ada, 1), change))
		}
	}
	testCases(t, []ruleCase{
		{"by the revealer", "both", after(1)},
		{"in the last block of his time", "both", after(144)},
		{"after his time", "none", after(145)},
		{"to a script", "both", func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			return txs(m.give("amy.test", root, club, 1))
		}},
		{"a namespace that nobody revealed", "none", func(m *maker) []*wire.MsgTx { return txs(m.give("amy.test", root, ada, 1)) }},
		{"revealed in this block", "none", func(m *maker) []*wire.MsgTx {
			m.must(m.preorderSpace("test", root, root, spaceCost))
			return txs(m.reveal(space, root, root), m.give("amy.test", root, ada, 1))
		}},
		{"before it is ready, in the same block", "both", func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			accepted := m.mine(m.give("amy.test", root, ada, 1), m.ready("test", root))
			if !accepted[0] || !accepted[1] {
				m.t.Error(accepted)
			}
			return txs(m.revoke("amy.test", ada))
		}},
		{"when it is ready, in the same block", "none", func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			return txs(m.ready("test", root), m.give("amy.test", root, ada, 1))
		}},
		{"when it is ready", "none", func(m *maker) []*wire.MsgTx { m.opened(); return txs(m.give("amy.test", root, ada, 1)) }},
		{"by a stranger", "none", func(m *maker) []*wire.MsgTx { m.revealed(root); return txs(m.give("amy.test", ben, ada, 1)) }},
		{"by a script", "none", func(m *maker) []*wire.MsgTx { m.revealed(root); return txs(m.give("amy.test", club, ada, 1)) }},
		{"by a child first", "none", func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			return txs(m.give("amy.test", childOf(root, 0), ada, 1))
		}},
		{"by the first child", "both", child(0)},
		{"by the last child", "both", child(4)},
		{"by the child after the last", "none", child(5)},
		{"by the revealer after a child", "both", func(m *maker) []*wire.MsgTx {
			m.mine(child(0)(m)...)
			return txs(m.give("cat.test", root, ada, 1))
		}},
		{"by the key of an earlier revealer", "none", func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			m.must(m.give("amy.test", root, ada, 1))
			m.skip(144)
			m.revealed(ben)
			return txs(m.give("bob.test", root, ada, 1))
		}},
		{"by a later revealer", "both", func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			m.must(m.give("amy.test", root, ada, 1))
			m.skip(144)
			m.revealed(ben)
			return txs(m.give("bob.test", ben, ada, 1))
		}},
		{"the same name again", "both", func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			m.must(m.give("amy.test", root, ada, 1))
			return txs(m.give("amy.test", root, ben, 2))
		}},
		{"the same name again in the block", "both", func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			return txs(m.give("amy.test", root, ada, 1), m.give("amy.test", root, ben, 2))
		}},
		{"more than the quota", "both", func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			for _, n := range names("a", 26) {
				m.must(m.give(n, root, ada, 1))
			}
			return txs(m.give("amy.test", root, ada, 1))
		}},
		{"no value", "none", changed(func(tx *wire.MsgTx) { tx.TxOut = tx.TxOut[:2] })},
		{"a value that is no address", "none", changed(func(tx *wire.MsgTx) { tx.TxOut[2].PkScript = []byte{0x51} })},
		{"the recipient twice, then a value", "both", changed(func(tx *wire.MsgTx) {
			tx.TxOut = append(tx.TxOut[:2:2], tx.TxOut[1], tx.TxOut[2])
		})},
		{"a recipient that can own nothing", "none", changed(func(tx *wire.MsgTx) { tx.TxOut[1].PkScript = make([]byte, 22) })},
	})
}

// TestImportWithoutKey: who spends a coin by an odd script shows no key, so
// nobody can tell whose children may import.
func TestImportWithoutKey(t *testing.T) {
	eachRuleSet(t, func(m *maker) {
		m.revealed(root)
		tx, ok := ops.Read(m.p.Magic, m.give("amy.test", root, ada, 1))
		if tx.SetSender(root.script); !ok || tx.SenderKey == nil {
			m.t.Fatalf("%+v", tx)
		}
		for _, key := range [][]byte{nil, tx.SenderKey} {
			tx.SenderKey = key
			a, err := m.ix.connect(madeUpHeader(m.tip()+1, &m.prev), []*ops.Tx{tx})
			if err != nil || (a.records[0] != "") != (key != nil) {
				m.t.Errorf("key %x: %q, %v", key, a.records, err)
			}
		}
	})
}

func TestReadyRules(t *testing.T) {
	after := func(blocks int) func(m *maker) []*wire.MsgTx {
		return func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			m.skip(blocks - 1)
			return txs(m.ready("test", root))
		}
	}
	testCases(t, []ruleCase{
		{"by the revealer", "both", after(1)},
		{"in the last block of his time", "both", after(144)},
		{"after his time", "none", after(145)},
		{"by a stranger", "none", func(m *maker) []*wire.MsgTx { m.revealed(root); return txs(m.ready("test", ben)) }},
		{"by the preorderer who is not the revealer", "none", func(m *maker) []*wire.MsgTx {
			m.must(m.preorderSpace("test", root, ada, spaceCost))
			m.must(m.reveal(space, root, ada))
			return txs(m.ready("test", root))
		}},
		{"by the revealer who is not the preorderer", "both", func(m *maker) []*wire.MsgTx {
			m.must(m.preorderSpace("test", root, ada, spaceCost))
			m.must(m.reveal(space, root, ada))
			return txs(m.ready("test", ada))
		}},
		{"not revealed", "none", func(m *maker) []*wire.MsgTx { return txs(m.ready("test", root)) }},
		{"revealed in this block", "none", func(m *maker) []*wire.MsgTx {
			m.must(m.preorderSpace("test", root, root, spaceCost))
			return txs(m.reveal(space, root, root), m.ready("test", root))
		}},
		{"ready already", "none", func(m *maker) []*wire.MsgTx { m.opened(); return txs(m.ready("test", root)) }},
		{"ready earlier in the block", "none", func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			return txs(m.ready("test", root), m.ready("test", root))
		}},
	})
}

func TestAnnounceChangesNothing(t *testing.T) {
	testCases(t, []ruleCase{
		{"an announcement", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, "amy.test")
			return txs(m.tx(ada, ops.Announce{Hash: [20]byte{1}}, ada, 0))
		}},
	})
}

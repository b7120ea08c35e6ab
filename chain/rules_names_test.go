package chain

import (
	"math"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/ops"
)

// nextEpoch makes a first epoch that ends at a height, without multisig and
// with single lifetimes.
func (m *maker) nextEpoch(last int) {
	m.p.Epochs = []Epoch{{Last: last}, {Last: math.MaxInt, Multisig: true, Lifetime: map[string]int{"test": 2}}}
}

// life leaves a name of ada's until some blocks after its registration, the
// last of which is the one that is judged.
func life(blocks int, then func(m *maker) *wire.MsgTx) func(m *maker) []*wire.MsgTx {
	return func(m *maker) []*wire.MsgTx {
		m.opened()
		m.registered(ada, "amy.test")
		m.skip(blocks - 1)
		return txs(then(m))
	}
}

func TestPreorderRules(t *testing.T) {
	pre := func(m *maker) *wire.MsgTx { return m.preorder("amy.test", ada, ada, cost) }
	quote := func(m *maker, c [16]byte) *wire.MsgTx {
		return m.tx(ada, ops.NamePreorder{Hash: [20]byte{1}, Consensus: c}, ada, 1)
	}
	aged := func(blocks int) func(m *maker) []*wire.MsgTx {
		return func(m *maker) []*wire.MsgTx { m.must(pre(m)); m.skip(blocks - 1); return txs(pre(m)) }
	}
	testCases(t, []ruleCase{
		{"new, in no namespace yet", "both", func(m *maker) []*wire.MsgTx { return txs(pre(m)) }},
		{"of a script", "both", func(m *maker) []*wire.MsgTx { return txs(m.preorder("amy.test", club, club, 1)) }},
		{"no fee", "none", func(m *maker) []*wire.MsgTx { return txs(edit(pre(m), noFee)) }},
		{"sent before", "none", aged(1)},
		{"sent 144 blocks ago", "none", aged(144)},
		{"sent 145 blocks ago", "satchel", aged(145)},
		{"sent earlier in the block", "none", func(m *maker) []*wire.MsgTx { return txs(pre(m), pre(m)) }},
		{"sent earlier in the block and used up", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			return txs(pre(m), m.register("amy.test", ada, ada), pre(m))
		}},
		{"used up", "both", func(m *maker) []*wire.MsgTx { m.opened(); m.registered(ada, "amy.test"); return txs(pre(m)) }},
		{"used, sent again, and again in the last block of the name's time", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, "amy.test")
			m.must(pre(m))
			m.skip(lifetime - 1)
			return txs(pre(m))
		}},
		{"used, sent again, and again after the name's time", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, "amy.test")
			m.must(pre(m))
			m.skip(lifetime)
			return txs(pre(m))
		}},
		{"used, sent again, and again when somebody else has the name", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, "amy.test")
			m.must(pre(m))
			m.skip(lifetime)
			m.registered(ben, "amy.test")
			return txs(pre(m))
		}},
		{"by one that can own nothing", "none", func(m *maker) []*wire.MsgTx {
			return txs(m.tx(nobody, ops.NamePreorder{Consensus: m.consensus(0)}, ada, 1))
		}},
		{"quotes the hash of 25 blocks ago", "none", func(m *maker) []*wire.MsgTx {
			m.skip(3)
			c := m.consensus(0)
			m.skip(24)
			return txs(quote(m, c))
		}},
		{"quotes another chain's hash", "none", func(m *maker) []*wire.MsgTx { return txs(quote(m, [16]byte{7})) }},
		{"the 26th name, 25 being imported and long over were the namespace ready", "none", func(m *maker) []*wire.MsgTx {
			m.imported(10)
			m.skip(60)
			return txs(pre(m))
		}},
		{"the 26th name, 25 being imported to a namespace whose time is over", "both", func(m *maker) []*wire.MsgTx {
			m.imported(ops.Forever)
			m.skip(144)
			return txs(pre(m))
		}},
		{"the 25th name", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, names("a", 24)...)
			return txs(pre(m))
		}},
		{"the 26th name", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, names("a", 25)...)
			return txs(pre(m))
		}},
		{"the 26th name, of which the 25th is registered in this block", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, names("a", 24)...)
			m.must(m.preorder("a24.test", ada, ada, cost))
			return txs(m.register("a24.test", ada, ada), pre(m))
		}},
		{"for somebody who has 25", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ben, names("a", 25)...)
			return txs(m.preorder("amy.test", ada, ben, cost))
		}},
		{"when of 25 names one is revoked", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, names("a", 25)...)
			m.must(m.revoke("a3.test", ada))
			return txs(pre(m))
		}},
		{"when 25 names have expired", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, names("a", 25)...)
			m.skip(lifetime + 1)
			return txs(pre(m))
		}},
	})
}

func TestRegistrationRules(t *testing.T) {
	reg := func(m *maker) *wire.MsgTx { return m.register("amy.test", ada, ada) }
	paid := func(n string, fee int64) func(m *maker) []*wire.MsgTx {
		return func(m *maker) []*wire.MsgTx {
			m.opened()
			m.must(m.preorder(n, ada, ada, fee))
			return txs(m.register(n, ada, ada))
		}
	}
	aged := func(blocks int) func(m *maker) []*wire.MsgTx {
		return func(m *maker) []*wire.MsgTx {
			m.opened()
			m.must(m.preorder("amy.test", ada, ada, cost))
			m.skip(blocks - 1)
			return txs(reg(m))
		}
	}
	// after registers ada's name for ben so many blocks after its registration.
	after := func(blocks int, end func(m *maker)) func(m *maker) []*wire.MsgTx {
		return func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, "amy.test")
			start := m.tip()
			if end != nil {
				end(m)
			}
			m.must(m.preorder("amy.test", ben, ben, cost))
			m.skip(start + blocks - 1 - m.tip())
			return txs(m.register("amy.test", ben, ben))
		}
	}
	priced := func(first, second float64, fee int64) func(m *maker) []*wire.MsgTx {
		return func(m *maker) []*wire.MsgTx {
			m.opened()
			m.p.Epochs = []Epoch{{Last: m.tip() + 1, Multisig: true, Price: map[string]float64{"test": first}},
				{Last: math.MaxInt, Multisig: true, Price: map[string]float64{"test": second}}}
			m.must(m.preorder("amy.test", ada, ada, fee)) // the last block of the first epoch
			return txs(reg(m))
		}
	}
	testCases(t, []ruleCase{
		{"preordered", "both", aged(1)},
		{"preordered earlier in the block", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			return txs(m.preorder("amy.test", ada, ada, cost), reg(m))
		}},
		{"preordered later in the block", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			if accepted := m.mine(reg(m), m.preorder("amy.test", ada, ada, cost)); accepted[0] || !accepted[1] {
				m.t.Error(accepted)
			}
			return txs(reg(m))
		}},
		{"not preordered", "none", func(m *maker) []*wire.MsgTx { m.opened(); return txs(reg(m)) }},
		{"preordered 144 blocks ago", "both", aged(144)},
		{"preordered 145 blocks ago", "blockstack", aged(145)},
		{"by somebody else than preordered", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.must(m.preorder("amy.test", ada, ada, cost))
			return txs(m.register("amy.test", ben, ada))
		}},
		{"for somebody else than preordered", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.must(m.preorder("amy.test", ada, ada, cost))
			return txs(m.register("amy.test", ada, ben))
		}},
		{"for somebody else as preordered", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.must(m.preorder("amy.test", ada, ben, cost))
			return txs(m.register("amy.test", ada, ben))
		}},
		{"preorder copied and sent first by somebody else", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			hash := ops.HashName("amy.test", ada.script, ada.addr)
			m.must(m.tx(ben, ops.NamePreorder{Hash: hash, Consensus: m.consensus(0)}, ben, cost))
			return txs(reg(m))
		}},
		{"a namespace's preorder of the same hash", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			hash := ops.HashName("amy.test", ada.script, ada.addr)
			m.must(m.tx(ada, ops.NamespacePreorder{Hash: hash, Consensus: m.consensus(0)}, ada, cost))
			return txs(reg(m))
		}},
		{"by a script", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.must(m.preorder("amy.test", club, club, cost))
			return txs(m.register("amy.test", club, club))
		}},
		{"for a script in the first epoch", "none", func(m *maker) []*wire.MsgTx {
			m.nextEpoch(14)
			m.opened()
			m.must(m.preorder("amy.test", ada, club, cost))
			return txs(m.register("amy.test", ada, club)) // in block 14
		}},
		{"for a script in the next epoch", "both", func(m *maker) []*wire.MsgTx {
			m.nextEpoch(13)
			m.opened()
			m.must(m.preorder("amy.test", ada, club, cost))
			return txs(m.register("amy.test", ada, club))
		}},
		{"by a script in the first epoch", "both", func(m *maker) []*wire.MsgTx {
			m.nextEpoch(50)
			m.opened()
			m.must(m.preorder("amy.test", club, ada, cost))
			return txs(m.register("amy.test", club, ada))
		}},
		{"for one that can own nothing", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			hash := ops.HashName("amy.test", ada.script, "")
			m.must(m.tx(ada, ops.NamePreorder{Hash: hash, Consensus: m.consensus(0)}, ada, cost))
			return txs(edit(reg(m), func(tx *wire.MsgTx) { tx.TxOut[1].PkScript = make([]byte, 22) }))
		}},
		{"in no namespace", "none", func(m *maker) []*wire.MsgTx {
			m.must(m.preorder("amy.test", ada, ada, cost))
			return txs(reg(m))
		}},
		{"in a namespace that is not ready", "none", func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			m.must(m.preorder("amy.test", ada, ada, cost))
			return txs(reg(m))
		}},
		{"preordered before it was ready", "none", func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			m.must(m.preorder("amy.test", ada, ada, cost))
			m.must(m.ready("test", root))
			return txs(reg(m))
		}},
		{"preordered in the block in which it became ready, earlier", "both", func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			m.must(m.preorder("amy.test", ada, ada, cost), m.ready("test", root))
			return txs(reg(m))
		}},
		{"all in the block in which it became ready", "both", func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			return txs(m.ready("test", root), m.preorder("amy.test", ada, ada, cost), reg(m))
		}},
		{"a satoshi too little", "none", paid("amy.test", cost-1)},
		{"a digit, discounted", "both", paid("amy1.test", cost/2)},
		{"a digit, too little", "none", paid("amy1.test", cost/2-1)},
		{"no vowel, discounted", "both", paid("bcd.test", cost/5)},
		{"no vowel and a digit: the larger discount", "both", paid("bc-d.test", cost/5)},
		{"no vowel and a digit, too little", "none", paid("bc_d.test", cost/5-1)},
		{"37 bytes", "both", paid(strings.Repeat("a", 32)+".test", cost)},
		{"half a satoshi is asked for", "none", priced(1.0005, 1, cost)},
		{"half a satoshi is asked for, and a whole one paid", "both", priced(1.0005, 1, cost+1)},
		{"a price that has risen since the preorder", "both", priced(1, 3, cost)},
		{"a price that has fallen since the preorder", "none", priced(3, 1, cost)},
		{"a price a tenth", "both", priced(0.1, 1, cost/10)},
		{"the 25th name", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, names("a", 24)...)
			m.must(m.preorder("amy.test", ada, ada, cost))
			return txs(reg(m))
		}},
		{"the 26th name", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.must(m.preorder("amy.test", ada, ada, cost))
			m.registered(ada, names("a", 25)...)
			return txs(reg(m))
		}},
		{"the 26th name, of which the 25th is registered in this block", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, names("a", 24)...)
			m.must(m.preorder("amy.test", ada, ada, cost), m.preorder("bob.test", ada, ada, cost))
			return txs(m.register("bob.test", ada, ada), reg(m))
		}},
		{"the 25th name when another one goes in this block", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.must(m.preorder("amy.test", ada, ada, cost))
			m.registered(ada, names("a", 25)...)
			return txs(m.transfer("a0.test", ada, ben, true), reg(m))
		}},
		{"registered", "none", after(2, nil)},
		{"earlier in the block", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			return txs(m.preorder("amy.test", ada, ada, cost), m.preorder("amy.test", ben, ben, cost),
				reg(m), m.register("amy.test", ben, ben))
		}},
		{"twice, the preorder being used up", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, "amy.test")
			m.skip(lifetime + 1)
			return txs(reg(m))
		}},
		{"in the last block of another's time", "none", after(lifetime+1, nil)},
		{"after another's time", "both", after(lifetime+2, nil)},
		{"revoked", "none", after(3, func(m *maker) { m.must(m.revoke("amy.test", ada)) })},
		{"revoked, in the last block of its time", "none", after(lifetime+1, func(m *maker) { m.must(m.revoke("amy.test", ada)) })},
		{"revoked, after its time", "both", after(lifetime+2, func(m *maker) { m.must(m.revoke("amy.test", ada)) })},
		{"renewed, after its first time", "none", after(lifetime+2, func(m *maker) { m.must(m.renew("amy.test", ada, cost)) })},
		{"in the grace of another's time", "none", after(lifetime+6, func(m *maker) { m.p.Epochs[len(m.p.Epochs)-1].Grace = 5 })},
		{"after the grace of another's time", "both", after(lifetime+7, func(m *maker) { m.p.Epochs[len(m.p.Epochs)-1].Grace = 5 })},
		{"preordered as 0amy", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.must(m.preorder("0amy.test", ada, ada, cost)) // leading zeros vanish in the hash
			return txs(reg(m))
		}},
		{"preordered, used for 0amy", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.must(m.preorder("amy.test", ada, ada, cost))
			m.must(m.register("0amy.test", ada, ada))
			m.must(m.preorder("amy.test", ada, ada, cost))
			return txs(reg(m)) // a name from the same hash is there
		}},
		{"the hash of an expired name, sent again", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, "amy.test")
			m.must(m.preorder("amy.test", ada, ada, cost))
			m.skip(lifetime)
			return txs(reg(m))
		}},
		{"doubled lifetimes bring an expired name back", "none", func(m *maker) []*wire.MsgTx {
			m.nextEpoch(60)
			m.opened()
			m.registered(ada, "amy.test") // 14, until 54
			m.skip(60 - m.tip())
			m.must(m.preorder("amy.test", ben, ben, cost))
			return txs(m.register("amy.test", ben, ben)) // 62
		}},
		{"before doubled lifetimes bring it back", "both", func(m *maker) []*wire.MsgTx {
			m.nextEpoch(60)
			m.opened()
			m.registered(ada, "amy.test")
			m.skip(59 - m.tip())
			m.must(m.preorder("amy.test", ben, ben, cost))
			return txs(m.register("amy.test", ben, ben)) // 61: as of 60 it is expired
		}},
	})
}

// TestCollisions: of two acceptable registrations in a block neither counts.
func TestCollisions(t *testing.T) {
	pre := func(m *maker, who party, fee int64) *wire.MsgTx { return m.preorder("amy.test", who, who, fee) }
	reg := func(m *maker, who party) *wire.MsgTx { return m.register("amy.test", who, who) }
	full := func(m *maker, n int, others ...string) {
		m.opened()
		m.must(pre(m, ada, cost), pre(m, ben, cost))
		for _, o := range others {
			m.must(m.preorder(o, ada, ada, cost))
		}
		m.registered(ada, names("a", n)...)
	}
	testCases(t, []ruleCase{
		{"the second", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.must(pre(m, ada, cost), pre(m, ben, cost))
			return txs(reg(m, ada), reg(m, ben))
		}},
		{"the first", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.must(pre(m, ada, cost), pre(m, ben, cost))
			if accepted := m.mine(reg(m, ada), reg(m, ben)); accepted[0] || accepted[1] {
				m.t.Error(accepted)
			}
			return txs(reg(m, ben)) // in another block either can
		}},
		{"the third", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.must(pre(m, ada, cost), pre(m, ben, cost), pre(m, club, cost))
			return txs(reg(m, ada), reg(m, ben), reg(m, club))
		}},
		{"with one that paid too little", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.must(pre(m, ada, cost-1), pre(m, ben, cost))
			return txs(reg(m, ada), reg(m, ben))
		}},
		{"with one that is preordered in the block", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.must(pre(m, ada, cost))
			return txs(pre(m, ben, cost), reg(m, ada))
		}},
		{"with one that has its preorder in the block, which comes too late", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.must(pre(m, ada, cost))
			return txs(pre(m, ben, cost), reg(m, ada), reg(m, ben))
		}},
		{"with one over the quota", "both", func(m *maker) []*wire.MsgTx {
			full(m, 25)
			return txs(reg(m, ada), reg(m, ben))
		}},
		{"with one that reaches the quota in the block", "both", func(m *maker) []*wire.MsgTx {
			full(m, 24, "bob.test")
			return txs(m.register("bob.test", ada, ada), reg(m, ada), reg(m, ben))
		}},
		{"with one below the quota", "none", func(m *maker) []*wire.MsgTx {
			full(m, 23, "bob.test")
			return txs(m.register("bob.test", ada, ada), reg(m, ada), reg(m, ben))
		}},
		{"with one below the quota who renews, and again alone", "both", func(m *maker) []*wire.MsgTx {
			full(m, 24)
			m.mine(m.renew("a0.test", ada, cost), reg(m, ada), reg(m, ben))
			return txs(reg(m, ada))
		}},
		{"with one below the quota who renews in the last block, and again alone", "both", func(m *maker) []*wire.MsgTx {
			full(m, 24)
			m.skip(lifetime)
			m.mine(m.renew("a0.test", ada, cost), reg(m, ada), reg(m, ben))
			return txs(reg(m, ada))
		}},
		{"of another name", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.must(pre(m, ada, cost), m.preorder("bob.test", ben, ben, cost))
			return txs(reg(m, ada), m.register("bob.test", ben, ben))
		}},
	})
}

func TestRenewalRules(t *testing.T) {
	renew := func(m *maker) *wire.MsgTx { return m.renew("amy.test", ada, cost) }
	testCases(t, []ruleCase{
		{"by the owner", "both", life(1, renew)},
		{"by a stranger", "none", life(1, func(m *maker) *wire.MsgTx { return m.renew("amy.test", ben, cost) })},
		{"by a stranger for the owner", "none", life(1, func(m *maker) *wire.MsgTx {
			return m.tx(ben, ops.Registration{Name: "amy.test"}, ada, cost)
		})},
		{"for a stranger", "none", life(1, func(m *maker) *wire.MsgTx {
			return m.tx(ada, ops.Registration{Name: "amy.test"}, ben, cost)
		})},
		{"for nothing", "none", life(1, func(m *maker) *wire.MsgTx { return m.register("amy.test", ada, ada) })},
		{"for a satoshi too little", "none", life(1, func(m *maker) *wire.MsgTx { return m.renew("amy.test", ada, cost-1) })},
		{"for nothing where names cost nothing", "none", life(1, func(m *maker) *wire.MsgTx {
			m.p.Epochs[len(m.p.Epochs)-1].Price = map[string]float64{"test": 0}
			return m.register("amy.test", ada, ada)
		})},
		{"at today's price", "both", life(1, func(m *maker) *wire.MsgTx {
			m.p.Epochs[len(m.p.Epochs)-1].Price = map[string]float64{"test": 0.5}
			return m.renew("amy.test", ada, cost/2)
		})},
		{"at yesterday's price", "none", life(1, func(m *maker) *wire.MsgTx {
			m.p.Epochs[len(m.p.Epochs)-1].Price = map[string]float64{"test": 2}
			return renew(m)
		})},
		{"in the last block of its time", "both", life(lifetime+1, renew)},
		{"after its time", "none", life(lifetime+2, renew)},
		{"in its grace", "both", life(lifetime+6, func(m *maker) *wire.MsgTx { m.p.Epochs[len(m.p.Epochs)-1].Grace = 5; return renew(m) })},
		{"after its grace", "none", life(lifetime+7, func(m *maker) *wire.MsgTx { m.p.Epochs[len(m.p.Epochs)-1].Grace = 5; return renew(m) })},
		{"again", "both", life(1, func(m *maker) *wire.MsgTx { m.must(renew(m)); return renew(m) })},
		{"again in the block", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, "amy.test")
			return txs(renew(m), renew(m))
		}},
		{"after a failed one in the block", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, "amy.test")
			return txs(m.renew("amy.test", ben, cost), renew(m))
		}},
		{"in the block of its registration", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.must(m.preorder("amy.test", ada, ada, cost))
			return txs(m.register("amy.test", ada, ada), renew(m))
		}},
		{"revoked", "none", life(1, func(m *maker) *wire.MsgTx { m.must(m.revoke("amy.test", ada)); return renew(m) })},
		{"preordered anew as well", "both", life(1, func(m *maker) *wire.MsgTx {
			m.must(m.preorder("amy.test", ada, ada, cost))
			return renew(m)
		})},
		{"by its new owner, who had preordered it", "both", life(1, func(m *maker) *wire.MsgTx {
			m.must(m.preorder("amy.test", ben, ben, cost), m.transfer("amy.test", ada, ben, true))
			return m.renew("amy.test", ben, cost)
		})},
		{"by an owner of 24", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, names("a", 24)...)
			return txs(m.renew("a0.test", ada, cost))
		}},
		{"by an owner of 25", "satchel", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, names("a", 25)...)
			return txs(m.renew("a0.test", ada, cost))
		}},
		{"by a script", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(club, "amy.test")
			return txs(m.renew("amy.test", club, cost))
		}},
		{"by a script in the first epoch", "none", func(m *maker) []*wire.MsgTx {
			m.nextEpoch(50)
			m.opened()
			m.registered(ada, "amy.test")
			m.must(m.transfer("amy.test", ada, club, true)) // which is no rule against
			return txs(m.renew("amy.test", club, cost))
		}},
		{"an imported one", "both", func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			m.must(m.give("amy.test", root, ada, 1))
			m.must(m.ready("test", root))
			return txs(renew(m))
		}},
		{"an imported one before the namespace is ready", "none", func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			m.must(m.give("amy.test", root, ada, 1))
			return txs(renew(m))
		}},
	})
}

func TestUpdateRules(t *testing.T) {
	update := func(m *maker) *wire.MsgTx { return m.update("amy.test", ada, 1) }
	quote := func(blocks int) func(m *maker) []*wire.MsgTx {
		return life(1, func(m *maker) *wire.MsgTx {
			tx := update(m)
			m.skip(blocks - 1)
			return tx
		})
	}
	testCases(t, append(ownerCases(update, func(m *maker) *wire.MsgTx { return m.update("amy.test", ben, 1) },
		func(m *maker) *wire.MsgTx { return m.update("amy.test", club, 1) }), []ruleCase{
		{"quotes the hash of 24 blocks ago", "both", quote(24)},
		{"quotes the hash of 25 blocks ago", "none", quote(25)},
		{"quotes another chain's hash", "none", life(1, func(m *maker) *wire.MsgTx {
			return m.tx(ada, ops.Update{NameHash: ops.UpdateHash("amy.test", [16]byte{7})}, ada, 0)
		})},
		{"quotes the hash of another name", "none", life(1, func(m *maker) *wire.MsgTx { return m.update("bob.test", ada, 1) })},
		{"by an owner of 25", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, names("a", 25)...)
			return txs(m.update("a7.test", ada, 1))
		}},
		{"by an owner of 26", "none", func(m *maker) []*wire.MsgTx {
			m.rich(26)
			return txs(m.update("a7.test", ada, 1))
		}},
		{"by an owner of 26 who gives one away in this block", "both", func(m *maker) []*wire.MsgTx {
			m.rich(26)
			return txs(m.transfer("a0.test", ada, ben, true), m.update("a7.test", ada, 1))
		}},
		{"twice in a block", "both", life(1, func(m *maker) *wire.MsgTx { m.must(update(m), update(m)); return update(m) })},
	}...))
}

// rich imports n names for ada, who can have so many in no other way.
func (m *maker) rich(n int) {
	m.t.Helper()
	m.revealed(root)
	for _, n := range names("a", n) {
		m.must(m.give(n, root, ada, 1))
	}
	m.must(m.ready("test", root))
}

// imported gives ada 25 names in a namespace that is not ready.
func (m *maker) imported(lifetime uint32) {
	m.t.Helper()
	r := space
	r.Lifetime = lifetime
	m.must(m.preorderSpace("test", root, root, spaceCost))
	m.must(m.reveal(r, root, root))
	var gifts []*wire.MsgTx
	for _, n := range names("a", 25) {
		gifts = append(gifts, m.give(n, root, ada, 1))
	}
	m.must(gifts...)
}

// ownerCases are what updates, transfers and revocations have in common. They
// are given one of amy.test by ada, by ben, and by a script.
func ownerCases(own, strange, script func(m *maker) *wire.MsgTx) []ruleCase {
	imported := func(blocks int) func(m *maker) []*wire.MsgTx {
		return func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			m.must(m.give("amy.test", root, ada, 1))
			m.skip(5)
			m.must(m.ready("test", root))
			m.skip(blocks - 1)
			return txs(own(m))
		}
	}
	return []ruleCase{
		{"by the owner", "both", life(1, own)},
		{"by a stranger", "none", life(1, strange)},
		{"by a stranger who preordered it", "none", life(1, func(m *maker) *wire.MsgTx {
			m.must(m.preorder("amy.test", ben, ben, cost))
			return strange(m)
		})},
		{"of nothing", "none", func(m *maker) []*wire.MsgTx { m.opened(); return txs(own(m)) }},
		{"in the block of its registration", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.must(m.preorder("amy.test", ada, ada, cost))
			return txs(m.register("amy.test", ada, ada), own(m))
		}},
		{"after its time", "none", life(lifetime+2, own)},
		{"in its grace", "none", life(lifetime+2, func(m *maker) *wire.MsgTx { m.p.Epochs[len(m.p.Epochs)-1].Grace = 5; return own(m) })},
		{"in the last block but one of its time", "both", life(lifetime, own)},
		{"of an imported name before the namespace is ready", "none", func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			m.must(m.give("amy.test", root, ada, 1))
			return txs(own(m))
		}},
		{"of an imported name in the block that makes the namespace ready", "both", func(m *maker) []*wire.MsgTx {
			m.revealed(root)
			m.must(m.give("amy.test", root, ada, 1))
			return txs(m.ready("test", root), own(m))
		}},
		{"of an imported name, whose time counts from then", "both", imported(lifetime - 1)},
		{"of an imported name, after its time", "none", imported(lifetime + 1)},
		{"revoked", "none", life(1, func(m *maker) *wire.MsgTx { m.must(m.revoke("amy.test", ada)); return own(m) })},
		{"revoked earlier in the block", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, "amy.test")
			return txs(m.revoke("amy.test", ada), own(m))
		}},
		{"by its former owner", "none", life(1, func(m *maker) *wire.MsgTx {
			m.must(m.transfer("amy.test", ada, board, true))
			return own(m)
		})},
		{"by its former owner, of this block", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, "amy.test")
			return txs(m.transfer("amy.test", ada, board, true), own(m))
		}},
		{"by its new owner, of this block", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, "amy.test")
			return txs(m.transfer("amy.test", ada, ben, true), strange(m))
		}},
		{"by a script", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(club, "amy.test")
			return txs(script(m))
		}},
		{"before doubled lifetimes bring it back", "none", func(m *maker) []*wire.MsgTx {
			m.nextEpoch(60)
			m.opened()
			m.registered(ada, "amy.test") // 14, until 54
			m.skip(60 - m.tip())
			return txs(own(m))
		}},
		{"when doubled lifetimes have brought it back", "both", func(m *maker) []*wire.MsgTx {
			m.nextEpoch(60)
			m.opened()
			m.registered(ada, "amy.test")
			m.skip(61 - m.tip())
			return txs(own(m))
		}},
	}
}

func TestTransferRules(t *testing.T) {
	give := func(m *maker) *wire.MsgTx { return m.transfer("amy.test", ada, root, true) }
	quote := func(blocks int) func(m *maker) []*wire.MsgTx {
		return life(1, func(m *maker) *wire.MsgTx {
			tx := give(m)
			m.skip(blocks - 1)
			return tx
		})
	}
	testCases(t, append(ownerCases(give, func(m *maker) *wire.MsgTx { return m.transfer("amy.test", ben, root, true) },
		func(m *maker) *wire.MsgTx { return m.transfer("amy.test", club, root, true) }), []ruleCase{
		{"without its value", "both", life(1, func(m *maker) *wire.MsgTx { return m.transfer("amy.test", ada, ben, false) })},
		{"to a script", "both", life(1, func(m *maker) *wire.MsgTx { return m.transfer("amy.test", ada, club, true) })},
		{"to a script in the first epoch", "both", func(m *maker) []*wire.MsgTx {
			m.nextEpoch(50)
			m.opened()
			m.registered(ada, "amy.test")
			return txs(m.transfer("amy.test", ada, club, true))
		}},
		{"by a script in the first epoch", "none", func(m *maker) []*wire.MsgTx {
			m.nextEpoch(50)
			m.opened()
			m.registered(ada, "amy.test")
			m.must(m.transfer("amy.test", ada, club, true))
			return txs(m.transfer("amy.test", club, ada, true))
		}},
		{"to oneself", "none", life(1, func(m *maker) *wire.MsgTx { return m.transfer("amy.test", ada, ada, true) })},
		{"to one that can own nothing", "none", life(1, func(m *maker) *wire.MsgTx {
			return edit(give(m), func(tx *wire.MsgTx) { tx.TxOut[1].PkScript = make([]byte, 22) })
		})},
		{"quotes the hash of 24 blocks ago", "both", quote(24)},
		{"quotes the hash of 25 blocks ago", "none", quote(25)},
		{"quotes another chain's hash", "none", life(1, func(m *maker) *wire.MsgTx {
			return m.tx(ada, ops.Transfer{Keep: true, NameHash: ops.Hash128("amy.test"), Consensus: [16]byte{7}}, ben, 0)
		})},
		{"the 25th name", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, "amy.test")
			m.registered(ben, names("a", 24)...)
			return txs(m.transfer("amy.test", ada, ben, true))
		}},
		{"the 26th name", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, "amy.test")
			m.registered(ben, names("a", 25)...)
			return txs(m.transfer("amy.test", ada, ben, true))
		}},
		{"the 26th name, the 25th being transferred in this block", "none", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, "amy.test", "bob.test")
			m.registered(ben, names("a", 24)...)
			return txs(m.transfer("bob.test", ada, ben, true), m.transfer("amy.test", ada, ben, true))
		}},
		{"the 26th name, the 25th being registered in this block", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, "amy.test")
			m.registered(ben, names("a", 24)...)
			m.must(m.preorder("bob.test", ben, ben, cost))
			return txs(m.register("bob.test", ben, ben), m.transfer("amy.test", ada, ben, true))
		}},
		{"by an owner of 26", "both", func(m *maker) []*wire.MsgTx {
			m.rich(26)
			return txs(m.transfer("a7.test", ada, ben, true))
		}},
		{"there and back in a block", "both", func(m *maker) []*wire.MsgTx {
			m.opened()
			m.registered(ada, "amy.test")
			return txs(m.transfer("amy.test", ada, ben, true), m.transfer("amy.test", ben, ada, true))
		}},
	}...))
}

func TestRevokeRules(t *testing.T) {
	revoke := func(m *maker) *wire.MsgTx { return m.revoke("amy.test", ada) }
	testCases(t, append(ownerCases(revoke, func(m *maker) *wire.MsgTx { return m.revoke("amy.test", ben) },
		func(m *maker) *wire.MsgTx { return m.revoke("amy.test", club) }), []ruleCase{
		{"in the block before its end", "both", life(lifetime, revoke)},
		{"in the block in which it ends", "none", life(lifetime+1, revoke)},
		{"by an owner of 26", "both", func(m *maker) []*wire.MsgTx {
			m.rich(26)
			return txs(m.revoke("a7.test", ada))
		}},
	}...))
}

// TestLastBlock: only a revocation has to be in time as of its own block.
func TestLastBlock(t *testing.T) {
	testCases(t, []ruleCase{
		{"update", "both", life(lifetime+1, func(m *maker) *wire.MsgTx { return m.update("amy.test", ada, 1) })},
		{"transfer", "both", life(lifetime+1, func(m *maker) *wire.MsgTx { return m.transfer("amy.test", ada, ben, true) })},
	})
}

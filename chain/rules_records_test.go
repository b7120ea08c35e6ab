package chain

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/ops"
)

// Fields of the record of an operation on a name, by their place.
const (
	fieldName = iota
	fieldValue
	fieldOwner
	fieldKey
	fieldAddress
	fieldBlockNumber
	fieldPreordered
	fieldFirstRegistered
	fieldLastRenewed
	fieldRevoked
	fieldOp
	fieldTxid
	fieldIndex
	fieldFee
	fieldImporter
	fieldImporterAddress
	fieldExtra
)

// fieldsOf takes a record apart.
func fieldsOf(t *testing.T, rec string) (list []string) {
	t.Helper()
	for rest := rec[2:]; ; rest = rest[1:] {
		length, tail, ok := strings.Cut(rest, ":")
		n, err := strconv.Atoi(length)
		if !ok || err != nil || n > len(tail) {
			t.Fatalf("record %q is no list of fields", rec)
		}
		list = append(list, tail[:n])
		if rest = tail[n:]; rest == "" {
			return list
		}
	}
}

// did mines a block of one transaction and returns the record it leaves.
func (m *maker) did(tx *wire.MsgTx) []string {
	m.t.Helper()
	m.must(tx)
	return fieldsOf(m.t, m.run.Blocks[len(m.run.Blocks)-1].SerializedOps[0])
}

func (m *maker) want(what string, got []string, want map[int]string) {
	m.t.Helper()
	for i, w := range want {
		if got[i] != w {
			m.t.Errorf("%s: %s: field %d is %q, want %q", m.p.Rules, what, i, got[i], w)
		}
	}
}

// eachRuleSet tells a story under both.
func eachRuleSet(t *testing.T, story func(m *maker)) {
	for name, params := range ruleSets {
		t.Run(name, func(t *testing.T) { story(newMaker(t, params())) })
	}
}

func keyText(p party) string { return hex.EncodeToString(p.sig[len(p.sig)-33:]) }

func valueText(v byte) string { return fmt.Sprintf("%x", [20]byte{v}) }

// TestImportedFees: the fee of an imported name is a price and so a float, and
// stays one until somebody else registers the name.
func TestImportedFees(t *testing.T) {
	eachRuleSet(t, func(m *maker) {
		m.revealed(root)
		m.want("import", m.did(m.give("amy.test", root, ada, 1)), map[int]string{fieldFee: "1000.0"})
		m.must(m.ready("test", root))
		m.want("update", m.did(m.update("amy.test", ada, 2)), map[int]string{fieldFee: "1000.0"})
		m.want("renewal", m.did(m.renew("amy.test", ada, 1500)), map[int]string{fieldFee: "1500.0"})
		m.want("transfer", m.did(m.transfer("amy.test", ada, ben, true)), map[int]string{fieldFee: "1500.0"})
		m.want("revocation", m.did(m.revoke("amy.test", ben)), map[int]string{fieldFee: "1500.0"})
		m.skip(lifetime + 1)
		m.must(m.preorder("amy.test", ada, ada, 2000))
		m.want("registration", m.did(m.register("amy.test", ada, ada)), map[int]string{
			fieldFee: "2000", fieldImporter: "", fieldImporterAddress: "", fieldRevoked: "False", fieldValue: "",
		})
		m.want("renewal of that", m.did(m.renew("amy.test", ada, 1e12)), map[int]string{fieldFee: "1000000000000"})
	})
}

// TestLargeFees: a float may have an exponent and no point.
func TestLargeFees(t *testing.T) {
	eachRuleSet(t, func(m *maker) {
		r := space
		r.Base, r.Buckets[2] = 10, 9
		m.must(m.preorderSpace("test", root, root, spaceCost))
		m.must(m.reveal(r, root, root))
		m.want("import", m.did(m.give("amy.test", root, ada, 1)), map[int]string{fieldFee: "1e+12"})
		m.must(m.ready("test", root))
		m.want("renewal", m.did(m.renew("amy.test", ada, 2e12)), map[int]string{fieldFee: "2e+12"})
	})
}

// TestFloats writes prices as Python 2 did.
func TestFloats(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(r *ops.NamespaceReveal)
		factor float64
		want   string
	}{
		{"amy.test", func(r *ops.NamespaceReveal) { r.Coefficient = 0 }, 1, "100.0"},
		{"amy.test", func(r *ops.NamespaceReveal) { r.Coefficient = 0 }, 0.1, "10.0"}, // the least price is before the factor
		{"amy.test", func(r *ops.NamespaceReveal) {}, 0.1, "100.0"},
		{"amy.test", func(r *ops.NamespaceReveal) {}, 0.12345, "123.45"},
		{"bcd.test", func(r *ops.NamespaceReveal) { r.NoVowel = 3 }, 1, "333.333333333"},
		{"bcd.test", func(r *ops.NamespaceReveal) { r.NoVowel, r.Coefficient = 7, 255 }, 1, "3642.85714286"},
		{"amy.test", func(r *ops.NamespaceReveal) { r.Base, r.Buckets[2] = 10, 8 }, 1, "1e+11"},
		{"amy.test", func(r *ops.NamespaceReveal) { r.Base, r.Buckets[2] = 10, 9 }, 1, "1e+12"},
		{"amy.test", func(r *ops.NamespaceReveal) { r.Base, r.Buckets[2] = 200, 6 }, 1, "6.4e+16"},
		{"amy.test", func(r *ops.NamespaceReveal) { r.Coefficient, r.Base, r.Buckets[2] = 255, 255, 15 }, 1, "3.19626579315e+40"},
		{strings.Repeat("a", 30) + ".test", func(r *ops.NamespaceReveal) { r.Base, r.Buckets[15] = 10, 1 }, 1, "10000.0"},
	} {
		eachRuleSet(t, func(m *maker) {
			m.p.Epochs[len(m.p.Epochs)-1].Price = map[string]float64{"test": c.factor}
			r := space
			c.change(&r)
			m.must(m.preorderSpace("test", root, root, spaceCost))
			m.must(m.reveal(r, root, root))
			m.want(c.name, m.did(m.give(c.name, root, ada, 1)), map[int]string{fieldFee: c.want})
		})
	}
}

// TestTransferredHashes: a transfer shows the consensus hash of the update
// before, only without one that which it quotes itself.
func TestTransferredHashes(t *testing.T) {
	eachRuleSet(t, func(m *maker) {
		shown := fieldExtra + 1
		now := func() string { c := m.consensus(0); return hex.EncodeToString(c[:]) }
		m.opened()
		m.registered(ada, "amy.test")
		for i, give := range []struct{ from, to party }{{ada, ben}, {ben, ada}} {
			quoted := now()
			m.want(fmt.Sprint("transfer ", i), m.did(m.transfer("amy.test", give.from, give.to, i == 0)), map[int]string{shown: quoted})
		}
		updated := now()
		m.want("update", m.did(m.update("amy.test", ada, 1)), map[int]string{shown: updated})
		m.want("transfer after the update", m.did(m.transfer("amy.test", ada, ben, true)), map[int]string{
			shown: updated, fieldOp: ">>", fieldExtra + 2: "True", fieldValue: valueText(1),
		})
		m.want("the next", m.did(m.transfer("amy.test", ben, ada, false)), map[int]string{
			shown: updated, fieldOp: ">~", fieldExtra + 2: "False", fieldValue: "",
		})
		m.skip(lifetime + 1)
		m.registered(ben, "amy.test")
		quoted := now()
		m.want("after a new registration", m.did(m.transfer("amy.test", ben, ada, true)), map[int]string{shown: quoted})
	})
}

// TestKeysOfOwners: the key in a record is that of who registered or imported
// the name, and goes with a transfer.
func TestKeysOfOwners(t *testing.T) {
	eachRuleSet(t, func(m *maker) {
		m.revealed(root)
		m.want("import", m.did(m.give("bob.test", root, ada, 1)), map[int]string{fieldKey: keyText(root), fieldAddress: ada.addr})
		m.must(m.ready("test", root))
		m.must(m.preorder("amy.test", ada, ben, cost))
		m.want("registration for somebody else", m.did(m.register("amy.test", ada, ben)), map[int]string{
			fieldKey: keyText(ada), fieldOwner: hex.EncodeToString(ben.script), fieldAddress: ben.addr,
			fieldExtra: hex.EncodeToString(ben.script), fieldExtra + 1: ben.addr,
		})
		m.want("update", m.did(m.update("amy.test", ben, 1)), map[int]string{fieldKey: keyText(ada)})
		m.want("renewal", m.did(m.renew("amy.test", ben, cost)), map[int]string{
			fieldKey: keyText(ada), fieldOp: "::", fieldValue: valueText(1), fieldLastRenewed: strconv.Itoa(m.tip()),
			fieldExtra: hex.EncodeToString(ben.script), fieldExtra + 1: ben.addr,
		})
		m.want("transfer", m.did(m.transfer("amy.test", ben, ada, true)), map[int]string{fieldKey: "", fieldAddress: ada.addr})
		m.want("update after it", m.did(m.update("amy.test", ada, 1)), map[int]string{fieldKey: ""})
		m.want("preorder by a script", m.did(m.preorder("cat.test", club, club, cost)), map[int]string{3: "", 4: club.addr})
		m.want("registration by a script", m.did(m.register("cat.test", club, club)), map[int]string{
			fieldKey: "", fieldOwner: hex.EncodeToString(club.script), fieldAddress: club.addr,
		})
	})
}

// TestRevokedRecord: nothing goes but the value.
func TestRevokedRecord(t *testing.T) {
	eachRuleSet(t, func(m *maker) {
		m.opened()
		m.registered(ada, "amy.test")
		before := m.did(m.update("amy.test", ada, 1))
		after := m.did(m.revoke("amy.test", ada))
		if len(after) != fieldExtra {
			m.t.Errorf("%d fields", len(after))
		}
		for _, i := range []int{fieldName, fieldOwner, fieldKey, fieldAddress, fieldBlockNumber, fieldPreordered,
			fieldFirstRegistered, fieldLastRenewed, fieldFee, fieldImporter, fieldImporterAddress} {
			m.want("revocation", after, map[int]string{i: before[i]})
		}
		m.want("revocation", after, map[int]string{fieldRevoked: "True", fieldValue: "", fieldOp: "~"})
	})
}

// TestRegisteredAgain: a name keeps the number of the block in which it was
// first preordered, and nothing else.
func TestRegisteredAgain(t *testing.T) {
	eachRuleSet(t, func(m *maker) {
		m.opened() // 12
		m.registered(ada, "amy.test")
		m.must(m.update("amy.test", ada, 1))
		m.skip(lifetime + 3)
		m.must(m.preorder("amy.test", ben, ben, 1234))
		got := m.did(m.register("amy.test", ben, ben))
		tip := m.tip()
		m.want("registration", got, map[int]string{
			fieldValue: "", fieldAddress: ben.addr, fieldBlockNumber: "13", fieldPreordered: strconv.Itoa(tip - 1),
			fieldFirstRegistered: strconv.Itoa(tip), fieldLastRenewed: strconv.Itoa(tip), fieldFee: "1234", fieldOp: ":",
		})
	})
}

// TestImportedAgain: a name that is given out again keeps the heights of the
// first time.
func TestImportedAgain(t *testing.T) {
	eachRuleSet(t, func(m *maker) {
		m.revealed(root) // 11
		m.must(m.give("amy.test", root, ada, 1))
		m.skip(3)
		first := map[int]string{fieldBlockNumber: "12", fieldPreordered: "12", fieldFirstRegistered: "12", fieldLastRenewed: "12"}
		child := childOf(root, 3)
		got := m.did(m.give("amy.test", child, ben, 2))
		m.want("import by a child", got, first)
		m.want("import by a child", got, map[int]string{
			fieldValue: valueText(2), fieldAddress: ben.addr, fieldKey: keyText(child), fieldOp: ";", fieldFee: "1000.0",
			fieldImporter: hex.EncodeToString(child.script), fieldImporterAddress: child.addr, fieldExtra + 1: ben.addr,
		})
		m.must(m.give("amy.test", child, ada, 3), m.give("amy.test", root, board, 4))
		got = fieldsOf(m.t, m.run.Blocks[len(m.run.Blocks)-1].SerializedOps[1])
		m.want("import twice in a block", got, first)
		m.want("import twice in a block", got, map[int]string{fieldAddress: board.addr, fieldValue: valueText(4), fieldKey: keyText(root)})
		m.skip(144) // the namespace is not made ready, and somebody else reveals it
		m.revealed(ben)
		got = m.did(m.give("amy.test", ben, ada, 5))
		m.want("import by the next revealer", got, first)
	})
}

// TestRevealedAgain: a namespace keeps the number of the block in which it was
// first preordered; once ready its sender is the revealer, with the preorderer's
// key and address.
func TestRevealedAgain(t *testing.T) {
	const sender, key, addr, revealer, number, revealed, op, ready = 3, 4, 5, 7, 8, 9, 10, 19
	eachRuleSet(t, func(m *maker) {
		m.must(m.preorderSpace("test", root, root, spaceCost)) // 10
		first := m.did(m.reveal(space, root, root))
		m.want("reveal", first, map[int]string{number: "10", revealed: "11", op: "&", addr: root.addr})
		m.skip(144)
		m.must(m.preorderSpace("test", ben, ada, spaceCost))
		m.want("reveal by somebody else", m.did(m.reveal(space, ben, ada)), map[int]string{
			number: "10", revealed: strconv.Itoa(m.tip()), op: "&", addr: ben.addr, revealer: ada.addr,
			sender: hex.EncodeToString(ben.script), key: keyText(ben),
		})
		m.want("ready", m.did(m.ready("test", ada)), map[int]string{
			number: "10", op: "!", addr: ben.addr, revealer: ada.addr, ready: strconv.Itoa(m.tip()),
			sender: hex.EncodeToString(ada.script), key: keyText(ben),
		})
	})
}

// TestEpochs: each height has the rules of its epoch.
func TestEpochs(t *testing.T) {
	p := ruleSets["satchel"]()
	p.Epochs = []Epoch{
		{Last: 10},
		{Last: 20, Multisig: true, Lifetime: map[string]int{"id": 2}},
		{Last: math.MaxInt, Lifetime: map[string]int{"id": 3}, Price: map[string]float64{"id": 0.1}, Grace: 5},
	}
	ns := &namespace{ID: "id", Lifetime: 7, Coefficient: 10, Base: 1, NonAlpha: 1, NoVowel: 1}
	other := &namespace{ID: "test", Lifetime: 7, Coefficient: 10, Base: 1, NonAlpha: 1, NoVowel: 1}
	for _, c := range []struct {
		height, life, grace int
		multisig            bool
		price               float64
	}{{0, 7, 0, false, 1000}, {10, 7, 0, false, 1000}, {11, 14, 0, true, 1000}, {20, 14, 0, true, 1000}, {21, 21, 5, false, 100}} {
		e := p.epoch(c.height)
		if p.lifetime(ns, c.height) != c.life || e.Grace != c.grace || e.Multisig != c.multisig || p.price("amy.id", ns, c.height) != c.price {
			t.Errorf("height %d: %+v", c.height, e)
		}
		if p.lifetime(other, c.height) != 7 || p.price("amy.test", other, c.height) != 1000 {
			t.Errorf("height %d: rules of id for test", c.height)
		}
	}
	forever := &namespace{ID: "id", Lifetime: ops.Forever}
	if got := p.lifetime(forever, 21); got != 3*ops.Forever {
		t.Errorf("for ever is %d blocks", got)
	}
	main := Blockstack(&chaincfg.MainNetParams)
	for _, c := range []struct {
		height, life int
		multisig     bool
	}{{373601, 7, false}, {436650, 7, false}, {436651, 14, true}} {
		if main.lifetime(ns, c.height) != c.life || main.epoch(c.height).Multisig != c.multisig {
			t.Errorf("mainnet at %d: %+v", c.height, main.epoch(c.height))
		}
	}
	if main.lifetime(other, 436651) != 7 || main.RevealExpiry != 52595 || main.ImportKeys != 300 || main.namespacePrice("a") != 400e8 || main.Confirmations != 6 {
		t.Errorf("mainnet: %+v", main)
	}
}

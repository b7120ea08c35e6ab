package chain_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/chaintest"
	"satchel/chain/ops"
)

var (
	alice = chaintest.NewKey("alice")
	bob   = chaintest.NewKey("bob")
	carol = chaintest.NewKey("carol")
)

// owner returns who has a name, "" if nobody has.
func owner(t *testing.T, c *chaintest.Chain, n chain.Name) string {
	t.Helper()
	rec, err := c.Index().Lookup(n)
	if errors.Is(err, chain.ErrUnknownName) || err == nil && (rec.Expired || rec.Revoked) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return rec.Address
}

// TestRules tells a story each and then says who must have the name a.id.
func TestRules(t *testing.T) {
	registered := func(c *chaintest.Chain) { c.Register("a.id", alice, [20]byte{1}) }
	for _, s := range []struct {
		why   string
		owner string
		story func(c *chaintest.Chain)
	}{
		{"registered", alice.Address, registered},
		{"register without preorder", "", func(c *chaintest.Chain) {
			c.MineBlock(c.RegisterTx("a.id", alice))
		}},
		{"somebody else's preorder", "", func(c *chaintest.Chain) {
			c.MineBlock(c.PreorderTx("a.id", alice))
			c.MineBlock(c.RegisterTx("a.id", bob))
		}},
		{"preordered for another recipient", "", func(c *chaintest.Chain) {
			c.MineBlock(c.PreorderTx("a.id", alice))
			c.MineBlock(c.Tx(alice, ops.Registration{Name: "a.id"}, chaintest.Payment{To: bob.Script}))
		}},
		{"preordered for somebody else", bob.Address, func(c *chaintest.Chain) {
			hash := ops.HashName("a.id", alice.Script, bob.Address)
			c.MineBlock(c.Tx(alice, ops.NamePreorder{Hash: hash, Consensus: c.Consensus()}, chaintest.Payment{Fee: 100}))
			c.MineBlock(c.Tx(alice, ops.Registration{Name: "a.id"}, chaintest.Payment{To: bob.Script}))
		}},
		{"preorder and registration in one block", alice.Address, func(c *chaintest.Chain) {
			c.MineBlock(c.PreorderTx("a.id", alice), c.RegisterTx("a.id", alice))
		}},
		{"registration before preorder in one block", "", func(c *chaintest.Chain) {
			c.MineBlock(c.RegisterTx("a.id", alice), c.PreorderTx("a.id", alice))
		}},
		{"a copy of the preorder, later", alice.Address, func(c *chaintest.Chain) {
			c.MineBlock(c.PreorderTx("a.id", alice))
			hash := ops.HashName("a.id", alice.Script, alice.Address)
			c.MineBlock(c.Tx(bob, ops.NamePreorder{Hash: hash, Consensus: c.Consensus()}, chaintest.Payment{Fee: 100}))
			c.MineBlock(c.RegisterTx("a.id", alice))
		}},
		{"a copy of the preorder, earlier", "", func(c *chaintest.Chain) {
			hash := ops.HashName("a.id", alice.Script, alice.Address)
			c.MineBlock(c.Tx(bob, ops.NamePreorder{Hash: hash, Consensus: c.Consensus()}, chaintest.Payment{Fee: 100}))
			c.MineBlock(c.PreorderTx("a.id", alice))
			c.MineBlock(c.RegisterTx("a.id", alice))
		}},
		{"no fee", "", func(c *chaintest.Chain) {
			hash := ops.HashName("a.id", alice.Script, alice.Address)
			c.MineBlock(c.Tx(alice, ops.NamePreorder{Hash: hash, Consensus: c.Consensus()}, chaintest.Payment{}))
			c.MineBlock(c.RegisterTx("a.id", alice))
		}},
		{"a fee too small", "", func(c *chaintest.Chain) {
			hash := ops.HashName("a.id", alice.Script, alice.Address)
			c.MineBlock(c.Tx(alice, ops.NamePreorder{Hash: hash, Consensus: c.Consensus()}, chaintest.Payment{Fee: 99}))
			c.MineBlock(c.RegisterTx("a.id", alice))
		}},
		{"a consensus hash of 24 blocks ago", alice.Address, func(c *chaintest.Chain) {
			tx := c.PreorderTx("a.id", alice)
			c.Mine(23)
			c.MineBlock(tx)
			c.MineBlock(c.RegisterTx("a.id", alice))
		}},
		{"a consensus hash of 25 blocks ago", "", func(c *chaintest.Chain) {
			tx := c.PreorderTx("a.id", alice)
			c.Mine(24)
			c.MineBlock(tx)
			c.MineBlock(c.RegisterTx("a.id", alice))
		}},
		{"another fork's consensus hash", "", func(c *chaintest.Chain) {
			hash := ops.HashName("a.id", alice.Script, alice.Address)
			c.MineBlock(c.Tx(alice, ops.NamePreorder{Hash: hash, Consensus: [16]byte{1}}, chaintest.Payment{Fee: 100}))
			c.MineBlock(c.RegisterTx("a.id", alice))
		}},
		{"a preorder 144 blocks old", alice.Address, func(c *chaintest.Chain) {
			c.MineBlock(c.PreorderTx("a.id", alice))
			c.Mine(143)
			c.MineBlock(c.RegisterTx("a.id", alice))
		}},
		{"a preorder 145 blocks old", "", func(c *chaintest.Chain) {
			c.MineBlock(c.PreorderTx("a.id", alice))
			c.Mine(144)
			c.MineBlock(c.RegisterTx("a.id", alice))
		}},
		{"an expired preorder sent again", alice.Address, func(c *chaintest.Chain) {
			c.MineBlock(c.PreorderTx("a.id", alice))
			c.Mine(145)
			c.MineBlock(c.PreorderTx("a.id", alice))
			c.MineBlock(c.RegisterTx("a.id", alice))
		}},
		{"two in one block", "", func(c *chaintest.Chain) {
			c.MineBlock(c.PreorderTx("a.id", alice), c.PreorderTx("a.id", bob))
			c.MineBlock(c.RegisterTx("a.id", alice), c.RegisterTx("a.id", bob))
		}},
		{"two in one block, again one by one", bob.Address, func(c *chaintest.Chain) {
			c.MineBlock(c.PreorderTx("a.id", alice), c.PreorderTx("a.id", bob))
			c.MineBlock(c.RegisterTx("a.id", alice), c.RegisterTx("a.id", bob))
			c.MineBlock(c.RegisterTx("a.id", bob))
			c.MineBlock(c.RegisterTx("a.id", alice))
		}},
		{"two with their preorders in one block", alice.Address, func(c *chaintest.Chain) {
			c.MineBlock(c.PreorderTx("a.id", alice), c.PreorderTx("a.id", bob), c.RegisterTx("a.id", alice), c.RegisterTx("a.id", bob))
		}},
		{"registered already", alice.Address, func(c *chaintest.Chain) {
			registered(c)
			c.MineBlock(c.PreorderTx("a.id", bob))
			c.MineBlock(c.RegisterTx("a.id", bob))
		}},
		{"in a namespace that nobody opened", "", func(c *chaintest.Chain) {
			c.Register("a.nowhere", alice, [20]byte{1})
		}},
		{"transferred by a stranger", alice.Address, func(c *chaintest.Chain) {
			registered(c)
			c.MineBlock(c.TransferTx("a.id", bob, bob, true))
		}},
		{"transferred in the block of its registration", alice.Address, func(c *chaintest.Chain) {
			c.MineBlock(c.PreorderTx("a.id", alice))
			c.MineBlock(c.RegisterTx("a.id", alice), c.TransferTx("a.id", alice, bob, true))
		}},
		{"transferred twice in one block", carol.Address, func(c *chaintest.Chain) {
			registered(c)
			c.MineBlock(c.TransferTx("a.id", alice, bob, true), c.TransferTx("a.id", bob, carol, true))
		}},
		{"transferred to a segwit address", alice.Address, func(c *chaintest.Chain) {
			registered(c)
			to := chaintest.Key{Script: append([]byte{0, 20}, make([]byte, 20)...)}
			c.MineBlock(c.TransferTx("a.id", alice, to, true))
		}},
		{"owned by a script", multisig(1).Address, func(c *chaintest.Chain) {
			registered(c)
			c.MineBlock(c.TransferTx("a.id", alice, multisig(1), true))
		}},
		{"given on by a script", bob.Address, func(c *chaintest.Chain) {
			registered(c)
			c.MineBlock(c.TransferTx("a.id", alice, multisig(1), true))
			c.MineBlock(c.TransferTx("a.id", multisig(1), bob, true))
		}},
		{"revoked by a stranger", alice.Address, func(c *chaintest.Chain) {
			registered(c)
			c.MineBlock(c.RevokeTx("a.id", bob))
		}},
		{"revoked", "", func(c *chaintest.Chain) {
			registered(c)
			c.MineBlock(c.RevokeTx("a.id", alice))
		}},
		{"revoked and preordered again", "", func(c *chaintest.Chain) {
			registered(c)
			c.MineBlock(c.RevokeTx("a.id", alice))
			c.MineBlock(c.PreorderTx("a.id", bob))
			c.MineBlock(c.RegisterTx("a.id", bob))
		}},
		{"other rules' magic", "", func(c *chaintest.Chain) {
			c.MineBlock(c.PreorderTx("a.id", alice))
			tx := c.RegisterTx("a.id", alice)
			script, _ := ops.Script([2]byte{'i', 'd'}, ops.Registration{Name: "a.id"})
			tx.TxOut[0].PkScript = script
			c.MineBlock(tx)
		}},
	} {
		t.Run(s.why, func(t *testing.T) {
			c := openID(t)
			s.story(c)
			if got := owner(t, c, "a.id"); got != s.owner {
				t.Errorf("owner %q, want %q", got, s.owner)
			}
		})
	}
}

// multisig returns a key whose script is p2sh.
func multisig(n byte) chaintest.Key {
	script, _ := txscript.NewScriptBuilder().AddOp(txscript.OP_HASH160).AddData(append(make([]byte, 19), n)).AddOp(txscript.OP_EQUAL).Script()
	k := chaintest.Key{Public: []byte{n}, Script: script}
	k.Address = ops.Address(script, chaintest.RegTest)
	return k
}

// TestExpiry lets a name of a short-lived namespace run out, be renewed and be
// taken by somebody else.
func TestExpiry(t *testing.T) {
	c := chaintest.New(t, firstBlock)
	c.Namespace("id", 10) // counts twice
	ready := c.Height()
	c.Mine(15)
	c.Register("a.id", alice, [20]byte{1})
	last := c.Height() - 1 + 20 // of its registration, and twice 10
	c.Mine(last - c.Height())
	if got := owner(t, c, "a.id"); got != alice.Address {
		t.Fatalf("at %d it has %q, ready %d", c.Height(), got, ready)
	}
	first := c.RenewTx("a.id", alice)
	c.MineBlock(c.RenewTx("a.id", bob), first, c.RenewTx("a.id", alice)) // in the last block that counts
	rec, _ := c.Index().Lookup("a.id")
	if rec.Txid != first.TxHash() {
		t.Errorf("the renewal that counts is %v", rec.Txid)
	}
	if rec.LastRenewed != c.Height() || rec.Op != "::" || rec.Expires != c.Height()+21 || rec.Expired {
		t.Fatalf("renewed: %+v at %d", rec, c.Height())
	}
	c.Mine(20)
	if got := owner(t, c, "a.id"); got != alice.Address {
		t.Fatalf("it ends at %d, too early", c.Height())
	}
	c.MineBlock(c.RevokeTx("a.id", alice)) // in the block in which it expires
	rec, err := c.Index().Lookup("a.id")
	if err != nil || !rec.Expired || rec.Revoked || rec.Expires != c.Height() || c.Index().HasValue([20]byte{1}) {
		t.Fatalf("expired: %+v, %v at %d", rec, err, c.Height())
	}
	c.MineBlock(c.RenewTx("a.id", alice)) // too late
	if got := owner(t, c, "a.id"); got != "" {
		t.Fatalf("an expired name was renewed for %q", got)
	}
	c.Register("a.id", bob, [20]byte{2})
	after, _ := c.Index().Lookup("a.id")
	if after.Address != bob.Address || after.BlockNumber != rec.BlockNumber || after.FirstRegistered <= rec.FirstRegistered {
		t.Errorf("taken anew: %+v", after)
	}
}

func TestQuota(t *testing.T) {
	c := openID(t)
	var pre, reg []*wire.MsgTx
	for i := range 26 {
		n := fmt.Sprintf("n%d.id", i)
		pre, reg = append(pre, c.PreorderTx(n, alice)), append(reg, c.RegisterTx(n, alice))
	}
	c.MineBlock(pre...)
	c.MineBlock(reg...)
	names, err := c.Index().NamesOf(alice.Script)
	if err != nil || len(names) != 25 {
		t.Fatalf("%d names, %v", len(names), err)
	}
	c.Register("b.id", bob, [20]byte{})
	c.MineBlock(c.TransferTx("b.id", bob, alice, true)) // over the quota
	if got := owner(t, c, "b.id"); got != bob.Address {
		t.Errorf("owner %q", got)
	}
	c.MineBlock(c.RenewTx("n3.id", alice)) // an owner at the quota may renew
	if rec, _ := c.Index().Lookup("n3.id"); rec.Op != "::" {
		t.Errorf("not renewed: %+v", rec)
	}
	c.MineBlock(c.TransferTx("n3.id", alice, bob, true), c.TransferTx("b.id", bob, alice, true))
	if got := owner(t, c, "b.id"); got != alice.Address {
		t.Errorf("below the quota again, owner %q", got)
	}
}

func TestNamespaceRules(t *testing.T) {
	price := int64(40e8)
	reveal := ops.NamespaceReveal{ID: "id", Version: 1, Lifetime: 10, Coefficient: 1, Base: 1, NonAlpha: 1, NoVowel: 1}
	for _, s := range []struct {
		why   string
		ready bool
		fee   int64
		from  chaintest.Key
		wait  int
		opens chaintest.Key
		edit  func(*ops.NamespaceReveal)
	}{
		{"all well", true, price, alice, 0, alice, nil},
		{"a fee too small", false, price - 1, alice, 0, alice, nil},
		{"a p2sh sender", false, price, multisig(1), 0, alice, nil},
		{"opened by a stranger", false, price, alice, 0, bob, nil},
		{"opened at the last moment", true, price, alice, 143, alice, nil},
		{"opened too late", false, price, alice, 144, alice, nil},
		{"another version", false, price, alice, 0, alice, func(r *ops.NamespaceReveal) { r.Version = 2 }},
		{"no discount", false, price, alice, 0, alice, func(r *ops.NamespaceReveal) { r.NoVowel = 0 }},
		{"another id", false, price, alice, 0, alice, func(r *ops.NamespaceReveal) { r.ID = "di" }},
	} {
		t.Run(s.why, func(t *testing.T) {
			c := chaintest.New(t, firstBlock)
			hash := ops.HashName("id", s.from.Script, alice.Address)
			c.MineBlock(c.Tx(s.from, ops.NamespacePreorder{Hash: hash, Consensus: c.Consensus()}, chaintest.Payment{Fee: s.fee}))
			if _, ok := c.Index().Preordered(hash); !ok {
				t.Error("not preordered")
			}
			r := reveal
			if s.edit != nil {
				s.edit(&r)
			}
			c.MineBlock(c.Tx(s.from, r, chaintest.Payment{To: alice.Script}))
			c.Mine(s.wait)
			c.MineBlock(c.Tx(s.opens, ops.NamespaceReady{ID: "id"}, chaintest.Payment{}))
			ns, err := c.Index().Namespace("id")
			if got := err == nil && ns.Ready; got != s.ready {
				t.Errorf("got %+v, %v", ns, err)
			}
			if s.ready && (ns.Lifetime != 20 || ns.Expired || string(ns.Owner) != string(alice.Script)) {
				t.Errorf("got %+v", ns)
			}
		})
	}
}

// TestPreorderBeforeReady registers a name that was preordered too early.
func TestPreorderBeforeReady(t *testing.T) {
	c := chaintest.New(t, firstBlock)
	hash := ops.HashName("id", alice.Script, alice.Address)
	c.MineBlock(c.Tx(alice, ops.NamespacePreorder{Hash: hash, Consensus: c.Consensus()}, chaintest.Payment{Fee: 40e8}))
	c.MineBlock(c.Tx(alice, ops.NamespaceReveal{ID: "id", Version: 1, Lifetime: 100, NonAlpha: 1, NoVowel: 1}, chaintest.Payment{}))
	c.MineBlock(c.PreorderTx("a.id", bob))
	c.MineBlock(c.PreorderTx("b.id", bob), c.Tx(alice, ops.NamespaceReady{ID: "id"}, chaintest.Payment{}))
	c.MineBlock(c.RegisterTx("a.id", bob), c.RegisterTx("b.id", bob))
	if a, b := owner(t, c, "a.id"), owner(t, c, "b.id"); a != "" || b != bob.Address {
		t.Errorf("owners %q and %q", a, b)
	}
}

// TestRevealedTwice reveals a namespace twice in the block of its preorders.
func TestRevealedTwice(t *testing.T) {
	c := chaintest.New(t, firstBlock)
	var txs []*wire.MsgTx
	for _, k := range []chaintest.Key{alice, bob} {
		hash := ops.HashName("id", k.Script, k.Address)
		txs = append(txs, c.Tx(k, ops.NamespacePreorder{Hash: hash, Consensus: c.Consensus()}, chaintest.Payment{Fee: 40e8}))
	}
	for _, k := range []chaintest.Key{alice, bob} {
		txs = append(txs, c.Tx(k, ops.NamespaceReveal{ID: "id", Version: 1, NonAlpha: 1, NoVowel: 1}, chaintest.Payment{}))
	}
	c.MineBlock(txs...)
	if ns, err := c.Index().Namespace("id"); err != nil || string(ns.Owner) != string(alice.Script) {
		t.Errorf("got %+v, %v", ns, err)
	}
}

// TestTransferToSelf changes nothing.
func TestTransferToSelf(t *testing.T) {
	c := openID(t)
	c.Register("a.id", alice, [20]byte{1})
	c.MineBlock(c.TransferTx("a.id", alice, alice, false))
	if rec, err := c.Index().Lookup("a.id"); err != nil || !rec.HasValue || rec.Op != "+" {
		t.Errorf("got %+v, %v", rec, err)
	}
}

// TestImport gives out names before the namespace is open.
func TestImport(t *testing.T) {
	c := chaintest.New(t, firstBlock)
	hash := ops.HashName("id", alice.Script, alice.Address)
	c.MineBlock(c.Tx(alice, ops.NamespacePreorder{Hash: hash, Consensus: c.Consensus()}, chaintest.Payment{Fee: 40e8}))
	c.MineBlock(c.Tx(alice, ops.NamespaceReveal{ID: "id", Version: 1, Lifetime: 100, NonAlpha: 1, NoVowel: 1}, chaintest.Payment{}))
	give := func(from, to chaintest.Key, n string, value byte) *wire.MsgTx {
		tx := c.Tx(from, ops.Import{Name: n}, chaintest.Payment{To: to.Script})
		script := append(append([]byte{0x76, 0xa9, 20, value}, make([]byte, 19)...), 0x88, 0xac)
		tx.TxOut[2] = &wire.TxOut{Value: 5500, PkScript: script}
		return tx
	}
	c.MineBlock(give(bob, bob, "a.id", 1)) // not the revealer's key
	c.MineBlock(give(alice, carol, "b.id", 2))
	c.MineBlock(give(alice, bob, "b.id", 3), give(alice, carol, "c.id", 4))
	c.MineBlock(c.Tx(alice, ops.NamespaceReady{ID: "id"}, chaintest.Payment{}))
	c.MineBlock(give(alice, carol, "d.id", 5)) // too late
	for n, want := range map[chain.Name]string{"a.id": "", "b.id": bob.Address, "c.id": carol.Address, "d.id": ""} {
		if got := owner(t, c, n); got != want {
			t.Errorf("%s: owner %q, want %q", n, got, want)
		}
	}
	if ix := c.Index(); !ix.HasValue([20]byte{3}) || ix.HasValue([20]byte{2}) {
		t.Error("the value is not the last one")
	}
	c.MineBlock(c.TransferTx("b.id", bob, alice, true))
	if got := owner(t, c, "b.id"); got != alice.Address {
		t.Errorf("an imported name can't be given on: owner %q", got)
	}
}

package proof

import (
	"net/http/httptest"
	"testing"

	"satchel/chain"
	"satchel/chain/chaintest"
	"satchel/chain/ops"
)

// TestIndexIsProven proves all that happened to names on a chain, by what an index
// serves, to somebody who has nothing but its last consensus hash, or who trusts a
// transaction.
func TestIndexIsProven(t *testing.T) {
	c := chaintest.New(t, first)
	alice, bob := chaintest.NewKey("alice"), chaintest.NewKey("bob")
	c.Namespace("id", 1000)
	c.Register("alice.id", alice, [20]byte{1})
	c.Register("bob.id", bob, [20]byte{2})
	c.MineBlock(c.RenewTx("bob.id", bob), c.UpdateTx("alice.id", alice, [20]byte{3}), c.UpdateTx("alice.id", alice, [20]byte{4}))
	c.MineBlock(c.TransferTx("alice.id", alice, bob, false))
	c.MineBlock(c.RevokeTx("alice.id", bob))
	quote := c.PreorderTx("carol.id", bob)
	c.MineBlock(quote)
	c.Mine(20)
	ix := c.Index()
	tip, _ := ix.Tip()
	trust, err := ix.ConsensusHash(tip)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(Handler(ix, c))
	defer s.Close()
	client, found := NewClient(s.URL), 0
	txid := quote.TxHash()
	for _, name := range []chain.Name{"alice.id", "bob.id", "carol.id"} {
		happened, err := ix.History(string(name), 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		for height := first; height <= tip; height++ {
			a, err := Verify(t.Context(), client, c.Params, Question{Name: name, Height: height, Trust: trust})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range a.Operations {
				want := happened[0]
				happened = happened[1:]
				if r.Name != string(name) || height != want.Height || r.Index != want.Index || r.Txid != want.Txid.String() ||
					r.Op != want.Op || r.Address != ops.Address(want.Owner, chaintest.RegTest) || (r.Value == "") != (want.Value == nil) {
					t.Errorf("block %d: got %+v, want %+v", height, r, want)
				}
				found++
			}
			if len(a.Operations) == 0 {
				continue
			}
			if b, err := Verify(t.Context(), client, c.Params, Question{Name: name, Height: height, Tx: &txid}); err != nil || len(b.Operations) != len(a.Operations) {
				t.Errorf("by a transaction: got %+v, %v", b, err)
			}
		}
		if len(happened) > 0 {
			t.Errorf("%s: %d operations were not shown", name, len(happened))
		}
	}
	if found != 9 {
		t.Errorf("%d operations, want 9", found)
	}
}

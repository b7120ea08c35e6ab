package chain

import (
	"fmt"
	"maps"
	"testing"

	"satchel/chain/ops"
)

// TestHoldings: what is kept up of owners while a block is applied is what one
// finds who looks then.
func TestHoldings(t *testing.T) {
	var seen int
	eachLottery(t, func(t *testing.T, l *lottery, ix *Index) {
		for range 150 {
			seen += l.hold(t, ix, l.block(ix))
			l.play(t, ix, 1)
		}
	})
	if seen < 500 {
		t.Errorf("only %d names were owned", seen)
	}
}

// hold applies operations, looks at all holdings after each, and forgets it all.
func (l *lottery) hold(t *testing.T, ix *Index, txs []*ops.Tx) (seen int) {
	t.Helper()
	txn := ix.db.NewTransaction(true)
	defer txn.Discard()
	s := newState(txn, nil)
	s.begin(ix.getTip().height+1, false)
	r := newRules(l.p, s)
	for _, tx := range txs {
		if commit := r.accept(tx); commit != nil {
			commit()
		}
		look := *r
		look.holdings = nil
		for _, who := range l.people {
			got, want := r.owned(who.script), look.owned(who.script)
			if !maps.Equal(got.names, want.names) {
				t.Fatalf("after %+v: %v, want %v", tx.Op, got.names, want.names)
			}
			for n := range want.names {
				if found := got.find(ops.Hash128(n)); found != n {
					t.Fatalf("%s is found as %q", n, found)
				}
			}
			if len(got.byHash) != len(want.names) {
				t.Fatalf("after %+v: %v, want %v", tx.Op, got.byHash, want.names)
			}
			seen += len(want.names)
		}
	}
	if s.err != nil {
		t.Fatal(s.err)
	}
	return seen
}

// TestOwnerOfMany: operations of somebody who owns very many names, dead ones, take
// little more than those of others: each row is read once in a block.
func TestOwnerOfMany(t *testing.T) {
	p := ruleSets["satchel"]()
	ix, _ := openRun(t, p)
	defer ix.Close()
	const n = 4000
	err := ix.update(func(s *state) tip {
		s.begin(ix.getTip().height, false)
		for i := range n {
			s.putName(&entry{Name: fmt.Sprintf("name-%d.id", i), Owner: one("ada").script, Index: i, Revoked: true})
		}
		s.flush()
		return ix.getTip()
	})
	if err != nil {
		t.Fatal(err)
	}
	txn := ix.db.NewTransaction(true)
	defer txn.Discard()
	s := newState(txn, nil)
	s.begin(ix.getTip().height+1, false)
	r := newRules(p, s)
	h := r.owned(one("ada").script)
	if len(h.names) > 0 || r.owned(one("ada").script) != h {
		t.Errorf("%d names, or they are looked for again", len(h.names))
	}
	if len(s.over) > n/10 {
		t.Errorf("%d rows stay in memory", len(s.over))
	}
}

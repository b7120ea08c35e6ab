package chain_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"satchel/chain/chaintest"
	"satchel/chain/ops"
)

// TestKnownHashes tells a story with every operation and compares the consensus
// hash of each block with the one it had when the rules were written: tables of
// drives in use must not change.
func TestKnownHashes(t *testing.T) {
	c := openID(t)
	c.Register("alice.id", alice, [20]byte{1})
	c.MineBlock(c.TransferTx("alice.id", alice, bob, true))
	c.MineBlock(c.RenewTx("alice.id", bob), c.PreorderTx("carol.id", carol), c.RegisterTx("carol.id", carol))
	c.MineBlock(c.UpdateTx("carol.id", carol, [20]byte{2}), c.Tx(carol, ops.Announce{}, chaintest.Payment{}))
	c.MineBlock(c.TransferTx("carol.id", carol, multisig(7), false))
	c.MineBlock(c.RevokeTx("alice.id", bob))
	c.Mine(3)
	ix := c.Index()
	var got strings.Builder
	for h := firstBlock - 4; h <= c.Height(); h++ {
		hash, err := ix.ConsensusHash(h)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&got, "%d %x\n", h, hash)
	}
	want, err := os.ReadFile("testdata/satchel_hashes.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got:\n%swant:\n%s", got.String(), want)
	}
}

package chain

import (
	"crypto/sha256"
	"maps"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/dgraph-io/badger/v4"

	"satchel/chain/bitcoin"
	"satchel/chain/ops"
)

// Dump is dump for tests outside of the package.
var Dump = dump

// State is Dump without what is kept of transactions to replay them: some of that
// no rule looks at, such as the recipient of an update.
func State(t *testing.T, ix *Index) map[string]string {
	t.Helper()
	all := dump(t, ix)
	maps.DeleteFunc(all, func(k, _ string) bool { return k[0] == keyOps })
	return all
}

// SignSnapshot puts a trailer behind a body.
func SignSnapshot(body []byte, key *btcec.PrivateKey) ([]byte, error) {
	sig, err := schnorr.Sign(key, snapshotDigest(sha256.Sum256(body)))
	if err != nil {
		return nil, err
	}
	signer := SignerOf(key)
	return slices.Concat(body, signer[:], sig.Serialize()), nil
}

// connect applies the operations of the block that follows the tip. Records,
// history, undo data, hashes and tip change in one transaction: all or nothing.
func (ix *Index) connect(h bitcoin.Header, txs []*ops.Tx) (a applied, err error) {
	done, err := ix.connectSome([]*fetched{{header: h, txs: txs}}, h.Height)
	if err != nil {
		return a, err
	}
	return done[0], nil
}

// replayable returns the accepted operations of a block from FirstBlock to the
// tip, as connect takes them: an index that is given these, block by block, has
// the same table and the same hashes. The value hash is that of imports alone.
func (ix *Index) replayable(height int) (txs []*ops.Tx, err error) {
	err = ix.keptOps(height, func(k kept) error {
		txs = append(txs, k.tx)
		return nil
	})
	return txs, err
}

// ForgetUndo makes a reorganisation of any depth too deep.
func ForgetUndo(ix *Index) {
	t := ix.getTip()
	t.floor = t.height
	ix.setTip(t)
}

// ErrDisk is what such commits fail with.
var ErrDisk = errDisk

// FailCommits has commits of an index fail for which fail says so, half of them
// after they have written.
func FailCommits(ix *Index, fail func() (now, after bool)) {
	ix.commit = func(txn *badger.Txn) error {
		now, after := fail()
		if now && !after {
			return errDisk
		}
		if err := ix.commitIfRoom(txn); err != nil || !now {
			return err
		}
		return errDisk
	}
}

// LoseHeader takes the block at a height from an index.
func LoseHeader(ix *Index, height int) error {
	return ix.db.Update(func(txn *badger.Txn) error { return txn.Delete(heightKey(keyBlock, height)) })
}

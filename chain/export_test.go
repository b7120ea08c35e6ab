package chain

import (
	"crypto/sha256"
	"maps"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
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

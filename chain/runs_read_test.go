package chain

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/ops"
)

// vectors returns the path of a test input: the one that the environment names,
// from here or from the top of the repository, else the shared one. Without
// either the test is skipped.
func vectors(t *testing.T, env, name string) string {
	t.Helper()
	if path := os.Getenv(env); path != "" {
		if _, err := os.Stat(filepath.Join("..", path)); err == nil && !filepath.IsAbs(path) {
			return filepath.Join("..", path)
		}
		return path
	}
	path := "../../shared/vectors/" + name
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not set and ../shared/vectors/%s is not there", env, name)
	}
	return path
}

// readVectors returns the runs of an input.
func readVectors(t *testing.T, env, name string) [][]byte {
	t.Helper()
	return readLines(t, vectors(t, env, name))
}

// readLines returns the lines of a file, gzipped or not, but for a first one
// that is no run.
func readLines(t *testing.T, path string) (lines [][]byte) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := bufio.NewReader(f)
	if magic, _ := r.Peek(2); string(magic) == "\x1f\x8b" {
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		r = bufio.NewReader(z)
	}
	for {
		line, err := r.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) > 0 {
			lines = append(lines, line)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Errorf("%s: %v", path, err) // what there is can be tried
			break
		}
	}
	if len(lines) > 0 && !bytes.Contains(lines[0], []byte(`"blocks"`)) {
		lines = lines[1:]
	}
	return lines
}

// readBlock reads the operations of a recorded block, and gives the transaction
// of each. It tells of accepted ones that are none to us.
func readBlock(p *Params, b *recordedBlock) (txs []*ops.Tx, from []*recordedTx, diffs []string) {
	for i := range b.Txs {
		r := &b.Txs[i]
		t, err := parseRecorded(p, r)
		if err == nil && t == nil && r.Accepted != nil && *r.Accepted {
			err = errors.New("no operation to us")
		}
		if err != nil {
			diffs = append(diffs, fmt.Sprintf("%s %s: %v", r.Opcode, r.Txid, err))
		}
		if t == nil {
			continue
		}
		if t.Index = i + 1; r.Index != nil {
			t.Index = *r.Index
		}
		txs, from = append(txs, t), append(from, r)
	}
	return txs, from, diffs
}

// parseRecorded reads a recorded transaction. Previous transactions were not
// kept, so the sender is taken from the signature script, as the old registry
// could be read. ANYBODY CAN FORGE THAT: nothing but this test may do it.
func parseRecorded(p *Params, r *recordedTx) (*ops.Tx, error) {
	if r.RawTx == "" {
		if r.Accepted != nil && *r.Accepted {
			return nil, errors.New("accepted, but there is no raw transaction")
		}
		return nil, nil // it changed nothing, and more can't be said
	}
	raw, err := hex.DecodeString(r.RawTx)
	if err != nil {
		return nil, err
	}
	var tx wire.MsgTx
	if err := tx.Deserialize(bytes.NewReader(raw)); err != nil {
		return nil, err
	}
	if hash := tx.TxHash().String(); r.Txid != "" && hash != r.Txid {
		return nil, fmt.Errorf("the raw transaction is %s", hash)
	}
	t, ok := ops.Read(p.Magic, &tx)
	if !ok {
		return nil, nil
	}
	t.SetSender(claimedSender(tx.TxIn[0].SignatureScript))
	return t, nil
}

// claimedSender takes a signature and a key for p2pkh, anything else for p2sh.
func claimedSender(sig []byte) []byte {
	var pushes [][]byte
	for tok := txscript.MakeScriptTokenizer(0, sig); tok.Next(); {
		pushes = append(pushes, tok.Data())
	}
	if len(pushes) == 0 {
		return nil
	}
	last := pushes[len(pushes)-1]
	hash := [20]byte(address.Hash160(last))
	if len(pushes) == 2 && (len(last) == 33 || len(last) == 65) {
		return p2pkh(hash)
	}
	return append(append([]byte{txscript.OP_HASH160, 20}, hash[:]...), txscript.OP_EQUAL)
}

package chain

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
	"satchel/chain/ops"
)

// recordedRun is one scenario as the old registry's test logs tell it.
type recordedRun struct {
	Scenario, Version string
	Env               map[string]string
	Replays           *bool `json:"replays_under_0_14_2_rules"`
	Blocks            []recordedBlock
}

type recordedBlock struct {
	Height        int
	Txs           []recordedTx
	SerializedOps []string `json:"serialized_ops"`
	OpsHash       string   `json:"ops_hash"`
	ConsensusHash string   `json:"consensus_hash"`
}

type recordedTx struct {
	Index    int `json:"vtxindex"`
	Opcode   string
	RawTx    string `json:"raw_tx"`
	Txid     string
	Accepted *bool
	As       string `json:"accepted_as"`
}

// TestRecordedRuns replays runs of the old registry from their raw
// transactions: every serialised operation, decision and hash must be the same.
func TestRecordedRuns(t *testing.T) {
	runs := readVectors(t, "SATCHEL_RUNS", "consensus_runs.jsonl.gz")
	passed, failed := 0, 0
	for i, line := range runs {
		var run recordedRun
		if err := json.Unmarshal(line, &run); err != nil {
			t.Fatalf("line %d: %v", i+2, err)
		}
		if run.Replays != nil && !*run.Replays {
			continue
		}
		diffs := replay(t, &run)
		if len(diffs) == 0 {
			passed++
			continue
		}
		failed++
		for _, d := range diffs {
			t.Errorf("%s (%s): %s", run.Scenario, run.Version, d)
		}
	}
	t.Logf("runs: %d passed, %d failed", passed, failed)
}

// readVectors returns the lines behind the first one of a gzipped file: the one
// that the environment names, else one of the shared vectors.
func readVectors(t *testing.T, env, name string) [][]byte {
	t.Helper()
	path := os.Getenv(env)
	if path == "" {
		path = vectors(t, name)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		r = z
	}
	var lines [][]byte
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 64<<20)
	for sc.Scan() {
		lines = append(lines, bytes.Clone(sc.Bytes()))
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return lines[1:]
}

// vectors returns the path of a shared test input, or skips the test.
func vectors(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range []string{"../../shared/vectors/", "../../../shared/vectors/"} {
		if _, err := os.Stat(dir + name); err == nil {
			return dir + name
		}
	}
	t.Skipf("../shared/vectors/%s is not there", name)
	return ""
}

func replay(t *testing.T, run *recordedRun) (diffs []string) {
	p := Blockstack(&chaincfg.RegressionNetParams)
	if len(run.Blocks) == 0 {
		return []string{"no blocks"}
	}
	p.FirstBlock = run.Blocks[0].Height
	if err := override(p, run.Env); err != nil {
		return []string{err.Error()}
	}
	ix, below := openRun(t, p)
	defer ix.Close()
	prev := below[len(below)-1].Hash
	for _, b := range run.Blocks {
		for _, d := range replayBlock(ix, b, madeUpHeader(b.Height, &prev)) {
			diffs = append(diffs, fmt.Sprintf("block %d: %s", b.Height, d))
		}
		if len(diffs) > 0 {
			return diffs // what follows differs because of this
		}
	}
	return nil
}

func madeUpHeader(height int, prev *chainhash.Hash) bitcoin.Header {
	h := bitcoin.Header{Height: height}
	h.PrevBlock = *prev
	h.Hash = h.BlockHash()
	*prev = h.Hash
	return h
}

func replayBlock(ix *Index, b recordedBlock, h bitcoin.Header) (diffs []string) {
	var txs []*ops.Tx
	var recorded []recordedTx
	for _, r := range b.Txs {
		t, err := parseRecorded(ix.p, r)
		if err != nil {
			diffs = append(diffs, err.Error())
		}
		if t == nil {
			if r.Accepted != nil && *r.Accepted {
				diffs = append(diffs, fmt.Sprintf("%s %s is no operation to us", r.Opcode, r.Txid))
			}
			continue
		}
		txs, recorded = append(txs, t), append(recorded, r)
	}
	a, err := ix.connect(h, txs)
	if err != nil {
		return append(diffs, err.Error())
	}
	var accepted []string
	for i, rec := range a.records {
		if rec != "" {
			accepted = append(accepted, rec)
		}
		if want := recorded[i].Accepted; want != nil && *want != (rec != "") {
			diffs = append(diffs, fmt.Sprintf("%s %s: accepted %v, want %v", recorded[i].Opcode, recorded[i].Txid, rec != "", *want))
		}
	}
	for i := range max(len(accepted), len(b.SerializedOps)) {
		got, want := at(accepted, i), latin1(at(b.SerializedOps, i))
		if got != want {
			diffs = append(diffs, fmt.Sprintf("operation %d:\n got %s\nwant %s", i, got, want))
		}
	}
	if got := hex.EncodeToString(a.opsHash[:]); got != b.OpsHash {
		diffs = append(diffs, fmt.Sprintf("ops hash %s, want %s", got, b.OpsHash))
	}
	if got := hex.EncodeToString(a.consensus[:]); got != b.ConsensusHash {
		diffs = append(diffs, fmt.Sprintf("consensus hash %s, want %s", got, b.ConsensusHash))
	}
	return diffs
}

func at(s []string, i int) string {
	if i < len(s) {
		return s[i]
	}
	return ""
}

// latin1 turns text whose characters stand for bytes into these bytes.
func latin1(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}

// parseRecorded reads a recorded transaction. Previous transactions were not
// kept, so the sender is taken from the signature script, as the old registry
// could be read. ANYBODY CAN FORGE THAT: nothing but this test may do it.
func parseRecorded(p *Params, r recordedTx) (*ops.Tx, error) {
	raw, err := hex.DecodeString(r.RawTx)
	if err != nil {
		return nil, err
	}
	var tx wire.MsgTx
	if err := tx.Deserialize(bytes.NewReader(raw)); err != nil {
		return nil, fmt.Errorf("%s: %w", r.Txid, err)
	}
	if tx.TxHash().String() != r.Txid {
		return nil, fmt.Errorf("%s: hash is %v", r.Txid, tx.TxHash())
	}
	t, ok := ops.Read(p.Magic, &tx)
	if !ok {
		return nil, nil
	}
	t.Index = r.Index
	t.SetSender(claimedSender(tx.TxIn[0].SignatureScript))
	return t, nil
}

func claimedSender(sig []byte) []byte {
	var pushes [][]byte
	for tok := txscript.MakeScriptTokenizer(0, sig); tok.Next(); {
		pushes = append(pushes, tok.Data())
	}
	if len(pushes) == 0 {
		return nil
	}
	hash := address.Hash160(pushes[len(pushes)-1])
	b := txscript.NewScriptBuilder()
	if len(pushes) == 2 {
		b.AddOp(txscript.OP_DUP).AddOp(txscript.OP_HASH160).AddData(hash).AddOp(txscript.OP_EQUALVERIFY).AddOp(txscript.OP_CHECKSIG)
	} else {
		b.AddOp(txscript.OP_HASH160).AddData(hash).AddOp(txscript.OP_EQUAL)
	}
	script, _ := b.Script()
	return script
}

// override sets what a scenario's environment changed.
func override(p *Params, env map[string]string) error {
	end := []int{math.MaxInt, math.MaxInt} // of the epochs, unless the run says otherwise
	for k, v := range env {
		n, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return fmt.Errorf("%s=%s: %w", k, v, err)
		}
		switch {
		case k == "EPOCH_1_END_BLOCK":
			end[0] = int(n)
		case k == "EPOCH_2_END_BLOCK":
			end[1] = int(n)
		case k == "NAMESPACE_REVEAL_EXPIRE":
			p.RevealExpiry = int(n)
		case strings.HasPrefix(k, "EPOCH_2_NAMESPACE_LIFETIME_MULTIPLIER_"):
			p.Epochs[1].Lifetime[strings.TrimPrefix(k, "EPOCH_2_NAMESPACE_LIFETIME_MULTIPLIER_")] = int(n)
		case strings.HasPrefix(k, "EPOCH_") && strings.Contains(k, "PRICE_MULTIPLIER") && n == 1:
		default:
			return fmt.Errorf("%s=%s: unknown", k, v)
		}
	}
	p.Epochs[0].Last, p.Epochs[1].Last = end[0], end[1]
	return nil
}

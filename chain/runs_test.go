package chain

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"

	"satchel/chain/bitcoin"
	"satchel/chain/ops"
)

// recordedRun is one scenario as the old registry's test logs tell it, or one of
// our own. Logs are not all alike: what a line leaves out or has as null is
// zero.
type recordedRun struct {
	Scenario string          `json:"scenario"`
	Version  any             `json:"version"`
	Rules    string          `json:"rules,omitempty"` // ours; "blockstack" if empty
	Env      map[string]any  `json:"env"`
	Replays  *bool           `json:"replays_under_0_14_2_rules"`
	Blocks   []recordedBlock `json:"blocks"`
}

type recordedBlock struct {
	Height        int          `json:"height"`
	OpsHash       string       `json:"ops_hash"`
	Prev          []string     `json:"prev_consensus_hashes"` // of the heights 1, 3, 7, … lower
	ConsensusHash string       `json:"consensus_hash"`
	Txs           []recordedTx `json:"txs"`
	SerializedOps []string     `json:"serialized_ops"` // each character stands for a byte
}

type recordedTx struct {
	Index    *int   `json:"vtxindex"`
	Opcode   string `json:"opcode"` // a word or the byte
	Payload  string `json:"payload"`
	Accepted *bool  `json:"accepted"`    // null for an announcement
	As       string `json:"accepted_as"` // what state made of it
	Txid     string `json:"txid"`
	RawTx    string `json:"raw_tx"`
}

// TestRecordedRuns replays runs of the old registry from their raw
// transactions: every serialised operation, decision and hash must be the same.
func TestRecordedRuns(t *testing.T) {
	replayAll(t, "runs", vectors(t, "SATCHEL_RUNS", "consensus_runs.jsonl.gz"))
}

// TestOwnRuns replays runs of our own making, of both rule sets: tables of
// drives in use must not change. With -make it makes them anew.
func TestOwnRuns(t *testing.T) {
	if *makeRuns {
		writeOwnRuns(t)
	}
	replayAll(t, "own runs", ownRuns)
	seen := make(map[string]int)
	for _, line := range readLines(t, ownRuns) {
		run, err := parseRun(line)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range run.Blocks {
			for _, tx := range b.Txs {
				seen[run.Rules+" "+tx.Opcode+" "+tx.As]++
			}
		}
	}
	for _, rules := range []string{"satchel", "blockstack"} {
		for _, w := range opcodes {
			was := w
			if w == opcodes["::"] {
				was = opcodes[":"]
			}
			if w != "ANNOUNCE" && (seen[rules+" "+was+" "+w] == 0 || seen[rules+" "+was+" "] == 0) {
				t.Errorf("%s: no %s was accepted and another one rejected", rules, w)
			}
		}
	}
}

// replayAll replays the runs in a file and ends with a count, whatever happens.
func replayAll(t *testing.T, what, path string) {
	passed, failed := 0, 0
	defer func() { fmt.Printf("%s: %d passed, %d failed\n", what, passed, failed) }()
	for i, line := range readLines(t, path) {
		run, err := parseRun(line)
		if err != nil {
			failed++
			t.Errorf("run %d: %v", i+1, err)
			continue
		}
		if run.Replays != nil && !*run.Replays {
			t.Logf("%s (%v): skipped, it followed other rules", run.Scenario, run.Version)
			continue
		}
		diffs := replay(t, run)
		for _, d := range diffs {
			t.Errorf("%s (%v): %s", run.Scenario, run.Version, d)
		}
		if len(diffs) > 0 {
			failed++
		} else {
			passed++
		}
	}
	if passed+failed == 0 {
		t.Error("no runs")
	}
}

// TestRecordedHashes recomputes the hashes of every recorded block from what it
// says was hashed, for runs under older rules too.
func TestRecordedHashes(t *testing.T) {
	blocks := 0
	for i, line := range readVectors(t, "SATCHEL_RUNS", "consensus_runs.jsonl.gz") {
		run, err := parseRun(line)
		if err != nil {
			t.Errorf("run %d: %v", i+1, err)
			continue
		}
		for _, b := range run.Blocks {
			if b.ConsensusHash == "" {
				continue // the log leaves this block out
			}
			blocks++
			hash := opsHash(latin1s(b.SerializedOps))
			var earlier [][16]byte
			for _, p := range b.Prev {
				raw, _ := hex.DecodeString(p)
				earlier = append(earlier, [16]byte(append(raw, make([]byte, 16)...)))
			}
			c := consensusHash(hash, earlier)
			if hex.EncodeToString(hash[:]) != b.OpsHash || hex.EncodeToString(c[:]) != b.ConsensusHash {
				t.Errorf("%s (%v): block %d: ops hash %x, want %s; consensus hash %x, want %s",
					run.Scenario, run.Version, b.Height, hash, b.OpsHash, c, b.ConsensusHash)
			}
		}
	}
	t.Logf("hashes of %d blocks", blocks)
}

// parseRun reads a run and puts it in order: heights from the first one without
// gaps, since a block that the log leaves out had no operation, each transaction
// once, by index.
func parseRun(line []byte) (*recordedRun, error) {
	run := new(recordedRun)
	if err := json.Unmarshal(line, run); err != nil {
		return nil, err
	}
	if len(run.Blocks) == 0 {
		return nil, fmt.Errorf("%s (%v): no blocks", run.Scenario, run.Version)
	}
	slices.SortStableFunc(run.Blocks, func(a, b recordedBlock) int { return cmp.Compare(a.Height, b.Height) })
	h := run.Blocks[0].Height
	if len(run.Blocks[0].Prev) > 0 {
		h = min(h, firstRecorded) // the log starts later than the registry
	}
	var blocks []recordedBlock
	for _, b := range run.Blocks {
		if b.Height < h || b.Height-h > 100000 {
			return nil, fmt.Errorf("%s (%v): block %d where %d belongs", run.Scenario, run.Version, b.Height, h)
		}
		for ; h < b.Height; h++ {
			blocks = append(blocks, recordedBlock{Height: h})
		}
		b.Txs = inOrder(b.Txs)
		blocks = append(blocks, b)
		h++
	}
	run.Blocks = blocks
	return run, nil
}

// firstRecorded is the first block of the old test suite.
const firstRecorded = 256

func inOrder(txs []recordedTx) (once []recordedTx) {
	seen := make(map[string]bool)
	for _, tx := range txs {
		if id := tx.Txid + tx.RawTx; !seen[id] {
			seen[id] = true
			once = append(once, tx)
		}
	}
	slices.SortStableFunc(once, func(a, b recordedTx) int {
		if a.Index == nil || b.Index == nil {
			return 0
		}
		return cmp.Compare(*a.Index, *b.Index)
	})
	return once
}

// params returns the rules of a run and the variables of its environment that
// make no difference.
func (run *recordedRun) params() (p *Params, ignored []string) {
	p = Blockstack(&chaincfg.RegressionNetParams)
	if run.Rules == "satchel" {
		p = Satchel(&chaincfg.RegressionNetParams, 0)
	}
	p.FirstBlock = run.Blocks[0].Height
	return p, override(p, run.Env)
}

func replay(t *testing.T, run *recordedRun) (diffs []string) {
	p, ignored := run.params()
	ix, below := openRun(t, p)
	defer ix.Close()
	prev := below[len(below)-1].Hash
	for _, b := range run.Blocks {
		for _, d := range replayBlock(ix, b, madeUpHeader(b.Height, &prev)) {
			diffs = append(diffs, fmt.Sprintf("block %d: %s", b.Height, d))
		}
		if len(diffs) == 0 {
			continue
		}
		if len(ignored) > 0 {
			diffs = append(diffs, "nothing was made of "+strings.Join(ignored, ", "))
		}
		return diffs // what follows differs because of this
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

// replayBlock applies a block and tells in what it turned out otherwise than
// recorded.
func replayBlock(ix *Index, b recordedBlock, h bitcoin.Header) (diffs []string) {
	txs, recorded, diffs := readBlock(ix.p, &b)
	a, err := ix.connect(h, txs)
	if err != nil {
		return append(diffs, err.Error())
	}
	for i, rec := range a.records {
		if d := recorded[i].differs(txs[i].Op, rec); d != "" {
			diffs = append(diffs, fmt.Sprintf("%s %s: %s", recorded[i].Opcode, recorded[i].Txid, d))
		}
	}
	if b.ConsensusHash == "" && b.OpsHash == "" {
		return diffs // the log leaves this block out
	}
	got, want := nonEmpty(a.records), latin1s(b.SerializedOps)
	for _, rec := range without(got, want) {
		diffs = append(diffs, "operation that was not recorded: "+rec)
	}
	for _, rec := range without(want, got) {
		diffs = append(diffs, "recorded operation is missing: "+rec)
	}
	if got := hex.EncodeToString(a.opsHash[:]); got != b.OpsHash {
		diffs = append(diffs, fmt.Sprintf("ops hash %s, want %s", got, b.OpsHash))
	}
	if got := hex.EncodeToString(a.consensus[:]); got != b.ConsensusHash {
		diffs = append(diffs, fmt.Sprintf("consensus hash %s, want %s", got, b.ConsensusHash))
	}
	return diffs
}

func nonEmpty(records []string) []string {
	return slices.DeleteFunc(slices.Clone(records), func(r string) bool { return r == "" })
}

// without returns what a has and b has not; the order does not matter, nor does
// it to the hash.
func without(a, b []string) (rest []string) {
	count := make(map[string]int)
	for _, s := range b {
		count[s]++
	}
	for _, s := range a {
		if count[s]--; count[s] < 0 {
			rest = append(rest, s)
		}
	}
	return rest
}

// opcodes has the words of the logs by the byte that an operation's record
// begins with.
var opcodes = map[string]string{
	"?": "NAME_PREORDER", ":": "NAME_REGISTRATION", "::": "NAME_RENEWAL", "+": "NAME_UPDATE", ">": "NAME_TRANSFER",
	"~": "NAME_REVOKE", ";": "NAME_IMPORT", "*": "NAMESPACE_PREORDER", "&": "NAMESPACE_REVEAL", "!": "NAMESPACE_READY", "#": "ANNOUNCE",
}

// word is what a log calls an accepted operation, "" a rejected one.
func word(rec string) string {
	if rec == "" {
		return ""
	}
	if strings.HasPrefix(rec, ":") && strings.Contains(rec, ",2:::,") {
		return opcodes["::"]
	}
	return opcodes[rec[:1]]
}

// fill completes a transaction of our own with what the rules made of it.
func (r *recordedTx) fill(op ops.Operation, rec string) {
	r.Opcode = opcodes[string(op.Code())]
	push, _ := ops.Encode([2]byte{}, op)
	r.Payload = hex.EncodeToString(push[3:])
	if r.Opcode == "ANNOUNCE" {
		return
	}
	accepted := rec != ""
	r.Accepted, r.As = &accepted, word(rec)
}

// differs says what was decided otherwise than recorded, "" for nothing. What
// became of announcements the logs do not tell.
func (r *recordedTx) differs(op ops.Operation, rec string) string {
	if r.Accepted == nil || op.Code() == '#' {
		return ""
	}
	if accepted := rec != ""; accepted != *r.Accepted {
		return fmt.Sprintf("accepted %v, want %v", accepted, *r.Accepted)
	}
	as := r.As
	if w, ok := opcodes[as]; ok {
		as = w
	}
	got := word(rec)
	if as == "" || as == got || as == "NAME_REGISTRATION" && got == "NAME_RENEWAL" { // one byte on the wire
		return ""
	}
	return fmt.Sprintf("accepted as %s, want %s", got, as)
}

func latin1s(texts []string) []string {
	out := make([]string, len(texts))
	for i, s := range texts {
		out[i] = latin1(s)
	}
	return out
}

// latin1 turns text whose characters stand for bytes into these bytes.
func latin1(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 255 {
			return s // it says the bytes themselves
		}
		b = append(b, byte(r))
	}
	return string(b)
}

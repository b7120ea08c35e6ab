package chain

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// oddRun returns a run of our own making that a log can distort: one with
// operations of most kinds.
func oddRun(t *testing.T) *recordedRun {
	t.Helper()
	for _, line := range readLines(t, ownRuns) {
		run, err := parseRun(line)
		if err != nil {
			t.Fatal(err)
		}
		seen := make(map[string]bool)
		run.eachTx(func(_ *recordedBlock, tx *recordedTx) bool { seen[tx.As] = true; return false })
		if run.Rules == "blockstack" && seen["NAME_REVOKE"] && seen["NAME_RENEWAL"] && seen["NAME_REGISTRATION"] && seen["NAME_UPDATE"] {
			return run
		}
	}
	t.Fatal("no run has it all")
	return nil
}

// eachTx calls fn with the transactions of a run until it returns true.
func (run *recordedRun) eachTx(fn func(b *recordedBlock, tx *recordedTx) bool) {
	for i := range run.Blocks {
		for j := range run.Blocks[i].Txs {
			if fn(&run.Blocks[i], &run.Blocks[i].Txs[j]) {
				return
			}
		}
	}
}

// again is a run as it comes back from a file.
func (run *recordedRun) again(t *testing.T) *recordedRun {
	t.Helper()
	line, err := json.Marshal(run)
	if err != nil {
		t.Fatal(err)
	}
	if run, err = parseRun(line); err != nil {
		t.Fatal(err)
	}
	return run
}

// TestOddLogs: logs tell the same in many ways.
func TestOddLogs(t *testing.T) {
	for why, change := range map[string]func(run *recordedRun){
		"as it is": func(run *recordedRun) {},
		"words missing": func(run *recordedRun) {
			run.eachTx(func(_ *recordedBlock, tx *recordedTx) bool {
				tx.Opcode, tx.As, tx.Payload = "", "", ""
				return false
			})
		},
		"bytes for words": func(run *recordedRun) {
			run.eachTx(func(_ *recordedBlock, tx *recordedTx) bool {
				for b, w := range opcodes {
					if w == tx.As {
						tx.As = b
						break
					}
				}
				return false
			})
		},
		"renewals called registrations": func(run *recordedRun) {
			run.eachTx(func(_ *recordedBlock, tx *recordedTx) bool {
				tx.As = strings.Replace(tx.As, "RENEWAL", "REGISTRATION", 1)
				return false
			})
		},
		"decisions missing": func(run *recordedRun) {
			run.eachTx(func(_ *recordedBlock, tx *recordedTx) bool { tx.Accepted = nil; return false })
		},
		"an announcement accepted": func(run *recordedRun) {
			yes := true
			run.eachTx(func(_ *recordedBlock, tx *recordedTx) bool {
				if tx.Opcode == "ANNOUNCE" {
					tx.Accepted, tx.As = &yes, "ANNOUNCE"
				}
				return false
			})
		},
		"rejected transactions not kept": func(run *recordedRun) {
			run.eachTx(func(_ *recordedBlock, tx *recordedTx) bool {
				if tx.Accepted != nil && !*tx.Accepted {
					tx.RawTx = ""
				}
				return false
			})
		},
		"each transaction twice, the other way round": func(run *recordedRun) {
			for i, b := range run.Blocks {
				run.Blocks[i].Txs = append(b.Txs, b.Txs...)
				slices.Reverse(run.Blocks[i].Txs)
				slices.Reverse(run.Blocks[i].SerializedOps)
			}
		},
		"empty blocks left out": func(run *recordedRun) {
			run.Blocks = slices.DeleteFunc(run.Blocks, func(b recordedBlock) bool { return len(b.Txs) == 0 && len(b.Prev) > 0 })
		},
		"variables of no use": func(run *recordedRun) {
			run.Env["NUM_CONFIRMATIONS"], run.Env["SOMETHING"], run.Env["NOTHING"] = 0, "else", nil
		},
		"blocks the other way round": func(run *recordedRun) { slices.Reverse(run.Blocks) },
	} {
		run := oddRun(t)
		change(run)
		if diffs := replay(t, run.again(t)); len(diffs) > 0 {
			t.Errorf("%s: %q", why, diffs)
		}
	}
}

// TestFalseLogs: what is otherwise than recorded is named, with block and
// transaction.
func TestFalseLogs(t *testing.T) {
	other := func(hash string) string {
		if hash[0] == '0' {
			return "1" + hash[1:]
		}
		return "0" + hash[1:]
	}
	// find calls fn with the first transaction that was accepted as a word.
	find := func(word string, fn func(b *recordedBlock, tx *recordedTx)) func(run *recordedRun) {
		return func(run *recordedRun) {
			run.eachTx(func(b *recordedBlock, tx *recordedTx) bool {
				if tx.As == word && tx.Accepted != nil {
					fn(b, tx)
				}
				return tx.As == word && tx.Accepted != nil
			})
		}
	}
	for want, change := range map[string]func(run *recordedRun){
		"accepted true, want false":   find("NAME_PREORDER", func(_ *recordedBlock, tx *recordedTx) { *tx.Accepted = false }),
		"accepted false, want true":   find("", func(_ *recordedBlock, tx *recordedTx) { *tx.Accepted = true }),
		"accepted as NAME_REVOKE":     find("NAME_REVOKE", func(_ *recordedBlock, tx *recordedTx) { tx.As = "NAME_UPDATE" }),
		"want NAME_RENEWAL":           find("NAME_REGISTRATION", func(_ *recordedBlock, tx *recordedTx) { tx.As = "NAME_RENEWAL" }),
		"the raw transaction is":      find("NAME_UPDATE", func(_ *recordedBlock, tx *recordedTx) { tx.Txid = other(tx.Txid) }),
		"there is no raw transaction": find("NAME_UPDATE", func(_ *recordedBlock, tx *recordedTx) { tx.RawTx = "" }),
		"ops hash":                    func(run *recordedRun) { run.Blocks[7].OpsHash = other(run.Blocks[7].OpsHash) },
		"consensus hash":              func(run *recordedRun) { run.Blocks[7].ConsensusHash = other(run.Blocks[7].ConsensusHash) },
		"recorded operation is missing": find("NAME_UPDATE", func(b *recordedBlock, _ *recordedTx) {
			b.SerializedOps[0] = strings.Replace(b.SerializedOps[0], ":", ";", 1)
		}),
		"operation that was not recorded": find("NAME_UPDATE", func(b *recordedBlock, _ *recordedTx) { b.SerializedOps = nil }),
		"nothing was made of SOMETHING=else": func(run *recordedRun) {
			run.Env["SOMETHING"] = "else"
			run.Blocks[7].OpsHash = other(run.Blocks[7].OpsHash)
		},
		"operation to us": find("NAME_UPDATE", func(_ *recordedBlock, tx *recordedTx) {
			tx.RawTx, tx.Txid = strings.Replace(tx.RawTx, "69642b", "69652b", 1), ""
		}),
	} {
		run := oddRun(t)
		change(run)
		diffs := strings.Join(replay(t, run.again(t)), "\n")
		if !strings.Contains(diffs, want) || !strings.Contains(diffs, "block ") {
			t.Errorf("%q is not in %q", want, diffs)
		}
	}
	for _, line := range []string{"", "{}", `{"blocks": []}`, `{"blocks": [{"height": 1}, {"height": 1}]}`, `{"blocks": [{"height": 1}, {"height": 1000000}]}`, `[1]`} {
		if run, err := parseRun([]byte(line)); err == nil {
			t.Errorf("%q: %+v", line, run)
		}
	}
}

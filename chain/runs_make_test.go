package chain

import (
	"flag"
	"testing"
)

var makeRuns = flag.Bool("make", false, "make the runs in testdata anew")

// ownRuns has runs of our own making.
const ownRuns = "testdata/runs.jsonl.gz"

func writeOwnRuns(t *testing.T) { t.Fatal("not there yet") }

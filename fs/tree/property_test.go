package tree

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// histories is how many random histories a test runs: so many, or
// $SATCHEL_HISTORIES.
func histories(t *testing.T, n int) int {
	if s := os.Getenv("SATCHEL_HISTORIES"); s != "" {
		m, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	return n
}

func runHistories(t *testing.T, from, n int, stored bool) (c counts) {
	t.Helper()
	for seed := range n {
		h := newHistory(uint64(from+seed), nothing, stored)
		if err := h.run(); err != nil {
			tail := h.log
			t.Fatalf("seed %d: %v\n%s", from+seed, err, strings.Join(tail, "\n"))
		}
		c.add(h.counts)
	}
	return c
}

func TestHistories(t *testing.T) {
	c := runHistories(t, 0, histories(t, 1500), false)
	t.Logf("%+v", c)
	for what, n := range map[string]int{"ring": c.rings, "orphan": c.orphans, "taken copy name": c.taken, "surviving unseen change": c.survived,
		"file with several names": c.linked, "with a name that is gone": c.hidden, "with several data": c.linkedCopies} {
		if n == 0 {
			t.Errorf("no %s in %d runs: this tested nothing", what, c.runs)
		}
	}
	if c.twice*20 > c.runs {
		t.Errorf("%d contents under two identities in %d runs", c.twice, c.runs)
	}
}

func TestStoredHistories(t *testing.T) {
	c := runHistories(t, 1<<20, histories(t, 600), true)
	t.Logf("%+v", c)
	if c.rings == 0 || c.orphans == 0 || c.taken == 0 || c.missing == 0 ||
		c.linked == 0 || c.hidden == 0 || c.linkedCopies == 0 || c.reached == 0 {
		t.Errorf("a count of zero: this tested nothing")
	}
}

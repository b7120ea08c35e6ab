package tree

import (
	"strings"
	"testing"
)

// TestAblations takes each rule away and sees that the test notices: so the
// properties bite.
func TestAblations(t *testing.T) {
	for _, c := range []struct {
		abl    ablation
		runs   int
		notice string // what the first history that notices says
		why    string
	}{
		{realInJoin, 4000, "is lost", "their bytes vanish when the same head is seen again"},
		{counterPerWriter, 4000, "was last put to", "an older place wins"},
		{settleOneName, 20000, "is not at", "a hard-linked file loses its copy"},
	} {
		seed := 0
		var err error
		for ; seed < c.runs; seed++ {
			if err = newHistory(uint64(seed), c.abl, false).run(); err != nil && strings.Contains(err.Error(), c.notice) {
				break
			}
		}
		if seed == c.runs {
			t.Errorf("%s: not noticed in %d histories", c.why, c.runs)
			continue
		}
		t.Logf("%s: seed %d: %.200v", c.why, seed, err)
	}
}

// TestAblationCounts takes away rules of which the properties allow the want,
// but which must show in the counts.
func TestAblationCounts(t *testing.T) {
	run := func(abl ablation) (c counts) {
		for seed := range 500 {
			h := newHistory(uint64(seed), abl, false)
			if err := h.run(); err != nil && abl == nothing {
				t.Fatal(err)
			}
			c.add(h.counts)
		}
		return c
	}
	all, alive, live := run(nothing), run(noAlive), run(noLiveData)
	t.Logf("all rules:             %d orphans, %d contents back", all.orphans, all.survived)
	t.Logf("directories untouched: %d orphans", alive.orphans)
	t.Logf("no set of live data:   %d contents back", live.survived)
	if alive.orphans < 3*(1+all.orphans) {
		t.Error("what touching the directories is for does not show")
	}
	if live.survived < 2*all.survived {
		t.Error("what the set of live data is for does not show")
	}
}

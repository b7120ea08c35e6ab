package chain

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// TestHistory compares what the index tells about the past with what connecting
// each block told.
func TestHistory(t *testing.T) {
	eachLottery(t, func(t *testing.T, l *lottery, ix *Index) {
		bySubject := make(map[string][]Operation)
		for range 120 {
			height, hash := ix.Tip()
			b := &fetched{header: l.header(height+1, hash), txs: l.block(ix)}
			a, err := ix.connect(b.header, b.txs)
			if err != nil {
				t.Fatal(err)
			}
			got := checkBlock(t, ix, b, a)
			for _, o := range got {
				if o.Subject != "" {
					bySubject[o.Subject] = append(bySubject[o.Subject], o)
				}
			}
		}
		for subject, want := range bySubject {
			checkHistory(t, ix, l, subject, want)
		}
		checkLists(t, ix, bySubject)
	})
}

// checkBlock compares the operations of a block just applied with its records.
func checkBlock(t *testing.T, ix *Index, b *fetched, a applied) []Operation {
	t.Helper()
	height := b.header.Height
	got, err := ix.Operations(height)
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for j, rec := range a.records {
		if rec == "" {
			continue
		}
		o := got[i]
		if o.Record != rec || o.Txid != b.txs[j].Txid || o.Index != b.txs[j].Index || o.Height != height {
			t.Fatalf("block %d: got %+v, want %+v %s", height, o, b.txs[j], rec)
		}
		i++
	}
	if i != len(got) {
		t.Fatalf("block %d: %d operations, want %d", height, len(got), i)
	}
	root, err := ix.OpsHash(height)
	if err != nil || root != a.opsHash {
		t.Errorf("block %d: ops hash %x, want %x, %v", height, root, a.opsHash, err)
	}
	if h, err := ix.HeightOf(a.consensus); err != nil || h != height {
		t.Errorf("block %d: its consensus hash is that of %d, %v", height, h, err)
	}
	for _, o := range got {
		checkSubject(t, ix, got, o)
	}
	return got
}

// checkSubject compares an operation that is the last one on its subject with
// the subject as it is now.
func checkSubject(t *testing.T, ix *Index, block []Operation, o Operation) {
	t.Helper()
	later := slices.ContainsFunc(block, func(p Operation) bool { return p.Subject == o.Subject && p.Index > o.Index })
	switch {
	case later || o.Subject == "":
	case !strings.Contains(o.Subject, "."):
		if ns, err := ix.Namespace(o.Subject); err != nil || string(ns.Owner) != string(o.Owner) || ns.Ready != (o.Op == "!") {
			t.Errorf("%+v: %+v, %v", o, ns, err)
		}
	default:
		rec, err := ix.Lookup(Name(o.Subject))
		if err != nil || rec.Txid != o.Txid || rec.Op != o.Op || string(rec.Owner) != string(o.Owner) ||
			rec.HasValue != (o.Value != nil) || rec.HasValue && rec.ValueHash != *o.Value {
			t.Errorf("%+v: %+v, %v", o, rec, err)
		}
	}
}

func checkHistory(t *testing.T, ix *Index, l *lottery, subject string, want []Operation) {
	t.Helper()
	from, limit := 10+l.r.IntN(120), l.r.IntN(4)
	later := slices.DeleteFunc(slices.Clone(want), func(o Operation) bool { return o.Height < from })
	if limit > 0 {
		later = later[:min(limit, len(later))]
	}
	for _, c := range []struct {
		from, limit int
		want        []Operation
	}{{0, 0, want}, {0, 1, want[:1]}, {from, limit, later}} {
		got, err := ix.History(subject, c.from, c.limit)
		if err != nil || len(got) != len(c.want) || len(got) > 0 && !reflect.DeepEqual(got, c.want) {
			t.Fatalf("%s from %d, %d: got %+v, want %+v, %v", subject, c.from, c.limit, got, c.want, err)
		}
	}
}

func checkLists(t *testing.T, ix *Index, subjects map[string][]Operation) {
	t.Helper()
	all, err := ix.Namespaces()
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, ns := range all {
		ids = append(ids, ns.ID)
		var want []Name
		for s := range subjects {
			if Name(s).Namespace() == ns.ID && strings.Contains(s, ".") {
				want = append(want, Name(s))
			}
		}
		slices.Sort(want)
		got, err := ix.Names(ns.ID, "", 0)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("names in %s: %v, want %v, %v", ns.ID, got, want, err)
		}
		var paged []Name
		for after := Name(""); ; after = paged[len(paged)-1] {
			page, err := ix.Names(ns.ID, after, 2)
			if err != nil || len(page) > 2 {
				t.Fatal(page, err)
			}
			if paged = append(paged, page...); len(page) == 0 {
				break
			}
		}
		if !slices.Equal(paged, want) {
			t.Errorf("names in %s, two at a time: %v, want %v", ns.ID, paged, want)
		}
		if one, err := ix.Namespace(ns.ID); err != nil || !reflect.DeepEqual(one, ns) {
			t.Errorf("namespace %+v, want %+v, %v", one, ns, err)
		}
	}
	want := slices.Sorted(maps.Keys(subjects))
	want = slices.DeleteFunc(want, func(s string) bool { return strings.Contains(s, ".") })
	if !slices.Equal(ids, want) {
		t.Errorf("namespaces %v, want %v", ids, want)
	}
}

// TestReplayRecordedRuns: of the recorded runs the accepted operations alone give
// the recorded consensus hashes, and the records are kept as they were hashed.
func TestReplayRecordedRuns(t *testing.T) {
	replayKept(t, readVectors(t, "SATCHEL_RUNS", "consensus_runs.jsonl.gz"))
}

// TestReplayOwnRuns is the same for our own runs.
func TestReplayOwnRuns(t *testing.T) { replayKept(t, readLines(t, ownRuns)) }

func replayKept(t *testing.T, lines [][]byte) {
	t.Helper()
	for _, line := range lines {
		run, err := parseRun(line)
		if err != nil {
			t.Fatal(err)
		}
		if run.Replays != nil && !*run.Replays {
			continue
		}
		p, _ := run.params()
		ix, below := openRun(t, p)
		twin, _ := openRun(t, p)
		prev := below[len(below)-1].Hash
		for _, b := range run.Blocks {
			h := madeUpHeader(b.Height, &prev)
			replayBlock(ix, b, h)
			txs, err := ix.replayable(b.Height)
			if err != nil {
				t.Fatal(err)
			}
			a, err := twin.connect(h, txs)
			if got := fmt.Sprintf("%x", a.consensus); err != nil || got != b.ConsensusHash {
				t.Fatalf("%s, block %d: %s, want %s, %v", run.Scenario, b.Height, got, b.ConsensusHash, err)
			}
			kept, err := ix.Operations(b.Height)
			if err != nil || len(kept) != len(b.SerializedOps) {
				t.Fatalf("%s, block %d: %d operations, want %d, %v", run.Scenario, b.Height, len(kept), len(b.SerializedOps), err)
			}
			for i, o := range kept {
				if o.Record != latin1(b.SerializedOps[i]) {
					t.Errorf("%s, block %d: %s, want %s", run.Scenario, b.Height, o.Record, b.SerializedOps[i])
				}
			}
		}
		ix.Close()
		twin.Close()
	}
}

// TestNoHistory: what is not there is not there.
func TestNoHistory(t *testing.T) {
	p := ruleSets["satchel"]()
	ix, _ := openRun(t, p)
	defer ix.Close()
	l := newLottery(p, 3)
	l.play(t, ix, 5)
	tip, _ := ix.Tip()
	c, err := ix.ConsensusHash(tip)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ix.disconnect(); err != nil {
		t.Fatal(err)
	}
	checks := map[string]func() error{
		"operations above the tip":     func() error { _, err := ix.Operations(tip); return err },
		"operations of a header":       func() error { _, err := ix.Operations(p.FirstBlock - 1); return err },
		"operations of no block":       func() error { _, err := ix.Operations(-1); return err },
		"ops hash above the tip":       func() error { _, err := ix.OpsHash(tip); return err },
		"a hash that was undone":       func() error { _, err := ix.HeightOf(c); return err },
		"a block to replay, too early": func() error { _, err := ix.replayable(0); return err },
	}
	for what, check := range checks {
		if err := check(); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, subject := range []string{"nobody.id", "nothing", "", "a.b.c", ".", "\x00"} {
		if h, err := ix.History(subject, 0, 0); err != nil || len(h) > 0 {
			t.Errorf("history of %q: %v, %v", subject, h, err)
		}
	}
}

// TestManyNamesOfOneOwner: an owner's names may fill several rows.
func TestManyNamesOfOneOwner(t *testing.T) {
	p := ruleSets["satchel"]()
	ix, _ := openRun(t, p)
	defer ix.Close()
	ada, bob := one("ada"), one("bob")
	nameOf := func(i int) string { return fmt.Sprintf("name-%d.id", i) }
	const n = 500
	give := func(from, to int, owner party) {
		err := ix.update(func(s *state) tip {
			s.begin(20, false)
			for i := from; i < to; i++ {
				e := &entry{Name: nameOf(i), Owner: owner.script, Index: i}
				s.putName(e)
			}
			s.flush()
			return ix.getTip()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	count := func(owner party) (n int, rows int) {
		err := ix.view(func(s *state) error {
			names := s.ownedNames(owner.script)
			if slices.Sort(names); len(slices.Compact(slices.Clone(names))) != len(names) {
				t.Errorf("names %v", names)
			}
			s.each(key(keyOwner, ownerHash(owner.script)), "", func(string) bool { rows++; return true })
			n = len(names)
			return s.err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n, rows
	}
	give(0, n, ada)
	if got, rows := count(ada); got != n || rows < 5 {
		t.Errorf("%d names in %d rows", got, rows)
	}
	give(0, 200, bob)
	give(150, 170, ada)
	give(350, n, bob)
	if a, _ := count(ada); a != 170 {
		t.Errorf("ada has %d names", a)
	}
	if b, _ := count(bob); b != 330 {
		t.Errorf("bob has %d names", b)
	}
	give(0, n, bob)
	if a, _ := count(ada); a != 0 {
		t.Errorf("ada has %d names", a)
	}
	give(0, n, ada)
	if a, _ := count(ada); a != n {
		t.Errorf("ada has %d names", a)
	}
}

// TestDamagedRows changes each row of an index in turn: whoever reads it gets an
// answer or an error that tells what to do.
func TestDamagedRows(t *testing.T) {
	p := ruleSets["satchel"]()
	ix, _ := openRun(t, p)
	defer ix.Close()
	l := newLottery(p, 5)
	l.play(t, ix, 35)
	told := make(map[byte]int)
	for k, v := range dump(t, ix) {
		switch k[0] {
		case keyMeta:
			continue
		case keyTip:
			v = string(ix.getTip().row()) // of which dump shows a part
		}
		for _, bad := range []string{"", v[:len(v)/2], v + "\xff", strings.Repeat("\xff", len(v)), "\x01" + v} {
			put(t, ix, k, bad)
			if err := readAll(ix); errors.Is(err, errDamaged) && strings.Contains(err.Error(), "delete its folder") {
				told[k[0]]++
			} else if err != nil {
				t.Fatalf("key %q: %q: %v", k, bad, err)
			}
		}
		put(t, ix, k, v)
	}
	for _, kind := range []byte{keyTip, keyBlock, keyName, keyNamespace, keyPreorder, keyOwner, keyOps, keyConsensus} {
		if told[kind] == 0 {
			t.Errorf("no damaged row of kind %c was found", kind)
		}
	}
	if err := readAll(ix); err != nil {
		t.Error(err)
	}
}

func put(t *testing.T, ix *Index, k, v string) {
	t.Helper()
	if err := ix.db.Update(func(txn *badger.Txn) error { return txn.Set([]byte(k), []byte(v)) }); err != nil {
		t.Fatal(err)
	}
}

// readAll reads from all rows and returns the first error.
func readAll(ix *Index) error {
	var errs []error
	note := func(_ any, err error) { errs = append(errs, err) }
	ids, err := ix.Namespaces()
	note(nil, err)
	for _, ns := range ids {
		names, err := ix.Names(ns.ID, "", 0)
		note(nil, err)
		for _, n := range names {
			note(ix.Lookup(n))
			note(ix.History(string(n), 0, 0))
			note(ix.Price(n))
		}
	}
	for h := ix.p.FirstBlock; h <= ix.getTip().height; h++ {
		note(ix.Operations(h))
		note(ix.OpsHash(h))
		c, err := ix.ConsensusHash(h)
		note(nil, err)
		if err == nil {
			if _, err := ix.HeightOf(c); !errors.Is(err, os.ErrNotExist) {
				note(nil, err)
			}
		}
	}
	for _, word := range []string{"ada", "bob", "eve", "joe", "may"} {
		note(ix.NamesOf(one(word).script))
	}
	note(nil, ix.view(func(s *state) error {
		s.each([]byte{keyPreorder}, "", func(rest string) bool {
			s.preorderRow(rest[0], [20]byte([]byte(rest[1:])))
			return true
		})
		return s.err
	}))
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

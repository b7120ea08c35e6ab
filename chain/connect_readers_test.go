package chain

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// tables are those of an index by the row of their tip without the floor.
type tables map[string]map[string]string

func (all tables) note(t *testing.T, ix *Index) {
	table := dump(t, ix)
	all[table[string(keyTip)]] = table
}

// TestReadersSeeWholeBlocks asks while blocks come in batches, some of which are
// not written, go, and are all made anew. Whatever is seen at once is of one block.
func TestReadersSeeWholeBlocks(t *testing.T) {
	eachLottery(t, func(t *testing.T, l *lottery, ix *Index) {
		all := make(tables)
		fresh, err := OpenIndex("", l.p)
		if err != nil {
			t.Fatal(err)
		}
		defer fresh.Close()
		all.note(t, fresh)
		connectBelow(t, fresh)
		all.note(t, fresh)
		blocks := l.play(t, fresh, 40)
		for range blocks {
			all.note(t, fresh)
			if _, err := fresh.disconnect(); err != nil {
				t.Fatal(err)
			}
		}
		if len(all) != len(blocks)+2 {
			t.Fatalf("%d tables", len(all))
		}
		var done atomic.Bool
		var readers sync.WaitGroup
		for seed := range uint64(3) {
			readers.Go(func() {
				for r := rand.New(rand.NewPCG(seed, 1)); !done.Load(); {
					if err := all.look(ix, r); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		l.shake(t, ix, blocks)
		done.Store(true)
		readers.Wait()
		sameRows(t, dump(t, ix), all[dump(t, ix)[string(keyTip)]])
	})
}

// shake applies and undoes blocks in every way until all are applied.
func (l *lottery) shake(t *testing.T, ix *Index, blocks []*fetched) {
	failed := l.fallible(ix, 10)
	first := blocks[0].header.Height
	for round := 0; round < 30; round++ {
		height, _ := ix.Tip()
		rest := blocks[height+1-first:]
		ix.batchRows = l.r.IntN(100)
		if _, err := ix.connectBatch(rest[:min(len(rest), 1+l.r.IntN(20))], 0); err != nil && !errors.Is(err, errDisk) {
			t.Fatal(err)
		}
		if height, _ = ix.Tip(); l.r.IntN(10) == 0 {
			if _, err := ix.restart(); err != nil {
				t.Fatal(err)
			}
			connectBelow(t, ix)
			continue
		}
		for range l.r.IntN(min(10, height+2-first)) {
			if _, err := ix.disconnect(); err != nil && !errors.Is(err, errDisk) {
				t.Fatal(err)
			}
		}
	}
	ix.commit = ix.commitIfRoom
	height, _ := ix.Tip()
	if _, err := ix.connectBatch(blocks[height+1-first:], 0); err != nil || *failed == 0 {
		t.Fatal(err, *failed)
	}
}

// look compares what it sees with the tables.
func (all tables) look(ix *Index, r *rand.Rand) error {
	got := make(map[string]string)
	err := ix.view(func(s *state) error {
		it := s.txn.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			v, err := it.Item().ValueCopy(nil)
			if err != nil {
				return err
			}
			got[string(it.Item().Key())] = string(v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	tip := got[string(keyTip)][:36]
	got[string(keyTip)] = tip
	if want := all[tip]; !maps.Equal(got, want) {
		return fmt.Errorf("the table at %x has %d rows, want %d, or they differ", tip, len(got), len(want))
	}
	_, err1 := ix.ConsensusHash(ix.p.FirstBlock + r.IntN(60))
	_, err2 := ix.Operations(ix.p.FirstBlock + r.IntN(60))
	_, err3 := ix.Lookup("ada.id")
	_, err4 := ix.History("ada.id", 0, 0)
	_, err5 := ix.NamesOf(one("ada").script)
	for _, err := range slices.DeleteFunc([]error{err1, err2, err3, err4, err5}, func(err error) bool { return errors.Is(err, os.ErrNotExist) }) {
		if err != nil {
			return err
		}
	}
	return nil
}

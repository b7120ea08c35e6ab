package chain

import (
	"errors"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

var errDisk = errors.New("the disk failed")

// fallible has some commits of an index fail: half of those before anything is
// written, half after all is.
func (l *lottery) fallible(ix *Index, oneIn int) (failed *int) {
	failed = new(int)
	ix.commit = func(txn *badger.Txn) error {
		if l.r.IntN(oneIn) > 0 {
			return ix.commitIfRoom(txn)
		}
		*failed++
		if l.r.IntN(2) == 0 {
			txn.Discard()
		} else if err := ix.commitIfRoom(txn); err != nil {
			return err
		}
		return errDisk
	}
	return failed
}

// TestFailedCommits: whichever commits fail, before or after they have written,
// while blocks come in batches and go, the table is that of the blocks of which it
// was said that they are applied.
func TestFailedCommits(t *testing.T) {
	eachLottery(t, func(t *testing.T, l *lottery, ix *Index) {
		blocks := l.play(t, ix, 100)
		first := blocks[0].header.Height
		broken, _ := openRun(t, l.p)
		defer broken.Close()
		failed := l.fallible(broken, 3)
		next := func() int { height, _ := broken.Tip(); return height + 1 - first }
		for next() < len(blocks) {
			broken.batchRows = l.r.IntN(100)
			at := next()
			end := min(len(blocks), at+1+l.r.IntN(20))
			done, err := broken.connectBatch(blocks[at:end], 0)
			if n := next() - at; n != len(done) || err == nil && n != end-at || err != nil && !errors.Is(err, errDisk) {
				t.Fatalf("%d of %d blocks, %d done, %v", n, end-at, len(done), err)
			}
			for range l.r.IntN(min(6, next()+1)) {
				at := next()
				if _, err := broken.disconnect(); next() != at-1 && !errors.Is(err, errDisk) || err != nil && next() != at {
					t.Fatalf("at %d now, was at %d, %v", next(), at, err)
				}
			}
		}
		if *failed < 5 {
			t.Errorf("only %d commits failed", *failed)
		}
		sameRows(t, dump(t, broken), dump(t, ix))
	})
}

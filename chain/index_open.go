package chain

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// Memory for the changes of one block: about a seventh of it may be in one
// transaction, and a block that the network accepts never needs the most.
const (
	minMemTable = 12 << 20
	maxMemTable = 256 << 20
)

// levelZeroTables is how many tables wait to be merged.
const levelZeroTables = 15

// Keys are hashes, so each table that is merged down overlaps with all that lies
// there: many tables wait above one large level instead. Following a million
// names takes three fifths of the processor time that it takes with Badger's own
// levels, and a look-up as long.
func (ix *Index) options(memTable int64) badger.Options {
	o := badger.DefaultOptions(ix.dir).
		WithLogger(nil).
		WithMemTableSize(memTable).
		WithNumMemtables(2).
		WithCompression(0).
		WithBlockCacheSize(0).
		WithIndexCacheSize(4 << 20).
		WithValueLogFileSize(16 << 20).
		WithValueThreshold(valueThreshold).
		WithVerifyValueChecksum(true).
		WithBaseTableSize(1 << 20).
		WithNumLevelZeroTables(levelZeroTables).
		WithNumLevelZeroTablesStall(2 * levelZeroTables).
		WithBaseLevelSize(2 << 30).
		WithNumCompactors(2).
		WithMetricsEnabled(false).
		WithDetectConflicts(false) // there is one writer
	if ix.dir == "" {
		return o.WithInMemory(true)
	}
	return o.WithSyncWrites(true)
}

// open opens the database. What a process that was killed left in memory tables
// larger than usual is put into the levels first: Badger ends the process if such a
// table doesn't fit into the memory that it is given, at each start again.
func (ix *Index) open() error {
	left, err := memTables(ix.dir)
	if err == nil {
		err = roomFor(ix.dir, left)
	}
	if err != nil {
		return err
	}
	size := ix.memTable
	for _, f := range left {
		size = max(size, memTableOf(f.Size()))
	}
	db, err := ix.openWith(size)
	if err == nil && size > ix.memTable {
		if err = db.Close(); err == nil {
			db, err = ix.openWith(ix.memTable)
		}
	}
	if err != nil {
		return fmt.Errorf("index %s: %w", ix.dir, err)
	}
	ix.db = db
	return nil
}

// openWith opens the database with memory tables of a size. After a kill a memory
// table's file of no bytes can make the first attempt fail and the second succeed
// (badger issue 2207).
func (ix *Index) openWith(memTable int64) (db *badger.DB, err error) {
	for range 2 {
		if db, err = badger.Open(ix.options(memTable)); err == nil {
			return db, nil
		}
	}
	return nil, err
}

// verify reads all tables and checks their checksums, 10 ms for the 40 MB of 60,000
// names: Badger does not when it looks something up, so that a bit that changed on
// the disk could show a name with another owner. Of its log of values it does.
func (ix *Index) verify() (err error) {
	defer func() {
		if recover() != nil { // a block without a checksum makes badger 4.9.6 follow a nil pointer
			err = errDamaged
		}
	}()
	if err := ix.db.VerifyChecksum(); err != nil {
		return fmt.Errorf("%w (%w)", errDamaged, err)
	}
	return nil
}

// memTableOf returns the size of the memory table that has a file of so many
// bytes. The file has twice its size, until it is read after a kill: then it has as
// many bytes as there are changes, which take up to 1.6 times as much in memory.
func memTableOf(file int64) int64 {
	size := int64(minMemTable)
	for size < maxMemTable && file != 2*size && 2*file > size {
		size *= 2
	}
	return size
}

// reopenBigger makes room for larger transactions.
func (ix *Index) reopenBigger() error {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if ix.dir == "" || ix.memTable >= maxMemTable {
		return badger.ErrTxnTooBig // in memory it would forget everything
	}
	if ix.db.IsClosed() {
		return errClosed
	}
	ix.memTable *= 2
	if err := ix.db.Close(); err != nil {
		return err
	}
	return ix.open()
}

// revive opens the database again if that failed when it was last tried. Until then
// everything else fails.
func (ix *Index) revive() error {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if ix.closed || !ix.db.IsClosed() {
		return nil
	}
	return ix.open()
}

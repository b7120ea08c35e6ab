package chain

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"
)

// Badger writes to its files through memory. If the disk has no room for a page of
// them the kernel ends the process, and with it the drive. So nothing is begun for
// which there may not be room; that is an error like others, tried again later.

const (
	roomToOpen  = 4 << 20  // for a few pages of each file that is made
	roomToWrite = 16 << 20 // for the log of values and the list of tables

	// tablesBefore is how many tables of the first level there may be so that a few
	// more do not set off that all tables are written anew.
	tablesBefore = levelZeroTables - 3
)

// commitIfRoom commits a transaction if the disk has room for it and for what
// Badger may do after it: write the memory tables that there are, fill another one,
// merge all tables.
func (ix *Index) commitIfRoom(txn *badger.Txn) error {
	if ix.dir != "" {
		need := 3*ix.memTable + roomToWrite
		if levels := ix.db.Levels(); levels[0].NumTables >= tablesBefore {
			for _, l := range levels {
				need += l.Size
			}
		}
		if err := room(ix.dir, need); err != nil {
			return err
		}
	}
	return txn.Commit()
}

// roomFor makes sure that a folder's memory tables, if there are any left, can be
// written as other tables.
func roomFor(dir string, tables []os.FileInfo) error {
	if dir == "" {
		return nil
	}
	need := int64(roomToOpen)
	for _, t := range tables {
		if s, ok := t.Sys().(*syscall.Stat_t); ok { // most of the file may be a hole
			need += min(t.Size(), s.Blocks*512)
		}
	}
	return room(dir, need)
}

// room makes sure that so many bytes are free where a folder is.
func room(dir string, need int64) error {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	if free := int64(s.Bavail) * s.Bsize; free < need {
		return fmt.Errorf("index %s: %w: %d MB are free, %d MB are needed", dir, unix.ENOSPC, free>>20, need>>20)
	}
	return nil
}

// memTables returns the files of memory tables in a folder.
func memTables(dir string) (files []os.FileInfo, err error) {
	if dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".mem" {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		files = append(files, info)
	}
	return files, err
}

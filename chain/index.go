package chain

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/dgraph-io/badger/v4"
	"github.com/fxamacker/cbor/v2"
)

// An Index is the table of names as of one block, in a Badger database of its
// own. It is safe for concurrent use; one Follower at most moves it.
//
// All of it follows from the blocks, so it can be deleted at any time. The keys
// are those of state.go, in which heights are big-endian; state_rows.go and
// history_rows.go say how their values are written. The row of the tip is height
// (4 bytes), block hash (32), height of the last block that cannot be undone (4).
//
// Whole blocks are written in one transaction of Badger, one or many, together
// with the tip. Its commit returns when the log of values and then the log of the
// memory table are on the disk, and after a crash an entry counts only if the
// transaction that it is of is in that log to its end, so what is found is always
// the index as of some block, and no older than the last commit that returned.
type Index struct {
	p   *Params
	dir string

	mu       sync.RWMutex // of db: it is reopened when a block needs more memory
	db       *badger.DB   // closed if that failed, and once closed is set
	memTable int64
	closed   bool

	batchRows int                     // a test sets less
	batchHeld int                     // likewise
	commit    func(*badger.Txn) error // a test has it fail

	tipMu sync.RWMutex
	tip   tip

	hashes hashCache // for whoever moves the index

	expect func(height int, consensus [16]byte) error // nil: any hash is good
}

// tip is the last block applied.
type tip struct {
	height int
	hash   chainhash.Hash
	floor  int // the last block that cannot be undone
}

// meta says what an index was made by. Another version, chain or rule set
// means that it has to be made anew.
type meta struct {
	Version int      `cbor:"0,keyasint"`
	Rules   string   `cbor:"1,keyasint"`
	Network [10]byte `cbor:"2,keyasint"`
	First   int      `cbor:"3,keyasint"`
}

const (
	indexVersion = 2

	// UndoBlocks is how many blocks can be undone. A reorganisation that is
	// deeper makes the follower begin anew.
	UndoBlocks = 288
)

// ErrTooDeep reports a block that can't be undone because it is too old.
var ErrTooDeep = errors.New("too deep to undo")

// OpenIndex opens or creates the index in dir; one in memory, which Close
// forgets, if dir is empty. An index of another chain, rule set, first block or
// version of the format is made anew: the blocks have it all.
func OpenIndex(dir string, p *Params) (*Index, error) {
	ix := &Index{p: p, dir: dir, memTable: minMemTable, batchRows: batchRows, batchHeld: batchHeld, hashes: hashCache{first: p.FirstBlock}}
	ix.commit = ix.commitIfRoom
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("index: %w", err)
		}
	}
	if err := ix.open(); err != nil {
		return nil, err
	}
	if err := ix.begin(); err != nil {
		ix.db.Close()
		return nil, err
	}
	return ix, nil
}

// valueThreshold keeps rows of operations, which come in order and hardly ever
// go, out of the tables that Badger sorts again and again: they stay in its value
// log. All other rows are shorter: nobody collects garbage there.
const valueThreshold = 1 << 10

// begin reads the tip, after making sure that the database is of this kind.
func (ix *Index) begin() error {
	want := meta{indexVersion, ix.p.Rules, ix.p.Network(), ix.p.FirstBlock}
	if err := ix.verify(); err != nil {
		return ix.advise(err)
	}
	var got meta
	err := ix.view(func(s *state) error {
		if m := s.bytes([]byte{keyMeta}); m != nil {
			s.damaged("what the index is made by", cbor.Unmarshal(m, &got))
		}
		row := s.bytes([]byte{keyTip})
		if s.err == nil && got == want {
			ix.tip, s.err = parseTip(row)
		}
		return s.err
	})
	if err != nil {
		return err
	}
	if got == want {
		return nil
	}
	if err := ix.reset(); err != nil {
		return fmt.Errorf("index %s: %w", ix.dir, err)
	}
	return nil
}

// reset empties the index: its tip is the genesis block.
func (ix *Index) reset() error {
	m, err := cbor.Marshal(meta{indexVersion, ix.p.Rules, ix.p.Network(), ix.p.FirstBlock})
	if err != nil {
		return err
	}
	if err := roomFor(ix.dir, nil); err != nil {
		return err
	}
	if err := ix.db.DropAll(); err != nil {
		return err
	}
	t := tip{hash: *ix.p.Chain.GenesisHash}
	ix.setTip(t) // whatever fails now: there are no blocks any more
	return ix.db.Update(func(txn *badger.Txn) error {
		if err := txn.Set([]byte{keyMeta}, m); err != nil {
			return err
		}
		return txn.Set([]byte{keyTip}, t.row())
	})
}

// restart is reset while others may read. It returns the names that there
// were, which may be gone even if it fails.
func (ix *Index) restart() (names []Name, err error) {
	err = ix.view(func(s *state) error {
		s.each([]byte{keyName}, "", func(rest string) bool {
			names = append(names, nameOfKey(rest))
			return true
		})
		return s.err
	})
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if err == nil {
		err = ix.reset()
	}
	if err != nil {
		err = fmt.Errorf("index %s: %w", ix.dir, err)
	}
	return names, err
}

func (t tip) row() []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(t.height))
	return binary.BigEndian.AppendUint32(append(b, t.hash[:]...), uint32(t.floor))
}

func parseTip(b []byte) (t tip, err error) {
	if len(b) != 40 {
		return t, fmt.Errorf("tip: %w", errDamaged)
	}
	t.height, t.hash = int(binary.BigEndian.Uint32(b)), chainhash.Hash(b[4:36])
	t.floor = int(binary.BigEndian.Uint32(b[36:]))
	return t, nil
}

func (ix *Index) setTip(t tip) {
	ix.tipMu.Lock()
	defer ix.tipMu.Unlock()
	ix.tip = t
}

func (ix *Index) getTip() tip {
	ix.tipMu.RLock()
	defer ix.tipMu.RUnlock()
	return ix.tip
}

// Close releases the index. It must be called; it may be called again.
func (ix *Index) Close() error {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.closed = true
	if ix.db.IsClosed() {
		return nil
	}
	if err := ix.db.Close(); err != nil {
		return fmt.Errorf("index %s: %w", ix.dir, err)
	}
	return nil
}

// view runs fn on a snapshot of the table.
func (ix *Index) view(fn func(s *state) error) error {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	if ix.db.IsClosed() {
		return errClosed
	}
	return ix.advise(ix.db.View(func(txn *badger.Txn) error { return fn(&state{txn: txn}) }))
}

// advise adds the folder to an error that tells to delete it.
func (ix *Index) advise(err error) error {
	if errors.Is(err, errDamaged) && ix.dir != "" {
		return fmt.Errorf("index %s: %w", ix.dir, err)
	}
	return err
}

var errClosed = errors.New("index is closed")

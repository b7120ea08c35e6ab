package devnet

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/database"
	_ "github.com/btcsuite/btcd/database/ffldb" // the kind of database
	"github.com/btcsuite/btcd/wire/v2"
)

func (n *Node) logPath() string    { return filepath.Join(n.dir, "log") }
func (n *Node) blocksPath() string { return filepath.Join(n.dir, "blocks") }
func (n *Node) cleanPath() string  { return filepath.Join(n.dir, "clean") }

// openChain opens the chain as the log has it. btcd's database is used if it was
// closed with the log at its present length; else it is made anew.
func (n *Node) openChain() error {
	var err error
	if n.store, err = openLog(n.logPath()); err != nil {
		return err
	}
	clean, err := n.takeClean()
	if err != nil {
		return err
	}
	if !clean || n.openDatabase() != nil {
		if n.failed = n.remake(); n.failed != nil {
			return n.failed
		}
	}
	tip := n.chain.BestSnapshot()
	for h := int32(1); h <= tip.Height; h++ {
		b, err := n.chain.BlockByHeight(h)
		if err != nil {
			return fmt.Errorf("block %d: %w", h, err)
		}
		n.clock.atLeast(b.MsgBlock().Header.Timestamp)
		n.coins.connect(b.MsgBlock(), int(h))
	}
	n.chain.Subscribe(n.notified)
	return nil
}

// remake makes btcd's database from the log.
func (n *Node) remake() error {
	if err := os.RemoveAll(n.blocksPath()); err != nil {
		return err
	}
	db, err := database.Create("ffldb", n.blocksPath(), n.params.Net)
	if err != nil {
		return err
	}
	if err := n.openOn(db); err != nil {
		return errors.Join(err, db.Close())
	}
	return n.store.read(n.replay)
}

// takeClean says if the chain was closed well, and takes that note away.
func (n *Node) takeClean() (bool, error) {
	note, err := os.ReadFile(n.cleanPath())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := os.Remove(n.cleanPath()); err != nil {
		return false, err
	}
	if err := syncDir(n.dir); err != nil {
		return false, err
	}
	return string(note) == strconv.FormatInt(n.store.size, 10), nil
}

// openDatabase opens btcd's database if it has the newest block of the log.
func (n *Node) openDatabase() error {
	db, err := database.Open("ffldb", n.blocksPath(), n.params.Net)
	if err != nil {
		return err
	}
	err = n.openOn(db)
	if last := n.store.last; err == nil && last != nil && n.chain.BestSnapshot().Hash != *last {
		err = errors.New("the database is not the log's")
	}
	if err != nil {
		n.db = nil
		return errors.Join(err, db.Close())
	}
	return nil
}

func (n *Node) openOn(db database.DB) (err error) {
	n.chain, err = blockchain.New(&blockchain.Config{
		DB:               db,
		ChainParams:      n.params,
		TimeSource:       n.clock,
		UtxoCacheMaxSize: 8 << 20,
	})
	if err == nil {
		n.db = db
	}
	return err
}

// closeChain closes what openChain opened and notes that it did.
func (n *Node) closeChain() error {
	var err error
	if n.db != nil {
		err = errors.Join(n.chain.FlushUtxoCache(blockchain.FlushRequired), n.db.Close())
	}
	if n.store == nil {
		return err
	}
	if err == nil && n.db != nil && n.failed == nil {
		err = writeFile(n.cleanPath(), []byte(strconv.FormatInt(n.store.size, 10)))
	}
	return errors.Join(err, n.store.Close()) // last: it lets others in
}

// change writes a record to the log, then does what it says. Should that fail,
// btcd's database lacks what the log has, and no more is changed until the chain
// is opened again. n.mu is held.
func (n *Node) change(kind byte, data []byte, sync bool) error {
	if err := n.ready(); err != nil {
		return err
	}
	if err := n.store.add(kind, data, sync); err != nil {
		return err
	}
	if n.failed = n.replay(kind, data); n.failed != nil {
		n.log.Error("private chain", "err", n.failed)
	}
	return n.failed
}

// ready says why nothing can be changed.
func (n *Node) ready() error {
	switch {
	case n.closed:
		return errClosed
	case n.failed != nil:
		return fmt.Errorf("the private chain has to be started again: %w", n.failed)
	}
	return nil
}

var errClosed = errors.New("the private chain is closed")

// replay does what a record of the log says.
func (n *Node) replay(kind byte, data []byte) error {
	if kind == kindBlock {
		var b wire.MsgBlock
		if err := b.Deserialize(bytes.NewReader(data)); err != nil {
			return err
		}
		return n.process(&b)
	}
	h, err := chainhash.NewHash(data)
	if err != nil {
		return err
	}
	switch kind {
	case kindBad:
		return n.chain.InvalidateBlock(h)
	case kindGood:
		return n.chain.ReconsiderBlock(h)
	}
	return fmt.Errorf("kind %q is unknown", kind)
}

// process hands a block to btcd; it has to become the tip.
func (n *Node) process(b *wire.MsgBlock) error {
	n.clock.atLeast(b.Header.Timestamp)
	main, orphan, err := n.chain.ProcessBlock(btcutil.NewBlock(b), blockchain.BFNone)
	if err == nil && (!main || orphan) {
		err = errors.New("block did not become the tip")
	}
	return err
}

// A clock is the machine's, except that it never stands before the newest block:
// a machine whose clock was set back still has its chain.
type clock struct {
	now func() time.Time

	mu    sync.Mutex
	floor time.Time
}

// seconds is the machine's time, as precise as in a header.
func (c *clock) seconds() time.Time { return time.Unix(c.now().Unix(), 0) }

func (c *clock) atLeast(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.After(c.floor) {
		c.floor = t
	}
}

// AdjustedTime implements blockchain.MedianTimeSource.
func (c *clock) AdjustedTime() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.seconds(); t.After(c.floor) {
		return t
	}
	return c.floor
}

// AddTimeSample implements blockchain.MedianTimeSource: nobody tells the time here.
func (c *clock) AddTimeSample(string, time.Time) {}

// Offset implements blockchain.MedianTimeSource.
func (c *clock) Offset() time.Duration { return 0 }

// Package devnet is a private chain in one process: Bitcoin's rules as btcd has
// them, with regression-test parameters, and a registry of Satchel's own on it
// with the namespace "id". It mines a block for each transaction that it is
// given, so a confirmation takes a moment and costs nothing. What follows it
// follows it like any other chain.
//
// # What it offers
//
// One loopback HTTP endpoint (Handler): JSON-RPC in bitcoind's dialect at /,
// and beside it
//
//	GET  /info                          {"first_block": height, "height": tip}
//	GET  /wake?height=H                 answers when the tip is not at height H, or after 25 s
//	POST /fund?address=A&satoshi=N      pays A from coins that this chain mined
//	POST /mine?n=N                      mines N blocks
//	POST /reorg?depth=N                 replaces the newest N blocks by N+1 empty ones
//	GET  /zonefile/HASH                 a zone file by its hash, in hex
//	PUT  /zonefile/HASH                 keeps one, if its hash is the current value of a name
//
// # What it keeps
//
// In its folder: blocks/ (the chain), index/ (its own follower's), zonefiles/,
// and miner, the key of the coins that it mined.
package devnet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/database"
	_ "github.com/btcsuite/btcd/database/ffldb" // the kind of database
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/bitcoin"
)

// FirstBlock is the height of the first block that the registry reads: the one
// at which the chain pays out its first coin.
const FirstBlock = 101

// Options are the options of a Node.
type Options struct {
	Log *slog.Logger // nil: slog.Default
}

// A Node is the chain, open until Close. It is a bitcoin.Source with all extra
// abilities, and safe for concurrent use.
type Node struct {
	params *chaincfg.Params
	dir    string
	log    *slog.Logger
	db     database.DB
	chain  *blockchain.BlockChain
	miner  *btcec.PrivateKey
	script []byte // that pays to miner

	mine  sync.Mutex // one block at a time
	index *coins
	names *chain.Index
	fol   *chain.Follower

	ctx    context.Context
	cancel context.CancelFunc
	loops  sync.WaitGroup

	mu   sync.Mutex
	tip  chan struct{} // closed when the tip changes
	wake chan struct{}
}

// Open opens the chain in dir, or begins one there: it mines the first coins and
// registers the namespace "id".
func Open(dir string, o Options) (*Node, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	p := chaincfg.RegressionNetParams
	n := &Node{params: &p, dir: dir, log: o.Log, tip: make(chan struct{}), wake: make(chan struct{}, 1)}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	if err := n.open(); err != nil {
		n.Close()
		return nil, fmt.Errorf("private chain in %s: %w", dir, err)
	}
	return n, nil
}

func (n *Node) open() error {
	if err := os.MkdirAll(filepath.Join(n.dir, "zonefiles"), 0o700); err != nil {
		return err
	}
	if err := n.openMiner(); err != nil {
		return err
	}
	if err := n.openChain(); err != nil {
		return err
	}
	var err error
	if n.names, err = chain.OpenIndex(filepath.Join(n.dir, "index"), chain.Satchel(n.params, FirstBlock)); err != nil {
		return err
	}
	n.fol = chain.NewFollower(n, n.names, chain.FollowerOptions{Log: n.log, Poll: time.Second})
	n.loops.Add(1)
	go func() {
		defer n.loops.Done()
		_ = n.fol.Run(n.ctx)
	}()
	return n.bootstrap(n.ctx)
}

func (n *Node) openChain() error {
	path := filepath.Join(n.dir, "blocks")
	db, err := database.Open("ffldb", path, n.params.Net)
	var dbErr database.Error
	if errors.As(err, &dbErr) && dbErr.ErrorCode == database.ErrDbDoesNotExist {
		db, err = database.Create("ffldb", path, n.params.Net)
	}
	if err != nil {
		return err
	}
	n.db = db
	n.chain, err = blockchain.New(&blockchain.Config{
		DB:               db,
		ChainParams:      n.params,
		TimeSource:       blockchain.NewMedianTime(),
		UtxoCacheMaxSize: 8 << 20,
	})
	if err != nil {
		return err
	}
	n.index = newCoins()
	tip := n.chain.BestSnapshot().Height
	for h := int32(1); h <= tip; h++ {
		b, err := n.chain.BlockByHeight(h)
		if err != nil {
			return fmt.Errorf("block %d: %w", h, err)
		}
		n.index.connect(b.MsgBlock(), int(h))
	}
	n.chain.Subscribe(n.notified)
	return nil
}

// notified keeps the index of coins in step with the chain.
func (n *Node) notified(e *blockchain.Notification) {
	b, ok := e.Data.(*btcutil.Block)
	if !ok {
		return
	}
	switch e.Type {
	case blockchain.NTBlockConnected:
		n.index.connect(b.MsgBlock(), int(b.Height()))
	case blockchain.NTBlockDisconnected:
		n.index.disconnect(b.MsgBlock())
	default:
		return
	}
	n.mu.Lock()
	close(n.tip)
	n.tip = make(chan struct{})
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Close stops the chain; it goes on with the next Open.
func (n *Node) Close() error {
	n.cancel()
	n.loops.Wait()
	n.mine.Lock()
	defer n.mine.Unlock()
	var errs []error
	if n.names != nil {
		errs = append(errs, n.names.Close())
	}
	if n.chain != nil {
		errs = append(errs, n.chain.FlushUtxoCache(blockchain.FlushRequired))
	}
	if n.db != nil {
		errs = append(errs, n.db.Close())
	}
	return errors.Join(errs...)
}

// Index is what the chain's own follower knows of names.
func (n *Node) Index() *chain.Index { return n.names }

// Height is that of the newest block.
func (n *Node) Height() int { return int(n.chain.BestSnapshot().Height) }

// Headers implements bitcoin.Source.
func (n *Node) Headers(ctx context.Context, locator []chainhash.Hash) ([]wire.BlockHeader, error) {
	l := make(blockchain.BlockLocator, len(locator))
	for i := range locator {
		l[i] = &locator[i]
	}
	return n.chain.LocateHeaders(l, &chainhash.Hash{}), nil
}

// Block implements bitcoin.Source.
func (n *Node) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	b, err := n.chain.BlockByHash(&hash)
	if err != nil {
		return nil, fmt.Errorf("block %v: %w", hash, os.ErrNotExist)
	}
	return b.Bytes()
}

// PrevTx implements bitcoin.PrevTxer.
func (n *Node) PrevTx(ctx context.Context, txid chainhash.Hash) ([]byte, error) {
	if raw := n.index.tx(txid); raw != nil {
		return raw, nil
	}
	return nil, fmt.Errorf("transaction %v: %w", txid, os.ErrNotExist)
}

// Broadcast implements bitcoin.Broadcaster: the transaction is mined at once, so
// one that the rules refuse is an error here.
func (n *Node) Broadcast(ctx context.Context, raw []byte) (chainhash.Hash, error) {
	var tx wire.MsgTx
	if err := decodeTx(raw, &tx); err != nil {
		return chainhash.Hash{}, err
	}
	hash := tx.TxHash()
	if n.index.tx(hash) != nil {
		return hash, nil
	}
	if _, err := n.mineBlock(&tx); err != nil {
		return chainhash.Hash{}, fmt.Errorf("transaction %v: %w", hash, err)
	}
	return hash, nil
}

// Wake implements bitcoin.Waker.
func (n *Node) Wake() <-chan struct{} { return n.wake }

// Unspent implements bitcoin.Unspenter.
func (n *Node) Unspent(ctx context.Context, script []byte) ([]bitcoin.Output, error) {
	return n.index.unspent(script, n.Height(), int(n.params.CoinbaseMaturity)), nil
}

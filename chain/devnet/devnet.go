// Package devnet is a private chain in one process: Bitcoin's rules as btcd has
// them, with regression-test parameters, and a registry of Satchel's own on it
// with the namespace "id". It mines a block for each transaction that it is
// given, so a confirmation takes a moment and costs nothing. What follows it
// follows it like any other chain.
//
// # What it offers
//
// One loopback HTTP endpoint (Handler, Serve): JSON-RPC in bitcoind's dialect at
// /, and beside it
//
//	GET  /info                          {"first_block": height, "height": of the tip}
//	GET  /wake?tip=HASH                 the tip's hash, as soon as it is not HASH, or after 25 s
//	POST /fund?address=A&satoshi=N      pays A from coins that this chain mined
//	POST /mine?n=N                      mines N blocks
//	POST /reorg?depth=N                 replaces the newest N blocks by N+1 empty ones
//	GET  /zonefile/HASH                 a zone file by its hash, in hex
//	PUT  /zonefile/HASH                 keeps one, if its hash is the current value of a name, or stands in one
//	GET  /v1/...                        what proofs are made from, see package proof
//
// Answers are JSON, zone files their bytes. Requests that a web page could have
// made are refused.
//
// # What it keeps
//
// In its folder: log (the chain, see blockLog), blocks/ (btcd's database, made
// anew from log after a crash), clean (there while nothing is open: the length of
// log that blocks/ has), index/ (its own follower's), zonefiles/ (each named by
// its hash), and miner (the secret key, 32 bytes, of the coins that it mined).
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
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/database"

	"satchel/chain"
)

const (
	// FirstBlock is the height of the first block that the registry reads: the
	// one at which the chain pays out its first coin.
	FirstBlock = 101

	// Namespace is the one that is open.
	Namespace = "id"

	// bootBlocks is the height at which the namespace is open.
	bootBlocks = FirstBlock + 2
)

// Options are the options of a Node.
type Options struct {
	Log *slog.Logger // nil: slog.Default
}

// A Node is the chain, open until Close. It is a bitcoin.Source with all extra
// abilities, and safe for concurrent use. One folder has one Node.
type Node struct {
	params *chaincfg.Params
	dir    string
	log    *slog.Logger
	clock  *clock
	miner  *btcec.PrivateKey
	script []byte // that pays to miner

	// mu is held for writing while blocks come and go, so that nobody sees the
	// middle of a reorganisation, and for reading by whoever asks.
	mu     sync.RWMutex
	store  *blockLog
	db     database.DB
	chain  *blockchain.BlockChain
	coins  *coins
	moved  chan struct{} // closed when the tip changes
	closed bool
	failed error // why the database lacks what the log has

	names    *chain.Index
	follower *chain.Follower
	wake     chan struct{}

	namesMu    sync.Mutex
	namedFiles map[[20]byte]int // what stands in the zone files that were kept, by hash; nil before anybody asks

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	loops  sync.WaitGroup
	calls  calls
}

// Open opens the chain in dir, or begins one there: it mines the first coins and
// opens the namespace "id".
func Open(dir string, o Options) (*Node, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	p := chaincfg.RegressionNetParams
	n := &Node{
		params: &p, dir: dir, log: o.Log, clock: &clock{now: time.Now}, coins: newCoins(),
		moved: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	if err := n.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("private chain in %s: %w", dir, err), n.Close())
	}
	return n, nil
}

func (n *Node) open() error {
	if err := os.MkdirAll(n.zonefiles(), 0o700); err != nil {
		return err
	}
	if err := n.openChain(); err != nil {
		return err
	}
	err := errors.Join(sweep(n.dir), sweep(n.zonefiles()), n.openMiner())
	if err != nil {
		return err
	}
	if n.names, err = chain.OpenIndex(filepath.Join(n.dir, "index"), chain.Satchel(n.params, FirstBlock)); err != nil {
		return err
	}
	n.follower = chain.NewFollower(n, n.names, chain.FollowerOptions{Log: n.log, Poll: time.Second})
	if err := n.bootstrap(n.ctx); err != nil {
		return err
	}
	n.loops.Add(1)
	go func() {
		defer n.loops.Done()
		_ = n.follower.Run(n.ctx) // ends with n.ctx
	}()
	return nil
}

// Close stops the chain; it goes on with the next Open. Requests that are being
// answered are waited for.
func (n *Node) Close() error {
	n.cancel()
	n.calls.close()
	n.loops.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil
	}
	n.closed = true
	var err error
	if n.names != nil {
		err = n.names.Close()
	}
	return errors.Join(err, n.closeChain())
}

// Index is what the chain's own follower knows of names.
func (n *Node) Index() *chain.Index { return n.names }

// Follower keeps Index at the tip.
func (n *Node) Follower() *chain.Follower { return n.follower }

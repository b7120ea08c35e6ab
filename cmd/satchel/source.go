package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/bitcoin"
	"satchel/chain/devnet"
)

// A source is where a home's blocks come from, and what else the chain's side of
// it offers.
type source interface {
	bitcoin.Source
	bitcoin.PrevTxer
	bitcoin.Broadcaster
	bitcoin.Unspenter

	// connect returns what is to be known of the chain before it is followed.
	connect(ctx context.Context) (chainInfo, error)
	// rules returns the rules by which names on it are read.
	rules(info chainInfo) (*chain.Params, error)
	// address is what a person knows the chain by.
	address() string
	// unreachable wraps an error of the chain with the way out.
	unreachable(err error) error

	// Zonefile returns the zone file with that hash, unverified.
	Zonefile(ctx context.Context, hash [20]byte) ([]byte, error)
	// PutZonefile offers a zone file.
	PutZonefile(ctx context.Context, data []byte) error

	Close() error
}

// newSource returns the source that a home's config names. It asks nothing yet.
func newSource(h *home, cfg *chainConfig) (source, error) {
	if cfg.Kind == chainBitcoin {
		return newPublic(cfg)
	}
	return newPrivate(h, cfg.Address), nil
}

// private is the chain process of this home: at the address in the config, or
// the home's own private chain, which may come back at another port after a
// restart. So its address is read again when it doesn't answer.
type private struct {
	h     *home
	fixed string

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	loop   sync.WaitGroup
	once   sync.Once // starts watching
	wake   chan struct{}

	mu     sync.Mutex
	addr   string
	client *devnet.Client
}

func newPrivate(h *home, fixed string) *private {
	s := &private{h: h, fixed: fixed, wake: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Wake implements bitcoin.Waker.
func (s *private) Wake() <-chan struct{} {
	s.once.Do(func() { s.loop.Go(s.watch) })
	return s.wake
}

// lookAgain is how often the address of the chain is read anew.
const lookAgain = 2 * time.Second

func (s *private) watch() {
	for s.ctx.Err() == nil {
		var wake <-chan struct{}
		if c, err := s.dial(); err == nil {
			wake = c.Wake()
		}
		timer := time.NewTimer(lookAgain)
		select {
		case <-s.ctx.Done():
		case <-timer.C:
		case <-wake:
			select {
			case s.wake <- struct{}{}:
			default:
			}
		}
		timer.Stop()
	}
}

// address returns where the chain is said to be; empty if its private chain
// never ran.
func (s *private) address() string {
	if s.fixed != "" {
		return s.fixed
	}
	return readDevnetAddress(s.h)
}

// errNoChain reports a private chain that never ran.
var errNoChain = errors.New("no private chain has run in this home")

// errOtherChain reports a chain that this home must not follow.
var errOtherChain = errors.New("another private chain")

// dial returns a client for the address as it is now.
func (s *private) dial() (*devnet.Client, error) {
	addr := s.address()
	if addr == "" {
		return nil, errNoChain
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil || s.addr != addr {
		if s.client != nil {
			s.client.Close()
		}
		s.addr, s.client = addr, devnet.Dial(addr)
	}
	return s.client, nil
}

// unreachable wraps an error of the chain with the way out.
func (s *private) unreachable(err error) error {
	if s.fixed == "" {
		return failf(exitChain, "the private chain of %s can't be reached: %w; start it with `satchel %sdevnet --detach`", s.h.name(), err, s.h.hint())
	}
	return failf(exitChain, "the chain at %s can't be reached: %w; start it with `satchel devnet --home DIR --listen %s --detach`", s.fixed, err, s.fixed)
}

// call asks the chain process.
func call[R any](s *private, f func(c *devnet.Client) (R, error)) (R, error) {
	c, err := s.dial()
	if err != nil {
		var none R
		return none, err
	}
	return f(c)
}

// Headers implements bitcoin.Source.
func (s *private) Headers(ctx context.Context, locator []chainhash.Hash) ([]wire.BlockHeader, error) {
	return call(s, func(c *devnet.Client) ([]wire.BlockHeader, error) { return c.Headers(ctx, locator) })
}

// Block implements bitcoin.Source.
func (s *private) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	return call(s, func(c *devnet.Client) ([]byte, error) { return c.Block(ctx, hash) })
}

// PrevTx implements bitcoin.PrevTxer.
func (s *private) PrevTx(ctx context.Context, txid chainhash.Hash) ([]byte, error) {
	return call(s, func(c *devnet.Client) ([]byte, error) { return c.PrevTx(ctx, txid) })
}

// Broadcast implements bitcoin.Broadcaster.
func (s *private) Broadcast(ctx context.Context, tx []byte) (chainhash.Hash, error) {
	return call(s, func(c *devnet.Client) (chainhash.Hash, error) { return c.Broadcast(ctx, tx) })
}

// Unspent implements bitcoin.Unspenter.
func (s *private) Unspent(ctx context.Context, script []byte) ([]bitcoin.Output, error) {
	return call(s, func(c *devnet.Client) ([]bitcoin.Output, error) { return c.Unspent(ctx, script) })
}

// Fund has an address paid from coins that the private chain mined.
func (s *private) Fund(ctx context.Context, address string, satoshi int64) (chainhash.Hash, error) {
	return call(s, func(c *devnet.Client) (chainhash.Hash, error) { return c.Fund(ctx, address, satoshi) })
}

// Zonefile returns the zone file with that hash, unverified.
func (s *private) Zonefile(ctx context.Context, hash [20]byte) ([]byte, error) {
	return call(s, func(c *devnet.Client) ([]byte, error) { return c.Zonefile(ctx, hash) })
}

// PutZonefile offers a zone file.
func (s *private) PutZonefile(ctx context.Context, data []byte) error {
	_, err := call(s, func(c *devnet.Client) (none, error) { return none{}, c.PutZonefile(ctx, data) })
	return err
}

// connect finds the chain and asks what it is. The home's private chain is
// started if it doesn't answer.
func (s *private) connect(ctx context.Context) (chainInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	info, err := s.ask(ctx)
	if err != nil && s.fixed == "" {
		if _, err = startDevnet(ctx, s.h, ""); err == nil {
			info, err = s.ask(ctx)
		}
	}
	if err != nil {
		return chainInfo{}, s.unreachable(err)
	}
	if saved, err := readChainInfo(s.h); err == nil && saved.Chain != "" && saved.Chain != info.Chain {
		return chainInfo{}, failf(exitChain, "what answers at %s is %w than the one that %s follows; "+
			"stop it, or give the right address as chain.address in %s", s.address(), errOtherChain, s.h.name(), s.h.config)
	}
	return info, nil
}

// rules are those of fresh chains.
func (s *private) rules(info chainInfo) (*chain.Params, error) {
	return chain.Satchel(&chaincfg.RegressionNetParams, info.FirstBlock), nil
}

// Close ends watching and drops idle connections.
func (s *private) Close() error {
	s.cancel()
	s.once.Do(func() {})
	s.loop.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		return nil
	}
	c := s.client
	s.client = nil
	return c.Close()
}

func (s *private) ask(ctx context.Context) (chainInfo, error) {
	info, err := call(s, func(c *devnet.Client) (devnet.Info, error) { return c.Info(ctx) })
	if err != nil {
		return chainInfo{}, err
	}
	return chainInfo{FirstBlock: info.FirstBlock, Chain: info.Chain}, nil
}

// The private chain of a home leaves its address in a file, which stays when it
// stops, so that it comes back at the same port.
func devnetAddressFile(h *home) string { return filepath.Join(h.devnet(), "address") }

func readDevnetAddress(h *home) string {
	data, err := os.ReadFile(devnetAddressFile(h))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// startDevnet starts the home's private chain detached and returns its address;
// one that already runs is as good.
func startDevnet(ctx context.Context, h *home, listen string) (string, error) {
	if err := os.MkdirAll(h.devnet(), 0o700); err != nil {
		return "", err
	}
	args := append(h.args(), "devnet", "--child")
	if listen != "" {
		args = append(args, "--listen", listen)
	}
	addr, err := detach(ctx, args, filepath.Join(h.devnet(), "log"), nil)
	if exitCode(err) != exitBusy || err == nil {
		return addr, err
	}
	if addr = readDevnetAddress(h); addr == "" {
		return "", fmt.Errorf("a private chain is starting in %s; try again", h.devnet())
	}
	return addr, nil
}

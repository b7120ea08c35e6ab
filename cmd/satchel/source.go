package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
	"satchel/chain/devnet"
)

// A source is the chain process of this home: at the address in the config, or
// the home's own private chain, which may come back at another port after a
// restart. So its address is read again when it doesn't answer.
type source struct {
	h     *home
	fixed string

	mu     sync.Mutex
	addr   string
	client *devnet.Client
}

// address returns where the chain is said to be; empty if its private chain
// never ran.
func (s *source) address() string {
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
func (s *source) dial() (*devnet.Client, error) {
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
func (s *source) unreachable(err error) error {
	if s.fixed == "" {
		return failf(exitChain, "the private chain of %s can't be reached: %w; start it with `satchel %sdevnet --detach`", s.h.name(), err, s.h.hint())
	}
	return failf(exitChain, "the chain at %s can't be reached: %w; start it with `satchel devnet --home DIR --listen %s --detach`", s.fixed, err, s.fixed)
}

// call asks the chain process.
func call[R any](s *source, f func(c *devnet.Client) (R, error)) (R, error) {
	c, err := s.dial()
	if err != nil {
		var none R
		return none, err
	}
	return f(c)
}

// Headers implements bitcoin.Source.
func (s *source) Headers(ctx context.Context, locator []chainhash.Hash) ([]wire.BlockHeader, error) {
	return call(s, func(c *devnet.Client) ([]wire.BlockHeader, error) { return c.Headers(ctx, locator) })
}

// Block implements bitcoin.Source.
func (s *source) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	return call(s, func(c *devnet.Client) ([]byte, error) { return c.Block(ctx, hash) })
}

// PrevTx implements bitcoin.PrevTxer.
func (s *source) PrevTx(ctx context.Context, txid chainhash.Hash) ([]byte, error) {
	return call(s, func(c *devnet.Client) ([]byte, error) { return c.PrevTx(ctx, txid) })
}

// Broadcast implements bitcoin.Broadcaster.
func (s *source) Broadcast(ctx context.Context, tx []byte) (chainhash.Hash, error) {
	return call(s, func(c *devnet.Client) (chainhash.Hash, error) { return c.Broadcast(ctx, tx) })
}

// Unspent implements bitcoin.Unspenter.
func (s *source) Unspent(ctx context.Context, script []byte) ([]bitcoin.Output, error) {
	return call(s, func(c *devnet.Client) ([]bitcoin.Output, error) { return c.Unspent(ctx, script) })
}

// Fund has an address paid from coins that the private chain mined.
func (s *source) Fund(ctx context.Context, address string, satoshi int64) (chainhash.Hash, error) {
	return call(s, func(c *devnet.Client) (chainhash.Hash, error) { return c.Fund(ctx, address, satoshi) })
}

// Zonefile returns the zone file with that hash, unverified.
func (s *source) Zonefile(ctx context.Context, hash [20]byte) ([]byte, error) {
	return call(s, func(c *devnet.Client) ([]byte, error) { return c.Zonefile(ctx, hash) })
}

// PutZonefile offers a zone file.
func (s *source) PutZonefile(ctx context.Context, data []byte) error {
	_, err := call(s, func(c *devnet.Client) (none, error) { return none{}, c.PutZonefile(ctx, data) })
	return err
}

// connectChain finds the chain and asks what it is. The home's private chain is
// started if it doesn't answer.
func connectChain(ctx context.Context, h *home, src *source) (chainInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	info, err := askChain(ctx, src)
	if err != nil && src.fixed == "" {
		if _, err = startDevnet(ctx, h, ""); err == nil {
			info, err = askChain(ctx, src)
		}
	}
	if err != nil {
		return chainInfo{}, src.unreachable(err)
	}
	if saved, err := readChainInfo(h); err == nil && saved.Chain != "" && saved.Chain != info.Chain {
		return chainInfo{}, failf(exitChain, "what answers at %s is %w than the one that %s follows; "+
			"stop it, or give the right address as chain.address in %s", src.address(), errOtherChain, h.name(), h.config)
	}
	return info, nil
}

func askChain(ctx context.Context, src *source) (chainInfo, error) {
	info, err := call(src, func(c *devnet.Client) (devnet.Info, error) { return c.Info(ctx) })
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

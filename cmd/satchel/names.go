package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"satchel/chain"
	"satchel/chain/subdomain"
	"satchel/chain/zonefile"
	"satchel/crypto"
)

// names is what the chain knows of names, as far as this home has followed it:
// the drive's Resolver. Zone files that were read once are kept.
type names struct {
	src      source
	index    *chain.Index
	follower *chain.Follower
	below    *subdomain.Resolver // of names below others
	files    string              // folder of zone files, by hash
	log      *slog.Logger
	changed  chan struct{}
	cancel   context.CancelFunc
	loops    sync.WaitGroup
	unsub    func()

	mu     sync.Mutex
	synced time.Time // when the chain was last asked because of an unknown name
}

// chainInfo is what is kept of a chain so that its index opens without it.
type chainInfo struct {
	FirstBlock int    `json:"first_block"`
	Chain      string `json:"chain,omitempty"` // tells private chains apart
}

// openNames opens the index and follows the home's chain. The private chain of
// this home is started if it doesn't run. If the chain can't be reached, but was
// followed before, names are as they were then.
func openNames(ctx context.Context, h *home, cfg *config, log *slog.Logger) (*names, error) {
	src, err := newSource(h, &cfg.Chain)
	if err != nil {
		return nil, err
	}
	info, err := src.connect(ctx)
	if err != nil {
		saved, e := readChainInfo(h)
		if e != nil || errors.Is(err, errOtherChain) {
			return nil, err
		}
		log.Warn("names are as of the last block seen", "err", err)
		info = saved
	} else if err := writeChainInfo(h, info); err != nil {
		return nil, err
	}
	rules, err := src.rules(info)
	if err != nil {
		return nil, err
	}
	index, err := chain.OpenIndex(h.index(), rules)
	if err != nil {
		return nil, fmt.Errorf("chain index %s: %w", h.index(), err)
	}
	n := &names{
		src:     src,
		index:   index,
		files:   h.zonefiles(),
		log:     log,
		changed: make(chan struct{}, 1),
	}
	n.below = &subdomain.Resolver{Table: index, Fetch: n.Zonefile}
	n.follower = chain.NewFollower(src, index, chain.FollowerOptions{Log: log, Poll: cfg.poll()})
	n.unsub = n.follower.Subscribe(n.moved)
	run, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	n.loops.Add(1)
	go func() {
		defer n.loops.Done()
		_ = n.follower.Run(run)
	}()
	return n, nil
}

// Close stops following.
func (n *names) Close() error {
	n.cancel()
	n.loops.Wait()
	n.unsub()
	return errors.Join(n.index.Close(), n.src.Close())
}

func readChainInfo(h *home) (chainInfo, error) {
	var info chainInfo
	data, err := os.ReadFile(h.chainInfo())
	if err == nil {
		err = json.Unmarshal(data, &info)
	}
	return info, err
}

func writeChainInfo(h *home, info chainInfo) error {
	if old, err := readChainInfo(h); err == nil && old == info {
		return nil
	}
	data, err := json.Marshal(info)
	if err != nil {
		return err
	}
	return replaceFile(h.chainInfo(), append(data, '\n'))
}

// moved tells the drive that the index moved.
func (n *names) moved(c chain.Change) {
	if c.Reorg {
		n.log.Warn("the chain was reorganised", "height", c.Height, "names", c.Names)
	}
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

// Changed ticks after the index moved.
func (n *names) Changed() <-chan struct{} { return n.changed }

// Network tells registries and chains apart.
func (n *names) Network() crypto.Network { return crypto.Network(n.index.Network()) }

// Sync returns when what the chain has now is known.
func (n *names) Sync(ctx context.Context) error {
	if err := n.follower.Sync(ctx); err != nil {
		return n.src.unreachable(err)
	}
	return nil
}

// Record returns a name's record. One that isn't known, or has no zone file, may
// have got it a moment ago, so the chain is asked once more.
func (n *names) Record(ctx context.Context, name chain.Name) (chain.Record, error) {
	rec, err := n.lookup(ctx, name)
	if !errors.Is(err, chain.ErrUnknownName) && (err != nil || rec.HasValue) {
		return rec, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if serr := n.syncSince(ctx, time.Now()); serr != nil {
		if err == nil {
			return rec, nil
		}
		// Whether somebody registered it nobody can say now.
		return rec, n.src.unreachable(serr)
	}
	return n.lookup(ctx, name)
}

// lookup returns a name's record by what was followed so far.
func (n *names) lookup(ctx context.Context, name chain.Name) (chain.Record, error) {
	if _, below := name.Parent(); !below {
		return n.index.Lookup(name)
	}
	s, err := n.below.Resolve(ctx, name)
	if err != nil {
		return chain.Record{}, err
	}
	return s.Chain(n.index.Params())
}

// syncGap is the least time between two such questions, which some program could
// otherwise have us ask without end.
const syncGap = 100 * time.Millisecond

// syncSince returns when the chain was asked at some time after t. Many callers
// share one question.
func (n *names) syncSince(ctx context.Context, t time.Time) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.synced.After(t) {
		return nil
	}
	select {
	case <-time.After(syncGap - time.Since(n.synced)):
	case <-ctx.Done():
		return ctx.Err()
	}
	start := time.Now()
	err := n.follower.Sync(ctx)
	if err == nil {
		n.synced = start
	}
	return err
}

func (n *names) zonefile(hash [20]byte) string {
	return filepath.Join(n.files, hex.EncodeToString(hash[:]))
}

// Zonefile returns the file with that hash: kept here, else from the chain
// process, which is believed by the hash only.
func (n *names) Zonefile(ctx context.Context, hash [20]byte) ([]byte, error) {
	data, err := os.ReadFile(n.zonefile(hash))
	if err == nil && zonefile.Hash(data) == hash {
		return data, nil
	}
	data, err = n.src.Zonefile(ctx, hash)
	if err != nil {
		return nil, fmt.Errorf("zone file %x: %w", hash, err)
	}
	if zonefile.Hash(data) != hash {
		return nil, fmt.Errorf("zone file %x: the chain process gave one with another hash", hash)
	}
	return data, n.keep(data)
}

// keep keeps a zone file.
func (n *names) keep(data []byte) error {
	if err := os.MkdirAll(n.files, 0o700); err != nil {
		return err
	}
	return replaceFile(n.zonefile(zonefile.Hash(data)), data)
}

// offer gives the name's zone file to the chain process if that doesn't serve
// it: it takes a file only once its hash is on the chain.
func (n *names) offer(ctx context.Context, name chain.Name) error {
	rec, err := n.lookup(ctx, name)
	if err != nil || !rec.HasValue {
		return err
	}
	data, err := os.ReadFile(n.zonefile(rec.ValueHash))
	if err != nil || zonefile.Hash(data) != rec.ValueHash {
		return err // of another keeper
	}
	_, err = n.src.Zonefile(ctx, rec.ValueHash)
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return n.src.PutZonefile(ctx, data)
}

// keepOffering offers the zone file until it is served.
func (n *names) keepOffering(ctx context.Context, name chain.Name) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := n.offer(ctx, name)
		if err == nil || errors.Is(err, chain.ErrUnknownName) || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if errors.Is(err, errNoPlace) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("offer the zone file: %w", err)
		case <-time.After(wait):
		}
	}
}

// replaceFile writes a file, for the user alone, so that at any instant it has
// the old or the new content.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

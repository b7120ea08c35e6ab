// Package drivetest is a world made small for tests of drives: names without a
// chain, providers in memory, drives in temporary folders. What stands behind a
// name is decided by the test; everything from the zone file on is the real thing.
package drivetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"satchel/chain"
	"satchel/chain/zonefile"
	"satchel/crypto"
	"satchel/fs/drive"
	"satchel/storage"
	"satchel/storage/mem"
	"satchel/storage/storagetest"
)

// A World holds names, zone files and providers. It is safe for concurrent use.
type World struct {
	tb      testing.TB
	mu      sync.Mutex
	records map[chain.Name]chain.Record
	zones   map[[20]byte][]byte
	stores  map[string]*storagetest.Switch
	blobs   map[string]storage.Driver
	changed chan struct{}
	height  int
}

// New returns a world without names.
func New(tb testing.TB) *World {
	return &World{
		tb: tb, records: make(map[chain.Name]chain.Record), zones: make(map[[20]byte][]byte),
		stores: make(map[string]*storagetest.Switch), blobs: make(map[string]storage.Driver), changed: make(chan struct{}), height: 200,
	}
}

// Record implements drive.Resolver.
func (w *World) Record(ctx context.Context, n chain.Name) (chain.Record, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, ok := w.records[n]
	if !ok {
		return r, fmt.Errorf("%s: %w", n, chain.ErrUnknownName)
	}
	return r, nil
}

// Zonefile implements drive.Resolver.
func (w *World) Zonefile(ctx context.Context, hash [20]byte) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if z := w.zones[hash]; z != nil {
		return z, nil
	}
	return nil, os.ErrNotExist
}

// Network implements drive.Resolver.
func (w *World) Network() crypto.Network { return crypto.Network{'s', 'a', 1, 2, 3} }

// Changed implements drive.Resolver.
func (w *World) Changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

func (w *World) tick() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// Register binds a name to an owner and a zone file, as if mined now.
func (w *World) Register(n chain.Name, owner string, zone []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.height++
	r := chain.Record{Name: n, Address: owner, FirstRegistered: w.height, LastRenewed: w.height, BlockNumber: w.height}
	if old, ok := w.records[n]; ok && old.Address == owner {
		r.FirstRegistered = old.FirstRegistered
	}
	if zone != nil {
		r.ValueHash, r.HasValue = zonefile.Hash(zone), true
		w.zones[r.ValueHash] = zone
	}
	w.records[n] = r
	w.tick()
}

// Forget unregisters a name, as a reorganisation does.
func (w *World) Forget(n chain.Name) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.records, n)
	w.tick()
}

// Store returns the provider behind mem://host, which can be swapped for one
// that lies or fails.
func (w *World) Store(host string) *storagetest.Switch {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.stores[host]
	if s == nil {
		w.blobs[host] = mem.New()
		s = storagetest.NewSwitch(w.blobs[host])
		w.stores[host] = s
	}
	return s
}

// Swap puts what bad makes of the honest provider in its place; nil brings the
// honest one back.
func (w *World) Swap(host string, bad func(storage.Driver) storage.Driver) {
	s := w.Store(host)
	w.mu.Lock()
	honest := w.blobs[host]
	w.mu.Unlock()
	if bad == nil {
		s.Use(honest)
		return
	}
	s.Use(bad(honest))
}

// Mux opens mem:// URLs.
func (w *World) Mux() storage.Mux {
	return storage.Mux{"mem": func(ctx context.Context, raw string, o storage.Options) (storage.Driver, error) {
		u, err := url.Parse(raw)
		if err != nil {
			return nil, err
		}
		return w.Store(u.Host), nil
	}}
}

// A Person is a name with keys and a folder for its state.
type Person struct {
	W         *World
	Name      chain.Name
	Keys      *crypto.Keystore
	Dir       string
	Providers []string // hosts of mem:// URLs
	Poll      time.Duration
}

// Person makes keys for a name that stores at the given hosts.
func (w *World) Person(n chain.Name, hosts ...string) *Person {
	w.tb.Helper()
	words, err := crypto.NewWords()
	check(w.tb, err)
	root, err := crypto.ParseWords(words)
	check(w.tb, err)
	ks := &crypto.Keystore{Name: string(n), Network: w.Network(), DataKey: root.DataKey(0)}
	ks.Signing, err = crypto.NewSigningKey()
	check(w.tb, err)
	ks.Sealing, err = crypto.NewSealKey()
	check(w.tb, err)
	secret, err := crypto.NewUserSecret()
	check(w.tb, err)
	ks.UserSecrets = map[uint64]crypto.UserSecret{1: secret}
	rec, err := root.RecoveryKey()
	check(w.tb, err)
	ks.Recovery = rec.Public()
	rand.Read(ks.StateKey[:])
	rand.Read(ks.LocalSecret[:])
	return &Person{W: w, Name: n, Keys: ks, Dir: w.tb.TempDir(), Providers: hosts, Poll: time.Hour}
}

// Open opens the person's drive; the caller closes it.
func (p *Person) Open() *drive.Drive {
	p.W.tb.Helper()
	d, err := drive.Open(context.Background(), p.Options())
	check(p.W.tb, err)
	return d
}

// Options are those with which Open opens the drive.
func (p *Person) Options() drive.Options {
	o := drive.Options{
		Name: p.Name, Keys: p.Keys, Names: p.W, Mux: p.W.Mux(),
		Dir: filepath.Join(p.Dir, "data"), Cache: filepath.Join(p.Dir, "cache"),
		Poll: p.Poll, UID: uint32(os.Getuid()), GID: uint32(os.Getgid()),
	}
	for _, h := range p.Providers {
		o.Providers = append(o.Providers, drive.ProviderConfig{URL: "mem://" + h})
	}
	return o
}

// Join opens the drive, publishes its profile and registers the name. The drive
// is closed with the test.
func (p *Person) Join() *drive.Drive {
	p.W.tb.Helper()
	d := p.Open()
	p.W.tb.Cleanup(func() { d.Close() })
	p.Register(d)
	return d
}

// Register publishes the drive's profile and registers its name.
func (p *Person) Register(d *drive.Drive) {
	p.W.tb.Helper()
	check(p.W.tb, d.Publish(context.Background()))
	zone, err := d.Zonefile()
	check(p.W.tb, err)
	p.W.Register(p.Name, "owner of "+string(p.Name), zone)
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

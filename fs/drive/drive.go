// Package drive shows all volumes of a name as one tree, Private, Public and
// People, and keeps them in step with the providers: it signs and queues the
// heads of local commits, uploads them, asks for the others' newest ones,
// verifies those from the name down (chain, zone file, profile, device) and
// has them merged.
//
// # Loops
//
// Four loops run from Open to Close. The committer commits a volume some
// seconds after its last change. The uploader drains the queue: packs first, a
// head when all that it needs is at the quorum, at each provider the head
// before the pulse. The poller looks at the others' pulses and fetches the
// heads that changed. The keeper fetches what is pinned (pin.go). All four retry for ever and lose nothing by being
// stopped; what they meet is shown by Status.
package drive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"satchel/chain"
	"satchel/crypto"
	"satchel/fs/profile"
	"satchel/fs/volume"
	"satchel/storage"
	"satchel/storage/pack"
)

// A Resolver says what the chain knows of names.
type Resolver interface {
	// Record returns a name's record; of one that nobody registered the error
	// is chain.ErrUnknownName.
	Record(ctx context.Context, name chain.Name) (chain.Record, error)
	// Zonefile returns the file with that hash.
	Zonefile(ctx context.Context, hash [20]byte) ([]byte, error)
	// Network tells registries and chains apart.
	Network() crypto.Network
	// Changed ticks after the index moved.
	Changed() <-chan struct{}
}

// A ProviderConfig is one of the user's own storage URLs.
type ProviderConfig struct {
	URL    string
	Secret string // a bearer token, never stored or logged here
}

// Options say whose drive it is and what it stands on.
type Options struct {
	Name      chain.Name
	Keys      *crypto.Keystore
	Names     Resolver
	Mux       storage.Mux
	Foreign   storage.Policy // what other people's URLs may be
	Providers []ProviderConfig
	Copies    int    // of each pack; 0: at all providers
	Quorum    int    // 0: a majority
	Dir       string // state database and packs that are not stored yet
	Cache     string
	// CacheBytes bounds the cache; 0 is 10 GiB or a tenth of the disk, the smaller.
	CacheBytes int64
	// SyncRemote is how long fsync waits for the write quorum, after which it
	// fails; 0: it returns when all is safe on this machine.
	SyncRemote time.Duration
	Poll       time.Duration // between looks at the others' pulses
	SetAside   bool          // damaged journals are kept under other names; folders open without what can't be read
	UID, GID   uint32        // shown as owner of what others wrote
	Log        *slog.Logger
}

// dirtyBytes bounds the written bytes that wait in memory.
const dirtyBytes = 64 << 20

// A Drive is open until Close. It is safe for concurrent use.
type Drive struct {
	opt      Options
	net      crypto.Network
	self     crypto.DeviceID
	secrets  profile.Secrets
	sealKeys []*crypto.SealKey // of all generations
	db       *badger.DB
	pins     *profile.Pins
	outbox   *profile.Outbox
	packs    *pack.Store
	own      *storage.Set
	budget   *volume.Budget
	keeper   *keeper
	started  time.Time

	public, people *Node
	root           *Node

	mu       sync.Mutex
	volumes  map[string]*openVolume
	opening  map[string]chan struct{}
	contacts map[chain.Name]*contact
	notify   func(Event)
	modes    map[string]os.FileMode // of volumes' folders, until the drive is closed
	damaged  map[string]error       // volumes that can't be opened, since their journals are damaged
	ownErr   error                  // why nothing may be signed any more

	traffic traffic             // with all providers, others' too
	with    map[string]*traffic // with own ones, by URL; not changed after Open

	statusMu sync.Mutex
	faults   map[string]Fault // by provider URL
	upErr    error
	syncErr  error           // why the last fsync could not reach the quorum
	pulseErr error           // why no pulse could be signed
	checked  map[string]bool // volumes, by key, of which the own head was read since the start

	polls   sync.Mutex    // one round of polling at a time
	uploads chan struct{} // holds a token while a round of uploading runs

	ctx    context.Context
	cancel context.CancelFunc
	loops  sync.WaitGroup
	kick   chan struct{} // something to upload
}

// Open opens the drive and starts its loops. It needs no network.
func Open(ctx context.Context, o Options) (*Drive, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Poll <= 0 {
		o.Poll = 30 * time.Second
	}
	d := &Drive{
		opt:      o,
		net:      o.Names.Network(),
		self:     o.Keys.Signing.Device(),
		secrets:  o.Keys.UserSecrets,
		budget:   &volume.Budget{Max: dirtyBytes},
		started:  time.Now(),
		volumes:  make(map[string]*openVolume),
		opening:  make(map[string]chan struct{}),
		damaged:  make(map[string]error),
		contacts: make(map[chain.Name]*contact),
		faults:   make(map[string]Fault),
		with:     make(map[string]*traffic),
		checked:  make(map[string]bool),
		kick:     make(chan struct{}, 1),
		uploads:  make(chan struct{}, 1),
	}
	var err error
	if d.sealKeys, err = profile.SealKeys(d.secrets); err != nil {
		return nil, err
	}
	d.root = &Node{d: d, ino: 1}
	d.public = &Node{d: d, dir: public, ino: d.inode(public)}
	d.people = &Node{d: d, dir: people, ino: d.inode(people)}
	if err := d.openStores(ctx); err != nil {
		d.closeStores()
		return nil, err
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.loop(d.commitLoop)
	d.loop(d.uploadLoop)
	d.loop(d.pollLoop)
	d.loop(d.keeper.loop)
	return d, nil
}

func (d *Drive) loop(f func(ctx context.Context)) {
	d.loops.Add(1)
	go func() {
		defer d.loops.Done()
		f(d.ctx)
	}()
}

func (d *Drive) openStores(ctx context.Context) error {
	dir := filepath.Join(d.opt.Dir, "state")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	db, err := openState(dir, d.opt.Keys.StateKey[:])
	if err != nil {
		return fmt.Errorf("state database %s: %w", dir, err)
	}
	d.db = db
	d.pins = profile.NewPins(db)
	d.outbox = profile.NewOutbox(db)
	if d.packs, err = pack.OpenSplit(filepath.Join(d.opt.Dir, "staged"), filepath.Join(d.opt.Cache, "packs"), math.MaxInt64); err != nil {
		return err
	}
	if d.keeper, err = openKeeper(d); err != nil {
		return err
	}
	d.packs.SetReserve(reserve)
	d.SetCache(d.opt.CacheBytes) // now that it is known what stays
	var ps []storage.Provider
	for _, p := range d.opt.Providers {
		drv, err := d.opt.Mux.Open(ctx, p.URL, storage.Options{Secret: p.Secret})
		if err != nil {
			return fmt.Errorf("provider %s: %w", p.URL, err)
		}
		ps = append(ps, storage.Provider{URL: p.URL, Driver: d.metered(p.URL, drv)})
	}
	d.own = storage.NewSet(ps, d.opt.Copies, d.opt.Quorum)
	return nil
}

// openState opens the encrypted database of pins, envelopes and the upload
// queue. A database that a killed process left with an empty memory table
// opens at the second try (badger issue 2207).
func openState(dir string, key []byte) (*badger.DB, error) {
	o := badger.DefaultOptions(dir).
		WithLogger(nil).
		WithSyncWrites(true).
		WithEncryptionKey(key).
		WithMemTableSize(16 << 20).
		WithValueLogFileSize(32 << 20).
		WithBlockCacheSize(8 << 20).
		WithIndexCacheSize(4 << 20).
		WithCompression(0).
		WithNumMemtables(2).
		WithNumCompactors(2) // each looks for work twenty times a second, all day
	db, err := badger.Open(o)
	if err != nil {
		db, err = badger.Open(o)
	}
	return db, err
}

// Close commits what is dirty, gives the uploads a short time, and ends every loop.
func (d *Drive) Close() error {
	err := d.CommitAll(context.Background())
	d.cancel()
	d.loops.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	if e := d.upload(ctx); e != nil {
		d.opt.Log.Info("not everything is uploaded yet; it goes on with the next start", "err", e)
	}
	err = errors.Join(err, d.keeper.last(ctx))
	cancel()
	for _, v := range d.openVolumes() {
		err = errors.Join(err, v.Close())
	}
	return errors.Join(err, d.closeStores())
}

func (d *Drive) closeStores() error {
	var err error
	if d.packs != nil {
		err = d.packs.Close()
	}
	if d.db != nil {
		err = errors.Join(err, d.db.Close())
	}
	return err
}

// Root is the drive's topmost folder.
func (d *Drive) Root() *Node { return d.root }

// SetNotify has f called for each change that came from elsewhere, from one
// goroutine and under no lock.
func (d *Drive) SetNotify(f func(Event)) {
	d.mu.Lock()
	d.notify = f
	d.mu.Unlock()
}

// event passes a volume's event on.
func (d *Drive) event(e volume.Event) {
	d.mu.Lock()
	f := d.notify
	d.mu.Unlock()
	if f == nil {
		return
	}
	out := Event{Parent: d.wrap(e.Parent), Node: d.wrap(e.Node), Name: e.Name}
	switch e.Kind {
	case volume.EntryDeleted:
		out.Kind = EntryDeleted
	case volume.AttrChanged:
		out.Kind = AttrChanged
	default:
		out.Kind = EntryChanged
	}
	if out.Parent != nil || out.Node != nil {
		f(out)
	}
}

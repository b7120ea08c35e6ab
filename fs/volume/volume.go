// Package volume is one volume of a drive: its tree in memory, the data that
// is being written, the packs that a commit makes of both, and the merge with
// what other writers published.
//
// # Locks
//
// One mutex per volume guards the tree and the nodes. It is held for memory
// operations only: whatever needs a node or a chunk that is not in memory
// finds that out under the lock, gives the lock back, reads, verifies and
// comes again (do). Written bytes go to dirty chunks, which lie over what is
// stored of the same MiB and are never read for a write; a chunk that is full, or
// in the way, is filled up from below and sealed outside the lock straight into
// the open data pack, which is staging area, upload source and cache in one.
//
// # Commit
//
// A commit is one instant of the whole volume. Sealing what is dirty happens
// beforehand, without the lock and again for what was written meanwhile, at
// last with writers waiting; the instant itself takes the lock once, hands
// every file's content to the tree and has the tree write its changed pages. So
// a file that was written and renamed over another is in a commit with both or
// with neither.
//
// # Journal
//
// Between commits, Sync makes everything durable by one batch in the journal
// (batch.go): also one instant of the whole volume, as the states of all entries
// that changed since the last batch and what was written to files since. Little
// of a chunk goes into the batch itself; of much, the chunk is sealed into the open
// pack, which is synced first. A batch is on the disk whole or not at all, and
// nothing is written in between, so after a crash the volume is that of the last
// batch or, if that was still on its way, of the one before: never a file without
// its bytes, or with some.
//
// What a merge brings is in no batch, and what was changed above it can't be
// restored without it: so after a merge, and after a move from or to another volume,
// the first Sync is a commit. A journal stands on one commit and is begun anew by the
// next, with a batch of what that leaves out (unfinished.go); recovery loads the last
// commit, makes the changes of its batches again and goes on with the packs that were
// open.
package volume

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"satchel/crypto"
	"satchel/fs/tree"
	"satchel/storage"
	"satchel/storage/pack"
)

// Options say what a volume is and what it stands on.
type Options struct {
	Label    string          // as in the mount: "Private", "People/bob.id"
	Self     crypto.DeviceID // this device, the writer
	Name     string          // the device's name
	ReadOnly bool            // another's Public: nothing is ever written
	Foreign  bool            // others write here: modes and owners are masked
	UID, GID uint32          // shown as the owner of everything in a foreign volume
	Packs    *pack.Store
	Secret   [32]byte // local; inode numbers come from it
	// Journal is the folder of the journal, sealed under JournalKey; without one
	// every Sync is a commit.
	Journal    string
	JournalKey [32]byte
	SetAside   bool        // a damaged journal is kept under another name, and the volume opens without what can't be read
	Warn       func(error) // if set, is told of damage that was found and could be gone around
	Budget     *Budget     // bounds dirty memory, shared by all volumes of a drive

	// Member tells whether refs may point to packs of that name.
	Member func(name string) bool
	// Source gives a name's providers in order of preference, and whom to tell
	// of a copy that did not verify.
	Source func(ctx context.Context, name string) ([]storage.Provider, func(url string, err error), error)
	// Publish signs a head for the commit, makes it durable on this machine
	// and queues it. It returns the hash of the head's envelope.
	Publish func(ctx context.Context, c Commit) (crypto.Hash, error)
	// Relieve, if set, has other volumes seal what they hold in dirty memory.
	Relieve func() error
	// Free, if set, returns the bytes that may still be written to this machine's
	// disk. Only a commit may use more.
	Free func() int64
	// Notify, if set, is told of changes that came from elsewhere. It must not block.
	Notify func(Event)
}

// A Commit is what a head says of the volume's tree.
type Commit struct {
	Seq    uint64
	Vector tree.Vector
	Root   tree.Ref
	Digest crypto.Hash
	Packs  []pack.ID // new packs that must be at the quorum before the head leaves
	Time   time.Time
}

// A Last is the last commit of this device, from which a volume is opened.
type Last struct {
	Commit
	Head crypto.Hash // of the envelope that published it
}

// A Volume is open until Close. It is safe for concurrent use.
type Volume struct {
	opt Options

	commitMu sync.Mutex // one commit or merge at a time

	mu      sync.Mutex // the tree, the nodes and their dirty data
	tree    *tree.Tree
	nodes   map[tree.Identity]*Node // looked up, open or dirty
	dirty   map[*Node]struct{}      // nodes with data that the tree does not have
	open    map[*Node]struct{}      // nodes with open handles
	last    Last
	heads   map[crypto.DeviceID]tree.Head // the newest that was merged, of each other writer
	changed time.Time                     // of the last change
	since   time.Time                     // of the first change since the last commit
	stalled chan struct{}                 // while a commit has writers wait, closed afterwards
	frozen  error                         // why nothing may be written any more, if so
	later   []Event                       // to be told when the lock is free
	needs   map[*Volume]uint64            // must be committed first, since things were moved there: by count of moves
	moves   uint64
	// movedHere: since the last commit something came from another volume. Entries
	// in a batch don't say which packs the next head has to wait for on their account.
	movedHere bool
	shrinking shrinking

	cache   *nodeCache
	headers headerCache
	ahead   *aheadCache
	sealers sealers

	merged  bool   // a head, or files that are settled, since the last commit: only a commit is enough
	flushes uint64 // commits that had their instant
	sync    syncing

	packMu   sync.Mutex
	packCond *sync.Cond   // one less is closing
	data     *pack.Writer // the open data pack
	closing  map[*pack.Writer]struct{}
	made     []pack.ID      // closed since the last commit
	moved    []pack.ID      // from another volume, not known to be stored
	unclosed []*pack.Writer // could not be closed yet

	nodesTo    *sink    // takes the nodes of the next commit
	unfinished *flushed // a flush of which the head is not published yet
}

// Open returns the volume as of last; the zero Last opens an empty one.
func Open(ctx context.Context, last Last, o Options) (*Volume, error) {
	v := &Volume{
		opt:       o,
		nodes:     make(map[tree.Identity]*Node),
		dirty:     make(map[*Node]struct{}),
		open:      make(map[*Node]struct{}),
		last:      last,
		heads:     make(map[crypto.DeviceID]tree.Head),
		cache:     newNodeCache(32 << 20),
		shrinking: shrinking{most: inMemory},
	}
	v.ahead = newAheadCache(v)
	v.packCond = sync.NewCond(&v.packMu)
	v.closing = make(map[*pack.Writer]struct{})
	if last.Seq == 0 {
		v.tree = tree.New(o.Self, o.Name, v.cache.load)
		return v.withJournal(ctx)
	}
	// A head covers its own dot.
	merged := maps.Clone(last.Vector)
	merged[o.Self] = tree.VectorEntry{Name: o.Name, Seq: last.Seq, Head: last.Head}
	err := v.do(ctx, func() (err error) {
		v.tree, err = tree.Load(o.Self, o.Name, merged, last.Root, last.Digest, v.cache.load)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("volume %s: %w", o.Label, err)
	}
	return v.withJournal(ctx)
}

// Label is the volume's folder in the mount.
func (v *Volume) Label() string { return v.opt.Label }

// Last returns the last commit of this device.
func (v *Volume) Last() Last {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.last
}

// Vector returns what is merged into the tree in memory, this device's own last
// head included.
func (v *Volume) Vector() tree.Vector {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.vector()
}

func (v *Volume) vector() tree.Vector {
	vec := v.tree.Vector()
	delete(vec, v.opt.Self)
	if v.last.Seq > 0 {
		vec[v.opt.Self] = tree.VectorEntry{Name: v.opt.Name, Seq: v.last.Seq, Head: v.last.Head}
	}
	return vec
}

// Freeze refuses every later change with err; nil allows them again, unless the
// volume is closed. A name that changed hands stops its folders in this way.
func (v *Volume) Freeze(err error) {
	v.mu.Lock()
	if v.frozen != errClosed {
		v.frozen = err
	}
	v.mu.Unlock()
}

// writable returns why nothing may be changed, with the lock held.
func (v *Volume) writable() error {
	if v.opt.ReadOnly {
		return errReadOnly
	}
	return v.frozen
}

// Dirty tells whether there is anything to commit, when it last changed and
// since when it waits.
func (v *Volume) Dirty() (dirty bool, changed, since time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.tree.Dirty() || len(v.dirty) > 0 || v.unfinished != nil, v.changed, v.since
}

// touched notes a change, with the lock held.
func (v *Volume) touched() {
	v.changed = time.Now()
	if v.since.IsZero() {
		v.since = v.changed
	}
}

// do runs f under the lock. When f misses nodes they are read without the
// lock and f runs again, so f must change nothing before it has what it needs.
func (v *Volume) do(ctx context.Context, f func() error) error {
	for {
		if err := v.resolve(ctx, v.locked(f)); err != errAgain {
			return err
		}
	}
}

// locked runs f under the lock, which is given back even if f panics.
func (v *Volume) locked(f func() error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	defer v.shrink()
	return f()
}

var errAgain = errors.New("read the missing nodes, try again")

func isMissing(err error) bool {
	var miss *tree.Missing
	return errors.As(err, &miss)
}

// resolve reads the nodes that err says are missing and returns errAgain, or
// returns err itself if it is something else.
func (v *Volume) resolve(ctx context.Context, err error) error {
	var miss *tree.Missing
	if !errors.As(err, &miss) {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := v.fetchNodes(ctx, miss.Refs); err != nil {
		return err
	}
	return errAgain
}

// Root returns the volume's own folder.
func (v *Volume) Root() *Node {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := v.node(tree.Info{Kind: tree.Dir})
	n.looked++
	return n
}

// Budget bounds the bytes that wait in dirty chunks.
type Budget struct {
	mu   sync.Mutex
	used int64
	Max  int64
}

func (b *Budget) add(n int) {
	b.mu.Lock()
	b.used += int64(n)
	b.mu.Unlock()
}

func (b *Budget) inUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

func (b *Budget) over() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used > b.Max
}

// ReadOnly tells whether the volume is another's Public folder.
func (v *Volume) ReadOnly() bool { return v.opt.ReadOnly }

package subdomain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/btcsuite/btcd/btcec/v2"

	"satchel/chain"
	"satchel/chain/ops"
)

// A Table is what a Resolver asks about registered names: a chain.Index is one.
type Table interface {
	Params() *chain.Params
	History(subject string, from, limit int) ([]chain.Operation, error)
}

// A Resolver finds names by the history of others. It is safe for concurrent
// use.
type Resolver struct {
	Table Table
	// Fetch returns the zone file or file of records with that hash, which it has
	// checked.
	Fetch func(ctx context.Context, hash [20]byte) ([]byte, error)

	mu    sync.Mutex
	files map[[20]byte]*File // that were read; they never change
	size  int                // of them, in bytes
}

// maxMemory is how many bytes of files a Resolver remembers.
const maxMemory = 32 << 20

// A State is what is known of a name.
type State struct {
	Record
	Hash       [32]byte        // of the record, for the next one
	Registered int             // height of record 0
	Operation  chain.Operation // whose zone file carries the record
	Incomplete int             // height of a zone file that nobody has; 0: all were read
	Missing    error           // why it could not be read
}

// Chain returns the state as the record of a name.
func (s *State) Chain(p *chain.Params) (chain.Record, error) {
	script, err := ops.PayTo(s.Owner, p.Chain)
	if err != nil {
		return chain.Record{}, fmt.Errorf("%s: %w", s.Name, err)
	}
	return chain.Record{
		Name: s.Name, Owner: script, Address: s.Owner, ValueHash: s.Value, HasValue: true,
		FirstRegistered: s.Registered, LastRenewed: s.Registered, BlockNumber: s.Registered,
		Txid: s.Operation.Txid, Op: "sub",
	}, nil
}

// Next returns the record that follows a state, nil for none, signed.
func Next(p *chain.Params, s *State, r Record, key *btcec.PrivateKey) (*Record, error) {
	var last *Record
	var prev [32]byte
	if r.Seq = 0; s != nil {
		last, prev, r.Seq = &s.Record, s.Hash, s.Seq+1
	}
	if err := r.sign(key, p.Network(), prev); err != nil {
		return nil, err
	}
	return &r, r.check(p, last, prev)
}

// Follows checks that a record follows a state, nil for none.
func Follows(p *chain.Params, s *State, r *Record) error {
	if s == nil {
		return r.check(p, nil, [32]byte{})
	}
	return r.check(p, &s.Record, s.Hash)
}

// Resolve returns the state of a name that lies below another one. One that
// nobody gave out is chain.ErrUnknownName.
func (v *Resolver) Resolve(ctx context.Context, name chain.Name) (*State, error) {
	return v.resolve(ctx, name, nil)
}

// resolve is Resolve that doesn't look for late files, and adds the one to them that
// the end of ctx came amid. late may be nil.
func (v *Resolver) resolve(ctx context.Context, name chain.Name, late map[[20]byte]bool) (*State, error) {
	parent, ok := name.Parent()
	if !ok {
		return nil, fmt.Errorf("%s lies below no other name", name)
	}
	w := &walk{v: v, p: v.Table.Params(), name: name, via: []chain.Name{parent}, late: late}
	if err := w.run(ctx); err != nil {
		return nil, err
	}
	if w.state == nil && w.missing != nil {
		return nil, fmt.Errorf("%s is not known: the zone file of block %d, in which it could be, can't be had: %w", name, w.missingAt, w.missing)
	}
	if w.state == nil {
		return nil, fmt.Errorf("%s: %w", name, chain.ErrUnknownName)
	}
	w.state.Incomplete, w.state.Missing = w.missingAt, w.missing
	return w.state, nil
}

// A walk goes through zone files in the chain's order.
type walk struct {
	v    *Resolver
	p    *chain.Params
	name chain.Name
	late map[[20]byte]bool // files that didn't come in time

	via       []chain.Name // whose zone files count
	after     *chain.Operation
	state     *State
	missingAt int
	missing   error
}

// run takes one zone file after the other, and begins to look elsewhere when a
// record says so.
func (w *walk) run(ctx context.Context) error {
	for {
		list, err := w.operations()
		if err != nil {
			return err
		}
		moved := false
		for i := range list {
			if moved, err = w.take(ctx, &list[i]); err != nil {
				return err
			}
			if moved {
				break
			}
		}
		if !moved {
			return nil
		}
	}
}

// operations returns those that carry zone files, behind the last one taken.
func (w *walk) operations() (all []chain.Operation, err error) {
	from := 0
	if w.after != nil {
		from = w.after.Height
	}
	for i, n := range w.via {
		if slices.Contains(w.via[:i], n) {
			continue
		}
		list, err := w.v.Table.History(string(n), from, 0)
		if err != nil {
			return nil, fmt.Errorf("history of %s: %w", n, err)
		}
		for _, o := range list {
			if (o.Op == "+" || o.Op == ";") && o.Value != nil && (w.after == nil || place(&o, w.after) > 0) {
				all = append(all, o)
			}
		}
	}
	slices.SortFunc(all, func(a, b chain.Operation) int { return place(&a, &b) })
	return all, nil
}

// place compares the places of operations in the chain.
func place(a, b *chain.Operation) int {
	return cmp.Or(cmp.Compare(a.Height, b.Height), cmp.Compare(a.Index, b.Index))
}

// take looks at the records of one zone file. moved says that other names carry
// what follows.
func (w *walk) take(ctx context.Context, o *chain.Operation) (moved bool, err error) {
	if ctx.Err() != nil { // what is remembered asks nobody who would see it
		return false, ctx.Err()
	}
	records, err := w.records(ctx, *o.Value)
	w.after = o
	if err != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		w.missingAt, w.missing = o.Height, err
		return false, nil
	}
	carrier := chain.Name(o.Subject)
	for _, r := range records {
		if w.state != nil && !slices.Contains(w.state.Via, carrier) {
			break // others carry what follows
		}
		if r.Name == w.name && (w.state != nil || w.missing == nil) && Follows(w.p, w.state, r) == nil {
			w.apply(r, o)
		}
	}
	moved = w.state != nil && !slices.Equal(w.via, w.state.Via)
	if moved {
		w.via = w.state.Via
	}
	return moved, nil
}

func (w *walk) apply(r *Record, o *chain.Operation) {
	next := &State{Record: *r, Registered: o.Height, Operation: *o}
	var prev [32]byte
	if w.state != nil {
		next.Registered, prev = w.state.Registered, w.state.Hash
	}
	next.Hash = r.digest(w.p.Network(), prev)
	w.state = next
}

// records returns those of a zone file, and of the file that it names.
func (w *walk) records(ctx context.Context, hash [20]byte) ([]*Record, error) {
	f, err := w.file(ctx, hash)
	if err != nil || f.Batch == nil {
		return f.records(), err
	}
	more, err := w.file(ctx, *f.Batch)
	return slices.Concat(f.Records, more.records()), err
}

func (w *walk) file(ctx context.Context, hash [20]byte) (*File, error) {
	if w.late[hash] {
		return nil, fmt.Errorf("zone file %x: it didn't come in time", hash)
	}
	f, err := w.v.file(ctx, hash)
	if err != nil && ctx.Err() != nil && w.late != nil {
		w.late[hash] = true
	}
	return f, err
}

func (f *File) records() []*Record {
	if f == nil {
		return nil
	}
	return f.Records
}

func (v *Resolver) file(ctx context.Context, hash [20]byte) (*File, error) {
	v.mu.Lock()
	f := v.files[hash]
	v.mu.Unlock()
	if f != nil {
		return f, nil
	}
	data, err := v.Fetch(ctx, hash)
	if err == nil && len(data) > MaxBatch {
		err = errors.New("too long")
	}
	if err != nil {
		return nil, fmt.Errorf("zone file %x: %w", hash, err)
	}
	return v.remember(hash, Parse(data)), nil
}

// remember keeps a file, and forgets any others for it if there are too many.
func (v *Resolver) remember(hash [20]byte, f *File) *File {
	v.mu.Lock()
	defer v.mu.Unlock()
	if had := v.files[hash]; had != nil {
		return had
	}
	if v.files == nil {
		v.files = make(map[[20]byte]*File)
	}
	size := f.size()
	for h, old := range v.files {
		if v.size+size <= maxMemory {
			break
		}
		v.size -= old.size()
		delete(v.files, h)
	}
	v.files[hash] = f
	v.size += size
	return f
}

// What a record, and a name in it, take besides their letters, with what the
// allocator rounds up.
const (
	recordSize = 280
	viaSize    = 48
)

// size is about what a file takes in memory, with its place in a map.
func (f *File) size() int {
	n := 160
	for _, r := range f.Records {
		n += recordSize + len(r.Name) + len(r.Owner)
		for _, via := range r.Via {
			n += viaSize + len(via)
		}
	}
	return n
}

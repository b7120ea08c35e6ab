package subdomain

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"satchel/chain"
	"satchel/chain/zonefile"
)

// resolveTime bounds how long a name is looked for.
const resolveTime = 10 * time.Second

// A Registrar takes records over HTTP, keeps them on disk until they are in a zone
// file of its name, and puts many into one. It has one queue for each folder.
//
//	POST /record        {"record": LINE, "zonefile": TEXT}: takes a record with the zone file that it names;
//	                    "bytes": BASE64 stands for a TEXT that is no UTF-8
//	GET  /record/NAME   {"state": "queued" or "published", "record": LINE}
//
// Refusals are text, with status 409 for a record that doesn't follow the last
// one, 400 for nonsense, 429 where too much waits, or the name's last record is under way.
type Registrar struct {
	Name     chain.Name // that carries the records
	Params   *chain.Params
	Resolver *Resolver
	Dir      string // of the queue
	Log      *slog.Logger

	// Zone returns the name's zone file as it is on the chain now.
	Zone func(ctx context.Context) ([]byte, error)
	// Update gives the name a zone file on the chain, and returns when that is
	// confirmed.
	Update func(ctx context.Context, zone []byte) error
	// Keep keeps a file on this machine, where the Resolver finds it.
	Keep func(data []byte) error
	// Put gives a file to where everybody has zone files from.
	Put func(ctx context.Context, data []byte) error

	mu sync.Mutex // of the queue
}

const (
	maxQueue   = 8 << 20                              // bytes on disk
	maxRequest = 6*(maxLine+zonefile.MaxSize) + 1<<10 // a byte takes up to six in JSON
)

const recordSuffix = ".json"

// A submission is a record with the zone file that it names.
type submission struct {
	Record   string `json:"record"`
	Zonefile string `json:"zonefile,omitempty"`
	Bytes    []byte `json:"bytes,omitempty"` // in its place where it is no UTF-8, which JSON can't hold

	r  *Record
	at time.Time // when it was queued
}

func submissionOf(r *Record, zone []byte) *submission {
	s := &submission{Record: r.Line(), r: r}
	if s.Zonefile = string(zone); !utf8.Valid(zone) {
		s.Zonefile, s.Bytes = "", zone
	}
	return s
}

func (s *submission) zone() []byte {
	if s.Bytes != nil {
		return s.Bytes
	}
	return []byte(s.Zonefile)
}

// parse checks a submission for itself.
func (s *submission) parse() (err error) {
	if s.r, err = ParseLine(s.Record); err != nil {
		return err
	}
	if zone := s.zone(); len(zone) > zonefile.MaxSize || zonefile.Hash(zone) != s.r.Value {
		return fmt.Errorf("%w: the zone file is another one than it names", ErrRecord)
	}
	return nil
}

// Handler answers requests.
func (g *Registrar) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /record", g.take)
	mux.HandleFunc("GET /record/{name}", g.tell)
	return mux
}

var (
	// errFull reports a queue that takes no more.
	errFull = errors.New("too many records wait: come again later")
	// errSent reports a record in whose place none can come any more.
	errSent = errors.New("another record of the name is being published: come again later")
)

func (g *Registrar) take(w http.ResponseWriter, r *http.Request) {
	var s submission
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&s)
	if err == nil {
		err = s.parse()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	switch err := g.queue(r.Context(), &s); {
	case errors.Is(err, ErrRecord):
		http.Error(w, err.Error(), http.StatusConflict)
	case errors.Is(err, errFull), errors.Is(err, errSent):
		http.Error(w, err.Error(), http.StatusTooManyRequests)
	case err != nil:
		g.Log.Error("record", "name", s.r.Name, "err", err)
		http.Error(w, "the record can't be kept now", http.StatusServiceUnavailable)
	default:
		w.WriteHeader(http.StatusAccepted)
		_ = json.NewEncoder(w).Encode(answer{State: "queued", Record: s.Record})
	}
}

type answer struct {
	State  string `json:"state"`
	Record string `json:"record"`
}

func (g *Registrar) tell(w http.ResponseWriter, r *http.Request) {
	name, err := chain.ParseName(r.PathValue("name"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if s, err := g.read(name); err == nil {
		_ = json.NewEncoder(w).Encode(answer{"queued", s.Record})
		return
	}
	s, err := g.resolve(r.Context(), name)
	switch {
	case errors.Is(err, chain.ErrUnknownName):
		http.Error(w, "nobody has that name", http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		_ = json.NewEncoder(w).Encode(answer{"published", s.Line()})
	}
}

// queue keeps a record that can be published next. One waits for each name: one
// that follows the same state takes its place only if its owner signed it.
//
// What asks others for zone files comes without the lock, and behind the signature
// of a record 0. A later one's holds the hash of the state before.
func (g *Registrar) queue(ctx context.Context, s *submission) error {
	if err := g.first(s.r); err != nil {
		return err
	}
	for {
		last, err := g.lastOperation(0)
		if err != nil {
			return err
		}
		state, err := g.carried(ctx, s.r)
		if err != nil {
			return err
		}
		if state != nil && state.Line() == s.Record {
			return nil // it is on the chain already
		}
		if err := Follows(g.Params, state, s.r); err != nil {
			return err
		}
		if done, err := g.enqueue(s, last); err != nil || done {
			return err
		}
	}
}

// first checks what can be checked of a record 0 without the chain.
func (g *Registrar) first(r *Record) error {
	if r.Seq > 0 {
		return nil
	}
	if parent, _ := r.Name.Parent(); parent != g.Name {
		return fmt.Errorf("%w: only %s gives out %s", ErrRecord, parent, r.Name)
	}
	return Follows(g.Params, nil, r)
}

// lastOperation returns the newest one of the registrar's name, from a height on.
func (g *Registrar) lastOperation(from int) (last chain.Operation, err error) {
	list, err := g.Resolver.Table.History(string(g.Name), from, 0)
	if err != nil {
		return last, fmt.Errorf("history of %s: %w", g.Name, err)
	}
	if len(list) > 0 {
		last = list[len(list)-1]
	}
	return last, nil
}

// enqueue keeps a record that follows the state of its name as it was at an
// operation. If there is a newer one it is not done: the record that waited may be
// on the chain, and gone from the queue.
func (g *Registrar) enqueue(s *submission, at chain.Operation) (done bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	last, err := g.lastOperation(at.Height)
	if err != nil || place(&last, &at) != 0 || last.Txid != at.Txid {
		return false, err
	}
	return true, g.replace(s)
}

// replace puts a record into the queue, in the place of another one of its name.
func (g *Registrar) replace(s *submission) error {
	old, err := g.read(s.r.Name)
	switch {
	case err == nil && old.Record == s.Record:
		return nil
	case err == nil && old.r.Seq == 0 && old.r.Owner != s.r.Owner:
		return fmt.Errorf("%w: somebody else has asked for %s already", ErrRecord, s.r.Name)
	case err == nil:
		if sent, err := g.isSent(old.Record); err != nil || sent {
			return cmp.Or(err, errSent)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	others, err := g.size(s.r.Name)
	if err != nil {
		return err
	}
	if others+int64(len(b)) > maxQueue {
		return errFull
	}
	return g.write(g.path(s.r.Name), b)
}

// carried returns the state of a record's name, nil if it has none, and refuses
// what this name may not carry.
func (g *Registrar) carried(ctx context.Context, r *Record) (*State, error) {
	state, err := g.resolve(ctx, r.Name)
	parent, _ := r.Name.Parent()
	switch {
	case errors.Is(err, chain.ErrUnknownName) && parent != g.Name:
		return nil, fmt.Errorf("%w: only %s gives out %s", ErrRecord, parent, r.Name)
	case errors.Is(err, chain.ErrUnknownName):
		return nil, nil
	case err == nil && !slices.Contains(state.Via, g.Name):
		return nil, fmt.Errorf("%w: the records of %s are carried by %s", ErrRecord, r.Name, state.via())
	}
	return state, err
}

// resolve asks for a name, but not for ever: zone files of others may be anywhere.
func (g *Registrar) resolve(ctx context.Context, name chain.Name) (*State, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	return g.Resolver.Resolve(ctx, name)
}

func (g *Registrar) path(n chain.Name) string { return filepath.Join(g.Dir, string(n)+recordSuffix) }

func (g *Registrar) read(n chain.Name) (*submission, error) {
	b, err := os.ReadFile(g.path(n))
	if err != nil {
		return nil, err
	}
	s := new(submission)
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("%s: %w", g.path(n), err)
	}
	return s, s.parse()
}

// write writes a file of the queue, durably.
func (g *Registrar) write(path string, b []byte) error {
	if err := os.MkdirAll(g.Dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(g.Dir, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(g.Dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// files returns those of a kind in the queue.
func (g *Registrar) files(suffix string) (list []fs.FileInfo, err error) {
	all, err := os.ReadDir(g.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, f := range all {
		if !strings.HasSuffix(f.Name(), suffix) {
			continue
		}
		info, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, info)
	}
	return list, nil
}

// size returns how many bytes the records of other names take.
func (g *Registrar) size(but chain.Name) (n int64, err error) {
	files, err := g.files(recordSuffix)
	for _, f := range files {
		if f.Name() != string(but)+recordSuffix {
			n += f.Size()
		}
	}
	return n, err
}

// waiting returns the records that are not on the chain, the oldest first: nobody's
// can be pushed back by ever more others.
func (g *Registrar) waiting() (list []*submission, err error) {
	files, err := g.files(recordSuffix)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), recordSuffix)
		s, err := g.read(chain.Name(name))
		if err != nil {
			g.Log.Warn("a record in the queue can't be read", "name", name, "err", err)
			continue
		}
		s.at = f.ModTime()
		list = append(list, s)
	}
	slices.SortStableFunc(list, func(a, b *submission) int { return a.at.Compare(b.at) })
	return list, nil
}

// Run publishes what waits, every so often, until ctx ends.
func (g *Registrar) Run(ctx context.Context, every time.Duration) {
	said := ""
	for t := time.NewTicker(every); ; {
		err := g.Publish(ctx)
		switch {
		case ctx.Err() != nil:
			t.Stop()
			return
		case err != nil && err.Error() != said:
			g.Log.Warn("records wait", "err", err)
		}
		if said = ""; err != nil {
			said = err.Error()
		}
		select {
		case <-ctx.Done():
		case <-t.C:
		}
	}
}

// Publish puts the records that wait, as many as one file of them holds, into one
// zone file of the name, and returns when everybody can have them. What is broken off goes on with the next call.
func (g *Registrar) Publish(ctx context.Context) error {
	g.mu.Lock()
	waiting, err := g.waiting()
	g.mu.Unlock()
	if err != nil {
		return err
	}
	late := g.handOver(ctx)
	if len(waiting) == 0 {
		return late
	}
	zone, err := g.offer(ctx)
	if err != nil {
		return errors.Join(late, err)
	}
	next, err := g.settle(ctx, waiting)
	if late = errors.Join(late, err); len(next) == 0 {
		return late
	}
	return errors.Join(late, g.batch(ctx, zone, next))
}

// settle takes those that are on the chain, or can't come there any more, out of
// the queue, and returns the others.
func (g *Registrar) settle(ctx context.Context, waiting []*submission) (next []*submission, late error) {
	for _, s := range waiting {
		state, err := g.carried(ctx, s.r)
		switch {
		case err == nil && state != nil && state.Line() == s.Record:
			err = g.published(ctx, s)
		case err == nil:
			if err = Follows(g.Params, state, s.r); err == nil {
				next = append(next, s)
			}
		}
		if errors.Is(err, ErrRecord) { // another one came first
			g.Log.Warn("a record is dropped", "name", s.r.Name, "err", err)
			err = g.forget(s)
		}
		if err != nil { // others need not wait for it
			late = errors.Join(late, fmt.Errorf("%s: %w", s.r.Name, err))
		}
	}
	return next, late
}

// offer hands over the zone file that the name has, which nobody may have done, and
// returns it.
func (g *Registrar) offer(ctx context.Context) ([]byte, error) {
	zone, err := g.Zone(ctx)
	if err != nil {
		return nil, fmt.Errorf("zone file of %s: %w", g.Name, err)
	}
	if err := g.Put(ctx, zone); err != nil {
		return nil, err
	}
	f := Parse(zone)
	if f.Batch == nil {
		return zone, nil
	}
	records, err := g.Resolver.Fetch(ctx, *f.Batch)
	if err != nil {
		return nil, err
	}
	return zone, g.Put(ctx, records)
}

// batch gives the name records by one transaction.
func (g *Registrar) batch(ctx context.Context, zone []byte, next []*submission) error {
	b, err := g.prepare(zone, next)
	if err != nil || b == nil {
		return err
	}
	if err := g.Keep(b.Zone); err != nil {
		return err
	}
	if b.Records != nil {
		if err := g.Keep(b.Records); err != nil {
			return err
		}
	}
	if err := g.Update(ctx, b.Zone); err != nil {
		return err
	}
	if err := g.handOver(ctx); err != nil {
		return err
	}
	next = slices.DeleteFunc(slices.Clone(next), func(s *submission) bool { return !b.has(s.Record) })
	left, err := g.settle(ctx, next)
	g.Log.Info("records are published", "count", len(next)-len(left), "name", g.Name)
	return err
}

// published hands over the zone file of a record that is on the chain, and forgets
// it.
func (g *Registrar) published(ctx context.Context, s *submission) error {
	if err := g.Put(ctx, s.zone()); err != nil {
		return fmt.Errorf("zone file of %s: %w", s.r.Name, err)
	}
	return g.forget(s)
}

// forget takes a record out of the queue, unless another one has taken its place
// meanwhile.
func (g *Registrar) forget(s *submission) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch now, err := g.read(s.r.Name); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case now.Record != s.Record:
		return nil
	}
	return os.Remove(g.path(s.r.Name))
}

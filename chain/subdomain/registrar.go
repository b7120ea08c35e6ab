package subdomain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"satchel/chain"
)

// A Registrar takes records over HTTP, keeps them on disk until they are in a zone
// file of its name, and puts many into one. It has one queue for each folder.
//
//	POST /record        {"record": LINE, "zonefile": TEXT}: takes a record with the zone file that it names;
//	                    "bytes": BASE64 stands for a TEXT that is no UTF-8
//	GET  /record/NAME   {"state": "queued" or "published", "record": LINE}
//
// Refusals are text, with status 409 for a record that doesn't follow the last
// one, 400 for nonsense, 429 where too much waits or the name's last record is
// under way.
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

	mu    sync.Mutex // of the queue
	bytes int64      // that its records take on disk, if they were counted
	count bool       // they were
}

// Handler answers requests.
func (g *Registrar) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /record", g.take)
	mux.HandleFunc("GET /record/{name}", g.tell)
	return mux
}

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
	s, err := g.resolve(r.Context(), name, nil)
	switch {
	case errors.Is(err, chain.ErrUnknownName):
		http.Error(w, "nobody has that name", http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		_ = json.NewEncoder(w).Encode(answer{"published", s.Line()})
	}
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
// zone file of the name, and returns when everybody can have them. What is broken
// off goes on with the next call.
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
	hang := make(map[[20]byte]bool) // files: one may be in the way of many names
	for _, s := range waiting {
		state, err := g.carried(ctx, s.r, hang)
		switch {
		case err == nil && state != nil && state.Line() == s.Record:
			err = g.published(ctx, s)
		case err == nil:
			if err = Follows(g.Params, state, s.r); err == nil {
				next = append(next, s)
			}
		}
		if errors.Is(err, ErrRecord) && !unsure(state, s.r) { // another one came first
			g.Log.Warn("a record is dropped", "name", s.r.Name, "err", err)
			err = g.forget(s)
		}
		if err != nil { // others need not wait for it
			late = errors.Join(late, fmt.Errorf("%s: %w", s.r.Name, err))
		}
	}
	return next, late
}

// unsure says if the record that one in the queue follows, which was there when that
// was taken, may come back: it is in a zone file that is missing now, or in a block
// that was disconnected and isn't replaced yet.
func unsure(state *State, r *Record) bool {
	switch {
	case state == nil:
		return r.Seq > 0
	case state.Incomplete > 0:
		return r.Seq > state.Seq
	}
	return r.Seq > state.Seq+1
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

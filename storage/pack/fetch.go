package pack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"time"

	"lukechampine.com/blake3"

	"satchel/storage"
)

const (
	round   = 64 << 10 // ranges are rounded out to multiples of it
	guess   = 8 << 20  // size of a pack as long as nobody told
	rounds  = 3        // times that all providers are asked
	tryTime = 30 * time.Second
	slowest = 64 << 10 // bytes a second that an attempt must have
)

// A flight is a range of a pack that somebody is fetching.
type flight struct {
	from, to int64
	done     chan struct{}
}

type flights []*flight

func (fs flights) over(from, to int64) *flight {
	for _, f := range fs {
		if f.from < to && from < f.to {
			return f
		}
	}
	return nil
}

// A job is one reader's task to fetch.
type job struct {
	e      *entry
	fl     *flight
	off, n int64 // what the reader wants
	lo, hi int64 // the same, rounded out
	from   int64 // what of that is missing
	to     int64
	whole  bool  // fetch all of the pack
	prefix int64 // with whole: so much of its start is here
}

// claim makes the caller the one who fetches. Where somebody else does, it
// returns what to wait for; where nothing is missing any more, nothing at all.
func (s *Store) claim(id ID, off, n int64, damaged bool) (*job, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, errClosed
	}
	e := s.packs[id]
	if e == nil {
		e = &entry{id: id, state: part}
		s.packs[id] = e
	}
	j := &job{e: e, off: off, n: n, lo: off / round * round, hi: min((off+n+round-1)/round*round, MaxSize)}
	switch {
	case e.state == part && !e.spans.covers(off, off+n):
		j.plan(s.kept[id])
	case e.state == staged && damaged:
		j.from, j.to, j.whole = j.lo, j.hi, true
	default:
		return nil, nil, nil
	}
	j.fl = &flight{j.lo, j.hi, make(chan struct{})}
	if j.whole {
		j.fl.from, j.fl.to = 0, MaxSize
	}
	if other := e.flights.over(j.fl.from, j.fl.to); other != nil {
		return nil, other.done, nil
	}
	e.flights = append(e.flights, j.fl)
	e.used = time.Now()
	s.wg.Add(1)
	return j, nil, nil
}

// plan decides what is fetched, with the lock held; wanted is how much of the
// pack will be asked for one after the other.
func (j *job) plan(wanted int64) {
	e := j.e
	j.from, j.to = e.spans.missing(j.lo, j.hi)
	size := e.hint
	if size == 0 {
		size = guess
	}
	if max(e.spans.total()+min(j.to, size)-j.from, wanted) > size/2 {
		j.whole, j.prefix = true, e.spans.prefix()
	}
}

// finish ends a job.
func (s *Store) finish(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := j.e
	e.flights = slices.DeleteFunc(e.flights, func(f *flight) bool { return f == j.fl })
	close(j.fl.done)
	if e.state == part && len(e.spans) == 0 && len(e.flights) == 0 && s.packs[e.id] == e {
		_ = s.forget(e) // nothing came
	}
	s.evict()
	s.wg.Done()
}

// fetch asks the providers, some rounds long, for what j wants.
func (s *Store) fetch(ctx context.Context, j *job, from []storage.Provider, check func([]byte) error, blame func(string, error)) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	var fault error // of a provider that didn't just say that it has no such pack
	ask := from
	for n := 1; ; n++ {
		t := turn{s: s, j: j, ctx: ctx, check: check, blame: blame}
		b, err := t.run(ask)
		switch {
		case err == nil:
			return b, nil
		case t.final:
			return nil, err
		case !errors.Is(err, os.ErrNotExist) || fault == nil && n == 1:
			fault = err
		}
		if len(t.again) == 0 || n == rounds || storage.Pause(ctx, s.pause, n) != nil {
			return nil, fault
		}
		ask = t.again
	}
}

// A turn is one round of asking providers.
type turn struct {
	s     *Store
	j     *job
	ctx   context.Context
	check func([]byte) error
	blame func(string, error)

	again []storage.Provider // whose fault may pass
	final bool               // the error is not a provider's fault
}

// An answer is what one provider gave: bytes from an offset on, or a whole
// pack that is what its id says.
type answer struct {
	p    storage.Provider
	from int64 // asked for, up to
	to   int64
	data []byte
	hint int64
	pack *fetched
	err  error
}

// run asks ps in their order: the next one when one fails, or when it takes
// long. It returns the wanted bytes of the first that gives them.
func (t *turn) run(ps []storage.Provider) ([]byte, error) {
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel() // of those that were too slow
	if len(ps) == 0 {
		t.final = true
		return nil, fmt.Errorf("pack %s: no provider is known that could have it", t.j.e.id)
	}
	answers := make(chan answer, len(ps))
	asked, answered := 0, 0
	pending := make(map[string]bool) // URLs
	ask := func() {
		p, j := ps[asked], *t.j
		asked++
		pending[p.URL] = true
		t.s.wg.Go(func() { answers <- t.s.try(ctx, p, j) })
	}
	defer func() { // whatever comes now is not needed
		left := asked - answered
		t.s.wg.Go(func() {
			for range left {
				(<-answers).discard()
			}
		})
	}()
	var fault error
	ask()
	for answered < asked {
		var slow <-chan time.Time
		if asked < len(ps) {
			slow = time.After(t.s.hedge)
		}
		select {
		case <-slow:
			ask()
		case <-ctx.Done():
			return nil, t.late(pending, fault)
		case a := <-answers:
			answered++
			delete(pending, a.p.URL)
			b, err := t.take(a)
			if err == nil || t.final {
				return b, err
			}
			if fault == nil || !errors.Is(err, os.ErrNotExist) {
				fault = err
			}
			if ctx.Err() == nil && asked < len(ps) {
				ask()
			}
		}
	}
	return nil, fault
}

// late says that the caller's time is over, and blames who had all of it.
func (t *turn) late(pending map[string]bool, fault error) error {
	t.final = true
	if fault == nil || errors.Is(fault, os.ErrNotExist) {
		fault = fmt.Errorf("pack %s: %w", t.j.e.id, t.ctx.Err())
	}
	if errors.Is(t.ctx.Err(), context.DeadlineExceeded) {
		for url := range pending {
			t.blame(url, fmt.Errorf("%s: no answer in time: %w", storage.Redact(url), t.ctx.Err()))
		}
	}
	return fault
}

// take turns an answer into the wanted bytes, or says what is wrong with it.
func (t *turn) take(a answer) ([]byte, error) {
	var b []byte
	err := a.err
	switch {
	case err != nil:
	case a.pack != nil:
		return t.takePack(a)
	default:
		b, err = t.takeRange(a)
	}
	if err == nil {
		return b, nil
	}
	if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, context.Canceled) {
		t.blame(a.p.URL, err)
	}
	if storage.CanPass(err) && !errors.Is(err, ErrWrong) {
		t.again = append(t.again, a.p)
	}
	return nil, err
}

// takePack keeps a whole pack and returns what is wanted of it.
func (t *turn) takePack(a answer) ([]byte, error) {
	defer a.discard()
	t.final = true // its bytes are right: another copy can't be better
	j := t.j
	if j.off+j.n > a.pack.size {
		t.s.install(j, a.pack)
		return nil, fmt.Errorf("pack %s: bytes %d to %d of %d: %w", j.e.id, j.off, j.off+j.n, a.pack.size, io.ErrUnexpectedEOF)
	}
	b := make([]byte, j.n)
	if _, err := a.pack.f.ReadAt(b, j.off); err != nil {
		return nil, fmt.Errorf("pack %s: %w", j.e.id, err)
	}
	t.s.install(j, a.pack)
	if err := t.check(b); err != nil {
		return nil, fmt.Errorf("pack %s: bytes %d to %d: %w", j.e.id, j.off, j.off+j.n, err)
	}
	return b, nil
}

// takeRange returns what is wanted, of the bytes that came and of those that
// were here before, and keeps the former if it passes the check.
func (t *turn) takeRange(a answer) ([]byte, error) {
	j := t.j
	end := a.from + int64(len(a.data))
	if end < j.off+j.n && end < a.to {
		return nil, wrongFrom(a.p, fmt.Errorf("pack %s: only %d bytes from %d: %w", j.e.id, len(a.data), a.from, ErrWrong))
	}
	b := make([]byte, 0, j.n)
	if a.from > j.off {
		b = t.here(b, j.off, min(a.from, j.off+j.n))
	}
	if at, to := max(a.from, j.off), min(end, j.off+j.n); at < to {
		b = append(b, a.data[at-a.from:to-a.from]...)
	}
	if end < j.off+j.n {
		b = t.here(b, end, j.off+j.n)
	}
	err := t.check(b)
	switch {
	case err == nil:
		t.s.hint(j.e, a.hint)
		t.s.keep(j.e, a.from, a.data)
		return b, nil
	case a.from > j.off || end < j.off+j.n:
		return t.afresh(a.p)
	}
	return nil, wrongFrom(a.p, fmt.Errorf("pack %s: bytes %d to %d: %w: %w", j.e.id, j.off, j.off+j.n, ErrWrong, err))
}

// afresh asks p for the whole range: what it gave failed the check together
// with bytes that were here before, and those may be the wrong ones.
func (t *turn) afresh(p storage.Provider) ([]byte, error) {
	t.s.mu.Lock()
	if e := t.j.e; e.state == part && !e.gone {
		t.s.setSpans(e, e.spans.remove(t.j.off, t.j.off+t.j.n))
	}
	t.s.mu.Unlock()
	t.j.from, t.j.to, t.j.whole = t.j.lo, t.j.hi, false
	a := t.s.try(t.ctx, p, *t.j)
	if a.err != nil {
		return nil, a.err
	}
	return t.takeRange(a)
}

// here appends local bytes to b; where there are none any more, b stays too
// short and fails its check.
func (t *turn) here(b []byte, from, to int64) []byte {
	local, _ := t.s.ReadAt(t.j.e.id, from, to-from)
	return append(b, local...)
}

// hint notes how large a pack is said to be.
func (s *Store) hint(e *entry, size int64) {
	if 0 < size && size <= MaxSize {
		s.mu.Lock()
		e.hint = size
		s.mu.Unlock()
	}
}

// try asks one provider.
func (s *Store) try(ctx context.Context, p storage.Provider, j job) answer {
	want := j.to - j.from
	if j.whole {
		want = MaxSize
	}
	limit := tryTime + time.Duration(want/slowest)*time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %v: %w", limit, context.DeadlineExceeded))
	defer cancel()
	a := answer{p: p, from: j.from, to: j.to}
	if j.whole {
		if a.pack, a.err = s.download(ctx, p, j.e, j.prefix); !errors.Is(a.err, errLocal) {
			return a
		}
		a.err = nil // no room on our disk: what is wanted now must do
	}
	a.data, a.hint, a.err = getRange(ctx, p, j.e.id, j.from, j.to-j.from)
	return a
}

// getRange fetches up to n bytes of a pack.
func getRange(ctx context.Context, p storage.Provider, id ID, off, n int64) ([]byte, int64, error) {
	r, err := p.Driver.Get(ctx, id.Key(), off, n)
	if err != nil {
		return nil, 0, err
	}
	defer r.Close()
	b := make([]byte, n)
	got, err := io.ReadFull(r, b)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil // the pack ends there, or so it is said: the caller counts
	}
	return b[:got], storage.SizeOf(r), err
}

// A fetched is a whole, verified pack that is no part of the store yet.
type fetched struct {
	f    *os.File
	size int64
}

// discard removes what was fetched, unless it was installed.
func (a answer) discard() {
	if a.pack != nil && a.pack.f != nil {
		_ = os.Remove(a.pack.f.Name())
		_ = a.pack.f.Close()
		a.pack.f = nil
	}
}

// errLocal says that our own disk is at fault.
var errLocal = errors.New("this machine's disk")

// download fetches a whole pack, of which the first prefix bytes are taken
// from what is here, and verifies it.
func (s *Store) download(ctx context.Context, p storage.Provider, e *entry, prefix int64) (*fetched, error) {
	if !s.hasRoom(MaxSize) {
		return nil, fmt.Errorf("%w: %w", errLocal, syscall.ENOSPC)
	}
	_, _, _, _, dir := s.dirs()
	f, err := os.CreateTemp(dir, "pack-")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errLocal, err)
	}
	size, err := s.fill(ctx, f, p, e, prefix)
	if errors.Is(err, ErrWrong) && prefix > 0 {
		// Who gave the wrong bytes, he or whoever gave the prefix?
		if err = f.Truncate(0); err == nil {
			size, err = s.fill(ctx, f, p, e, 0)
		}
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(f.Name())
		return nil, err
	}
	return &fetched{f, size}, nil
}

// fill writes a whole pack to f and returns its size.
func (s *Store) fill(ctx context.Context, f *os.File, p storage.Provider, e *entry, prefix int64) (int64, error) {
	h := blake3.New(32, nil)
	w := &local{f: f}
	both := io.MultiWriter(h, w)
	if prefix > 0 {
		if err := s.copyHere(both, e.id, prefix); err != nil {
			return 0, err
		}
	}
	r, err := p.Driver.Get(ctx, e.id.Key(), prefix, -1)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	_, err = io.Copy(both, io.LimitReader(r, MaxSize-prefix+1))
	switch {
	case err != nil:
		return 0, err
	case w.n > MaxSize:
		return 0, wrongFrom(p, fmt.Errorf("pack %s: over %d bytes: %w", e.id, MaxSize, ErrWrong))
	}
	var got ID
	if h.Sum(got[:0]); got != e.id {
		return 0, wrongFrom(p, fmt.Errorf("pack %s: its %d bytes are those of %s: %w", e.id, w.n, got, ErrWrong))
	}
	return w.n, nil
}

// copyHere writes to w the first n bytes of a pack, which are here.
func (s *Store) copyHere(w io.Writer, id ID, n int64) error {
	e, f, base, err := s.find(id, 0, n)
	if err != nil {
		return ErrWrong // dropped meanwhile: without it then
	}
	defer s.release(e)
	got, err := io.Copy(w, io.NewSectionReader(f, base, n))
	if err == nil && got < n || err != nil && !errors.Is(err, errLocal) {
		err = ErrWrong
	}
	return err
}

// local writes from the start of f and tells its own faults from a reader's.
type local struct {
	f *os.File
	n int64
}

func (l *local) Write(p []byte) (int, error) {
	n, err := l.f.WriteAt(p, l.n)
	l.n += int64(n)
	if err != nil {
		err = fmt.Errorf("%w: %w", errLocal, err)
	}
	return n, err
}

// install makes a fetched pack a part of the store. It may fail: then it is
// fetched again some time.
func (s *Store) install(j *job, p *fetched) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := j.e
	if s.packs[e.id] != e || s.closed || e.state != part && e.state != staged {
		return
	}
	to := cached
	if e.state == staged { // the pinned copy was damaged
		if to = staged; p.f.Sync() != nil {
			return
		}
	}
	if os.Rename(p.f.Name(), s.path(to, e.id)) != nil {
		return
	}
	s.account(e, -e.size)
	s.dropFile(e)
	if e.state == part {
		_ = os.Remove(s.path(part, e.id))
	}
	e.state, e.size, e.spans, e.hint = to, p.size, nil, 0
	e.f, e.used, e.touched = p.f, time.Now(), time.Now()
	p.f = nil
	s.files[e] = struct{}{}
	s.account(e, e.size)
}

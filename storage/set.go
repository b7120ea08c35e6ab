package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Provider is one URL and the driver that opens it.
type Provider struct {
	URL    string
	Driver Driver
}

// A Result is how a write to one provider went.
type Result struct {
	URL string
	Err error
}

// A Copy is one provider's copy of a blob, not verified.
type Copy struct {
	URL  string
	Data []byte
	Err  error
}

// A Set is the providers of one name. It writes to all and hands out each
// one's copy; which copy is right is for the caller to find out, who tells
// with Blame whose was not. It is safe for concurrent use.
type Set struct {
	// Limits bounds each request; it may be changed before the first one.
	Limits Limits

	ps             []Provider
	copies, quorum int

	mu     sync.Mutex
	blamed map[string]Fault // by callers: wrong bytes
	down   map[string]Fault // by us: requests that failed; a success ends it
}

// NewSet returns the set of ps, in order of preference; of two with one URL,
// the first. copies is how many of
// them shall hold each pack (0: all), quorum how many must have answered
// before something counts as stored (0: the majority of all, at most copies).
func NewSet(ps []Provider, copies, quorum int) *Set {
	ps = distinct(ps)
	n := max(len(ps), 1) // without a provider nothing is ever stored
	if copies <= 0 || copies > n {
		copies = n
	}
	if quorum <= 0 || quorum > copies {
		quorum = min(n/2+1, copies)
	}
	return &Set{
		Limits: DefaultLimits,
		ps:     ps,
		copies: copies,
		quorum: quorum,
		blamed: make(map[string]Fault),
		down:   make(map[string]Fault),
	}
}

// distinct returns ps without the later ones of one URL: one provider is one
// copy, however often it is named.
func distinct(ps []Provider) []Provider {
	seen := make(map[string]bool, len(ps))
	return slices.DeleteFunc(slices.Clone(ps), func(p Provider) bool {
		had := seen[p.URL]
		seen[p.URL] = true
		return had
	})
}

// N returns how many providers there are.
func (s *Set) N() int { return len(s.ps) }

// Copies returns how many providers shall hold each pack.
func (s *Set) Copies() int { return s.copies }

// Quorum returns how many providers must have a blob before it counts as
// stored.
func (s *Set) Quorum() int { return s.quorum }

// URLs returns the providers' URLs in the order given to NewSet.
func (s *Set) URLs() []string {
	urls := make([]string, len(s.ps))
	for i, p := range s.ps {
		urls[i] = p.URL
	}
	return urls
}

// avoid is how long a provider with a fault is asked last.
const avoid = time.Minute

// Providers returns the providers in the order in which a reader should ask
// them: as given to NewSet, but those that had a fault within the last minute
// come last.
func (s *Set) Providers() []Provider {
	s.mu.Lock()
	defer s.mu.Unlock()
	since := time.Now().Add(-avoid)
	good := make([]Provider, 0, len(s.ps))
	var bad []Provider
	for _, p := range s.ps {
		if s.blamed[p.URL].Time.After(since) || s.down[p.URL].Time.After(since) {
			bad = append(bad, p)
		} else {
			good = append(good, p)
		}
	}
	return append(good, bad...)
}

// Each iterates over Providers.
func (s *Set) Each() iter.Seq[Provider] { return slices.Values(s.Providers()) }

// Put stores the size bytes of data as key at every provider for which have
// says no (have may be nil), in parallel, each with retries within the limits.
// There is one result per provider, in the order of URLs; for one that has the
// blob already it is no error.
func (s *Set) Put(ctx context.Context, key string, data io.ReaderAt, size int64, have func(url string) bool) []Result {
	return s.all(func(p Provider) error {
		if have != nil && have(p.URL) {
			return nil
		}
		return s.Limits.retry(ctx, size, func(ctx context.Context) error {
			return p.Driver.Put(ctx, key, io.NewSectionReader(data, 0, size), size)
		})
	})
}

// Delete removes key at every provider, in parallel, with retries.
func (s *Set) Delete(ctx context.Context, key string) []Result {
	return s.all(func(p Provider) error {
		return s.Limits.retry(ctx, 0, func(ctx context.Context) error {
			return p.Driver.Delete(ctx, key)
		})
	})
}

// errSlow is why a provider that the others didn't wait for has no copy.
var errSlow = errors.New("no answer while the others gave theirs")

// GetAll returns every provider's copy of key, each at most limit bytes, in
// the order of URLs; providers are asked in parallel. It is for mutable
// objects, of which the newest valid copy counts. Once as many have answered
// as are needed to call something fresh (N - quorum + 1), the others get
// Limits.Grace to do so.
func (s *Set) GetAll(ctx context.Context, key string, limit int64) []Copy {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var answers atomic.Int32
	enough := int32(len(s.ps) - s.quorum + 1)

	copies := make([]Copy, len(s.ps))
	index := make(map[string]int, len(s.ps))
	for i, p := range s.ps {
		index[p.URL] = i
	}
	results := s.all(func(p Provider) error {
		err := s.Limits.retry(ctx, limit, func(ctx context.Context) error {
			b, err := ReadBlob(ctx, p.Driver, key, 0, -1, limit)
			copies[index[p.URL]].Data = b
			return err
		})
		answered := err == nil || errors.Is(err, os.ErrNotExist)
		if answered && answers.Add(1) == enough && s.Limits.Grace > 0 {
			time.AfterFunc(s.Limits.Grace, func() { cancel(errSlow) })
		}
		if !answered && context.Cause(ctx) == errSlow {
			err = fmt.Errorf("%s: %s: %w", Redact(p.URL), key, errSlow)
		}
		return err
	})
	for i, r := range results {
		copies[i].URL, copies[i].Err = r.URL, r.Err
		if r.Err != nil {
			copies[i].Data = nil
		}
	}
	return copies
}

// all runs do for every provider at once and waits for all.
func (s *Set) all(do func(Provider) error) []Result {
	results := make([]Result, len(s.ps))
	var wg sync.WaitGroup
	for i, p := range s.ps {
		wg.Go(func() {
			err := do(p)
			s.note(p.URL, err)
			results[i] = Result{p.URL, err}
		})
	}
	wg.Wait()
	return results
}

// note remembers whether the provider at url is down.
func (s *Set) note(url string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil || errors.Is(err, os.ErrNotExist):
		delete(s.down, url)
	case !errors.Is(err, context.Canceled):
		s.down[url] = Fault{url, err, time.Now()}
	}
}

// A Fault is what was last wrong with a provider.
type Fault struct {
	URL  string
	Err  error
	Time time.Time
}

// Blame records that the provider at url gave wrong bytes, or none.
func (s *Set) Blame(url string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blamed[url] = Fault{url, err, time.Now()}
}

// Faults returns what is wrong with which provider, in the order of URLs:
// wrong bytes of the last day, and what failed last where nothing worked since.
func (s *Set) Faults() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	var fs []Fault
	for _, p := range s.ps {
		if f, ok := s.blamed[p.URL]; ok && time.Since(f.Time) < 24*time.Hour {
			fs = append(fs, f)
		}
		if f, ok := s.down[p.URL]; ok {
			fs = append(fs, f)
		}
	}
	return fs
}

// String lists the providers, for messages.
func (s *Set) String() string {
	urls := s.URLs()
	for i, u := range urls {
		urls[i] = Redact(u)
	}
	return fmt.Sprint(urls)
}

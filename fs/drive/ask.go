package drive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"satchel/crypto"
	"satchel/fs/profile"
	"satchel/storage"
	"satchel/storage/pack"
)

// askTimeout bounds the wait for the slowest provider of a mutable object.
const askTimeout = 10 * time.Second

// An answer is what all providers of a set said about one mutable object.
type answer[B any] struct {
	best  *profile.Signed[B] // of the copies that verified the one with the highest number
	valid int                // providers with a valid answer: "not there" is one, a stale copy is none
	errs  []error
	// URLs of providers that gave a copy that verified, and of those that say
	// that there is none.
	gave, absent []string
}

// errWithheld reports a provider that does not give what it, or another one, had.
var errWithheld = errors.New("withholds what was there before")

// withheld takes the answers of providers that have nothing, where something was
// seen before, for what they are: no answers.
func (d *Drive) withheld(urls []string, what string) error {
	var errs []error
	for _, u := range urls {
		err := fmt.Errorf("%s: %s: %w", storage.Redact(u), what, errWithheld)
		d.fault(u, err)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// why says why there is no best copy: os.ErrNotExist if nobody has one.
func (a *answer[B]) why() error {
	if len(a.errs) == 0 {
		return os.ErrNotExist
	}
	return errors.Join(a.errs...)
}

// ask fetches a mutable object from every provider and opens each copy. A copy
// that does not verify, or is older than what is pinned, is its provider's
// fault and is named; what an author signed twice is refused.
func ask[B any](d *Drive, ctx context.Context, set *storage.Set, key string, open func([]byte) (*profile.Signed[B], error)) *answer[B] {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	a := new(answer[B])
	for _, c := range set.GetAll(ctx, key, int64(crypto.KindHead.MaxSize())) {
		if errors.Is(c.Err, os.ErrNotExist) {
			a.valid++
			a.absent = append(a.absent, c.URL)
			continue
		}
		if c.Err != nil {
			d.fault(c.URL, c.Err)
			a.errs = append(a.errs, c.Err)
			continue
		}
		s, err := open(c.Data)
		if err != nil {
			err = fmt.Errorf("%s: %w", storage.Redact(c.URL), err)
			if profile.Faulty(err) {
				d.fault(c.URL, err)
			} else {
				d.opt.Log.Error("refused", "err", err)
			}
			var fork *profile.Fork
			if errors.As(err, &fork) {
				err = errors.Join(err, d.pins.Keep(fork))
			}
			a.errs = append(a.errs, err)
			continue
		}
		a.valid++
		a.gave = append(a.gave, c.URL)
		d.well(c.URL)
		if a.best == nil || s.Header.Seq > a.best.Header.Seq {
			a.best = s
		}
	}
	return a
}

// A Fault is what was last wrong with a provider.
type Fault struct {
	URL   string    `json:"url"`
	Error string    `json:"error"`
	Time  time.Time `json:"time"`
	Own   bool      `json:"own"`  // one of the user's own providers
	Lied  bool      `json:"lied"` // it gave bytes that their author didn't sign, or old ones
}

// lieStays is how long a provider that lied is named, however well it answers
// since.
const lieStays = time.Hour

// fault notes what was wrong with a provider, for status, and logs it once.
func (d *Drive) fault(url string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	f := Fault{URL: storage.Redact(url), Error: err.Error(), Time: time.Now()}
	f.Lied = profile.Faulty(err) || errors.Is(err, errWithheld) || errors.Is(err, crypto.ErrOpen) || errors.Is(err, pack.ErrWrong)
	for _, p := range d.opt.Providers {
		f.Own = f.Own || p.URL == url
	}
	d.statusMu.Lock()
	old, had := d.faults[url]
	if !had || f.Lied || !old.Lied || time.Since(old.Time) > lieStays {
		d.faults[url] = f
	}
	d.statusMu.Unlock()
	if !had || old.Error != f.Error {
		d.opt.Log.Warn("provider failed", "provider", f.URL, "err", err)
	}
}

// well forgets a provider's fault, unless it lied lately.
func (d *Drive) well(url string) {
	d.statusMu.Lock()
	defer d.statusMu.Unlock()
	if f, ok := d.faults[url]; ok && (!f.Lied || time.Since(f.Time) > lieStays) {
		delete(d.faults, url)
	}
}

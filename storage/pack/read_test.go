package pack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"satchel/storage"
	"satchel/storage/mem"
	"satchel/storage/storagetest"
)

var errCheck = errors.New("does not verify")

func equal(want []byte) func([]byte) error {
	return func(b []byte) error {
		if !bytes.Equal(b, want) {
			return errCheck
		}
		return nil
	}
}

// A world is a pack at some providers and a store that hasn't it.
type world struct {
	t    *testing.T
	s    *Store
	dir  string
	id   ID
	all  []byte
	from []storage.Provider

	mu     sync.Mutex
	blamed []string
}

// newWorld makes a pack of size bytes and a provider for each wrap.
func newWorld(t *testing.T, size int, wraps ...func(storage.Driver) storage.Driver) *world {
	t.Helper()
	maker := openStore(t, t.TempDir(), 0)
	var segments [][]byte
	for i := 0; size > 0; i++ {
		n := min(size, 1<<20)
		segments = append(segments, storagetest.Bytes(uint64(i), n))
		size -= n
	}
	w := &world{t: t, dir: t.TempDir()}
	w.id = write(t, maker, segments...)
	w.all = all(t, maker, w.id)
	other := write(t, maker, storagetest.Bytes(99, len(w.all)))
	for i, wrap := range wraps {
		d := wrap(mem.New())
		for _, id := range []ID{other, w.id} {
			b := all(t, maker, id)
			if err := d.Put(t.Context(), id.Key(), bytes.NewReader(b), int64(len(b))); err != nil && !errors.Is(err, errDown) {
				t.Fatal(err)
			}
		}
		w.from = append(w.from, storage.Provider{URL: fmt.Sprintf("mem://%c", 'a'+i), Driver: d})
	}
	w.s = openStore(t, w.dir, 0)
	w.s.pause = time.Millisecond
	return w
}

// know tells the store the pack's size, so that it fetches it whole when more
// than half is wanted.
func (w *world) know() {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.s.packs[w.id] = &entry{id: w.id, state: part, hint: int64(len(w.all))}
}

func (w *world) read(off, n int64) error {
	return w.readCtx(w.t.Context(), off, n)
}

func (w *world) readCtx(ctx context.Context, off, n int64) error {
	w.t.Helper()
	want := w.all[off : off+n]
	got, err := w.s.Read(ctx, w.from, w.id, off, n, equal(want), func(url string, err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !strings.Contains(err.Error(), url) && !errors.Is(err, errDown) {
			w.t.Errorf("blamed %s for %v, which doesn't name it", url, err)
		}
		w.blamed = append(w.blamed, url)
	})
	if err == nil && !bytes.Equal(got, want) {
		w.t.Errorf("wrong bytes were returned")
	}
	return err
}

func (w *world) wantBlamed(want ...string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.Join(w.blamed, " ") != strings.Join(want, " ") {
		w.t.Errorf("got blamed %v, want %v", w.blamed, want)
	}
	w.blamed = nil
}

var errDown = errors.New("down")

func good(d storage.Driver) storage.Driver { return d }
func isPack(key string) bool               { return strings.HasPrefix(key, "p/") }

func lying(l storagetest.Lie) func(storage.Driver) storage.Driver {
	return func(d storage.Driver) storage.Driver { return storagetest.Lying(d, l, isPack) }
}

func failing(err error) func(storage.Driver) storage.Driver {
	return func(d storage.Driver) storage.Driver { return storagetest.Failing(d, err, isPack) }
}

// slow is slow to read from.
func slow(delay time.Duration) func(storage.Driver) storage.Driver {
	return func(d storage.Driver) storage.Driver { return &slowGet{d, storagetest.Slow(d, delay, nil)} }
}

type slowGet struct {
	storage.Driver
	slow storage.Driver
}

func (s *slowGet) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	return s.slow.Get(ctx, key, off, n)
}

func empty(storage.Driver) storage.Driver {
	return storagetest.Failing(noPut{mem.New()}, nil, nil)
}

type noPut struct{ storage.Driver }

func (noPut) Put(context.Context, string, io.Reader, int64) error { return nil }

// TestRanges: what is fetched is kept, rounded out to 64 KiB, and the whole
// pack once more than half of it is wanted.
func TestRanges(t *testing.T) {
	w := newWorld(t, 1<<20, good)
	c := storagetest.Count(w.from[0].Driver)
	w.from[0].Driver = c
	for i, step := range []struct {
		off, n     int64
		gets, read int64 // all so far
	}{
		{70_000, 100, 1, 64 << 10},
		{70_000, 100, 1, 64 << 10},
		{65_536, 65_536, 1, 64 << 10},
		{65_530, 10, 2, 128 << 10},            // one more block before it
		{131_000, 200, 3, 192 << 10},          // and behind it
		{900_000, 10, 4, 256 << 10},           //
		{300_000, 300_000, 5, 1<<20 + 64<<10}, // more than half: the rest behind the first 192 KiB
		{0, 1 << 20, 5, 1<<20 + 64<<10},       // all is here
		{1<<20 - 1, 1, 5, 1<<20 + 64<<10},     //
	} {
		if err := w.read(step.off, step.n); err != nil {
			t.Fatal(err)
		}
		if c.Gets.Load() != step.gets || c.Read.Load() != step.read {
			t.Errorf("step %d: got %d requests for %d bytes, want %d for %d", i, c.Gets.Load(), c.Read.Load(), step.gets, step.read)
		}
	}
	w.wantBlamed()
	if got := w.s.Packs(); len(got) != 1 || got[0] != w.id {
		t.Errorf("got %v, want the pack whole", got)
	}
	if u := w.s.Usage(); u.Cached != 1<<20 || u.Pinned != 0 {
		t.Errorf("got %+v", u)
	}
	if parts, err := os.ReadDir(filepath.Join(w.dir, "parts")); len(parts) != 0 || err != nil {
		t.Errorf("got %v, %v", parts, err)
	}
}

// TestSequential: reading on and on costs each byte once.
func TestSequential(t *testing.T) {
	w := newWorld(t, 8<<20, good)
	c := storagetest.Count(w.from[0].Driver)
	w.from[0].Driver = c
	for off := int64(0); off < 8<<20; off += 1 << 20 {
		if err := w.read(off, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	if c.Gets.Load() > 5 || c.Read.Load() != 8<<20 {
		t.Errorf("got %d requests for %d bytes", c.Gets.Load(), c.Read.Load())
	}
}

func TestPartsSurviveRestart(t *testing.T) {
	w := newWorld(t, 4<<20, good)
	c := storagetest.Count(w.from[0].Driver)
	w.from[0].Driver = c
	if err := w.read(100_000, 1000); err != nil {
		t.Fatal(err)
	}
	if err := w.s.Close(); err != nil {
		t.Fatal(err)
	}
	w.s = openStore(t, w.dir, 0)
	if err := w.read(100_000, 1000); err != nil || c.Gets.Load() != 1 {
		t.Errorf("got %v, %d requests, want 1", err, c.Gets.Load())
	}
	if u := w.s.Usage(); u.Cached != 64<<10 {
		t.Errorf("got %+v", u)
	}
	// A parts file that is no such thing is removed.
	if err := w.s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(w.dir, "parts", w.id.String())
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), 9999), 0o600); err != nil {
		t.Fatal(err)
	}
	w.s = openStore(t, w.dir, 0)
	if err := w.read(100_000, 1000); err != nil || c.Gets.Load() != 2 {
		t.Errorf("got %v, %d requests, want 2", err, c.Gets.Load())
	}
}

// TestBadProviders: whatever the first provider does, the second one's copy is
// returned, by range and whole.
func TestBadProviders(t *testing.T) {
	for name, c := range map[string]struct {
		wrap  func(storage.Driver) storage.Driver
		blame bool
	}{
		"garbage":   {lying(storagetest.Garbage), true},
		"truncated": {lying(storagetest.Truncated), true},
		"empty":     {lying(storagetest.Empty), true},
		"other":     {lying(storagetest.OtherKey), true},
		"down":      {failing(fmt.Errorf("mem://a: %w", syscall.ECONNREFUSED)), true},
		"refuses":   {failing(fmt.Errorf("mem://a: %w", os.ErrPermission)), true},
		"without":   {empty, false}, // it need not have all packs
		"hangs":     {slow(-1), false},
		"endless":   {func(d storage.Driver) storage.Driver { return endless{d} }, true},
	} {
		for _, n := range []int64{1000, 900_000} {
			t.Run(fmt.Sprint(name, n), func(t *testing.T) {
				var w *world
				wrap := c.wrap
				if name == "down" || name == "refuses" {
					w = newWorld(t, 1<<20, good, good)
					w.from[0].Driver = wrap(w.from[0].Driver)
				} else {
					w = newWorld(t, 1<<20, wrap, good)
				}
				if w.s.hedge = time.Minute; name == "hangs" {
					w.s.hedge = 10 * time.Millisecond
				}
				w.know()
				if err := w.read(100_000, n); err != nil {
					t.Errorf("got %v", err)
				}
				if c.blame {
					if name == "endless" && n == 1000 {
						return // a range that is cut off is fine if it verifies
					}
					if name == "truncated" && n == 1000 {
						return // the wanted part was in its half
					}
					w.wantBlamed("mem://a")
				} else {
					w.wantBlamed()
				}
				if err := w.read(100_000, n); err != nil {
					t.Errorf("from the cache: got %v", err)
				}
				w.wantBlamed()
			})
		}
	}
}

// An endless driver sends on for ever.
type endless struct{ storage.Driver }

func (e endless) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	r, err := e.Driver.Get(ctx, key, off, n)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(io.MultiReader(r, zeros{})), nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestNotExist: a pack doesn't exist only if every provider says so.
func TestNotExist(t *testing.T) {
	for name, c := range map[string]struct {
		wraps []func(storage.Driver) storage.Driver
		want  bool
	}{
		"all say so":  {[]func(storage.Driver) storage.Driver{empty, empty}, true},
		"one is down": {[]func(storage.Driver) storage.Driver{empty, func(d storage.Driver) storage.Driver { return storagetest.Failing(d, errDown, nil) }}, false},
		"down first":  {[]func(storage.Driver) storage.Driver{func(d storage.Driver) storage.Driver { return storagetest.Failing(d, errDown, nil) }, empty}, false},
		"one lies":    {[]func(storage.Driver) storage.Driver{lying(storagetest.Garbage), empty}, false},
		"lies last":   {[]func(storage.Driver) storage.Driver{empty, lying(storagetest.Garbage)}, false},
		"one hangs":   {[]func(storage.Driver) storage.Driver{empty, slow(-1)}, false},
		"nobody":      {nil, false},
	} {
		w := newWorld(t, 100_000, c.wraps...)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		for _, n := range []int64{100, 90_000} {
			if err := w.readCtx(ctx, 0, n); err == nil || errors.Is(err, os.ErrNotExist) != c.want {
				t.Errorf("%s: got %v, want os.ErrNotExist: %v", name, err, c.want)
			}
		}
		if name == "one hangs" {
			w.mu.Lock()
			if len(w.blamed) == 0 || w.blamed[0] != "mem://b" {
				t.Errorf("got %v, want that the provider that hung is named", w.blamed)
			}
			w.mu.Unlock()
		}
		cancel()
		if u := w.s.Usage(); u.Cached != 0 {
			t.Errorf("%s: got %+v, want nothing kept", name, u)
		}
		w.s.mu.Lock()
		if len(w.s.packs) != 0 {
			t.Errorf("%s: %d entries stay", name, len(w.s.packs))
		}
		w.s.mu.Unlock()
	}
}

// TestRetry: a fault that passes is waited for; one that can't is not.
func TestRetry(t *testing.T) {
	n := 0
	flaky := func(err error) func(storage.Driver) storage.Driver {
		n = 0
		return func(d storage.Driver) storage.Driver {
			return &hookGet{d, func() error {
				if n++; n < 3 {
					return err
				}
				return nil
			}}
		}
	}
	w := newWorld(t, 100_000, flaky(errDown))
	if err := w.read(0, 10); err != nil || n != 3 {
		t.Errorf("got %v after %d requests, want success after 3", err, n)
	}
	w = newWorld(t, 100_000, flaky(os.ErrPermission))
	w.from[0].URL = ""
	if err := w.read(0, 10); !errors.Is(err, os.ErrPermission) || n != 1 {
		t.Errorf("got %v after %d requests, want permission denied after 1", err, n)
	}
}

// TestLiarIsAskedOnce: wrong bytes don't become right by waiting.
func TestLiarIsAskedOnce(t *testing.T) {
	for _, n := range []int64{1000, 900_000} {
		w := newWorld(t, 1<<20, lying(storagetest.Garbage))
		c := storagetest.Count(w.from[0].Driver)
		w.from[0].Driver = c
		w.know()
		if err := w.read(0, n); err == nil || c.Gets.Load() != 1 {
			t.Errorf("got %v after %d requests, want an error after 1", err, c.Gets.Load())
		}
		w.wantBlamed("mem://a")
	}
}

type hookGet struct {
	storage.Driver
	hook func() error
}

func (h *hookGet) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if err := h.hook(); err != nil {
		return nil, err
	}
	return h.Driver.Get(ctx, key, off, n)
}

// TestPoisonedRest: a provider gives the wanted bytes right and those around
// them wrong; they are found out when somebody wants them.
func TestPoisonedRest(t *testing.T) {
	w := newWorld(t, 1<<20, good, good)
	w.from[0].Driver = &poisoned{w.from[0].Driver, 1000, 2000}
	if err := w.read(1000, 1000); err != nil {
		t.Fatal(err)
	}
	if err := w.read(5000, 1000); err != nil { // wrong in the cache, then wrong at a, then right at b
		t.Errorf("got %v", err)
	}
	w.wantBlamed("mem://a")
	// Of a range that is here in part: the bad part may be the one that is here.
	w = newWorld(t, 1<<20, good, good)
	w.from[0].Driver = &poisoned{w.from[0].Driver, 1000, 2000}
	if err := w.read(1000, 1000); err != nil {
		t.Fatal(err)
	}
	w.from[0], w.from[1] = w.from[1], w.from[0]
	if err := w.read(60_000, 10_000); err != nil {
		t.Errorf("got %v", err)
	}
	w.wantBlamed() // b gave nothing wrong
	// A whole pack that begins with a poisoned part.
	w = newWorld(t, 1<<20, good, good)
	w.know()
	w.from[0].Driver = &poisoned{w.from[0].Driver, 1000, 2000}
	if err := w.read(1000, 1000); err != nil {
		t.Fatal(err)
	}
	w.from[0], w.from[1] = w.from[1], w.from[0]
	if err := w.read(100_000, 900_000); err != nil {
		t.Errorf("got %v", err)
	}
	w.wantBlamed()
	if len(w.s.Packs()) != 1 {
		t.Error("the pack is not here whole")
	}
}

// A poisoned driver gives only bytes from up to to right.
type poisoned struct {
	storage.Driver
	from, to int64
}

func (p *poisoned) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	b, err := storage.ReadBlob(ctx, p.Driver, key, off, n, MaxSize)
	for i := range b {
		if at := off + int64(i); at < p.from || at >= p.to {
			b[i] ^= 0x55
		}
	}
	return io.NopCloser(bytes.NewReader(b)), err
}

// corrupt changes the local copy of a pack.
func corrupt(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("rotten"), 5000); err != nil {
		t.Fatal(err)
	}
}

func TestCorruptLocalCopy(t *testing.T) {
	w := newWorld(t, 1<<20, good)
	w.know()
	c := storagetest.Count(w.from[0].Driver)
	w.from[0].Driver = c
	if err := w.read(0, 1<<20); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(w.dir, "cached", w.id.String())
	corrupt(t, path)
	if err := w.read(4000, 2000); err != nil {
		t.Errorf("got %v, want that it is fetched again", err)
	}
	if c.Gets.Load() != 2 {
		t.Errorf("got %d requests, want 2", c.Gets.Load())
	}
	w.wantBlamed()
	// Somebody emptied the cache.
	if err := w.read(0, 1<<20); err != nil {
		t.Fatal(err)
	}
	if err := w.s.Close(); err != nil {
		t.Fatal(err)
	}
	w.s = openStore(t, w.dir, 0)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := w.read(4000, 2000); err != nil {
		t.Errorf("got %v, want that it is fetched again", err)
	}
	if err := w.s.Pin(w.id); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that a part can't be pinned", err)
	}
}

// TestCorruptPinned: a pinned copy that rots is never thrown away, but
// exchanged for a good one where there is one, and never uploaded.
func TestCorruptPinned(t *testing.T) {
	w := newWorld(t, 1<<20, good)
	w.know()
	if err := w.read(0, 1<<20); err != nil {
		t.Fatal(err)
	}
	if err := w.s.Pin(w.id); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(w.dir, "staged", w.id.String())
	corrupt(t, path)
	from := w.from
	w.from = nil
	if err := w.read(4000, 2000); err == nil {
		t.Error("rotten bytes were returned")
	}
	if err := w.read(0, 4000); err != nil {
		t.Errorf("the good part of a bad copy: %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the only copy was removed: %v", err)
	}
	if _, _, err := w.s.OpenPack(w.id); err == nil {
		t.Error("a rotten copy was opened for upload")
	}
	w.from = from
	if err := w.read(4000, 2000); err != nil {
		t.Error(err)
	}
	f, _, err := w.s.OpenPack(w.id)
	if err != nil {
		t.Fatalf("the copy was not exchanged: %v", err)
	}
	_ = f.Close()
	if len(w.s.Staged()) != 1 {
		t.Error("the pack is no longer pinned")
	}
}

// TestCorruptCannotBePinned: what is pinned must be right.
func TestCorruptCannotBePinned(t *testing.T) {
	w := newWorld(t, 1<<20, good)
	w.know()
	if err := w.read(0, 1<<20); err != nil {
		t.Fatal(err)
	}
	corrupt(t, filepath.Join(w.dir, "cached", w.id.String()))
	if err := w.s.Pin(w.id); err == nil {
		t.Error("a rotten copy was pinned")
	}
}

// TestWrongReference: who asks for what never was in a pack doesn't make us
// throw away a good copy or blame an honest provider.
func TestWrongReference(t *testing.T) {
	w := newWorld(t, 1<<20, good, good)
	w.know()
	c := storagetest.Count(w.from[0].Driver)
	w.from[0].Driver = c
	if err := w.read(0, 1<<20); err != nil {
		t.Fatal(err)
	}
	never := func([]byte) error { return errCheck }
	blame := func(url string, err error) { t.Errorf("blamed %s: %v", url, err) }
	for _, r := range []struct {
		off, n int64
		want   error
	}{
		{0, 100, errCheck},
		{1<<20 - 10, 20, io.ErrUnexpectedEOF},
		{-1, 10, os.ErrInvalid},
		{0, -1, os.ErrInvalid},
		{MaxSize, 1, os.ErrInvalid},
		{1 << 62, 1 << 62, os.ErrInvalid},
	} {
		if _, err := w.s.Read(t.Context(), w.from, w.id, r.off, r.n, never, blame); !errors.Is(err, r.want) {
			t.Errorf("%+v: got %v", r, err)
		}
	}
	if c.Gets.Load() != 1 || len(w.s.Packs()) != 1 {
		t.Errorf("got %d requests, %d packs", c.Gets.Load(), len(w.s.Packs()))
	}
	// The same when the pack isn't here and is fetched whole.
	w = newWorld(t, 1<<20, good, good)
	w.know()
	if _, err := w.s.Read(t.Context(), w.from, w.id, 0, 900_000, never, func(url string, err error) { t.Errorf("blamed %s: %v", url, err) }); !errors.Is(err, errCheck) {
		t.Errorf("got %v", err)
	}
	if len(w.s.Packs()) != 1 {
		t.Error("a pack that is right was thrown away")
	}
	// A pack that is still being written can't be anywhere else.
	p, err := w.s.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Append(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.s.Read(t.Context(), w.from, p.ID(), 0, 10, never, blame); !errors.Is(err, errCheck) {
		t.Errorf("got %v", err)
	}
}

// TestSingleFlight: many readers of one range fetch it once.
func TestSingleFlight(t *testing.T) {
	for _, n := range []int64{1000, 900_000} {
		w := newWorld(t, 1<<20, slow(50*time.Millisecond))
		w.know()
		c := storagetest.Count(w.from[0].Driver)
		w.from[0].Driver = c
		var wg sync.WaitGroup
		for i := range int64(20) {
			wg.Go(func() {
				if err := w.read(i, n); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if c.Gets.Load() != 1 {
			t.Errorf("got %d requests, want 1", c.Gets.Load())
		}
	}
}

// TestFlightFails: who waited for another's request asks for himself when that
// one was given up.
func TestFlightFails(t *testing.T) {
	w := newWorld(t, 1<<20, slow(60*time.Millisecond))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.readCtx(ctx, 0, 100); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
	})
	time.Sleep(5 * time.Millisecond)
	wg.Go(func() {
		if err := w.read(0, 100); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
}

// TestHedge: a slow provider has the next one asked beside it, and is not
// blamed for it.
func TestHedge(t *testing.T) {
	w := newWorld(t, 1<<20, slow(-1), good)
	w.know()
	w.s.hedge = 10 * time.Millisecond
	start := time.Now()
	for _, n := range []int64{1000, 900_000} {
		if err := w.read(0, n); err != nil {
			t.Error(err)
		}
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
	w.wantBlamed()
}

// TestCloseEndsReads: a store that is closed waits for nobody.
func TestCloseEndsReads(t *testing.T) {
	w := newWorld(t, 1<<20, slow(-1))
	done := make(chan error)
	go func() { done <- w.read(0, 100) }()
	time.Sleep(10 * time.Millisecond)
	if err := w.s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Error("got bytes from nowhere")
	}
	if err := w.read(0, 100); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v, want os.ErrClosed", err)
	}
}

// TestCacheFull: where the cache can't be written what was fetched is returned
// all the same.
func TestCacheFull(t *testing.T) {
	w := newWorld(t, 1<<20, good)
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=100k"); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	defer func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }()
	s, err := Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w.s = s
	w.know()
	for _, n := range []int64{1000, 200_000, 900_000} {
		if err := w.read(0, n); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	w.wantBlamed()
}

// TestEvictedWhileRead: eviction takes nothing from under a reader.
func TestEvictedWhileRead(t *testing.T) {
	w := newWorld(t, 1<<20, good)
	w.s.SetCap(1)
	var wg sync.WaitGroup
	for i := range int64(4) {
		wg.Go(func() {
			for j := range int64(20) {
				if err := w.read((i*20+j)*10_000, 10_000+j*10_000); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if u := w.s.Usage(); u.Cached > 1 {
		t.Errorf("got %+v", u)
	}
}

package storage_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"satchel/storage"
	"satchel/storage/mem"
)

// A gate lets a request through or not.
type gate struct {
	storage.Driver
	err   func(n int) error // of the nth request, from 1
	n     atomic.Int32
	delay time.Duration
}

func (g *gate) wait(ctx context.Context) error {
	n := int(g.n.Add(1))
	select {
	case <-time.After(g.delay):
	case <-ctx.Done():
		return ctx.Err()
	}
	if g.err == nil {
		return nil
	}
	return g.err(n)
}

func (g *gate) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if err := g.wait(ctx); err != nil {
		return nil, err
	}
	return g.Driver.Get(ctx, key, off, n)
}

func (g *gate) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	if err := g.wait(ctx); err != nil {
		return err
	}
	return g.Driver.Put(ctx, key, r, size)
}

func always(err error) func(int) error { return func(int) error { return err } }

func quick(ds ...storage.Driver) *storage.Set {
	ps := make([]storage.Provider, len(ds))
	for i, d := range ds {
		ps[i] = storage.Provider{URL: "x://" + string(rune('a'+i)), Driver: d}
	}
	s := storage.NewSet(ps, 0, 0)
	s.Limits.Pause = time.Millisecond
	return s
}

func TestSetDefaults(t *testing.T) {
	for _, c := range []struct{ n, copies, quorum, wantCopies, wantQuorum int }{
		{1, 0, 0, 1, 1},
		{2, 0, 0, 2, 2},
		{3, 0, 0, 3, 2},
		{5, 2, 0, 2, 2}, // the majority is 3, but only 2 hold it
		{3, 9, 9, 3, 2},
		{3, 3, 3, 3, 3},
		{3, 0, 1, 3, 1},
		{0, 0, 0, 1, 1}, // nobody: nothing is ever at the quorum
	} {
		ps := make([]storage.Provider, c.n, c.n+1)
		for i := range ps {
			ps[i].URL = "x://" + string(rune('a'+i))
		}
		if c.n > 0 {
			ps = append(ps, ps[0]) // named twice, it is still one copy
		}
		s := storage.NewSet(ps, c.copies, c.quorum)
		if s.N() != c.n || s.Copies() != c.wantCopies || s.Quorum() != c.wantQuorum {
			t.Errorf("%+v: got %d, %d, %d", c, s.N(), s.Copies(), s.Quorum())
		}
	}
}

func TestSetPut(t *testing.T) {
	passing := &gate{Driver: mem.New(), err: func(n int) error {
		if n < 3 {
			return syscall.ECONNREFUSED
		}
		return nil
	}}
	refused := &gate{Driver: mem.New(), err: always(os.ErrPermission)}
	down := &gate{Driver: mem.New(), err: always(syscall.ECONNREFUSED)}
	full := &gate{Driver: mem.New(), err: always(syscall.ENOSPC)}
	has := &gate{Driver: mem.New(), err: always(errors.New("asked for what it has"))}
	s := quick(passing, refused, down, full, has)
	rs := s.Put(t.Context(), "profile", strings.NewReader("hello"), 5, func(url string) bool { return url == "x://e" })
	for i, want := range []struct {
		err   error
		tries int32
		g     *gate
	}{{nil, 3, passing}, {os.ErrPermission, 1, refused}, {syscall.ECONNREFUSED, 3, down}, {syscall.ENOSPC, 1, full}, {nil, 0, has}} {
		if rs[i].URL != s.URLs()[i] || !errors.Is(rs[i].Err, want.err) || want.g.n.Load() != want.tries {
			t.Errorf("provider %d: got %v after %d tries, want %v after %d", i, rs[i], want.g.n.Load(), want.err, want.tries)
		}
	}
	if got := len(s.Faults()); got != 3 {
		t.Errorf("got %d faults, want 3: %v", got, s.Faults())
	}
	b, err := storage.ReadBlob(t.Context(), passing.Driver, "profile", 0, -1, 10)
	if err != nil || string(b) != "hello" {
		t.Errorf("got %q, %v: a retry must send the same bytes", b, err)
	}
}

func TestSetPutIsParallel(t *testing.T) {
	s := quick(&gate{Driver: mem.New(), delay: time.Second}, &gate{Driver: mem.New(), delay: time.Second}, &gate{Driver: mem.New(), delay: time.Second})
	start := time.Now()
	for _, r := range s.Put(t.Context(), "profile", strings.NewReader("x"), 1, nil) {
		if r.Err != nil {
			t.Error(r.Err)
		}
	}
	if d := time.Since(start); d > 2500*time.Millisecond {
		t.Errorf("three puts of 1 s took %v", d)
	}
}

func TestSetStopsWithContext(t *testing.T) {
	s := quick(&gate{Driver: mem.New(), err: always(syscall.ECONNREFUSED)})
	s.Limits = storage.Limits{Tries: 1000, Pause: time.Hour, Timeout: time.Hour}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	start := time.Now()
	rs := s.Put(ctx, "profile", strings.NewReader("x"), 1, nil)
	if !errors.Is(rs[0].Err, syscall.ECONNREFUSED) || time.Since(start) > 5*time.Second {
		t.Errorf("got %v after %v, want the provider's error at once", rs[0].Err, time.Since(start))
	}
}

func TestSetTimesOut(t *testing.T) {
	hangs := &gate{Driver: mem.New(), delay: time.Hour}
	s := quick(hangs, mem.New())
	s.Limits = storage.Limits{Tries: 2, Pause: time.Millisecond, Timeout: 20 * time.Millisecond}
	rs := s.Put(t.Context(), "profile", strings.NewReader("x"), 1, nil)
	if !errors.Is(rs[0].Err, context.DeadlineExceeded) || hangs.n.Load() != 2 {
		t.Errorf("got %v after %d tries, want a deadline after 2", rs[0].Err, hangs.n.Load())
	}
	if rs[1].Err != nil {
		t.Error(rs[1].Err)
	}
}

func TestSetGetAll(t *testing.T) {
	a, b, big := mem.New(), mem.New(), mem.New()
	down := &gate{Driver: mem.New(), err: always(syscall.ECONNREFUSED)}
	put := func(d storage.Driver, s string) {
		if err := d.Put(t.Context(), "profile", strings.NewReader(s), int64(len(s))); err != nil {
			t.Fatal(err)
		}
	}
	put(a, "old")
	put(b, "newer")
	put(big, "too large")
	s := quick(a, b, mem.New(), down, big)
	copies := s.GetAll(t.Context(), "profile", 5)
	for i, want := range []struct {
		data string
		err  error
	}{{"old", nil}, {"newer", nil}, {"", os.ErrNotExist}, {"", syscall.ECONNREFUSED}, {"", storage.ErrTooLarge}} {
		c := copies[i]
		if c.URL != s.URLs()[i] || string(c.Data) != want.data || !errors.Is(c.Err, want.err) {
			t.Errorf("copy %d: got %+v, want %+v", i, c, want)
		}
	}
}

func TestSetDoesNotWaitForTheSlow(t *testing.T) {
	slow := &gate{Driver: mem.New(), delay: time.Hour}
	s := quick(mem.New(), slow, mem.New())
	s.Limits.Grace = 20 * time.Millisecond
	start := time.Now()
	copies := s.GetAll(t.Context(), "profile", 5)
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("waited %v", d)
	}
	for i, want := range []bool{true, false, true} {
		if errors.Is(copies[i].Err, os.ErrNotExist) != want {
			t.Errorf("copy %d: got %v", i, copies[i].Err)
		}
	}
	if f := s.Faults(); len(f) != 1 || f[0].URL != "x://b" {
		t.Errorf("got faults %v, want the slow provider's", f)
	}
}

func TestSetOrder(t *testing.T) {
	s := quick(mem.New(), mem.New(), mem.New())
	order := func() (got string) {
		for p := range s.Each() {
			got += p.URL[4:]
		}
		return got
	}
	if got := order(); got != "abc" {
		t.Errorf("got %s, want abc", got)
	}
	s.Blame("x://a", io.ErrUnexpectedEOF)
	if got := order(); got != "bca" {
		t.Errorf("got %s, want bca: who lied is asked last", got)
	}
	if f := s.Faults(); len(f) != 1 || f[0].URL != "x://a" || f[0].Err != io.ErrUnexpectedEOF {
		t.Errorf("got %v", f)
	}
	if got := strings.Join(s.URLs(), ""); got != "x://ax://bx://c" {
		t.Errorf("got %s: URLs keep their order", got)
	}
}

func TestSetFaultEnds(t *testing.T) {
	g := &gate{Driver: mem.New(), err: func(n int) error {
		if n <= 3 {
			return syscall.ECONNREFUSED
		}
		return nil
	}}
	s := quick(g)
	s.Put(t.Context(), "profile", bytes.NewReader(nil), 0, nil)
	if len(s.Faults()) != 1 {
		t.Fatalf("got %v, want a fault", s.Faults())
	}
	s.Put(t.Context(), "profile", bytes.NewReader(nil), 0, nil)
	if len(s.Faults()) != 0 {
		t.Errorf("got %v, want none: it works again", s.Faults())
	}
	for _, r := range s.Delete(t.Context(), "profile") {
		if r.Err != nil {
			t.Error(r.Err)
		}
	}
}

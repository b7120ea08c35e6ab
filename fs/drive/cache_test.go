package drive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"satchel/fs/drive"
	. "satchel/fs/drive/drivetest"
)

func status(t *testing.T, d *drive.Drive) drive.Status {
	t.Helper()
	s, err := d.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// join opens the drive of alice.id with options that change makes.
func join(t *testing.T, w *World, change func(*drive.Options)) (Actor, *Person) {
	t.Helper()
	p := w.Person("alice.id", "a")
	o := p.Options()
	change(&o)
	d, err := drive.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	p.Register(d)
	return As(t, d), p
}

// The cap is lowered while files are read; none of them is torn or missing.
func TestCapLoweredWhileRead(t *testing.T) {
	a, _ := join(t, New(t), func(o *drive.Options) { o.CacheBytes = 1 << 30 })
	const files = 8
	for i := range files {
		a.Write(fmt.Sprintf("Private/f%d", i), text(uint64(i), 3<<20/2))
		a.Wait() // a pack of its own
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for r := range 3 {
		wg.Go(func() {
			for i := r; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				got, err := a.Read(fmt.Sprintf("Private/f%d", i%files))
				if err != nil || got != text(uint64(i%files), 3<<20/2) {
					t.Errorf("file %d: %d bytes, %v", i%files, len(got), err)
					return
				}
			}
		})
	}
	for _, mib := range []int64{8, 4, 2, 20, 1} {
		a.D.SetCache(mib << 20)
		time.Sleep(100 * time.Millisecond)
	}
	close(stop)
	wg.Wait()
	if c := status(t, a.D).Cache; c.Used > c.Cap || c.Cap != 1<<20 {
		t.Errorf("got %+v", c)
	}
}

// Offline, what is written is kept whatever the cap; online, the cap counts again.
func TestOfflineOverTheCap(t *testing.T) {
	w := New(t)
	a, p := join(t, w, func(o *drive.Options) { o.CacheBytes = 1 << 20 })
	a.Wait()
	w.Swap("a", down)
	const files = 5
	for i := range files {
		a.Write(fmt.Sprintf("Private/f%d", i), text(uint64(i), 1<<20))
		if err := a.D.CommitAll(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	s := status(t, a.D)
	if s.Cache.Unstored < files<<20 || s.Cache.Cap != 1<<20 || s.Waiting.Bytes < files<<20 || s.Waiting.Packs < files {
		t.Errorf("got %+v, %+v", s.Cache, s.Waiting)
	}
	if pr := s.Providers[0]; pr.Bytes != s.Waiting.Bytes || pr.Packs != s.Waiting.Packs {
		t.Errorf("provider: got %+v, want all of %+v", pr, s.Waiting)
	}
	if err := a.D.Close(); err != nil {
		t.Fatal(err)
	}
	o := p.Options()
	o.CacheBytes = 1 << 20
	d, err := drive.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	a = As(t, d)
	for i := range files {
		a.Want(fmt.Sprintf("Private/f%d", i), text(uint64(i), 1<<20))
	}
	w.Swap("a", nil)
	a.Wait()
	s = status(t, a.D)
	if s.Cache.Unstored != 0 || s.Cache.Used > s.Cache.Cap || s.Waiting != (drive.Waiting{}) || s.Providers[0].Packs != 0 {
		t.Errorf("got %+v, %+v", s.Cache, s.Waiting)
	}
	if s.Traffic.Sent < files<<20 || s.Providers[0].Sent != s.Traffic.Sent {
		t.Errorf("got %+v, %+v", s.Traffic, s.Providers[0])
	}
	for i := range files {
		a.Want(fmt.Sprintf("Private/f%d", i), text(uint64(i), 1<<20))
	}
	if s := status(t, a.D); s.Traffic.Received < 4<<20 {
		t.Errorf("got %+v", s.Traffic)
	}
}

// What somebody deletes from the cache, cuts or overwrites is fetched again.
func TestDamagedCacheIsFetchedAgain(t *testing.T) {
	want := text(1, 3<<20)
	for name, harm := range map[string]func(string) error{
		"deleted": os.Remove,
		"cut":     func(p string) error { return os.Truncate(p, 1000) },
		"empty":   func(p string) error { return os.Truncate(p, 0) },
		"garbage": func(p string) error {
			i, err := os.Stat(p)
			if err != nil {
				return err
			}
			return os.WriteFile(p, []byte(text(9, int(i.Size()))), 0o600)
		},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprint(name, restart), func(t *testing.T) {
				a, p := join(t, New(t), func(o *drive.Options) { o.CacheBytes = 1 << 30 })
				a.Write("Private/f", want)
				a.Wait()
				if restart {
					if err := a.D.Close(); err != nil {
						t.Fatal(err)
					}
				}
				files, err := filepath.Glob(filepath.Join(p.Dir, "cache", "packs", "*", "????????????????*"))
				if err != nil || len(files) == 0 {
					t.Fatalf("no cache: %v", err)
				}
				for _, f := range files {
					if err := harm(f); err != nil {
						t.Fatal(err)
					}
				}
				if restart {
					d := p.Open()
					t.Cleanup(func() { d.Close() })
					a = As(t, d)
				}
				a.Want("Private/f", want)
			})
		}
	}
}

func TestFsyncReachesTheQuorum(t *testing.T) {
	w := New(t)
	a, _ := join(t, w, func(o *drive.Options) { o.SyncRemote = 20 * time.Second })
	a.Wait()
	a.Write("Private/f", "one")
	if err := a.Node("Private/f").Fsync(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := a.Xattr("Private/f", "user.satchel.state"); got != "stored 1/1" {
		t.Errorf("after fsync the file is %q", got)
	}
	if s := status(t, a.D); !s.Sync.Remote || s.Sync.Error != "" || s.Waiting.Packs+s.Waiting.Heads > 0 {
		t.Errorf("got %+v, %+v", s.Sync, s.Waiting)
	}
}

// With a dead network fsync fails in time, for whatever reason, with an error
// that is EIO, and all is kept.
func TestFsyncWithoutNetwork(t *testing.T) {
	w := New(t)
	var log syncBuffer
	a, p := join(t, w, func(o *drive.Options) { o.SyncRemote, o.Log = time.Second, log.logger() })
	a.Wait()
	w.Swap("a", down)
	a.Write("Private/f", "one")
	begin := time.Now()
	err := a.Node("Private/f").Fsync(context.Background())
	var n syscall.Errno
	if err == nil || errors.As(err, &n) || time.Since(begin) > 10*time.Second {
		t.Fatalf("fsync: %v after %v", err, time.Since(begin))
	}
	if s := status(t, a.D).Sync.Error; !strings.Contains(s, "safe on this machine") || !strings.Contains(log.String(), s) {
		t.Errorf("status says %q, the log %q", s, log.String())
	}
	// Interrupted it says that and nothing else.
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	canceled, stop := context.WithCancel(context.Background())
	context.AfterFunc(ctx, stop)
	if err := a.Node("Private/f").Fsync(canceled); err != context.Canceled {
		t.Errorf("interrupted: %v", err)
	}
	// Everything is there after a restart, and is stored when the network is back.
	if err := a.D.Close(); err != nil {
		t.Fatal(err)
	}
	w.Swap("a", nil)
	o := p.Options()
	o.SyncRemote = 20 * time.Second
	d, err := drive.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	a = As(t, d)
	a.Want("Private/f", "one")
	if err := a.Node("Private/f").Fsync(context.Background()); err != nil {
		t.Error(err)
	}
	if s := status(t, d); s.Sync.Error != "" {
		t.Errorf("got %+v", s.Sync)
	}
}

// A syncBuffer is a log that can be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *syncBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(s, nil)) }

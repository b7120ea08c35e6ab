package test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"satchel/test/testenv"
)

// badProviders are the ways in which a provider of alice's misbehaves. Each gets
// what was stored when bob had not read anything yet, and what stands at another
// device's locator.
var badProviders = []struct {
	name string
	// seen: bob has read the newest state before, for only then an old one is
	// known to be old. quiet: one answer alone doesn't show that it is wrong.
	seen, quiet bool
	lie         func(old map[string][]byte, other []byte) func(key string, stored []byte) ([]byte, int)
}{
	{"garbage", false, false, func(map[string][]byte, []byte) func(string, []byte) ([]byte, int) {
		return func(key string, stored []byte) ([]byte, int) {
			return bytes.Repeat([]byte("garbage "), 100), http.StatusOK
		}
	}},
	{"old state", true, false, func(old map[string][]byte, _ []byte) func(string, []byte) ([]byte, int) {
		return func(key string, stored []byte) ([]byte, int) {
			if data, ok := old[key]; ok {
				return data, http.StatusOK
			}
			return stored, code(stored)
		}
	}},
	{"another's head", false, false, func(_ map[string][]byte, other []byte) func(string, []byte) ([]byte, int) {
		return func(key string, stored []byte) ([]byte, int) {
			if strings.HasPrefix(key, "h/") {
				return other, http.StatusOK
			}
			return stored, code(stored)
		}
	}},
	{"truncated packs", false, false, func(map[string][]byte, []byte) func(string, []byte) ([]byte, int) {
		return func(key string, stored []byte) ([]byte, int) {
			if strings.HasPrefix(key, "p/") {
				stored = stored[:len(stored)/2]
			}
			return stored, code(stored)
		}
	}},
	{"changed packs", false, false, func(map[string][]byte, []byte) func(string, []byte) ([]byte, int) {
		return func(key string, stored []byte) ([]byte, int) {
			stored = bytes.Clone(stored)
			if strings.HasPrefix(key, "p/") {
				for i := 0; i < len(stored); i += 50 {
					stored[i] ^= 1
				}
			}
			return stored, code(stored)
		}
	}},
	{"errors", false, false, func(map[string][]byte, []byte) func(string, []byte) ([]byte, int) {
		return func(string, []byte) ([]byte, int) { return nil, http.StatusInternalServerError }
	}},
	{"nothing there", true, true, func(map[string][]byte, []byte) func(string, []byte) ([]byte, int) {
		return func(string, []byte) ([]byte, int) { return nil, http.StatusNotFound }
	}},
}

func code(stored []byte) int {
	if stored == nil {
		return http.StatusNotFound
	}
	return http.StatusOK
}

// One of two providers misbehaves: the other one is used, the bad one is named,
// and nothing false is shown.
func TestBadProviderBesideGoodOne(t *testing.T) {
	w := testenv.New(t)
	bad, good := w.Blobs("bad"), w.Blobs("good")
	alice := w.Citizen("alice.id", append(bad.Flags(), good.Flags()...)...)
	bob := w.Citizen("bob.id")
	alice.Write("People/bob.id/file", "version one")
	alice.Wait()
	bob.WantRead("People/alice.id/file", "version one")
	other := anotherHead(t, w)
	for _, b := range badProviders {
		old := bad.Snapshot()
		alice.Write("People/bob.id/file", "before "+b.name)
		alice.Wait()
		bob.WantRead("People/alice.id/file", "before "+b.name)
		bad.Lie(b.lie(old, other))
		alice.Write("People/bob.id/file", "during "+b.name)
		alice.Sh(`head -c 3000000 /dev/urandom > People/bob.id/blob`)
		alice.Wait()
		sum := alice.Sh(`sha256sum < People/bob.id/blob`)
		w.Eventually(func() error { return errOf(bob.Satchel("sync")) })
		bob.WantRead("People/alice.id/file", "during "+b.name)
		if got := bob.Sh(`sha256sum < People/alice.id/blob`); got != sum {
			t.Errorf("%s: bob reads other bytes than alice wrote", b.name)
		}
		w.Eventually(func() error {
			r := bob.Satchel("status").Has(bad.URL)
			if b.quiet || r.Code == 0 {
				return nil
			}
			// The good one may just have been faster: give the bad one another chance.
			alice.Sh(`head -c 1000000 /dev/urandom > People/bob.id/more`)
			alice.Wait()
			bob.Try(`cat People/alice.id/more > /dev/null`)
			return fmt.Errorf("%s is not named: %w", b.name, errOf(r))
		})
		bad.Lie(nil)
	}
	if bob.PID() == 0 || alice.PID() == 0 {
		t.Fatal("a drive ended")
	}
}

// The only provider misbehaves: what was read before stays, what is new is not
// shown or can't be read, and afterwards all is well.
func TestBadProviderAlone(t *testing.T) {
	for _, b := range badProviders {
		t.Run(strings.ReplaceAll(b.name, " ", "-"), func(t *testing.T) {
			w := testenv.New(t)
			blobs := w.Blobs("alice")
			alice := w.Citizen("alice.id", blobs.Flags()...)
			bob := w.Citizen("bob.id")
			alice.Write("People/bob.id/file", "version one")
			alice.Wait()
			bob.WantRead("People/alice.id/file", "version one")
			old := blobs.Snapshot()
			other := anotherHead(t, w)
			if !b.seen {
				bob.Unmount()
			}
			alice.Write("People/bob.id/file", "version two")
			alice.Sh(`head -c 3000000 /dev/urandom > People/bob.id/blob`)
			alice.Wait()
			sum := alice.Sh(`sha256sum < People/bob.id/blob`)
			if b.seen {
				bob.WantRead("People/alice.id/file", "version two")
			}

			blobs.Lie(b.lie(old, other))
			if !b.seen {
				bob.MountDrive()
			}
			bob.Satchel("sync") // it may fail, it must not lie
			if r := bob.Try(`cat People/alice.id/file`); r.Code == 0 && r.Out != "version two" && (b.seen || r.Out != "version one") {
				t.Errorf("bob was shown %q", r.Out)
			}
			if r := bob.Try(`sha256sum < People/alice.id/blob`); r.Code == 0 && r.Out != sum {
				t.Errorf("bob was shown other bytes than alice wrote: %v", r)
			}
			if status := bob.Satchel("status").Want(t, 0); !b.quiet {
				status.Want(t, 0, blobs.URL)
			}

			blobs.Lie(nil)
			bob.WantRead("People/alice.id/file", "version two")
			w.Eventually(func() error {
				return errOf(bob.Try(`test "$(sha256sum < People/alice.id/blob)" = "$1"`, strings.TrimSpace(sum)))
			})
		})
	}
}

// anotherHead returns a valid head of somebody else's.
func anotherHead(t *testing.T, w *testenv.World) []byte {
	t.Helper()
	blobs := w.Blobs("carol")
	carol := w.Citizen("carol.id", blobs.Flags()...)
	carol.Write("Private/x", "x")
	carol.Wait()
	carol.Unmount()
	for key, data := range blobs.Snapshot() {
		if strings.HasPrefix(key, "h/") {
			return data
		}
	}
	t.Fatal("carol's drive put no head")
	return nil
}

func errOf(r testenv.Result) error {
	if r.Code != 0 {
		return &resultError{r}
	}
	return nil
}

type resultError struct{ r testenv.Result }

func (e *resultError) Error() string { return e.r.String() }

// A provider that can't be reached: the drive works, says so, and stores later.
func TestUnreachableProvider(t *testing.T) {
	w := testenv.New(t)
	one, two := w.Blobs("one"), w.Blobs("two")
	alice := w.Citizen("alice.id", append(one.Flags(), two.Flags()...)...)
	two.SetDown(true)
	alice.Write("Private/file", "text")
	alice.WantRead("Private/file", "text")
	alice.Satchel("wait", "--timeout", "2s").Want(t, 9)
	alice.Satchel("status").Want(t, 0, two.URL)
	two.SetDown(false)
	alice.Wait()
}

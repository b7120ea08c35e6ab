package subdomain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"satchel/chain"
	"satchel/chain/zonefile"
)

// office is a registrar of friends.id in a world, with a store of its own that
// everybody has zone files from.
func office(t *testing.T, w *world, dir string) *Registrar {
	t.Helper()
	return &Registrar{
		Name: "friends.id", Params: rules, Resolver: &Resolver{Table: w, Fetch: w.fetch}, Dir: dir, Log: slog.New(slog.DiscardHandler),
		Zone: func(context.Context) ([]byte, error) {
			list := w.history["friends.id"]
			return w.files[*list[len(list)-1].Value], nil
		},
		Update: func(_ context.Context, zone []byte) error { w.put("friends.id", zone); return nil },
		Keep:   func(data []byte) error { w.files[zonefile.Hash(data)] = data; return nil },
		Put:    func(context.Context, []byte) error { return nil },
	}
}

// asking makes a record 0 with its zone file.
func asking(t *testing.T, name chain.Name, word string) (*Record, []byte) {
	t.Helper()
	zone := fmt.Appendf(nil, "$ORIGIN %s\n; of %s\n", name, word)
	r, err := Next(rules, nil, Record{Name: name, Owner: ownerOf(word), Value: zonefile.Hash(zone), Via: []chain.Name{"friends.id"}}, newKey(word))
	if err != nil {
		t.Fatal(err)
	}
	return r, zone
}

func TestRegistrar(t *testing.T) {
	w := newWorld(t)
	w.update("friends.id")
	g := office(t, w, filepath.Join(t.TempDir(), "queue"))
	s := httptest.NewServer(g.Handler())
	defer s.Close()

	ada, zone := asking(t, "ada.friends.id", "ada")
	eve, evesZone := asking(t, "ada.friends.id", "eve")
	for range 2 {
		if err := Submit(t.Context(), s.URL, ada, zone); err != nil {
			t.Fatal(err)
		}
	}
	if st, err := os.Stat(g.path("ada.friends.id")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the queue: %v, %v", st, err)
	}
	wrong := map[string]error{
		"somebody else's": Submit(t.Context(), s.URL, eve, evesZone),
		"another zone":    Submit(t.Context(), s.URL, ada, evesZone),
	}
	forged := *ada
	forged.Sig[0] ^= 1
	wrong["forged"] = Submit(t.Context(), s.URL, &forged, zone)
	foreign, foreignZone := asking(t, "ada.enemies.id", "ada")
	wrong["another name's"] = Submit(t.Context(), s.URL, foreign, foreignZone)
	for what, err := range wrong {
		if !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for path, want := range map[string]int{"/record/ada.friends.id": 200, "/record/bob.friends.id": 404, "/record/x": 400} {
		if resp, err := http.Get(s.URL + path); err != nil || resp.StatusCode != want {
			t.Errorf("%s: %v, %v; want %d", path, resp, err, want)
		}
	}
	for what, body := range map[string]string{"garbage": "{", "too long": `{"record": "` + strings.Repeat("x", maxRequest) + `"}`} {
		if resp, err := http.Post(s.URL+"/record", "", strings.NewReader(body)); err != nil || resp.StatusCode != 400 {
			t.Errorf("%s: %v, %v", what, resp, err)
		}
	}

	for i := range 30 {
		word := fmt.Sprintf("n%d", i)
		r, zone := asking(t, chain.Name(word+".friends.id"), word)
		if err := Submit(t.Context(), s.URL, r, zone); err != nil {
			t.Fatal(err)
		}
	}
	before := len(w.history["friends.id"])
	if err := g.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(w.history["friends.id"]); got != before+1 {
		t.Errorf("%d transactions for 31 names", got-before)
	}
	if s, err := w.resolve(); err != nil || s.Line() != ada.Line() {
		t.Errorf("published: %+v, %v", s, err)
	}
	if left, err := g.waiting(); err != nil || len(left) > 0 {
		t.Errorf("%d wait still, %v", len(left), err)
	}
	if err := g.Publish(t.Context()); err != nil || len(w.history["friends.id"]) != before+1 {
		t.Errorf("nothing to publish: %v", err)
	}
	if err := Submit(t.Context(), s.URL, eve, evesZone); !errors.Is(err, ErrRecord) {
		t.Errorf("a name that is taken: %v", err)
	}
}

// TestRegistrarGoesOn breaks off at each step: what was taken is published once.
func TestRegistrarGoesOn(t *testing.T) {
	boom := errors.New("the power is gone")
	for at := range 4 {
		w := newWorld(t)
		w.update("friends.id")
		dir := t.TempDir()
		g := office(t, w, dir)
		ada, zone := asking(t, "ada.friends.id", "ada")
		if err := g.queue(t.Context(), submissionOf(ada, zone)); err != nil {
			t.Fatal(err)
		}
		g.Update = func(_ context.Context, zone []byte) error {
			if at == 0 {
				return boom
			}
			w.put("friends.id", zone)
			if at == 1 {
				return boom
			}
			return nil
		}
		puts := 0
		g.Put = func(context.Context, []byte) error {
			if puts++; puts == at {
				return boom
			}
			return nil
		}
		if err := g.Publish(t.Context()); !errors.Is(err, boom) && at < 3 {
			t.Fatalf("%d: %v", at, err)
		}
		again := office(t, w, dir)
		stored := 0
		again.Put = func(context.Context, []byte) error { stored++; return nil }
		if err := again.Publish(t.Context()); err != nil {
			t.Fatalf("%d: %v", at, err)
		}
		v := &Resolver{Table: w, Fetch: w.fetch}
		if s, err := v.Resolve(t.Context(), "ada.friends.id"); err != nil || s.Sig != ada.Sig {
			t.Errorf("%d: %+v, %v", at, s, err)
		}
		if n := len(w.history["friends.id"]); n != 2 {
			t.Errorf("%d: %d zone files, want 2", at, n)
		}
		if left, _ := again.waiting(); len(left) > 0 {
			t.Errorf("%d: it waits still", at)
		}
	}
}

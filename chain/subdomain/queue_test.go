package subdomain

import (
	"context"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"satchel/chain"
	"satchel/chain/zonefile"
)

// TestQueueKeepsNewer takes a record while the one in whose place it comes is found
// to be late.
func TestQueueKeepsNewer(t *testing.T) {
	w := newWorld(t)
	w.update("friends.id")
	w.update("friends.id", w.record(nil, "ada", "ada", 1, "friends.id", "other.id"))
	s := w.want("given", "ada", 0, 1)
	g := office(t, w, filepath.Join(t.TempDir(), "queue"))
	srv := httptest.NewServer(g.Handler())
	defer srv.Close()
	follow := func(s *State, zone string) *Record {
		r, err := Next(rules, s, Record{Name: "ada.friends.id", Owner: ownerOf("ada"), Value: zonefile.Hash([]byte(zone)),
			Via: []chain.Name{"friends.id", "other.id"}}, newKey("ada"))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if err := Submit(t.Context(), srv.URL, follow(s, "first"), []byte("first")); err != nil {
		t.Fatal(err)
	}
	elsewhere := follow(s, "elsewhere") // another carrier was faster
	w.update("other.id", elsewhere)
	newer := follow(after(s, elsewhere), "newer")
	took := false
	g.Zone = func(zone func(context.Context) ([]byte, error)) func(context.Context) ([]byte, error) {
		return func(ctx context.Context) ([]byte, error) {
			if !took {
				took = true
				if err := Submit(ctx, srv.URL, newer, []byte("newer")); err != nil {
					t.Error(err)
				}
			}
			return zone(ctx)
		}
	}(g.Zone)
	for range 2 {
		if err := g.Publish(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if s, err := w.resolve(); err != nil || s.Line() != newer.Line() || !took {
		t.Errorf("the record that was taken is lost: %+v, %v", s, err)
	}
}

package subdomain

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"

	"satchel/chain"
	"satchel/chain/zonefile"
)

// ask queues a record 0.
func (g *Registrar) ask(t *testing.T, name chain.Name, word string) {
	t.Helper()
	r, zone := asking(t, name, word)
	if err := g.queue(t.Context(), submissionOf(r, zone)); err != nil {
		t.Fatal(err)
	}
}

// TestSentReachesOthers ends a process while its transaction waits for its block: what
// others can have of the chain must not miss a zone file. What they have is public.
func TestSentReachesOthers(t *testing.T) {
	stop := errors.New("the process ends")
	for _, tc := range []struct {
		what  string
		more  int // names that are asked for, besides ada
		other bool
		zones int // on the chain at the end, besides the first
	}{
		{"the same is sent again", 0, false, 2},
		{"a file of records too", 20, false, 2},
		{"its owner gave it another zone file", 0, true, 3},
	} {
		w := newWorld(t)
		w.update("friends.id")
		public := make(map[[20]byte][]byte)
		put := func(_ context.Context, b []byte) error { public[zonefile.Hash(b)] = b; return nil }
		for _, b := range w.files {
			_ = put(t.Context(), b)
		}
		dir := filepath.Join(t.TempDir(), "queue")
		g := office(t, w, dir)
		g.Put = put
		var sent []byte
		g.Update = func(_ context.Context, zone []byte) error { sent = zone; return stop }
		g.ask(t, "ada.friends.id", "ada")
		for i := range tc.more {
			g.ask(t, chain.Name("x"+string(rune('a'+i))+".friends.id"), "x")
		}
		if err := g.Publish(t.Context()); !errors.Is(err, stop) {
			t.Fatal(err)
		}

		g = office(t, w, dir)
		g.Put = put
		g.ask(t, "bob.friends.id", "bob")
		confirm := func(zone []byte) {
			if has, _ := g.onChain(); !has[zonefile.Hash(zone)] {
				w.put("friends.id", zone)
			}
		}
		if tc.other {
			_ = put(t.Context(), w.files[w.update("friends.id")])
		}
		first := true
		g.Update = func(_ context.Context, zone []byte) error {
			if again := bytes.Equal(zone, sent); first && again == tc.other {
				t.Errorf("%s: the same zone file: %v", tc.what, again)
			}
			first = false
			confirm(sent)
			confirm(zone)
			return nil
		}
		for range 2 {
			if err := g.Publish(t.Context()); err != nil {
				t.Errorf("%s: %v", tc.what, err)
			}
		}
		others := &Resolver{Table: w, Fetch: (&world{files: public}).fetch}
		for _, n := range []chain.Name{"ada.friends.id", "bob.friends.id"} {
			if _, err := others.Resolve(t.Context(), n); err != nil {
				t.Errorf("%s: %v", tc.what, err)
			}
		}
		if n := len(w.history["friends.id"]); n != 1+tc.zones {
			t.Errorf("%s: %d zone files", tc.what, n)
		}
		if left, err := g.sent(); err != nil || len(left) > 0 {
			t.Errorf("%s: %d zone files are not handed over, %v", tc.what, len(left), err)
		}
		if left, err := g.waiting(); err != nil || len(left) > 0 {
			t.Errorf("%s: %d wait, %v", tc.what, len(left), err)
		}
	}
}

// TestSentIsNotReplaced asks for another record in place of one that may be on the
// chain any time: it would be lost, so it isn't taken.
func TestSentIsNotReplaced(t *testing.T) {
	w := newWorld(t)
	w.update("friends.id")
	g := office(t, w, t.TempDir())
	g.ask(t, "ada.friends.id", "ada")
	replace := func() error {
		zone := []byte("another")
		r, err := Next(rules, nil, Record{Name: "ada.friends.id", Owner: ownerOf("ada"), Value: zonefile.Hash(zone), Via: []chain.Name{"friends.id"}}, newKey("ada"))
		if err != nil {
			t.Fatal(err)
		}
		return g.queue(t.Context(), submissionOf(r, zone))
	}
	if err := replace(); err != nil {
		t.Errorf("before it is sent: %v", err)
	}
	g.ask(t, "ada.friends.id", "ada")
	stop := errors.New("no coins")
	g.Update = func(context.Context, []byte) error { return stop }
	if err := g.Publish(t.Context()); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if err := replace(); !errors.Is(err, errSent) {
		t.Errorf("when it is sent: %v", err)
	}
	g.ask(t, "ada.friends.id", "ada")
}

// TestSentWaitsForItsPlace gives what was sent away as often as it takes.
func TestSentWaitsForItsPlace(t *testing.T) {
	w := newWorld(t)
	w.update("friends.id")
	g := office(t, w, t.TempDir())
	g.ask(t, "ada.friends.id", "ada")
	away := errors.New("nobody takes it")
	var taken error
	update := g.Update
	g.Update = func(ctx context.Context, zone []byte) error { taken = away; return update(ctx, zone) }
	g.Put = func(context.Context, []byte) error { return taken }
	for range 3 {
		if err := g.Publish(t.Context()); !errors.Is(err, away) {
			t.Errorf("away: %v", err)
		}
		if left, err := g.sent(); err != nil || len(left) != 1 {
			t.Errorf("%d are to be handed over, %v", len(left), err)
		}
	}
	taken = nil
	if err := g.Publish(t.Context()); err != nil {
		t.Error(err)
	}
	if left, err := g.sent(); err != nil || len(left) > 0 {
		t.Errorf("%d are to be handed over still, %v", len(left), err)
	}
	if n := len(w.history["friends.id"]); n != 2 {
		t.Errorf("%d zone files, want 2", n)
	}
}

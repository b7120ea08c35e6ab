package subdomain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

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

// TestQueueLargerThanBatch fills the queue with more than one file of records holds.
func TestQueueLargerThanBatch(t *testing.T) {
	w := newWorld(t)
	w.update("friends.id")
	g := office(t, w, t.TempDir())
	via := []chain.Name{"friends.id"}
	for i := range 3 {
		via = append(via, chain.Name(fmt.Sprintf("a%033d.id", i)))
	}
	zone := []byte("eve's")
	size := 0
	for i := 0; size <= MaxBatch; i++ {
		r, err := Next(rules, nil, Record{Name: chain.Name(fmt.Sprintf("a%024d.friends.id", i)), Owner: ownerOf("eve"),
			Value: zonefile.Hash(zone), Via: via}, newKey("eve"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(submissionOf(r, zone))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(g.path(r.Name), b, 0o600); err != nil { // what takes one syncs it
			t.Fatal(err)
		}
		size += len(r.Line()) + 1
	}
	g.ask(t, "ada.friends.id", "ada")
	for i := range 2 {
		if err := g.Publish(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left, err := g.waiting(); err != nil || (len(left) == 0) != (i == 1) {
			t.Errorf("%d: %d wait, %v", i, len(left), err)
		}
	}
	if _, err := w.resolve(); err != nil {
		t.Error(err)
	}
	for h, b := range w.files {
		if len(b) > MaxBatch {
			t.Errorf("%x: %d bytes", h, len(b))
		}
	}
}

// TestQueueIsBounded takes nothing more when the queue is as large as it may be, but
// what comes in place of something else.
func TestQueueIsBounded(t *testing.T) {
	w := newWorld(t)
	w.update("friends.id")
	g := office(t, w, t.TempDir())
	g.ask(t, "ada.friends.id", "ada")
	st, err := os.Stat(g.path("ada.friends.id"))
	if err != nil {
		t.Fatal(err)
	}
	large := g.path("large.friends.id")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, zone := asking(t, "bob.friends.id", "bob")
	if err := os.Truncate(large, maxQueue-2*st.Size()+1); err != nil { // bob's is as long as ada's
		t.Fatal(err)
	}
	g = office(t, w, g.Dir) // counts once
	if err := g.queue(t.Context(), submissionOf(r, zone)); !errors.Is(err, errFull) {
		t.Errorf("one more: %v", err)
	}
	again := []byte("shorter")
	mine, err := Next(rules, nil, Record{Name: "ada.friends.id", Owner: ownerOf("ada"), Value: zonefile.Hash(again), Via: r.Via}, newKey("ada"))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.queue(t.Context(), submissionOf(mine, again)); err != nil {
		t.Errorf("in place of another one: %v", err)
	}
	if err := g.queue(t.Context(), submissionOf(r, zone)); err != nil {
		t.Errorf("when there is room: %v", err)
	}
}

// TestQueueOldestFirst has names that come first by their letters wait for others.
func TestQueueOldestFirst(t *testing.T) {
	w := newWorld(t)
	w.update("friends.id")
	g := office(t, w, t.TempDir())
	for i, n := range []chain.Name{"zoe.friends.id", "ada.friends.id", "bob.friends.id"} {
		g.ask(t, n, n.Label())
		at := time.Unix(int64(1000+i), 0)
		if err := os.Chtimes(g.path(n), at, at); err != nil {
			t.Fatal(err)
		}
	}
	list, err := g.waiting()
	if err != nil || len(list) != 3 || list[0].r.Name != "zoe.friends.id" || list[2].r.Name != "bob.friends.id" {
		t.Errorf("%v, %v", list, err)
	}
}

// TestQueueTakesAnyBytes hands in zone files of the greatest length whose JSON is long,
// or which are no text at all.
func TestQueueTakesAnyBytes(t *testing.T) {
	for what, char := range map[string]string{"control characters": "\x01", "escaped ones": "<", "no UTF-8": "\xff", "Latin": "a"} {
		w := newWorld(t)
		w.update("friends.id")
		g := office(t, w, t.TempDir())
		srv := httptest.NewServer(g.Handler())
		zone := bytes.Repeat([]byte(char), zonefile.MaxSize)
		put := make(map[string]bool)
		g.Put = func(_ context.Context, b []byte) error { put[string(b)] = true; return nil }
		r, err := Next(rules, nil, Record{Name: "ada.friends.id", Owner: ownerOf("ada"), Value: zonefile.Hash(zone), Via: []chain.Name{"friends.id"}}, newKey("ada"))
		if err != nil {
			t.Fatal(err)
		}
		if err := Submit(t.Context(), srv.URL, r, zone); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if err := g.Publish(t.Context()); err != nil || !put[string(zone)] {
			t.Errorf("%s: it is not handed over, %v", what, err)
		}
		srv.Close()
	}
}

// TestQueueKeepsUnsure loses sight of the record that one in the queue follows: it
// waits, and is published when that is there again.
func TestQueueKeepsUnsure(t *testing.T) {
	w := newWorld(t)
	w.update("friends.id", w.record(nil, "ada", "ada", 1, "friends.id", "other.id"))
	first := w.want("given", "ada", 0, 1)
	h := w.update("other.id", w.record(first, "ada", "ada", 2, "friends.id", "other.id"))
	s := w.want("elsewhere", "ada", 1, 2)
	zone := []byte("ada's")
	r, err := Next(rules, s, Record{Name: "ada.friends.id", Owner: ownerOf("ada"), Value: zonefile.Hash(zone), Via: s.Via}, newKey("ada"))
	if err != nil {
		t.Fatal(err)
	}
	g := office(t, w, t.TempDir())
	if err := g.queue(t.Context(), submissionOf(r, zone)); err != nil {
		t.Fatal(err)
	}
	gone := w.files[h]
	delete(w.files, h)
	g.Resolver.files = nil
	if err := g.Publish(t.Context()); err == nil {
		t.Error("no word of what is missing")
	}
	w.files[h] = gone
	if err := g.Publish(t.Context()); err != nil {
		t.Error(err)
	}
	if s, err := w.resolve(); err != nil || s.Line() != r.Line() {
		t.Errorf("it is lost: %+v, %v", s, err)
	}
}

// TestQueueReadsWhatItTook hands in a record with two zone files, one of which would
// be lost on the way to disk, and finds a broken file there: neither holds the name.
func TestQueueReadsWhatItTook(t *testing.T) {
	w := newWorld(t)
	w.update("friends.id")
	g := office(t, w, t.TempDir())
	srv := httptest.NewServer(g.Handler())
	defer srv.Close()
	eve, err := Next(rules, nil, Record{Name: "ada.friends.id", Owner: ownerOf("eve"), Value: zonefile.Hash(nil), Via: []chain.Name{"friends.id"}}, newKey("eve"))
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]string{"record": eve.Line(), "zonefile": "another", "bytes": ""})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(srv.URL+"/record", "", bytes.NewReader(body))
	if err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("two zone files: %v, %v", resp, err)
	}
	if err := os.WriteFile(g.path("ada.friends.id"), body, 0o600); err != nil {
		t.Fatal(err)
	}
	g.ask(t, "ada.friends.id", "ada")
	if err := g.Publish(t.Context()); err != nil {
		t.Error(err)
	}
	if s, err := w.resolve(); err != nil || s.Owner != ownerOf("ada") {
		t.Errorf("a broken file holds the name: %+v, %v", s, err)
	}
}

// TestQueueOutlivesReorganisation publishes while blocks are disconnected, and others
// are not connected yet: what follows the records in them waits.
func TestQueueOutlivesReorganisation(t *testing.T) {
	for left := range 2 { // records of ada's that are on the chain meanwhile
		w := newWorld(t)
		w.update("friends.id")
		w.update("friends.id", w.record(nil, "ada", "ada", 1, "other.id"))
		w.update("other.id", w.record(w.want("given", "ada", 0, 1), "ada", "ada", 2, "friends.id"))
		s := w.want("moved there and back", "ada", 1, 2)
		g := office(t, w, t.TempDir())
		zone := []byte("ada's")
		r, err := Next(rules, s, Record{Name: "ada.friends.id", Owner: ownerOf("ada"), Value: zonefile.Hash(zone), Via: s.Via}, newKey("ada"))
		if err != nil {
			t.Fatal(err)
		}
		if err := g.queue(t.Context(), submissionOf(r, zone)); err != nil {
			t.Fatal(err)
		}
		all := maps.Clone(w.history)
		w.history["other.id"] = nil
		w.history["friends.id"] = all["friends.id"][:1+left]
		before := len(w.history["friends.id"])
		if err := g.Publish(t.Context()); err == nil {
			t.Errorf("%d: no word of what is missing", left)
		}
		if n := len(w.history["friends.id"]) - before; n > 0 {
			t.Errorf("%d: a record that follows nothing was published", left)
		}
		w.history = all
		if err := g.Publish(t.Context()); err != nil {
			t.Errorf("%d: %v", left, err)
		}
		if s, err := w.resolve(); err != nil || s.Line() != r.Line() {
			t.Errorf("%d: it is lost: %+v, %v", left, s, err)
		}
	}
}

// TestQueueCounts has the registrar's count of bytes be that of the files, whatever
// comes, is replaced and goes.
func TestQueueCounts(t *testing.T) {
	w := newWorld(t)
	w.update("friends.id")
	g := office(t, w, t.TempDir())
	for step, f := range []func(){
		func() { g.ask(t, "ada.friends.id", "ada") },
		func() { g.ask(t, "ada.friends.id", "ada") },
		func() { g.ask(t, "bob.friends.id", "bob") },
		func() {
			zone := []byte("a longer one, of ada's own, that takes the place of the one before")
			r, err := Next(rules, nil, Record{Name: "ada.friends.id", Owner: ownerOf("ada"), Value: zonefile.Hash(zone), Via: []chain.Name{"friends.id"}}, newKey("ada"))
			if err == nil {
				err = g.queue(t.Context(), submissionOf(r, zone))
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		func() { g = office(t, w, g.Dir); g.ask(t, "eve.friends.id", "eve") },
		func() {
			if err := g.Publish(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		func() { g.ask(t, "joe.friends.id", "joe") },
	} {
		f()
		files, err := g.files(recordSuffix)
		if err != nil {
			t.Fatal(err)
		}
		want := int64(0)
		for _, st := range files {
			want += st.Size()
		}
		if !g.count || g.bytes != want {
			t.Errorf("step %d: %d bytes, want %d", step, g.bytes, want)
		}
	}
}

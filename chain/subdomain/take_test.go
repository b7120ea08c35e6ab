package subdomain

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"satchel/chain"
	"satchel/chain/zonefile"
)

// hanging has a resolver look for a file until its caller gives up; asked gets a
// value for each time.
func hanging(g *Registrar, hash [20]byte) (asked chan bool) {
	asked = make(chan bool, 100)
	fetch := g.Resolver.Fetch
	g.Resolver.Fetch = func(ctx context.Context, h [20]byte) ([]byte, error) {
		if h != hash {
			return fetch(ctx, h)
		}
		asked <- true
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return asked
}

// TestTakeLooksForNothing refuses what is wrong by itself without a look at anything.
func TestTakeLooksForNothing(t *testing.T) {
	w := newWorld(t)
	bad := w.put("friends.id", []byte("nobody has it"))
	w.put("eve.id", []byte("nobody has it"))
	g := office(t, w, t.TempDir())
	asked := hanging(g, bad)
	forged, zone := asking(t, "ada.friends.id", "ada")
	forged.Sig[5] ^= 1
	foreign, foreignZone := asking(t, "x.eve.id", "eve")
	for what, s := range map[string]*submission{"forged": submissionOf(forged, zone), "below a stranger's name": submissionOf(foreign, foreignZone)} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if err := g.queue(ctx, s); !errors.Is(err, ErrRecord) || len(asked) > 0 {
			t.Errorf("%s: %v, %d files were looked for", what, err, len(asked))
		}
		cancel()
	}
}

// TestTakeHoldsNobodyUp takes a record while a zone file is looked for that another
// one's state may be in.
func TestTakeHoldsNobodyUp(t *testing.T) {
	w := newWorld(t)
	w.update("friends.id")
	bad := w.put("eve.id", []byte("nobody has it"))
	g := office(t, w, t.TempDir())
	asked := hanging(g, bad)
	srv := httptest.NewServer(g.Handler())
	defer srv.Close()
	later, zone := asking(t, "x.eve.id", "eve")
	later.Seq = 1
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- Submit(ctx, srv.URL, later, zone) }()
	<-asked
	short, stop := context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	ada, zone := asking(t, "ada.friends.id", "ada")
	if err := Submit(short, srv.URL, ada, zone); err != nil {
		t.Errorf("ada is held up: %v", err)
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("a record of a name that nobody knows was taken")
	}
}

// TestTakeLooksAgain publishes a record while one that follows the same state is
// looked at: it is late, and its owner has to hear it.
func TestTakeLooksAgain(t *testing.T) {
	w := newWorld(t)
	w.update("friends.id", w.record(nil, "ada", "ada", 1))
	s := w.want("given", "ada", 0, 1)
	g := office(t, w, t.TempDir())
	first := w.record(s, "ada", "ada", 2)
	zone := []byte("late")
	late, err := Next(rules, s, Record{Name: "ada.friends.id", Owner: ownerOf("ada"), Value: zonefile.Hash(zone), Via: []chain.Name{"friends.id"}}, newKey("ada"))
	if err != nil {
		t.Fatal(err)
	}
	g.Resolver.Table = &lateTable{world: w, at: 2, then: func() { w.update("friends.id", first) }}
	if err := g.queue(t.Context(), submissionOf(late, zone)); !errors.Is(err, ErrRecord) {
		t.Errorf("got %v", err)
	}
}

// A lateTable is a world in which something happens behind a question.
type lateTable struct {
	*world
	at   int
	then func()
}

func (l *lateTable) History(subject string, from, limit int) ([]chain.Operation, error) {
	list, err := l.world.History(subject, from, limit)
	if l.at--; l.at == 0 {
		l.then()
	}
	return list, err
}

// TestTakenHoldNobodyUp queues many names whose states may be in a file that nobody
// gives: another one's record waits for it once, not once for each of them.
func TestTakenHoldNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.update("friends.id")
		g := office(t, w, t.TempDir())
		zone := []byte("eve's")
		record := func(i int, s *State) *Record {
			r, err := Next(rules, s, Record{Name: chain.Name(fmt.Sprintf("n%d.friends.id", i)), Owner: ownerOf("eve"),
				Value: zonefile.Hash(zone), Via: []chain.Name{"friends.id", "eve.id"}}, newKey("eve"))
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		var first []*Record
		for i := range 20 {
			first = append(first, record(i, nil))
		}
		w.update("friends.id", first...)
		for i, r := range first {
			if err := g.queue(t.Context(), submissionOf(record(i, after(nil, r)), zone)); err != nil {
				t.Fatal(err)
			}
		}
		g.ask(t, "ada.friends.id", "ada")
		hanging(g, w.put("eve.id", []byte("withheld")))
		start := time.Now() // of a clock that goes on only when all wait
		if err := g.Publish(t.Context()); err == nil {
			t.Error("no word of what is missing")
		}
		if took := time.Since(start); took > 2*resolveTime {
			t.Errorf("ada waited %v", took)
		}
		if _, err := w.resolve(); err != nil {
			t.Error(err)
		}
	})
}

package subdomain

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"

	"satchel/chain"
	"satchel/chain/zonefile"
)

var rules = chain.Satchel(&chaincfg.RegressionNetParams, 101)

func newKey(word string) *btcec.PrivateKey {
	seed := sha256.Sum256([]byte(word))
	k, _ := btcec.PrivKeyFromBytes(seed[:])
	return k
}

func ownerOf(word string) string {
	return AddressOf([33]byte(newKey(word).PubKey().SerializeCompressed()), rules.Chain)
}

// A world is a chain of zone files.
type world struct {
	t       *testing.T
	history map[string][]chain.Operation
	files   map[[20]byte][]byte
	height  int
}

func newWorld(t *testing.T) *world {
	return &world{t: t, history: make(map[string][]chain.Operation), files: make(map[[20]byte][]byte), height: 200}
}

func (w *world) Params() *chain.Params { return rules }

func (w *world) History(subject string, from, limit int) (list []chain.Operation, err error) {
	for _, o := range w.history[subject] {
		if o.Height >= from {
			list = append(list, o)
		}
	}
	return list, nil
}

// update puts a zone file with records on the chain.
func (w *world) update(name string, records ...*Record) (hash [20]byte) {
	w.t.Helper()
	zone, batch, err := With(fmt.Appendf(nil, "$ORIGIN %s\n$TTL 3600\n; %d\n", name, w.height), records)
	if err != nil {
		w.t.Fatal(err)
	}
	if batch != nil {
		w.files[zonefile.Hash(batch)] = batch
	}
	return w.put(name, zone)
}

func (w *world) put(name string, zone []byte) (hash [20]byte) {
	hash = zonefile.Hash(zone)
	w.files[hash] = zone
	w.height++
	w.history[name] = append(w.history[name], chain.Operation{Height: w.height, Index: 1, Op: "+", Subject: name, Value: &hash})
	return hash
}

func (w *world) fetch(_ context.Context, hash [20]byte) ([]byte, error) {
	if b := w.files[hash]; b != nil {
		return b, nil
	}
	return nil, os.ErrNotExist
}

func (w *world) resolve() (*State, error) {
	v := &Resolver{Table: w, Fetch: w.fetch}
	return v.Resolve(w.t.Context(), "ada.friends.id")
}

// record makes a record that follows a state.
func (w *world) record(s *State, signer, owner string, value byte, via ...chain.Name) *Record {
	w.t.Helper()
	if via == nil {
		via = []chain.Name{"friends.id"}
	}
	r := Record{Name: "ada.friends.id", Owner: ownerOf(owner), Value: [20]byte{value}, Via: via}
	next, err := Next(rules, s, r, newKey(signer))
	if err != nil {
		w.t.Fatal(err)
	}
	return next
}

// after is the state that a record makes.
func after(s *State, r *Record) *State {
	var prev [32]byte
	if s != nil {
		prev = s.Hash
	}
	return &State{Record: *r, Hash: r.digest(rules.Network(), prev)}
}

func (w *world) want(what, owner string, seq int64, value byte) *State {
	w.t.Helper()
	s, err := w.resolve()
	if err != nil || s.Owner != ownerOf(owner) || s.Seq != seq || s.Value != [20]byte{value} {
		w.t.Fatalf("%s: got %+v, %v; want %s, %d, %d", what, s, err, owner, seq, value)
	}
	return s
}

func TestLife(t *testing.T) {
	w := newWorld(t)
	if _, err := w.resolve(); !errors.Is(err, chain.ErrUnknownName) {
		t.Errorf("nothing: %v", err)
	}
	w.update("friends.id")
	w.update("friends.id", w.record(nil, "ada", "ada", 1))
	s := w.want("given", "ada", 0, 1)
	w.update("friends.id", w.record(s, "ada", "ada", 2))
	s = w.want("updated", "ada", 1, 2)
	w.update("friends.id", w.record(s, "ada", "bob", 3))
	s = w.want("transferred", "bob", 2, 3)
	w.update("friends.id", w.record(s, "bob", "bob", 4, "other.id", "friends.id"))
	s = w.want("two carriers", "bob", 3, 4)
	w.update("other.id", w.record(s, "bob", "bob", 5, "other.id"))
	s = w.want("moved", "bob", 4, 5)
	w.update("friends.id", w.record(s, "bob", "bob", 6, "other.id"))
	w.want("the old carrier's word", "bob", 4, 5)
	w.update("other.id", w.record(s, "bob", "bob", 7, "other.id"))
	s = w.want("the new carrier's", "bob", 5, 7)
	if rec, err := s.Chain(rules); err != nil || rec.Address != ownerOf("bob") || rec.FirstRegistered != 202 || rec.ValueHash != [20]byte{7} {
		t.Errorf("record %+v, %v", rec, err)
	}
}

// TestAttacks is the table in the package comment.
func TestAttacks(t *testing.T) {
	one := func(w *world) *State {
		w.update("friends.id", w.record(nil, "ada", "ada", 1))
		return w.want("at first", "ada", 0, 1)
	}
	for what, f := range map[string]func(w *world){
		"forged signature": func(w *world) {
			r := *w.record(one(w), "ada", "eve", 9)
			r.Sig[3] ^= 1
			w.update("friends.id", &r)
		},
		"signed by another": func(w *world) {
			s := one(w)
			r := Record{Name: "ada.friends.id", Owner: ownerOf("eve"), Seq: 1, Value: [20]byte{9}, Via: s.Via}
			if err := r.sign(newKey("eve"), rules.Network(), s.Hash); err != nil {
				t.Fatal(err)
			}
			w.update("friends.id", &r)
		},
		"changed after signing": func(w *world) {
			r := *w.record(one(w), "ada", "ada", 2)
			r.Value[1] = 7
			w.update("friends.id", &r)
		},
		"a second record 0": func(w *world) {
			one(w)
			w.update("friends.id", w.record(nil, "eve", "eve", 9))
		},
		"an old record again": func(w *world) {
			r := w.record(nil, "ada", "ada", 1)
			w.update("friends.id", r)
			w.update("friends.id", r, r)
		},
		"a gap": func(w *world) {
			s := one(w)
			w.update("friends.id", w.record(after(s, w.record(s, "ada", "ada", 2)), "ada", "ada", 3))
		},
		"another fork's record": func(w *world) {
			s := one(w)
			other := after(nil, w.record(nil, "ada", "ada", 8))
			w.update("friends.id", w.record(other, "ada", "ada", 9))
			_ = s
		},
		"another network": func(w *world) {
			s := one(w)
			r := Record{Name: "ada.friends.id", Owner: ownerOf("ada"), Seq: 1, Value: [20]byte{9}, Via: s.Via}
			if err := r.sign(newKey("ada"), [10]byte{'i', 'd'}, s.Hash); err != nil {
				t.Fatal(err)
			}
			w.update("friends.id", &r)
		},
		"another name's record": func(w *world) {
			s := one(w)
			r := Record{Name: "ada.enemies.id", Owner: ownerOf("ada"), Seq: 1, Value: [20]byte{9}, Via: s.Via}
			if err := r.sign(newKey("ada"), rules.Network(), s.Hash); err != nil {
				t.Fatal(err)
			}
			r.Name = "ada.friends.id"
			w.update("friends.id", &r)
		},
		"another carrier": func(w *world) {
			w.update("enemies.id", w.record(nil, "eve", "eve", 9))
			w.update("enemies.id", w.record(one(w), "ada", "ada", 9))
		},
		"a carrier that comes later": func(w *world) { // what stood there before doesn't count
			r := w.record(nil, "ada", "ada", 1, "other.id")
			w.update("other.id", w.record(after(nil, r), "ada", "ada", 9, "other.id"))
			w.update("friends.id", r)
		},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			f(w)
			w.want(what, "ada", 0, 1)
		})
	}
}

// TestOrder: of two records that the owner signed the first on the chain counts,
// in one carrier or in two.
func TestOrder(t *testing.T) {
	w := newWorld(t)
	w.update("friends.id", w.record(nil, "ada", "ada", 1, "friends.id", "other.id"))
	s := w.want("given", "ada", 0, 1)
	w.update("other.id", w.record(s, "ada", "bob", 2))
	w.update("friends.id", w.record(s, "ada", "eve", 3))
	w.want("the first counts", "bob", 1, 2)

	// In one file all that follow each other count.
	w = newWorld(t)
	a := w.record(nil, "ada", "ada", 1)
	b := w.record(after(nil, a), "ada", "ada", 2)
	c := w.record(after(after(nil, a), b), "ada", "bob", 3)
	w.update("friends.id", a, b, c)
	w.want("three at once", "bob", 2, 3)
}

func TestMissingFiles(t *testing.T) {
	w := newWorld(t)
	hidden := w.update("friends.id")
	w.update("friends.id", w.record(nil, "ada", "ada", 1))
	bytes := w.files[hidden]
	delete(w.files, hidden)
	if s, err := w.resolve(); err == nil || errors.Is(err, chain.ErrUnknownName) || !strings.Contains(err.Error(), "block 201") {
		t.Errorf("a record 0 could be hidden: %+v, %v", s, err)
	}
	w.files[hidden] = bytes
	s := w.want("all are there", "ada", 0, 1)
	r := w.record(s, "ada", "ada", 2)
	hidden = w.update("friends.id", r)
	delete(w.files, hidden)
	if s := w.want("withheld", "ada", 0, 1); s.Incomplete != 203 || s.Missing == nil {
		t.Errorf("it isn't said: %+v", s)
	}
	w.update("friends.id", r)
	if s := w.want("carried again", "ada", 1, 2); s.Incomplete != 203 {
		t.Errorf("it isn't said: %+v", s)
	}
}

// TestBatch: thousands of names in one zone file.
func TestBatch(t *testing.T) {
	w := newWorld(t)
	var records []*Record
	for i := range 1500 {
		word := fmt.Sprintf("n%d", i)
		r, err := Next(rules, nil, Record{Name: chain.Name(word + ".friends.id"), Owner: ownerOf(word), Via: []chain.Name{"friends.id"}}, newKey(word))
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	hash := w.update("friends.id", append(records, w.record(nil, "ada", "ada", 1))...)
	w.want("one of many", "ada", 0, 1)
	f := Parse(w.files[hash])
	if f.Batch == nil || len(f.Records) != 0 {
		t.Fatalf("zone file %s", w.files[hash])
	}
	delete(w.files, *f.Batch)
	if _, err := w.resolve(); err == nil || errors.Is(err, chain.ErrUnknownName) {
		t.Errorf("without the batch: %v", err)
	}
	if _, _, err := With(nil, append(append(records, records...), records...)); err == nil {
		t.Error("a batch without end was made")
	}
	if got := Without(w.files[hash]); bytes.Contains(got, []byte("_batch")) || !bytes.HasPrefix(got, []byte("$ORIGIN friends.id\n")) {
		t.Errorf("without: %s", got)
	}
}

// TestKnownLine pins the format.
func TestKnownLine(t *testing.T) {
	w := newWorld(t)
	r := w.record(nil, "ada", "ada", 0xab, "friends.id", "other.id")
	want, err := os.ReadFile("testdata/record.txt")
	if err != nil {
		t.Fatal(err)
	}
	if r.Line()+"\n" != string(want) {
		t.Errorf("got %s\nwant %s", r.Line(), want)
	}
	got, err := ParseLine(strings.TrimSpace(string(want)))
	if err != nil || Follows(rules, nil, got) != nil {
		t.Errorf("read: %+v, %v", got, err)
	}
}

func TestNoRecords(t *testing.T) {
	good := newWorld(t).record(nil, "ada", "ada", 1).Line()
	for _, change := range [][2]string{
		{"ada TXT", "eve TXT"}, {" TXT", "  TXT"}, {`"seqn=0"`, `"seqn=00"`}, {`"seqn=0"`, `"seqn=9999999999999999"`}, {"via=friends.id", "via=ada.friends.id"},
		{"via=friends.id", "via=a.id,b.id,c.id,d.id,e.id"}, {"name=ada.friends.id", "name=friends.id"}, {"name=ada.friends.id", "name=ada.b.friends.id"},
		{"name=ada.friends.id", "name=ada..id"}, {"zf=01", "zf=0G"}, {"zf=01", "zf=01 "}, {"sig=", "sig=0"},
	} {
		line := strings.Replace(good, change[0], change[1], 1)
		if r, err := ParseLine(line); err == nil {
			t.Errorf("%q was read as %+v", line, r)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(newWorld(&testing.T{}).record(nil, "ada", "ada", 1).Line() + "\n_batch TXT \"batch:" + strings.Repeat("0a", 20) + "\"\n")
	f.Add("ada TXT \"name=\"")
	f.Fuzz(func(t *testing.T, text string) {
		for _, r := range Parse([]byte(text)).Records {
			again, err := ParseLine(r.Line())
			if err != nil || again.Line() != r.Line() || !strings.Contains(text, r.Line()) {
				t.Errorf("%q was read as %q, %v", text, r.Line(), err)
			}
			_ = Follows(rules, nil, r)
		}
	})
}

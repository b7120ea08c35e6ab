package proof

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/ops"
)

const first = 101

// made is a table made up of hashes: ada.id is updated in each block whose
// height ends in 7.
type made struct {
	params  *chain.Params
	tip     int
	hashes  map[int][16]byte
	heights map[[16]byte]int
	records func(height int) []string
}

func newMade(tip int) *made {
	m := &made{
		params: chain.Satchel(&chaincfg.RegressionNetParams, first), tip: tip,
		records: madeRecords,
	}
	m.make()
	return m
}

// make makes the hashes.
func (m *made) make() {
	m.hashes, m.heights = make(map[int][16]byte), make(map[[16]byte]int)
	for h := first; h <= m.tip; h++ {
		var earlier [][16]byte
		for _, j := range jumps(h, first) {
			earlier = append(earlier, m.hashes[h-j])
		}
		m.hashes[h] = chain.ConsensusHash(chain.OpsHash(m.records(h)), earlier)
		m.heights[m.hashes[h]] = h
	}
}

// madeRecords are the operations of a block.
func madeRecords(height int) (list []string) {
	if height%3 == 0 {
		return nil
	}
	for i, name := range []string{"bob.id", "carol.id", "ada.id", "dave.id"} {
		if name != "ada.id" || height%10 == 7 {
			list = append(list, update(name, height, i+1))
		}
	}
	return list
}

func update(name string, height, index int) string {
	var b strings.Builder
	b.WriteString("+:")
	for i, f := range []string{name, fmt.Sprintf("%040x", height), "76a9", "", "mAddress", "100", "100", "102", "102", "False", "+",
		fmt.Sprintf("%064x", height), fmt.Sprint(index), "100", "", "", "00", "11"} {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d:%s", len(f), f)
	}
	return b.String()
}

func (m *made) Params() *chain.Params      { return m.params }
func (m *made) Tip() (int, chainhash.Hash) { return m.tip, chainhash.Hash{} }
func (m *made) there(h int) bool           { return h >= first && h <= m.tip }
func (m *made) OpsHash(h int) ([32]byte, error) {
	if !m.there(h) {
		return [32]byte{}, os.ErrNotExist
	}
	return chain.OpsHash(m.records(h)), nil
}

func (m *made) ConsensusHash(h int) ([16]byte, error) {
	if !m.there(h) {
		return [16]byte{}, os.ErrNotExist
	}
	return m.hashes[h], nil
}

func (m *made) HeightOf(c [16]byte) (int, error) {
	h, ok := m.heights[c]
	if !ok {
		return 0, os.ErrNotExist
	}
	return h, nil
}

func (m *made) Operations(h int) (list []chain.Operation, err error) {
	if !m.there(h) {
		return nil, os.ErrNotExist
	}
	for _, r := range m.records(h) {
		list = append(list, chain.Operation{Height: h, Record: r})
	}
	return list, nil
}

func (m *made) History(subject string, from, limit int) (list []chain.Operation, err error) {
	for h := first; h <= m.tip; h++ {
		for _, r := range m.records(h) {
			if strings.Contains(r, ":"+subject+",") {
				list = append(list, chain.Operation{Height: h, Record: r})
			}
		}
	}
	return list, nil
}

// ask has a server prove what happened to ada.id.
func ask(t *testing.T, h http.Handler, m *made, height int, q Question) (*Answer, error) {
	t.Helper()
	s := httptest.NewServer(h)
	defer s.Close()
	q.Name, q.Height = "ada.id", height
	return Verify(t.Context(), NewClient(s.URL), m.params, q)
}

func TestVerify(t *testing.T) {
	m := newMade(700)
	h := Handler(m, nil)
	for height := first; height <= m.tip; height += 1 + height%4 {
		for _, trust := range []int{height, min(height+1, m.tip), min(height+100, m.tip), m.tip} {
			a, err := ask(t, h, m, height, Question{Trust: m.hashes[trust]})
			if err != nil {
				t.Fatalf("block %d by that of %d: %v", height, trust, err)
			}
			want := 0
			if height%10 == 7 && height%3 != 0 {
				want = 1
			}
			if len(a.Operations) != want || a.TrustHeight != trust || a.Consensus != m.hashes[height] {
				t.Fatalf("block %d by that of %d: got %+v, want %d operations", height, trust, a, want)
			}
			if want == 1 && (a.Operations[0].Value != fmt.Sprintf("%040x", height) || a.Operations[0].Index != 3 || a.Operations[0].Op != "+") {
				t.Fatalf("block %d: got %+v", height, a.Operations[0])
			}
		}
	}
}

func TestRequestsAreFew(t *testing.T) {
	m := newMade(30_000)
	h, most := Handler(m, nil), 0
	for _, height := range []int{first, first + 1, 1000, 9_999, 16_383, 16_484, 29_997, 29_999, 30_000} {
		a, err := ask(t, h, m, height, Question{Trust: m.hashes[m.tip]})
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, a.Requests)
	}
	if limit := 2*bits.Len(uint(m.tip)) + 6; most > limit {
		t.Errorf("%d requests for %d blocks, want at most %d", most, m.tip, limit)
	}
}

// lie changes the answer to one question; it returns nil to leave it.
type lie func(path string, body []byte) []byte

// lying is an honest server whose answers pass through a lie.
func lying(m *made, change lie) http.Handler {
	honest := Handler(m, nil)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		honest.ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		if forged := change(r.URL.Path, body); forged != nil {
			w.Write(forged)
			return
		}
		w.WriteHeader(rec.Code)
		w.Write(body)
	})
}

// forgeStep changes the step of a height.
func forgeStep(height int, f func(s *step)) lie {
	return func(path string, body []byte) []byte {
		if path != fmt.Sprintf("/v1/proof/%d", height) {
			return nil
		}
		var s step
		_ = json.Unmarshal(body, &s)
		f(&s)
		b, _ := json.Marshal(s)
		return b
	}
}

func forgeRecords(height int, f func(r []string) []string) lie {
	return func(path string, body []byte) []byte {
		if path != fmt.Sprintf("/v1/operations/%d", height) {
			return nil
		}
		var p page
		_ = json.Unmarshal(body, &p)
		p.Records = f(p.Records)
		p.Total = len(p.Records)
		b, _ := json.Marshal(p)
		return b
	}
}

func TestForgedAnswers(t *testing.T) {
	m := newMade(400)
	const at, trust = 397, 400
	cases := map[string]lie{
		"ops hash":            forgeStep(at, func(s *step) { s.Ops[0] ^= 1 }),
		"ops hash on the way": forgeStep(trust, func(s *step) { s.Ops[5] ^= 1 }),
		"earlier hash":        forgeStep(trust, func(s *step) { s.Earlier[3][0] ^= 1 }),
		"hash of another":     forgeStep(trust, func(s *step) { s.Earlier[1] = m.hashes[390] }),
		"list cut":            forgeStep(trust, func(s *step) { s.Earlier = s.Earlier[:3] }),
		"list longer":         forgeStep(trust, func(s *step) { s.Earlier = append(s.Earlier, m.hashes[first]) }),
		"no list":             forgeStep(trust, func(s *step) { s.Earlier = nil }),
		"last leaf twice":     forgeStep(trust, func(s *step) { s.Earlier = append(s.Earlier, s.Earlier[len(s.Earlier)-1]) }),
		"no order":            forgeStep(trust, func(s *step) { s.Openings = nil }),
		"half an order":       forgeStep(trust, func(s *step) { s.Openings = s.Openings[:len(s.Openings)-1] }),
		"order of another":    forgeStep(trust, func(s *step) { s.Openings[0].Earlier[0][0] ^= 1 }),
		"operation left out":  forgeRecords(at, func(r []string) []string { return append(r[:2:2], r[3:]...) }),
		"all left out":        forgeRecords(at, func(r []string) []string { return nil }),
		"operation added":     forgeRecords(at, func(r []string) []string { return append(r, update("ada.id", at, 9)) }),
		"operation changed":   forgeRecords(at, func(r []string) []string { r[2] = update("ada.id", at+1, 3); return r }),
		"operation twice":     forgeRecords(at, func(r []string) []string { return append(r, r[len(r)-1]) }),
		"order of operations": forgeRecords(at, func(r []string) []string { r[0], r[2] = r[2], r[0]; return r }),
		"another block's":     forgeRecords(at, func(r []string) []string { return m.records(at - 10) }),
		"first block's":       forgeRecords(first, func(r []string) []string { return nil }),
		"no record":           forgeRecords(at, func(r []string) []string { r[0] = "garbage"; return r }),
	}
	for i := range jumps(trust, first) {
		for j := range i {
			cases[fmt.Sprintf("hashes %d and %d swapped", j, i)] = forgeStep(trust, func(s *step) {
				s.Earlier[i], s.Earlier[j] = s.Earlier[j], s.Earlier[i]
			})
		}
	}
	for what, change := range cases {
		a, err := ask(t, lying(m, change), m, at, Question{Trust: m.hashes[trust]})
		if !errors.Is(err, ErrForged) {
			t.Errorf("%s: got %+v, %v", what, a, err)
		}
	}
	if _, err := ask(t, Handler(m, nil), m, at, Question{Trust: m.hashes[at-1]}); err == nil {
		t.Error("a hash from before the block proved something")
	}
	if _, err := ask(t, Handler(m, nil), m, at, Question{Trust: Hash{1}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("unknown hash: got %v", err)
	}
}

// TestShiftedHeights has the server tell a wrong height for the trusted hash,
// and answer as if all heights were shifted.
func TestShiftedHeights(t *testing.T) {
	m := newMade(300)
	for shift := -40; shift <= 40; shift++ {
		if shift == 0 {
			continue
		}
		h := shifted(m, shift)
		for _, at := range []int{first, first + 1, 150, 197, 250} {
			if a, err := ask(t, h, m, at, Question{Trust: m.hashes[260]}); err == nil {
				t.Fatalf("shifted by %d: block %d is %+v", shift, at, a)
			}
		}
	}
}

// shifted passes block h off as block h+shift.
func shifted(m *made, shift int) http.Handler {
	honest := Handler(m, nil)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var height int
		if _, err := fmt.Sscanf(r.URL.Path, "/v1/proof/%d", &height); err == nil {
			r.URL.Path = fmt.Sprintf("/v1/proof/%d", max(height-shift, first))
		} else if _, err := fmt.Sscanf(r.URL.Path, "/v1/operations/%d", &height); err == nil {
			r.URL.Path = fmt.Sprintf("/v1/operations/%d", max(height-shift, first))
		} else if strings.HasPrefix(r.URL.Path, "/v1/consensus/") {
			fmt.Fprintf(w, `{"height": %d}`, 260+shift)
			return
		}
		honest.ServeHTTP(w, r)
	})
}

// TestInnerNodeIsNoFirstBlock: the root of any node's leaves hashes to its
// consensus hash without earlier ones, so that it could be passed off as the
// first block's ops hash.
func TestInnerNodeIsNoFirstBlock(t *testing.T) {
	m := newMade(first + 1)
	// The tree of block first+1 has two leaves, of 16 and 32 bytes.
	h := lying(m, func(path string, body []byte) []byte {
		switch path {
		case "/v1/consensus/" + hex.EncodeToString(hashOf(m, first+1)):
			return fmt.Appendf(nil, `{"height": %d}`, first)
		case fmt.Sprintf("/v1/proof/%d", first):
			o := m.opening(first + 1)
			b, _ := json.Marshal(step{opening: opening{Ops: rootOf(o)}})
			return b
		}
		return nil
	})
	var s step
	s.Ops = rootOf(m.opening(first + 1))
	if err := s.check(m.hashes[first+1], first, first); err != nil {
		t.Fatalf("this is not the attack: %v", err)
	}
	if a, err := ask(t, h, m, first, Question{Trust: m.hashes[first+1]}); !errors.Is(err, ErrForged) {
		t.Errorf("got %+v, %v", a, err)
	}
}

// TestPairCutElsewhere: the ops hash and the earlier hash that are hashed together
// can be cut elsewhere. Where nothing happens half of the ops hash is always the
// same, and can be put in the place of the oldest hash, all others moved down.
func TestPairCutElsewhere(t *testing.T) {
	m := &made{params: chain.Satchel(&chaincfg.RegressionNetParams, first), tip: 1000, records: func(int) []string { return nil }}
	m.make()
	cut := make(map[Hash]opening) // of blocks for which that works
	right := []opening{m.opening(first)}
	all := slices.Clone(right)
	for h := first + 1; h <= m.tip; h++ {
		o := m.opening(h)
		right, all = append(right, o), append(all, o)
		for i, e := range o.Earlier {
			other := opening{Earlier: append(slices.Delete(slices.Clone(o.Earlier), i, i+1), Hash(o.Ops[:16]))}
			copy(other.Ops[:], o.Ops[16:])
			copy(other.Ops[16:], e[:])
			if other.hash() == m.hashes[h] {
				cut[m.hashes[h]] = other
				all = append(all, other)
			}
		}
	}
	known := make(map[Hash][]Hash)
	for _, o := range all { // the false ones come after the right ones
		known[o.hash()] = o.Earlier
	}
	attacks := 0
	for h := first + 1; h <= m.tip; h++ {
		o := cut[m.hashes[h]]
		last := len(o.Earlier) - 1
		if last < 1 || !ancestor(known, o.Earlier[last-1], o.Earlier[last]) {
			continue
		}
		attacks++
		if err := (&step{o, all}).check(m.hashes[h], h, first); !errors.Is(err, ErrForged) {
			t.Fatalf("block %d: a list that is moved down was accepted: %v", h, err)
		}
		if err := (&step{m.opening(h), right}).check(m.hashes[h], h, first); err != nil {
			t.Fatalf("block %d: the right list was refused: %v", h, err)
		}
	}
	t.Logf("%d blocks can be cut elsewhere, %d of them so that the order seems right", len(cut), attacks)
	if attacks == 0 {
		t.Error("this is not the attack")
	}
}

func hashOf(m *made, height int) []byte { h := m.hashes[height]; return h[:] }

func (m *made) opening(height int) opening {
	o, _ := (&handler{t: m}).opening(height)
	return o
}

// rootOf returns the root of the tree of an opening with one earlier hash.
func rootOf(o opening) (root OpsHash) {
	leaves := [][]byte{o.Ops[:], o.Earlier[0][:]}
	if bytes.Compare(leaves[0], leaves[1]) > 0 {
		leaves[0], leaves[1] = leaves[1], leaves[0]
	}
	var pair []byte
	for _, l := range leaves {
		for i := len(l) - 1; i >= 0; i-- {
			pair = append(pair, l[i])
		}
	}
	h := chainhash.DoubleHashH(pair)
	for i := range h {
		root[31-i] = h[i]
	}
	return root
}

// TestAdversary lets the server label earlier hashes as it likes, and counts the
// blocks that it can pass off as others. Where the order is not checked there are
// some; where it is there are none.
func TestAdversary(t *testing.T) {
	m := newMade(first + 40)
	if n := passedOff(m, false); n == 0 {
		t.Error("the attack does nothing, so the test shows nothing")
	}
	if n := passedOff(m, true); n > 0 {
		t.Errorf("%d blocks can be passed off as others", n)
	}
}

// A labelling is one place of a walk: the real height, and the claimed one.
type labelling struct{ real, claimed int }

// passedOff counts the heights and labels for which a walk from some trusted hash
// passes, on its way to a wanted height and to the first block.
func passedOff(m *made, ordered bool) (count int) {
	all := make([]opening, 0, m.tip)
	for h := first; h <= m.tip; h++ {
		all = append(all, m.opening(h))
	}
	moves := make(map[int][][]int) // by real height, the labels of earlier hashes that are accepted: real heights in claimed order
	accepted := func(l labelling) [][]int {
		if len(jumps(l.real, first)) != len(jumps(l.claimed, first)) {
			return nil // so says the length of the list
		}
		list, ok := moves[l.real]
		if !ok {
			permute(jumps(l.real, first), 0, func(p []int) {
				s := step{opening: opening{Ops: m.opening(l.real).Ops}, Openings: all}
				var heights []int
				for _, j := range p {
					s.Earlier = append(s.Earlier, m.hashes[l.real-j])
					heights = append(heights, l.real-j)
				}
				if !ordered || s.check(m.hashes[l.real], l.claimed, first) == nil {
					list = append(list, heights)
				}
			})
		}
		moves[l.real] = list
		return list
	}
	// ends says if the walk down from a place can come to the first block.
	memo := make(map[labelling]int)
	var ends func(l labelling) bool
	ends = func(l labelling) bool {
		if l.claimed == first {
			return l.real == first
		}
		if memo[l] == 0 {
			memo[l] = 1
			for _, heights := range accepted(l) {
				if i := slot(l.claimed, first); ends(labelling{heights[i], l.claimed - jumps(l.claimed, first)[i]}) {
					memo[l] = 2
				}
			}
		}
		return memo[l] == 2
	}
	for wanted := first; wanted <= m.tip; wanted++ {
		for trust := first; trust <= m.tip; trust++ {
			for claimed := wanted; claimed <= m.tip; claimed++ {
				seen := make(map[labelling]bool)
				var walk func(l labelling)
				walk = func(l labelling) {
					if seen[l] {
						return
					}
					seen[l] = true
					if l.claimed == wanted {
						if l.real != wanted && ends(l) {
							count++
						}
						return
					}
					for _, heights := range accepted(l) {
						i := slot(l.claimed, wanted)
						walk(labelling{heights[i], l.claimed - jumps(l.claimed, first)[i]})
					}
				}
				walk(labelling{trust, claimed})
			}
		}
	}
	return count
}

// slot is which jump the verifier makes.
func slot(from, to int) (i int) {
	for k, j := range jumps(from, first) {
		if from-j >= to {
			i = k
		}
	}
	return i
}

func permute(list []int, at int, f func([]int)) {
	if at == len(list) {
		f(list)
		return
	}
	for i := at; i < len(list); i++ {
		list[at], list[i] = list[i], list[at]
		permute(list, at+1, f)
		list[at], list[i] = list[i], list[at]
	}
}

// transactions is a bitcoin.PrevTxer.
type transactions map[chainhash.Hash][]byte

func (m transactions) PrevTx(ctx context.Context, txid chainhash.Hash) ([]byte, error) {
	if m[txid] == nil {
		return nil, os.ErrNotExist
	}
	return m[txid], nil
}

func quoting(t *testing.T, magic [2]byte, op ops.Operation) (chainhash.Hash, []byte) {
	t.Helper()
	script, err := ops.Script(magic, op)
	if err != nil {
		t.Fatal(err)
	}
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(&wire.TxIn{})
	tx.AddTxOut(&wire.TxOut{PkScript: script})
	tx.AddTxOut(&wire.TxOut{Value: 5500, PkScript: ops.BurnScript()})
	var b bytes.Buffer
	_ = tx.Serialize(&b)
	return tx.TxHash(), b.Bytes()
}

func TestTrustedTransaction(t *testing.T) {
	m := newMade(300)
	c := m.hashes[290]
	txs := make(transactions)
	add := func(magic [2]byte, op ops.Operation) *chainhash.Hash {
		id, raw := quoting(t, magic, op)
		txs[id] = raw
		return &id
	}
	sa := [2]byte{'s', 'a'}
	for _, op := range []ops.Operation{
		ops.NamePreorder{Consensus: c}, ops.NamespacePreorder{Consensus: c}, ops.Transfer{Consensus: c, NameHash: ops.Hash128("x.id")},
	} {
		a, err := ask(t, Handler(m, txs), m, 287, Question{Tx: add(sa, op)})
		if err != nil || a.TrustHeight != 290 || len(a.Operations) != 1 {
			t.Errorf("%T: got %+v, %v", op, a, err)
		}
	}
	for what, id := range map[string]*chainhash.Hash{
		"no hash in clear": add(sa, ops.Update{NameHash: c}),
		"another registry": add([2]byte{'i', 'd'}, ops.NamePreorder{Consensus: c}),
		"unknown hash":     add(sa, ops.NamePreorder{Consensus: [16]byte{9}}),
		"not there":        {1, 2, 3},
	} {
		if a, err := ask(t, Handler(m, txs), m, 287, Question{Tx: id}); err == nil {
			t.Errorf("%s: got %+v", what, a)
		}
	}
	id := add(sa, ops.NamePreorder{Consensus: c, Hash: [20]byte{1}})
	_, txs[*id] = quoting(t, sa, ops.NamePreorder{Consensus: m.hashes[289]})
	if a, err := ask(t, Handler(m, txs), m, 287, Question{Tx: id}); !errors.Is(err, ErrForged) {
		t.Errorf("another transaction: got %+v, %v", a, err)
	}
}

func TestBrokenServers(t *testing.T) {
	m := newMade(200)
	endless := func(w http.ResponseWriter, r *http.Request) {
		for chunk := bytes.Repeat([]byte(" "), 1<<20); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	for what, h := range map[string]http.HandlerFunc{
		"nothing": func(w http.ResponseWriter, r *http.Request) {},
		"garbage": func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("\x00\xff{")) },
		"a list":  func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("[1,2]")) },
		"error":   func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		},
		"endless":  endless,
		"negative": func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(`{"height": -5}`)) },
		"huge":     func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(`{"height": 268435455}`)) },
		"pages without end": func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/v1/operations/") {
				w.Write([]byte(`{"total": 1000000000, "records": [""]}`))
				return
			}
			Handler(m, nil).ServeHTTP(w, r)
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		s := httptest.NewServer(h)
		a, err := Verify(ctx, NewClient(s.URL), m.params, Question{Name: "ada.id", Height: 150, Trust: m.hashes[190]})
		if err == nil || ctx.Err() != nil {
			t.Errorf("%s: got %+v, %v", what, a, err)
		}
		s.Close()
		cancel()
	}
}

func FuzzStep(f *testing.F) {
	m := newMade(150)
	o, _ := (&handler{t: m}).opening(150)
	b, _ := json.Marshal(step{opening: o})
	f.Add(b)
	f.Add([]byte(`{"ops_hash": "00", "earlier": [1]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s step
		if json.Unmarshal(b, &s) == nil && s.check(m.hashes[150], 150, first) == nil && s.Ops != o.Ops {
			t.Error("another ops hash was accepted")
		}
	})
}

func FuzzRecord(f *testing.F) {
	for _, r := range madeRecords(127) {
		f.Add(r)
	}
	f.Add("+:99999999999999999999:x")
	f.Fuzz(func(t *testing.T, rec string) {
		code, fields, err := split(rec)
		if err != nil {
			return
		}
		var b strings.Builder
		b.WriteByte(code)
		for i, v := range fields {
			b.WriteByte(":,"[min(i, 1)])
			fmt.Fprintf(&b, "%d:%s", len(v), v)
		}
		if b.String() != rec {
			t.Errorf("%q is read as %q", rec, b.String())
		}
		_, _ = recordsOf([]string{rec}, "ada.id")
	})
}

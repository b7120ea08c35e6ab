package tree

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// A history is a random run of several writers, all from one seed.
type history struct {
	rnd     *rand.Rand
	abl     ablation
	stored  bool // with stored trees beside the model
	names   []string
	dirs    bool // heavy on directories
	writers []*hand
	heads   []*published
	clock   int64
	ids     int

	payload map[payloadKey]*version
	removed map[string][]*removal              // by content
	touched map[string][]Dot                   // versions that carried a content, in heads
	public  map[string]bool                    // contents that were in a published view
	under   map[string]map[Identity][]*removal // of contents, by the identities under which they were in a published view: what removed them there, but not elsewhere
	moves   map[Identity][]*movement
	gone    map[Identity]bool // deleted or unlinked by somebody
	counts  counts
	log     []string
}

type counts struct {
	runs, ops, rings, orphans, taken, survived, twice, merges int
	missing                                                   int

	// Of files with several names, after a merge: how many there are, of how many
	// a directory is gone, how many have several data; and changes of one of which
	// not all directories were in memory.
	linked, hidden, linkedCopies, reached int
}

func (c *counts) add(o counts) {
	c.runs += o.runs
	c.ops += o.ops
	c.rings += o.rings
	c.orphans += o.orphans
	c.taken += o.taken
	c.survived += o.survived
	c.twice += o.twice
	c.merges += o.merges
	c.missing += o.missing
	c.linked += o.linked
	c.hidden += o.hidden
	c.linkedCopies += o.linkedCopies
	c.reached += o.reached
}

type payloadKey struct {
	id  Identity
	dot Dot
}

// A hand is one writer.
type hand struct {
	h     *history
	i     int
	t     *Tree // the model
	s     *Tree // stored, if there is one
	store *store
	last  *published
	count uint64
	ops   []*removal  // of the pending commit
	moves []*movement // of the pending commit
	held  []seenFile  // files that somebody has had open for long
}

type published struct {
	state
	writer int
	seq    uint64
	head   Head
}

// A removal is one operation that removed or overwrote a content.
type removal struct {
	vec Vector
	dot Dot // of the commit; zero while pending
}

// A movement is one operation that put an identity somewhere.
type movement struct {
	dir  Identity
	name string
	vec  Vector
	dot  Dot
	i    int
}

func newHistory(seed uint64, abl ablation, stored bool) *history {
	h := &history{
		rnd: rand.New(rand.NewPCG(seed, 7)), abl: abl, stored: stored, clock: 1,
		payload: make(map[payloadKey]*version), removed: make(map[string][]*removal), touched: make(map[string][]Dot),
		public: make(map[string]bool), under: make(map[string]map[Identity][]*removal), moves: make(map[Identity][]*movement), gone: make(map[Identity]bool),
	}
	h.names = []string{"a", "a (conflict from w0.id, 1970-01-01 00.00)"}
	if h.rnd.IntN(2) == 0 {
		h.names = []string{"a", "b.txt", "b (conflict from w1.id, 1970-01-01 00.00).txt", "c",
			"b (conflict from w1.id, 1970-01-01 00.00) 2.txt"}
	}
	h.dirs = h.rnd.IntN(3) == 0
	shared := newStore()
	shared.perPack = 1 + h.rnd.Uint64N(4)
	for i := range 2 + h.rnd.IntN(3) {
		w := &hand{h: h, i: i, store: shared}
		w.t = New(writer(i), fmt.Sprintf("w%d.id", i), nil)
		w.t.off = rules{alive: abl == noAlive, settle: abl == settleOneName}
		w.t.taken = func() { h.counts.taken++ }
		if stored {
			w.s = w.fresh()
		}
		h.writers = append(h.writers, w)
	}
	return h
}

func (w *hand) fresh() *Tree {
	t := New(w.t.self, w.t.name, w.store.load)
	w.tune(t)
	return t
}

// tune makes pages and indexes small.
func (w *hand) tune(t *Tree) { t.limit, t.width = 700, 2 }

// A broken is a property that did not hold.
type broken struct{ error }

func fail(format string, args ...any) { panic(broken{fmt.Errorf(format, args...)}) }

// run runs the history and returns what it violated.
func (h *history) run() (err error) {
	defer func() {
		if r := recover(); r != nil {
			b, ok := r.(broken)
			switch {
			case ok:
				err = b.error
			case h.abl != nothing:
				err = fmt.Errorf("panic: %v", r) // without a rule nothing is sure
			default:
				panic(r)
			}
		}
	}()
	h.counts.runs++
	first := h.writers[0]
	for range 3 + h.rnd.IntN(12) {
		first.op()
	}
	first.publish()
	for _, w := range h.writers {
		w.merge(h.heads[0])
	}
	mergeShare := 3 + h.rnd.IntN(14)
	for range 5 + h.rnd.IntN(56) {
		w := h.writers[h.rnd.IntN(len(h.writers))]
		switch p := h.rnd.IntN(100); {
		case p < 18:
			w.publish()
		case p < 18+mergeShare:
			for range 1 + h.rnd.IntN(3) {
				w.merge(h.heads[h.rnd.IntN(len(h.heads))])
			}
		case p < 21+mergeShare:
			w.crash()
		default:
			w.op()
		}
	}
	h.laws()
	h.converge()
	return nil
}

func (h *history) logf(format string, args ...any) {
	h.log = append(h.log, fmt.Sprintf(format, args...))
}

// both does something on the model and on the stored tree.
func (w *hand) both(f func(t *Tree) error) error {
	err := f(w.t)
	if w.s == nil {
		return err
	}
	e := w.retry(func() error { return f(w.s) })
	if (err == nil) != (e == nil) {
		fail("model says %v, stored tree %v", err, e)
	}
	return err
}

func (w *hand) retry(f func() error) error {
	for i := 0; ; i++ {
		err := f()
		if !isMissing(err) {
			return err
		}
		w.h.counts.missing++
		if i > 100000 {
			fail("endlessly missing: %v", err)
		}
	}
}

func (w *hand) publish() {
	if !w.t.changed && w.last != nil && w.h.rnd.IntN(10) > 0 {
		return
	}
	seq := uint64(0)
	for _, e := range w.t.vec {
		seq = max(seq, e.Seq)
	}
	w.count++
	seq++
	if w.h.abl == counterPerWriter {
		seq = w.count
	}
	w.h.logf("%d publishes %d", w.i, seq)
	dot := Dot{seq, w.t.self}
	for n := range w.t.pend {
		n.e = n.e.numbered(dot)
	}
	clear(w.t.pend)
	w.t.changed = false
	w.t.vec[w.t.self] = VectorEntry{Name: w.t.name, Seq: seq}
	w.t.gen++
	for _, r := range w.ops {
		r.dot = dot
	}
	for _, m := range w.moves {
		m.dot = dot
	}
	w.ops, w.moves = nil, nil
	p := &published{state: snapshot(w.t), writer: w.i, seq: seq}
	w.h.note(p)
	w.last = p
	w.h.heads = append(w.h.heads, p)
	if err := p.check(); err != nil {
		fail("%v", err)
	}
	for _, f := range w.shows(w.t) {
		if strings.HasPrefix(f.content, "u") {
			w.h.public[f.content] = true
			w.h.shownUnder(f)
		}
	}
	if w.s != nil {
		w.flush(p)
	}
}

// shownUnder notes the identities under which a content is shown, and what
// removes it there.
func (h *history) shownUnder(f seenFile, by ...*removal) {
	if h.under[f.content] == nil {
		h.under[f.content] = make(map[Identity][]*removal)
	}
	for _, id := range f.ids {
		h.under[f.content][id] = append(h.under[f.content][id], by...)
	}
}

// mayBeGone tells whether a content was removed everywhere by one operation, or
// under each identity under which it ever was in a published view.
func (h *history) mayBeGone(c string) bool {
	published := func(r *removal) bool { return r.dot.Seq != 0 }
	if slices.ContainsFunc(h.removed[c], published) {
		return true
	}
	for _, list := range h.under[c] {
		if !slices.ContainsFunc(list, published) {
			return false
		}
	}
	return true
}

// note records what a head holds.
func (h *history) note(p *published) {
	for id, e := range p.ents {
		for i := range e.versions {
			v := &e.versions[i]
			k := payloadKey{id, v.dot}
			if o := h.payload[k]; o != nil && !o.equal(v) && h.abl == nothing {
				fail("two payloads of %v %v", id, v.dot)
			}
			h.payload[k] = v
			if v.data != nil {
				c := string(v.data.content.Inline)
				if !slices.Contains(h.touched[c], v.dot) {
					h.touched[c] = append(h.touched[c], v.dot)
				}
			}
		}
	}
}

func (w *hand) merge(p *published) {
	if p.state.vec[w.t.self].Seq > w.t.vec[w.t.self].Seq {
		return // a claim that the reader would refuse; happens only to crashed counters
	}
	w.h.logf("%d merges %d of %d", w.i, p.seq, p.writer)
	w.h.counts.merges++
	s, err := joinStates(snapshot(w.t), p.state)
	if err != nil && w.h.abl == nothing {
		fail("%v", err)
	}
	s = w.h.abl.joined(s)
	w.h.counts.rings += adopt(w.t, s)
	w.h.counts.orphans += s.orphans()
	w.countLinks()
	if err := s.check(); err != nil && w.h.abl == nothing {
		fail("%v", err)
	}
	if w.s != nil {
		w.mergeStored(p)
	}
}

// countLinks counts the files with several names.
func (w *hand) countLinks() {
	c := &w.h.counts
	for _, n := range w.t.nodes {
		if n.linked == nil {
			continue
		}
		c.linked++
		if n.e.gone(n.linked.dirs) != nil {
			c.hidden++
		}
		if n.e.several() {
			c.linkedCopies++
		}
	}
}

func (w *hand) crash() {
	w.h.logf("%d crashes", w.i)
	for _, m := range w.moves {
		m.dot = Dot{Writer: w.t.self} // never happened
	}
	w.ops, w.moves, w.held = nil, nil, nil
	s := state{ents: map[Identity]*entry{}, vec: Vector{}}
	if w.last != nil {
		s = w.last.state
	}
	adopt(w.t, s)
	w.t.changed = false
	if w.s != nil {
		w.reload()
	}
}

// A seenFile is what a view shows at one path.
type seenFile struct {
	path    string
	info    Info
	content string
	nodes   []Identity
	ids     []Identity // of all that is shown as one: the nodes', of copies the ones they will have
}

// shows returns all that the view of t shows.
func (w *hand) shows(t *Tree) map[string]seenFile {
	out := make(map[string]seenFile)
	var walk func(dir Identity, path string, deep int)
	walk = func(dir Identity, path string, deep int) {
		if deep > 100 {
			fail("directories without end")
		}
		var list []*item
		var g []*node
		err := w.retry(func() (err error) {
			if g, err = t.dir(dir); err == nil {
				list = t.list(g)
			}
			return err
		})
		if err != nil {
			fail("list %s: %v", path, err)
		}
		for _, i := range list {
			in := t.info(i)
			p := path + "/" + i.name
			if _, twice := out[p]; twice {
				fail("%s is shown twice", p)
			}
			f := seenFile{path: p, info: in, content: string(in.Content.Inline)}
			for _, m := range i.members {
				f.nodes = append(f.nodes, m.n.id)
				f.ids = append(f.ids, m.id())
			}
			out[p] = f
			var got Info
			if err := w.retry(func() (err error) { got, err = t.Get(in.ID); return err }); err != nil {
				fail("%s is shown, but there is no %v: %v", p, in.ID, err)
			}
			if in.Links > 1 && got.ID != in.ID {
				got = in // shown as one with another file, under another of its names
			} else if in.Links > 1 {
				got.Dir, got.Name, got.Conflict = in.Dir, in.Name, in.Conflict
			}
			if !got.same(&in) {
				fail("%s: %+v by identity, %+v by name", p, got, in)
			}
			if in.Kind == Dir {
				walk(in.ID, p, deep+1)
			}
		}
	}
	walk(Root, "", 0)
	return out
}

// laws checks that joins are commutative, associative and idempotent.
func (h *history) laws() {
	if h.abl != nothing {
		return
	}
	pick := func() state { return h.heads[h.rnd.IntN(len(h.heads))].state }
	join := func(a, b state) state {
		s, err := joinStates(a, b)
		if err != nil {
			fail("%v", err)
		}
		return s
	}
	same := func(law string, a, b state) {
		if err := a.equal(b); err != nil {
			fail("not %s: %v", law, err)
		}
	}
	for range 3 {
		a, b, c := pick(), pick(), pick()
		same("commutative", join(a, b), join(b, a))
		same("associative", join(join(a, b), c), join(a, join(b, c)))
		same("idempotent", join(a, a), a)
		same("idempotent", join(join(a, b), b), join(a, b))
	}
}

// converge has all writers publish and merge all heads, and checks what must
// hold then.
func (h *history) converge() {
	for _, w := range h.writers {
		w.publish()
	}
	all := slices.Clone(h.heads)
	var end state
	var view map[string]seenFile
	for i, w := range h.writers {
		h.rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, p := range all {
			w.merge(p)
		}
		s, v := snapshot(w.t), w.shows(w.t)
		if i == 0 {
			end, view = s, v
			continue
		}
		if h.abl != nothing {
			continue
		}
		if err := s.equal(end); err != nil {
			fail("writers %d and 0 differ: %v", i, err)
		}
		h.sameView(v, view)
	}
	if h.abl == nothing {
		h.brackets(end)
	}
	for _, w := range h.writers {
		if w.s != nil {
			w.compare()
		}
	}
	h.kept(end, view)
	h.placed(end)
}

func (h *history) sameView(a, b map[string]seenFile) {
	if len(a) != len(b) {
		fail("views differ: %v, %v", slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b)))
	}
	for p, f := range a {
		g := b[p]
		if f.content != g.content || f.info.ID != g.info.ID {
			fail("views differ at %s: %+v, %+v", p, f, g)
		}
	}
}

// brackets joins all heads in random order and bracketing.
func (h *history) brackets(end state) {
	var list []state
	for _, p := range h.heads {
		list = append(list, p.state)
	}
	for len(list) > 1 {
		i := h.rnd.IntN(len(list))
		a := list[i]
		list = slices.Delete(list, i, i+1)
		j := h.rnd.IntN(len(list))
		s, err := joinStates(a, list[j])
		if err != nil {
			fail("%v", err)
		}
		list[j] = s
	}
	if err := list[0].equal(end); err != nil {
		fail("another bracketing gives another state: %v", err)
	}
}

// kept checks that nothing was lost and nothing came back without a reason.
func (h *history) kept(end state, view map[string]seenFile) {
	at := make(map[string][]Identity)
	for _, f := range view {
		if strings.HasPrefix(f.content, "u") {
			for _, id := range f.nodes {
				if !slices.Contains(at[f.content], id) {
					at[f.content] = append(at[f.content], id)
				}
			}
		}
	}
	for c := range h.public {
		if at[c] == nil && !h.mayBeGone(c) {
			fail("content %s is lost: %v", c, h.under[c])
		}
	}
	for c, ids := range at {
		if len(ids) > 1 {
			h.counts.twice++
		}
		for _, r := range h.removed[c] {
			if r.dot.Seq == 0 {
				continue // the removal was never published
			}
			unseen := func(d Dot) bool { return d != r.dot && !r.vec.Covers(d) }
			if !slices.ContainsFunc(h.touched[c], unseen) {
				fail("content %s was removed by %v and is back", c, r.dot)
			}
			h.counts.survived++
		}
	}
}

// placed checks that the causally last place wins.
func (h *history) placed(end state) {
	for id, list := range h.moves {
		e := end.ents[id]
		if e == nil || h.gone[id] || len(e.places()) != 1 {
			continue
		}
		list = slices.DeleteFunc(slices.Clone(list), func(m *movement) bool { return m.dot.Seq == 0 })
		for _, m := range list {
			last := true
			for _, o := range list {
				if o != m && !m.vec.Covers(o.dot) && (o.dot != m.dot || o.i > m.i) {
					last = false
				}
			}
			if p := e.places()[0]; last && (p.dir != m.dir || p.name != m.name) {
				fail("%v was last put to %v/%s, but is at %v/%s", id, m.dir, m.name, p.dir, p.name)
			}
		}
	}
}

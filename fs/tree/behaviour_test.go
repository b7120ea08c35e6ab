package tree

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"satchel/crypto"
)

// A pen is a stored tree for tests that tell a story.
type pen struct {
	*Tree
	t    *testing.T
	s    *store
	i    int
	seq  uint64
	ids  *int
	head Head
}

func pens(t *testing.T, n int) []*pen {
	s, ids := newStore(), new(int)
	var out []*pen
	for i := range n {
		out = append(out, &pen{Tree: New(writer(i), fmt.Sprintf("w%d.id", i), s.load), t: t, s: s, i: i, ids: ids})
	}
	return out
}

func (p *pen) must(in Info, err error) Info {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
	return in
}

func (p *pen) create(dir Identity, name, text string) Info {
	p.t.Helper()
	*p.ids++
	return p.must(p.Create(dir, name, Spec{ID: ident(*p.ids), Now: int64(*p.ids), Content: InlineContent([]byte(text))}))
}

func (p *pen) mkdir(dir Identity, name string) Info {
	p.t.Helper()
	*p.ids++
	return p.must(p.Create(dir, name, Spec{ID: ident(*p.ids), Kind: Dir, Now: int64(*p.ids)}))
}

func (p *pen) flush() {
	p.t.Helper()
	vec := p.Vector()
	p.seq = 0
	for _, e := range vec {
		p.seq = max(p.seq, e.Seq)
	}
	p.seq++
	root, digest, err := p.Flush(p.seq, p.s)
	if err != nil {
		p.t.Fatal(err)
	}
	hash := crypto.Sum(fmt.Append(nil, p.i, p.seq))
	p.Published(hash)
	p.head = Head{Writer: p.self, Name: p.name, Seq: p.seq, Hash: hash, Vector: vec, Root: root, Digest: digest}
}

func (p *pen) join(o *pen) []Change {
	p.t.Helper()
	c, err := p.Join(o.head, p.s.load)
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func (p *pen) text(dir Identity, name string) string {
	p.t.Helper()
	return string(p.must(p.Lookup(dir, name)).Content.Inline)
}

func TestFirstJoinIsTold(t *testing.T) {
	p := pens(t, 2)
	a, b := p[0], p[1]
	d := a.mkdir(Root, "d")
	a.create(d.ID, "f", "text")
	a.flush()
	if list, err := b.List(Root); err != nil || len(list) != 0 {
		t.Fatal(list, err)
	}
	told := false
	for _, c := range b.join(a) {
		told = told || c.Old == nil && c.New != nil && c.New.Name == "d"
	}
	if !told || b.Root() != a.Root() || b.Digest() != a.Digest() || b.Dirty() {
		t.Errorf("told %v, root %v, digest %v", told, b.Root(), b.Digest())
	}
	if b.nodes[d.ID].sub.loaded {
		t.Error("read a directory that nobody looked at")
	}
	if got := b.text(d.ID, "f"); got != "text" {
		t.Errorf("f holds %q", got)
	}
}

func TestWriteToWhatIsNotShownAnyMore(t *testing.T) {
	p := pens(t, 2)
	a, b := p[0], p[1]
	d := a.mkdir(Root, "d")
	f := a.create(d.ID, "f", "base")
	a.flush()
	b.join(a)
	f = a.must(a.Get(f.ID))

	// Another's write comes first: both stay.
	b.must(b.Lookup(Root, "d"))
	g := b.must(b.Lookup(d.ID, "f"))
	b.must(b.SetData(g, g.DataDot, InlineContent([]byte("b's")), 50, 50))
	b.flush()
	a.join(b)
	in := a.must(a.SetData(f, f.DataDot, InlineContent([]byte("a's")), 60, 60))
	if in.ID == f.ID {
		t.Error("the late write superseded what it had not seen")
	}
	if got := a.text(d.ID, "f"); got != "a's" {
		t.Errorf("f holds %q", got)
	}
	if got := a.text(d.ID, "f (conflict from w1.id, 1970-01-01 00.00)"); got != "b's" {
		t.Errorf("the copy holds %q", got)
	}
	// A second write to the same file supersedes its own.
	in = a.must(a.SetData(in, in.DataDot, InlineContent([]byte("a's again")), 70, 70))
	if list, err := a.List(d.ID); err != nil || len(list) != 2 {
		t.Errorf("%v, %v", list, err)
	}
	a.flush()
	b.join(a)

	// The file is removed elsewhere: a write brings it back.
	b.must(b.Remove(d.ID, "f", false, 80))
	b.flush()
	in = a.must(a.Get(in.ID))
	a.join(b)
	if _, err := a.Lookup(d.ID, "f"); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("f is still there: %v", err)
	}
	back := a.must(a.SetData(in, in.DataDot, InlineContent([]byte("back")), 90, 90))
	if back.ID == in.ID || a.text(d.ID, "f") != "back" {
		t.Errorf("%+v", back)
	}
	// So too if its directory is gone.
	back = a.must(a.Get(back.ID))
	a.flush()
	b.join(a)
	if err := b.RemoveAll(Root, "d", 95); err != nil {
		t.Fatal(err)
	}
	b.flush()
	a.join(b)
	a.must(a.SetData(back, back.DataDot, InlineContent([]byte("again")), 99, 99))
	if got := a.text(Root, "f"); got != "again" {
		t.Errorf("f in the root holds %q", got)
	}
}

func TestCopiesHaveTheirIdentityBeforeTheyAreReal(t *testing.T) {
	p := pens(t, 2)
	a, b := p[0], p[1]
	f := a.create(Root, "f", "base")
	a.flush()
	b.join(a)
	g := b.must(b.Lookup(Root, "f"))
	b.must(b.SetData(g, g.DataDot, InlineContent([]byte("b's")), 50, 50))
	f = a.must(a.SetData(a.must(a.Get(f.ID)), a.must(a.Get(f.ID)).DataDot, InlineContent([]byte("a's")), 60, 60))
	b.flush()
	a.flush()
	changes := a.join(b)
	if len(changes) == 0 {
		t.Error("told of nothing")
	}
	name := "f (conflict from w0.id, 1970-01-01 00.00)"
	c := a.must(a.Lookup(Root, name))
	if !c.Conflict || c.ID == f.ID || c.By != a.self || string(c.Content.Inline) != "a's" {
		t.Errorf("copy is %+v", c)
	}
	if got := a.must(a.Get(c.ID)); !got.same(&c) {
		t.Errorf("by identity it is %+v", got)
	}
	if path, err := a.Path(c.ID); err != nil || path != name {
		t.Errorf("path %q, %v", path, err)
	}
	c2 := a.must(a.SetAttr(c.ID, func(x *Attr) { x.Mode = 0o600 }))
	if c2.ID != c.ID || c2.Conflict || c2.Name != name || c2.Mode != 0o600 {
		t.Errorf("made real it is %+v", c2)
	}
	if got := a.text(Root, "f"); got != "b's" {
		t.Errorf("f holds %q", got)
	}
	a.flush()
	b.join(a)
	if got := b.must(b.Lookup(Root, name)); got.ID != c.ID || got.Conflict {
		t.Errorf("elsewhere it is %+v", got)
	}
}

func TestEqualContentShowsOnce(t *testing.T) {
	p := pens(t, 2)
	a, b := p[0], p[1]
	a.create(Root, "f", "same")
	b.create(Root, "f", "same")
	a.flush()
	b.flush()
	a.join(b)
	if list, err := a.List(Root); err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	a.must(a.Remove(Root, "f", false, 9))
	if list, err := a.List(Root); err != nil || len(list) != 0 {
		t.Errorf("after removing: %v, %v", list, err)
	}
}

func TestGraftHasNewIdentities(t *testing.T) {
	p := pens(t, 2)
	a, b := p[0], p[1]
	d := a.mkdir(Root, "d")
	a.create(d.ID, "f", "text")
	big := a.create(d.ID, "big", "")
	refs := make(map[uint64]Ref)
	for i := range uint64(3000) {
		refs[i] = chunkRef(i + 1)
	}
	c, err := big.Content.Edit(a.s.load, a.s, 3000*ChunkSize, refs)
	if err != nil {
		t.Fatal(err)
	}
	a.must(a.SetData(big, big.DataDot, c, 5, 5))
	sub, err := a.Export(Root, "d")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(sub.Owners(), " "); got != "ada.id" {
		t.Errorf("owners %q", got)
	}
	ids := make(map[Identity]Identity)
	if err := b.Prepare(sub, func(old Identity) Identity {
		*b.ids++
		ids[old] = ident(*b.ids)
		return ids[old]
	}); err != nil {
		t.Fatal(err)
	}
	g := b.must(b.Graft(Root, "e", sub, 77))
	if g.ID != ids[d.ID] || len(ids) != 3 {
		t.Errorf("identities %v", ids)
	}
	in := b.must(b.Lookup(g.ID, "big"))
	if in.ID != ids[big.ID] || in.Size != c.Size || in.Mtime != 5 {
		t.Errorf("%+v", in)
	}
	if r, err := in.Content.Chunk(b.s.load, 2999); err != nil || r != refs[2999] {
		t.Errorf("%v, %v", r, err)
	}
	if err := a.RemoveAll(Root, "d", 8); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Lookup(Root, "d"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestEvictedIsLoadedAgain(t *testing.T) {
	a := pens(t, 1)[0]
	d := a.mkdir(Root, "d")
	e := a.mkdir(d.ID, "e")
	f := a.create(e.ID, "f", "text")
	a.Evict(func(Identity) bool { return false })
	if len(a.nodes) != 4 {
		t.Error("what is not stored was evicted")
	}
	a.flush()
	for _, c := range []struct {
		what string
		id   Identity
		left int
	}{{"f", f.ID, 4}, {"e", e.ID, 3}, {"nothing", Root, 1}} {
		a.Evict(func(id Identity) bool { return id == c.id })
		if a.InMemory() != c.left {
			t.Errorf("%s is looked at: %d in memory", c.what, a.InMemory())
		}
	}
	if n := a.Subdirs(Root); n != 1 {
		t.Errorf("%d directories", n)
	}
	if got := a.must(a.Lookup(e.ID, "f")); got.ID != f.ID {
		t.Errorf("found %v", got.ID)
	}
	if path, err := a.Path(f.ID); err != nil || path != "d/e/f" {
		t.Errorf("%q, %v", path, err)
	}
}

func TestRefused(t *testing.T) {
	a := pens(t, 1)[0]
	d := a.mkdir(Root, "d")
	f := a.create(d.ID, "f", "text")
	many := map[string][]byte{"user.a": make([]byte, 65<<10)}
	spec := func(s Spec) Spec { s.ID = ident(999); return s }
	for what, c := range map[string]struct {
		want error
		do   func() error
	}{
		"empty name":    {syscall.EINVAL, func() error { _, err := a.Create(Root, "", spec(Spec{})); return err }},
		"slash":         {syscall.EINVAL, func() error { _, err := a.Create(Root, "a/b", spec(Spec{})); return err }},
		"zero byte":     {syscall.EINVAL, func() error { _, err := a.Create(Root, "a\x00", spec(Spec{})); return err }},
		"dot dot":       {syscall.EINVAL, func() error { _, err := a.Create(Root, "..", spec(Spec{})); return err }},
		"long name":     {syscall.ENAMETOOLONG, func() error { _, err := a.Create(Root, strings.Repeat("x", 256), spec(Spec{})); return err }},
		"in a file":     {syscall.ENOTDIR, func() error { _, err := a.Create(f.ID, "x", spec(Spec{})); return err }},
		"there already": {os.ErrExist, func() error { _, err := a.Create(d.ID, "f", spec(Spec{})); return err }},
		"used identity": {os.ErrExist, func() error { _, err := a.Create(Root, "x", Spec{ID: f.ID}); return err }},
		"no target":     {syscall.EINVAL, func() error { _, err := a.Create(Root, "x", spec(Spec{Kind: Symlink})); return err }},
		"much inline": {syscall.EINVAL, func() error {
			_, err := a.Create(Root, "x", spec(Spec{Content: InlineContent(make([]byte, 257))}))
			return err
		}},
		"much written": {syscall.EINVAL, func() error { _, err := a.SetData(f, f.DataDot, InlineContent(make([]byte, 257)), 1, 1); return err }},
		"refs, wrong level": {syscall.EINVAL, func() error {
			_, err := a.SetData(f, f.DataDot, Content{Size: 9 << 20, Refs: []Ref{chunkRef(1)}}, 1, 1)
			return err
		}},
		"much xattr":       {syscall.ENOSPC, func() error { _, err := a.Create(Root, "x", spec(Spec{Xattrs: many})); return err }},
		"more xattr":       {syscall.ENOSPC, func() error { _, err := a.SetAttr(f.ID, func(x *Attr) { x.Xattrs = many }); return err }},
		"rmdir, not empty": {syscall.ENOTEMPTY, func() error { _, err := a.Remove(Root, "d", true, 1); return err }},
		"unlink of a dir":  {syscall.EISDIR, func() error { _, err := a.Remove(Root, "d", false, 1); return err }},
		"rmdir of a file":  {syscall.ENOTDIR, func() error { _, err := a.Remove(d.ID, "f", true, 1); return err }},
		"into itself":      {syscall.EINVAL, func() error { _, _, err := a.Rename(Root, "d", d.ID, "x", false, 1); return err }},
		"from nothing":     {os.ErrNotExist, func() error { _, _, err := a.Rename(Root, "no", Root, "x", false, 1); return err }},
		"no replace":       {os.ErrExist, func() error { _, _, err := a.Rename(d.ID, "f", Root, "d", true, 1); return err }},
		"link to a dir":    {syscall.EPERM, func() error { _, err := a.Link(d.ID, Root, "x", 1); return err }},
		"link, there":      {os.ErrExist, func() error { _, err := a.Link(f.ID, d.ID, "f", 1); return err }},
		"old number":       {nil, func() error { a.flush(); _, _, err := a.Flush(1, a.s); return err }},
	} {
		if err := c.do(); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if list := files(t, a.Tree); len(list) != 2 {
		t.Errorf("something was made: %v", list)
	}
	dir := Root
	for i := range maxDepth {
		dir = a.mkdir(dir, fmt.Sprint("n", i)).ID
	}
	if _, err := a.Create(dir, "x", spec(Spec{})); !errors.Is(err, syscall.ENAMETOOLONG) {
		t.Errorf("too deep: %v", err)
	}
}

func TestFailedFlushChangesNothing(t *testing.T) {
	a := pens(t, 1)[0]
	a.create(Root, "f", "text")
	if _, _, err := a.Flush(1, failing{}); err == nil {
		t.Fatal("no error")
	}
	if !a.Dirty() || !a.Root().IsZero() || len(a.Vector()) != 0 {
		t.Error("a flush that failed left something")
	}
	a.flush()
	if a.Dirty() {
		t.Error("dirty after a flush")
	}
	n, root := a.s.written, a.Root()
	a.flush()
	if a.s.written != n || a.Root() != root {
		t.Error("a flush without a change wrote something")
	}
	if in := a.must(a.Lookup(Root, "f")); in.Dot.IsPending() || in.DataDot != (Dot{1, a.self}) {
		t.Errorf("dots %v %v", in.Dot, in.DataDot)
	}
}

type failing struct{}

func (failing) Node(encode func(func(Ref) Ref) ([]byte, error)) (Ref, error) {
	if _, err := encode(func(r Ref) Ref { return r }); err != nil {
		return Ref{}, err
	}
	return Ref{}, errors.New("disk full")
}

func TestVectorClaims(t *testing.T) {
	p := pens(t, 2)
	a, b := p[0], p[1]
	a.create(Root, "f", "text")
	a.flush()
	b.join(a)
	b.create(Root, "g", "text")
	b.flush()
	for what, change := range map[string]func(h *Head){
		"more of mine than there is": func(h *Head) { h.Vector[a.self] = VectorEntry{"w0.id", 99, crypto.Hash{1}} },
		"another head of mine":       func(h *Head) { h.Vector[a.self] = VectorEntry{"w0.id", 1, crypto.Hash{1}} },
		"a number out of range":      func(h *Head) { h.Vector[writer(7)] = VectorEntry{"x.id", 1 << 60, crypto.Hash{1}} },
	} {
		h := b.head
		h.Vector = h.Vector.clone()
		change(&h)
		if _, err := a.Join(h, a.s.load); !errors.Is(err, ErrVector) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(files(t, a.Tree)) != 1 {
		t.Error("something of it was merged")
	}
}

// plant stores a root over a single page of entries and returns its head.
func plant(t *testing.T, s *store, list []standing) Head {
	t.Helper()
	node := func(kind byte, list []standing) (Ref, crypto.Hash) {
		d, err := pageDigest(kind, leaf{list: list})
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Node(func(local func(Ref) Ref) ([]byte, error) { return encodePage(kind, leaf{list: list}, local) })
		if err != nil {
			t.Fatal(err)
		}
		return r, d
	}
	dot := Dot{3, writer(8)}
	ref, digest := node(kindPage, list)
	root := single(Root, version{dot: dot, kind: Dir, stamp: dot, mstamp: dot})
	r, d := node(kindRoot, []standing{{e: root, top: ref, digest: digest}})
	return Head{Writer: dot.Writer, Name: "eve.id", Seq: 3, Root: r, Digest: d, Vector: Vector{}}
}

func TestHostileHeads(t *testing.T) {
	dot := Dot{3, writer(8)}
	file := func(id Identity, dir Identity, name string) standing {
		return standing{e: single(id, version{dot: dot, stamp: dot, mstamp: dot, data: &datum{dot: dot, content: InlineContent(nil)},
			places: []place{{link{Dot: dot}, dir, name, dot}}})}
	}
	many := file(ident(500), Root, "many").e
	for i := range uint64(2000) {
		v := many.versions[0]
		v.dot.Seq = 4 + i
		many.versions = append(many.versions, v)
	}
	for what, list := range map[string][]standing{
		"name with a slash":      {file(ident(500), Root, "a/b")},
		"dot dot":                {file(ident(500), Root, "..")},
		"identity twice":         {file(ident(500), Root, "a"), file(ident(500), Root, "b")},
		"the root in itself":     {{e: single(Root, version{dot: dot, stamp: dot, mstamp: dot, kind: Dir})}},
		"no versions":            {{e: &entry{id: ident(500)}}},
		"two thousand versions":  {{e: many}},
		"pages without a digest": {{e: file(ident(500), Root, "a").e, top: chunkRef(5)}},
	} {
		p := pens(t, 1)[0]
		p.create(Root, "mine", "text")
		h := plant(t, p.s, list)
		if _, err := p.Join(h, p.s.load); err == nil {
			t.Errorf("%s: merged", what)
		} else if !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", what, err)
		}
		if got := files(t, p.Tree); len(got) != 1 || got["/mine"].ID == Root {
			t.Errorf("%s: left %v", what, got)
		}
	}
	// A digest that lies is noticed when the node is read.
	p := pens(t, 1)[0]
	h := plant(t, p.s, []standing{file(ident(500), Root, "a")})
	h.Digest[0] ^= 1
	if _, err := p.Join(h, p.s.load); !errors.Is(err, ErrFormat) {
		t.Errorf("a lying digest: %v", err)
	}
}

func TestTwoPayloadsOfOneDot(t *testing.T) {
	p := pens(t, 3)
	dot := Dot{3, writer(8)}
	e := func(mode uint32) standing {
		return standing{e: single(ident(500), version{dot: dot, stamp: dot, mstamp: dot, attr: Attr{Mode: mode},
			data: &datum{dot: dot, content: InlineContent(nil)}, places: []place{{link{Dot: dot}, Root, "x", dot}}})}
	}
	own := plant(t, p[0].s, []standing{e(0o600)})
	other := plant(t, p[0].s, []standing{e(0o644)})
	other.Writer, other.Seq, other.Vector = writer(9), 4, Vector{}
	for i, heads := range [][]Head{{own, other}, {other, own}} {
		a := p[i]
		a.create(Root, "mine", "text")
		for _, h := range heads {
			if _, err := a.Join(h, a.s.load); err != nil {
				t.Fatal(err)
			}
		}
		if len(a.Contradictions()) == 0 {
			t.Error("not reported")
		}
	}
	if in := p[1].must(p[1].Lookup(Root, "x")); in.Mode != 0o600 {
		t.Errorf("mode %o, not that of the dot's own writer", in.Mode)
	}
}

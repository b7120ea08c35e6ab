package tree

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"satchel/crypto"
	"satchel/crypto/canon"
)

// samplePage has something in every field.
func samplePage() []standing {
	a, b := writer(1), writer(2)
	d := func(seq uint64, w crypto.DeviceID) Dot { return Dot{seq, w} }
	file := &entry{id: ident(1), versions: []version{
		{
			dot: d(3, a), kind: File, stamp: d(1, b), mtime: 1700000000000000001, mstamp: d(2, a),
			places: []place{{link{d(1, b), 0}, ident(9), "report.pdf", d(2, b)}, {link{d(1, b), 2}, Root, "other\xff", d(3, a)}},
			attr: Attr{Mode: 0o4755, UID: 1000, GID: 100, Atime: -1, Ctime: 5, Btime: 6,
				Xattrs: map[string][]byte{"user.b": {0, 1}, "user.a": {}}},
			data:  &datum{dot: d(2, b), content: Content{Size: 1<<20 + 5, Refs: []Ref{chunkRef(1), chunkRef(2)}}, copy: 2},
			extra: canon.Extra{200: {0x01}},
		},
		{
			dot: d(4, b), kind: File, stamp: d(4, b), mtime: 7, mstamp: d(4, b),
			places: []place{{link{d(1, b), 0}, ident(9), "report.pdf", d(2, b)}},
			attr:   Attr{Mode: 0o600},
			data:   &datum{dot: d(4, b), content: Content{Size: 3 << 30, Level: 2, Refs: []Ref{chunkRef(3)}}},
		},
	}}
	file.revive([]link{{d(1, b), 2}}, []Dot{d(2, b)})
	dir := single(ident(2), version{dot: d(5, b), kind: Dir, stamp: d(5, b), mtime: 8, mstamp: d(5, b),
		places: []place{{link{d(5, b), 0}, ident(9), "sub", d(5, b)}}, attr: Attr{Mode: 0o755}})
	sym := single(ident(3), version{dot: d(5, b), kind: Symlink, stamp: d(5, b), mtime: 8, mstamp: d(5, b),
		places: []place{{link{d(5, b), 0}, ident(9), "to", d(5, b)}}, attr: Attr{Mode: 0o777},
		data: &datum{dot: d(5, b), content: InlineContent([]byte("target"))}})
	hole := single(ident(4), version{dot: d(5, b), kind: File, stamp: d(5, b), mtime: 8, mstamp: d(5, b),
		places: []place{{link{d(5, b), 0}, ident(9), "zero", d(5, b)}},
		data:   &datum{dot: d(5, b), content: Content{Size: 2 << 20, Refs: []Ref{{}, chunkRef(4)}}}})
	empty := single(ident(5), version{dot: d(5, b), kind: File, stamp: d(5, b), mtime: 8, mstamp: d(5, b),
		places: []place{{link{d(5, b), 0}, ident(9), "empty", d(5, b)}},
		data:   &datum{dot: d(5, b), content: InlineContent(nil)}})
	return []standing{
		{e: file, dir: ident(9)},
		{e: dir, dir: ident(9), top: chunkRef(7), digest: crypto.Sum([]byte("pages"))},
		{e: sym, dir: ident(9)}, {e: hole, dir: ident(9)}, {e: empty, dir: ident(9)},
	}
}

// here is where the sample nodes are: chunk refs below 1,024 are in the same pack.
var here = Ref{Owner: "ada.id", Pack: chunkRef(0).Pack, Len: 1}

func local(r Ref) Ref {
	if r.Pack == here.Pack {
		r.Pack = [32]byte{}
	}
	return r
}

func sampleIndex() []child {
	return []child{
		{prefix: 0, bits: 1, ref: chunkRef(1), digest: crypto.Sum([]byte("a"))},
		{prefix: 1 << 63, bits: 3, ref: chunkRef(5000), digest: crypto.Sum([]byte("b"))},
		{prefix: 5 << 61, bits: 3, ref: chunkRef(2), digest: crypto.Sum([]byte("c"))},
	}
}

var sampleFile = []Ref{chunkRef(1), {}, chunkRef(5000), chunkRef(2)}

// known compares b with a file in testdata, line breaks apart.
func known(t *testing.T, name string, b []byte) []byte {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		s := hex.EncodeToString(b)
		var lines []string
		for len(s) > 100 {
			lines, s = append(lines, s[:100]), s[100:]
		}
		if err := os.WriteFile(file, []byte(strings.Join(append(lines, s, ""), "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, want) {
		t.Errorf("%s: got\n%x, want\n%x", name, b, want)
	}
	return want
}

func TestKnownPage(t *testing.T) {
	list := samplePage()
	b, err := encodePage(kindPage, leaf{list: list}, local)
	if err != nil {
		t.Fatal(err)
	}
	b = known(t, "page.hex", b)
	got, err := decodePage(kindPage, b, here, ident(9))
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range got.list {
		w := list[i]
		if !s.e.equal(w.e) || s.top != w.top || s.digest != w.digest {
			t.Errorf("got  %v\nwant %v", s.e, w.e)
		}
		for j, v := range s.e.versions {
			if d := w.e.versions[j].data; d != nil && (!slices.Equal(d.content.Refs, v.data.content.Refs) ||
				d.content.Size != v.data.content.Size || d.content.Level != v.data.content.Level) {
				t.Errorf("got %+v, want %+v", v.data, d)
			}
		}
	}
	d, err := pageDigest(kindPage, leaf{list: list})
	if err != nil {
		t.Fatal(err)
	}
	known(t, "page-digest.hex", d[:])
	if e, _ := pageDigest(kindPage, got); e != d {
		t.Error("another digest after decoding")
	}
	v := list[0].e.versions[0].digest()
	known(t, "version-digest.hex", v[:])
}

func TestKnownRoot(t *testing.T) {
	d := Dot{7, writer(3)}
	e := single(Root, version{dot: d, kind: Dir, stamp: d, mtime: 9, mstamp: d, attr: Attr{Mode: 0o700}})
	list := []standing{{e: e, top: chunkRef(1), digest: crypto.Sum([]byte("root"))}}
	b, err := encodePage(kindRoot, leaf{list: list}, local)
	if err != nil {
		t.Fatal(err)
	}
	b = known(t, "root.hex", b)
	got, err := decodePage(kindRoot, b, here, Root)
	if err != nil || len(got.list) != 1 || !got.list[0].e.equal(e) || got.list[0].top != chunkRef(1) {
		t.Errorf("%v, %v", got, err)
	}
}

// TestKnownTable has a file with several names, where it stands and where it is named.
func TestKnownTable(t *testing.T) {
	entry := &entry{id: ident(1), versions: samplePage()[0].e.versions}
	entry.revive(nil, nil)
	table := leaf{list: []standing{{e: entry, dir: nowhere, gone: []Identity{ident(9)}}}, ways: []way{{ident(9), ident(2)}, {ident(2), Root}}}
	names := leaf{stubs: []stub{{"other", entry.id}, {"other", ident(77)}}}
	d := Dot{7, writer(3)}
	root := leaf{list: []standing{{e: single(Root, version{dot: d, kind: Dir, stamp: d, mstamp: d}),
		table: &child{ref: chunkRef(1), digest: crypto.Sum([]byte("table"))}}}}
	for name, c := range map[string]struct {
		kind byte
		l    leaf
		dir  Identity
	}{"table": {kindPage, table, nowhere}, "stubs": {kindPage, names, Root}, "linked-root": {kindRoot, root, Root}} {
		b, err := encodePage(c.kind, c.l, local)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodePage(c.kind, known(t, name+".hex", b), here, c.dir)
		if err != nil || !slices.Equal(got.stubs, c.l.stubs) || !slices.Equal(got.ways, c.l.ways) || len(got.list) != len(c.l.list) {
			t.Fatalf("%s: %+v, %v", name, got, err)
		}
		for i, s := range got.list {
			w := c.l.list[i]
			if !s.e.equal(w.e) || !slices.Equal(s.gone, w.gone) || (w.table != nil && *s.table != *w.table) {
				t.Errorf("%s: %+v, want %+v", name, s, w)
			}
		}
		digest, err := pageDigest(c.kind, c.l)
		if err != nil {
			t.Fatal(err)
		}
		known(t, name+"-digest.hex", digest[:])
		got.ways = nil
		if again, err := pageDigest(c.kind, got); err != nil || again != digest {
			t.Errorf("%s: another digest without ways", name)
		}
	}
}

func TestKnownIndex(t *testing.T) {
	b, err := encodeIndex(1, sampleIndex(), local)
	if err != nil {
		t.Fatal(err)
	}
	b = known(t, "index.hex", b)
	level, got, err := decodeIndex(b, here)
	if err != nil || level != 1 || !slices.Equal(got, sampleIndex()) {
		t.Errorf("%v, %v", got, err)
	}
	d := indexDigest(1, got)
	known(t, "index-digest.hex", d[:])
}

func TestKnownFile(t *testing.T) {
	b, err := encodeFile(1, sampleFile, local)
	if err != nil {
		t.Fatal(err)
	}
	b = known(t, "file.hex", b)
	level, got, err := decodeFile(b, here)
	if err != nil || level != 1 || !slices.Equal(got, sampleFile) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestKnownNames(t *testing.T) {
	id := derived(ident(1), Dot{5, writer(2)})
	known(t, "derived.hex", id[:])
}

func FuzzPage(f *testing.F) {
	b, err := encodePage(kindPage, leaf{list: samplePage()}, local)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Add([]byte{kindPage, 0xa0})
	f.Add([]byte{kindRoot, 0xa0})
	for i := 3; i < len(b); i += 17 {
		c := bytes.Clone(b)
		c[i] ^= 0x55
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := decodePage(kindPage, b, here, ident(9))
		if err != nil {
			return
		}
		again, err := encodePage(kindPage, list, local)
		if err != nil {
			t.Fatalf("decoded, but not encoded: %v", err)
		}
		back, err := decodePage(kindPage, again, here, ident(9))
		if err != nil || len(back.list) != len(list.list) {
			t.Fatalf("not decoded again: %v", err)
		}
		for i := range list.list {
			e := list.list[i].e
			if !e.equal(back.list[i].e) {
				t.Fatalf("%v is now %v", e, back.list[i].e)
			}
			e.touch(Dot{Pending, writer(1)}, nil)
			e.shown()
			e.standsIn(ident(9))
		}
	})
}

func FuzzIndex(f *testing.F) {
	b, err := encodeIndex(1, sampleIndex(), local)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{kindIndex, 0xa0})
	f.Fuzz(func(t *testing.T, b []byte) {
		level, list, err := decodeIndex(b, here)
		if err != nil {
			return
		}
		if _, err := encodeIndex(level, list, local); err != nil {
			t.Fatal(err)
		}
		for _, width := range []int{1, 3} {
			splitIndex(list, width)
		}
		cover(list, Ref{}, crypto.Hash{})
	})
}

func FuzzFile(f *testing.F) {
	b, err := encodeFile(1, sampleFile, local)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{kindFile, 0xa0})
	f.Fuzz(func(t *testing.T, b []byte) {
		level, refs, err := decodeFile(b, here)
		if err != nil {
			return
		}
		if _, err := encodeFile(level, refs, local); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzCopyName(f *testing.F) {
	f.Add("report.pdf", "bob.id", int64(1795356180000000000), 2)
	f.Add("report (conflict from bob.id, 2026-11-22 14.03) 2.pdf", "ada.id", int64(0), 1)
	f.Add(strings.Repeat("ä", 127)+".tar.gz", "bob.id", int64(-1), 9)
	f.Add("."+strings.Repeat("x", 254), "bob.id", int64(5), 1)
	f.Fuzz(func(t *testing.T, name, writer string, mtime int64, number int) {
		if checkName(name) != nil || len(writer) > 64 || checkName(writer) != nil || number < 1 || number > 1<<20 {
			return
		}
		if got := copyName(name, writer, mtime, number); checkName(got) != nil {
			t.Errorf("copy of %q is %q", name, got)
		}
	})
}

func TestCopyName(t *testing.T) {
	const when = 1795356180000000000 // 2026-11-22 14:03 UTC
	for _, c := range []struct {
		name   string
		number int
		want   string
	}{
		{"report.pdf", 1, "report (conflict from bob.id, 2026-11-22 14.03).pdf"},
		{"report.pdf", 2, "report (conflict from bob.id, 2026-11-22 14.03) 2.pdf"},
		{"report (conflict from ada.id, 2025-01-01 00.00) 7.pdf", 1, "report (conflict from bob.id, 2026-11-22 14.03).pdf"},
		{"report (conflict from ada.id, 2025-01-01 00.00)", 1, "report (conflict from bob.id, 2026-11-22 14.03)"},
		{".profile", 1, ".profile (conflict from bob.id, 2026-11-22 14.03)"}, // no stem before the dot
		{strings.Repeat("ä", 127), 1, strings.Repeat("ä", 107) + " (conflict from bob.id, 2026-11-22 14.03)"},
	} {
		if got := copyName(c.name, "bob.id", when, c.number); got != c.want {
			t.Errorf("copyName(%q, %d) = %q, want %q", c.name, c.number, got, c.want)
		}
		if n := suffixNumber(copyName(c.name, "bob.id", when, c.number)); n != c.number {
			t.Errorf("number of %q: %d", c.want, n)
		}
	}
}

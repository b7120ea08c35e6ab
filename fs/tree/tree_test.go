package tree

import (
	"fmt"
	"testing"
	"time"
)

// files lists all that a tree shows, with paths.
func files(t testing.TB, tr *Tree) map[string]Info {
	t.Helper()
	out := make(map[string]Info)
	var walk func(dir Identity, path string)
	walk = func(dir Identity, path string) {
		var list []Info
		retry(t, func() (err error) {
			list, err = tr.List(dir)
			return err
		})
		for _, i := range list {
			p := path + "/" + i.Name
			if _, twice := out[p]; twice {
				t.Errorf("%s is shown twice", p)
			}
			out[p] = i
			if i.Kind == Dir {
				walk(i.ID, p)
			}
		}
	}
	walk(Root, "")
	return out
}

func TestManyFiles(t *testing.T) {
	s := newStore()
	start := time.Now()
	tr := New(writer(0), "ada.id", s.load)
	n := 0
	for d := range 40 {
		n++
		dir, err := tr.Create(Root, fmt.Sprintf("dir%d", d), Spec{ID: ident(n), Kind: Dir, Mode: 0o755, Now: int64(n)})
		if err != nil {
			t.Fatal(err)
		}
		for f := range 75 {
			n++
			name := fmt.Sprintf("file %d", f)
			if _, err := tr.Lookup(dir.ID, name); err == nil {
				t.Fatal("there already")
			}
			in, err := tr.Create(dir.ID, name, Spec{ID: ident(n), Mode: 0o644, Now: int64(n)})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tr.SetData(in, in.DataDot, InlineContent([]byte(name)), int64(n), int64(n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("made in %v", time.Since(start))
	start = time.Now()
	root, digest, err := tr.Flush(1, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("flushed in %v, %d nodes", time.Since(start), s.written)
	start = time.Now()
	back, err := Load(writer(0), "ada.id", tr.Vector(), root, digest, s.load)
	if err != nil {
		t.Fatal(err)
	}
	a, b := files(t, tr), files(t, back)
	t.Logf("loaded and listed in %v", time.Since(start))
	if len(a) != 3040 || len(b) != len(a) {
		t.Fatalf("%d and %d files", len(a), len(b))
	}
	for p, i := range a {
		if j := b[p]; !i.same(&j) {
			t.Errorf("%s: %+v, %+v", p, i, j)
		}
	}
}

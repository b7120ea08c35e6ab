package volume

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"satchel/fs/tree"
)

// TestShrink keeps a small part of a large tree in memory, with what somebody
// looks at, and finds all of it.
func TestShrink(t *testing.T) {
	w := newWorld(t)
	v := w.open("Private", Last{})
	v.shrinking.most = 500
	name := func(i int) string { return fmt.Sprintf("file-%d", i) }
	text := func(d, i int) []byte { return fmt.Appendf(nil, "text %d %d", d, i) }
	const dirs, files = 60, 50
	for d := range dirs {
		dir := must[*Node](t)(v.Root().Create(ctx, fmt.Sprint(d), New{Kind: tree.Dir, Mode: 0o755}))
		for i := range files {
			write(t, dir, name(i), text(d, i)).Forget()
		}
		dir.Forget()
	}
	if n := v.tree.InMemory(); n != 1+dirs+dirs*files {
		t.Fatalf("%d in memory before anything is stored", n)
	}
	if err := v.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	dir := must[*Node](t)(v.Root().Lookup(ctx, "7"))
	known := must[*Node](t)(dir.Lookup(ctx, name(7)))
	if n := v.tree.InMemory(); n > 500 {
		t.Fatalf("%d in memory", n)
	}
	// Something changes and something is looked at, while all the rest comes and goes.
	write(t, dir, "new", []byte("new"))
	for d := range dirs {
		dir := must[*Node](t)(v.Root().Lookup(ctx, fmt.Sprint(d)))
		if list := must[[]Entry](t)(dir.List(ctx)); len(list) < files {
			t.Fatalf("%d files in folder %d", len(list), d)
		}
		for i := range files {
			if got := read(t, dir, name(i)); !bytes.Equal(got, text(d, i)) {
				t.Fatalf("file %d in folder %d holds %q", i, d, got)
			}
			if d != 7 {
				must[*Node](t)(dir.Lookup(ctx, name(i))).Forget()
			}
		}
		if d != 7 {
			dir.Forget()
		}
		if n := v.tree.InMemory(); n > 800 {
			t.Fatalf("%d in memory after folder %d", n, d)
		}
	}
	if v.tree.Get(known.id); v.nodes[known.id] != known {
		t.Error("a file that is known is another one")
	}
	last := reopened(t, w, v)
	if got := read(t, must[*Node](t)(last.Root().Lookup(ctx, "7")), "new"); string(got) != "new" {
		t.Errorf("what was written meanwhile is %q", got)
	}
}

// reopened commits and opens the volume again.
func reopened(t *testing.T, w *world, v *Volume) *Volume {
	t.Helper()
	if err := v.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	last := v.Last()
	w.reopen()
	return w.open("Private", last)
}

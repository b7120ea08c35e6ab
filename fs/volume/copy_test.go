package volume

import (
	"bytes"
	"slices"
	"testing"

	"satchel/storage/pack"
)

// Copies of what is sealed share it, in one volume and across two, and take next to
// no space; the other volume's head needs the pack.
func TestCopiesShareChunks(t *testing.T) {
	for _, across := range []bool{false, true} {
		w := newWorld(t)
		v := w.open("P", Last{})
		data := random(1, 4*chunkSize+5000)
		n := write(t, v.Root(), "f", data)
		if err := v.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		before := w.packs.Staged()
		to := v
		if across {
			to = w.open("Q", Last{})
		}
		w.needs = nil
		from := must[*Handle](t)(n.Open(ctx, false, false, false))
		h := must[*Handle](t)(write(t, to.Root(), "g", nil).Open(ctx, true, false, false))
		if got := must[int64](t)(CopyRange(ctx, from, 0, h, 0, 1<<40)); got != int64(len(data)) {
			t.Fatalf("copied %d", got)
		}
		if err := to.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		var size int64
		for _, id := range w.packs.Staged() {
			if !slices.Contains(before, id) {
				f, n, err := w.packs.OpenPack(id)
				if err != nil {
					t.Fatal(err)
				}
				f.Close()
				size += n
			}
		}
		if size > 64<<10 {
			t.Errorf("across %v: the copy took %d bytes", across, size)
		}
		if across && !slices.ContainsFunc(before, func(id pack.ID) bool { return slices.Contains(w.needs[0], id) }) {
			t.Error("the head does not need what it shares")
		}
		from.Close()
		w.reopen()
		if got := read(t, w.open(to.Label(), to.Last()).Root(), "g"); !bytes.Equal(got, data) {
			t.Error("content differs")
		}
	}
}

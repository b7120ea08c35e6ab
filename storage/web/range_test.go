package web

import (
	"fmt"
	"testing"
)

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-4/10", "bytes 5-9/*", "bytes 0-0/1", "bytes -1-2/3", "bytes 1-/2", "", "bytes 9-1/99"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, last, whole, ok := contentRange(s)
		if !ok {
			return
		}
		if first < 0 || last < first || whole >= 0 && whole <= last || whole < -1 {
			t.Fatalf("%q: accepted as %d-%d/%d", s, first, last, whole)
		}
		again := fmt.Sprintf("bytes %d-%d/%d", first, last, whole)
		if whole < 0 {
			again = fmt.Sprintf("bytes %d-%d/*", first, last)
		}
		if f2, l2, w2, ok := contentRange(again); !ok || f2 != first || l2 != last || w2 != whole {
			t.Fatalf("%q: read as %q, which is not read the same", s, again)
		}
	})
}

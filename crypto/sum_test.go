package crypto

import (
	"testing"

	"lukechampine.com/blake3"
)

func TestSum(t *testing.T) {
	b := make([]byte, maxQuick+2)
	for i := range b {
		b[i] = byte(i * i >> 8)
	}
	var lens []int
	for n := range 3 * 1024 {
		lens = append(lens, n)
	}
	for n := 1024; n <= maxQuick; n += 1024 {
		lens = append(lens, n-1, n, n+1, n+16)
	}
	for _, n := range append(lens, maxQuick+1, maxQuick+2) {
		n = min(n, len(b))
		if got, want := Sum(b[:n]), Hash(blake3.Sum256(b[:n])); got != want {
			t.Fatalf("%d bytes: got %v, want %v", n, got, want)
		}
	}
	if n := testing.AllocsPerRun(10, func() { Sum(b[:20<<10]) }); n > 0 {
		t.Errorf("%v allocations for one frame", n)
	}
}

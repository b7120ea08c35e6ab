package subdomain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"satchel/chain"
	"satchel/chain/zonefile"
)

// TestResolverMemory walks through many files as large as they may be, which hold one
// record or as many as they can: what is remembered is bounded, and counted rightly.
func TestResolverMemory(t *testing.T) {
	const count = 60
	long := make([]chain.Name, MaxVia)
	for i := range long {
		long[i] = chain.Name(fmt.Sprintf("a%033d.id", i))
	}
	for what, tc := range map[string]struct {
		line   string
		repeat int
	}{
		"one record":    {newWorld(t).record(nil, "ada", "ada", 1).Line() + "\n", 1},
		"short records": {newWorld(t).record(nil, "ada", "ada", 1, "a.b").Line() + "\n", MaxBatch},
		"long records":  {newWorld(t).record(nil, "ada", "ada", 1, long...).Line() + "\n", MaxBatch},
	} {
		full := bytes.Repeat([]byte(tc.line), min(tc.repeat, MaxBatch/len(tc.line)-1))
		full = append(full, bytes.Repeat([]byte{';'}, MaxBatch-len(full))...)
		file := func(i int) []byte { return append(fmt.Appendf(nil, "; %2d\n", i), full[:MaxBatch-5]...) }
		w := newWorld(t)
		made := make(map[[20]byte]int)
		for i := range count {
			h := zonefile.Hash(file(i))
			made[h] = i
			w.put("eve.id", fmt.Appendf(nil, "; %d\n_batch TXT \"batch:%x\"\n", i, h))
		}
		fetched := 0
		v := &Resolver{Table: w, Fetch: func(ctx context.Context, h [20]byte) ([]byte, error) {
			if i, ok := made[h]; ok {
				fetched++
				return file(i), nil
			}
			return w.fetch(ctx, h)
		}}
		before := heap()
		_, _ = v.Resolve(t.Context(), "x.eve.id")
		grown := heap() - before
		if fetched != count || grown > maxMemory*5/4 || v.size > maxMemory || grown > int64(v.size)*5/4+1<<20 {
			t.Errorf("%s: %d files take %d KiB, %d KiB were counted", what, fetched, grown>>10, v.size>>10)
		}
		sum := 0
		for _, f := range v.files {
			sum += f.size()
		}
		if sum != v.size {
			t.Errorf("%s: %d bytes were counted, there are %d", what, v.size, sum)
		}
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestResolveEnds gives up amid files that are all remembered.
func TestResolveEnds(t *testing.T) {
	w := newWorld(t)
	for range 10 {
		w.update("friends.id")
	}
	ctx, cancel := context.WithCancel(t.Context())
	read := 0
	v := &Resolver{Table: w, Fetch: func(ctx context.Context, hash [20]byte) ([]byte, error) {
		if read++; read == 3 {
			cancel()
		}
		return w.fetch(ctx, hash)
	}}
	if _, err := v.Resolve(ctx, "ada.friends.id"); !errors.Is(err, context.Canceled) || read != 3 {
		t.Errorf("%v after %d files", err, read)
	}
}

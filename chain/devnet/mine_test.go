package devnet

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"satchel/chain"
	"satchel/chain/bitcoin"
)

// TestTimes mines many blocks at once and under a clock that jumps; others take
// the headers, and so does the next start.
func TestTimes(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir)
	jumps := []time.Duration{0, -30 * time.Minute, 90 * time.Minute, -5 * time.Second}
	for _, jump := range jumps {
		n.mu.Lock()
		n.clock.now = func() time.Time { return time.Now().Add(jump) }
		n.mu.Unlock()
		if err := n.Mine(60); err != nil {
			t.Fatalf("the clock %v off: %v", jump, err)
		}
	}
	hs := bitcoin.NewHeaders(testParams())
	for {
		list, err := n.Headers(t.Context(), hs.Locator())
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			break
		}
		if _, err := hs.Add(list); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := hs.Best().Height, n.Height(); got != want {
		t.Errorf("headers up to %d, want %d", got, want)
	}
	crashed := copyDir(t, dir)
	if got, want := open(t, crashed).Height(), n.Height(); got != want {
		t.Errorf("height %d after a crash, want %d", got, want)
	}
}

// TestSetBack starts a chain on a machine whose clock was set back by a day.
func TestSetBack(t *testing.T) {
	n := open(t, t.TempDir())
	n.mu.Lock()
	n.clock.now = func() time.Time { return time.Now().Add(24 * time.Hour) }
	n.mu.Unlock()
	if err := n.Mine(20); err != nil {
		t.Fatal(err)
	}
	crashed := copyDir(t, n.dir)
	again := open(t, crashed)
	if err := again.Mine(20); err != nil {
		t.Fatal(err)
	}
	if got, want := again.Height(), n.Height()+20; got != want {
		t.Errorf("height %d, want %d", got, want)
	}
}

// TestReorgIsOneMove watches the chain while it is reorganised: nobody ever sees
// one that is shorter than before.
func TestReorgIsOneMove(t *testing.T) {
	n := open(t, t.TempDir())
	if err := n.Mine(5); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var w sync.WaitGroup
	defer w.Wait()
	defer stop()
	w.Go(func() {
		for last := 0; ctx.Err() == nil; {
			h := n.Height()
			if h < last {
				t.Errorf("height %d after %d", h, last)
				return
			}
			last = h
		}
	})
	w.Go(func() {
		for ctx.Err() == nil {
			if err := n.Follower().Sync(ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("follower: %v", err)
				return
			}
		}
	})
	for range 10 {
		if err := n.Reorg(3); err != nil {
			t.Fatal(err)
		}
		if err := n.Follower().Sync(ctx); err != nil {
			t.Fatal(err)
		}
		if h, hash := n.Index().Tip(); h != n.Height() || hash != hashes(t, n)[h] {
			t.Fatalf("the index is at %d, %v", h, hash)
		}
	}
}

// TestConcurrentFund has many ask for coins at once; none gets another's.
func TestConcurrentFund(t *testing.T) {
	n := open(t, t.TempDir())
	to := address(key(t))
	var w sync.WaitGroup
	for range 8 {
		w.Go(func() {
			for range 5 {
				if _, err := n.Fund(t.Context(), to, 10_000); err != nil {
					t.Error(err)
				}
			}
		})
	}
	w.Wait()
	if got, want := n.Height(), bootBlocks+40; got != want {
		t.Errorf("height %d, want %d: a block for each", got, want)
	}
}

func TestLimits(t *testing.T) {
	n := open(t, t.TempDir())
	boot := hashes(t, n)[bootBlocks]
	to := address(key(t))
	for what, err := range map[string]error{
		"no blocks":                  n.Mine(0),
		"too many blocks":            n.Mine(MaxMine + 1),
		"no reorganisation":          n.Reorg(0),
		"one that undoes the start":  n.Reorg(1),
		"one below the first block":  n.Reorg(1000),
		"a block of the start":       n.Invalidate(boot, 1),
		"a block that is not there":  n.Invalidate([32]byte{1}, 1),
		"to allow what is not there": n.Reconsider([32]byte{1}),
		"less than dust":             second(n.Fund(t.Context(), to, 1)),
		"more than it has":           second(n.Fund(t.Context(), to, 1e12)),
		"an address of no network":   second(n.Fund(t.Context(), "satchel", 1e6)),
	} {
		if err == nil {
			t.Errorf("%s: taken", what)
		}
	}
	if got := n.Height(); got != bootBlocks {
		t.Errorf("height %d, want %d", got, bootBlocks)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.Mine(1); err == nil {
		t.Error("a closed chain mined")
	}
	if err := n.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestLogFails has the log fail, as a full disk does: nothing is confirmed then,
// and the chain goes on from there.
func TestLogFails(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir)
	want := n.Height()
	n.mu.Lock()
	good := n.store.f
	n.store.f = readOnly(t, n.logPath())
	n.mu.Unlock()
	if err := n.Mine(1); err == nil {
		t.Error("mined without a log")
	}
	if got := n.Height(); got != want {
		t.Errorf("height %d, want %d", got, want)
	}
	n.mu.Lock()
	n.store.f.Close()
	n.store.f = good
	n.mu.Unlock()
	if err := n.Mine(1); err != nil {
		t.Errorf("with the log again: %v", err)
	}
}

// TestOthersFollow compares the node's index with that of a follower over HTTP
// at each block.
func TestOthersFollow(t *testing.T) {
	n := open(t, t.TempDir())
	_, ix, f := follower(t, serve(t, n))
	if err := n.Mine(30); err != nil {
		t.Fatal(err)
	}
	for _, follow := range []*chain.Follower{f, n.Follower()} {
		if err := follow.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for h := FirstBlock; h <= n.Height(); h++ {
		got, err := ix.ConsensusHash(h)
		want, err2 := n.Index().ConsensusHash(h)
		if err != nil || err2 != nil || got != want {
			t.Errorf("consensus hash of %d: %x, want %x (%v, %v)", h, got, want, err, err2)
		}
	}
}

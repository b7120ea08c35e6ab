package bench

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"satchel/chain"
	"satchel/chain/bitcoin"
	"satchel/chain/chaintest"
)

// BenchmarkMillionNames follows a chain with a million names in 20,000 blocks of
// about 1.5 MB, as those of mainnet have been in the last years: each name is
// preordered, registered and given a value, so there are 150 operations in a block
// among some 4,000 ordinary transactions. Then come blocks of 2,000 operations.
//
// The chain lies in files that are mapped into memory, so the source is as fast
// as can be. SATCHEL_BENCH_DIR names a directory to keep it in (it takes about a
// gigabyte); SATCHEL_BENCH_NAMES makes it smaller or larger.
func BenchmarkMillionNames(b *testing.B) {
	names := 1_000_000
	if n, err := fmt.Sscan(os.Getenv("SATCHEL_BENCH_NAMES"), &names); n == 0 && err != nil {
		names = 1_000_000
	}
	shape := chaintest.Shape{Names: names, Blocks: names / 50, Bulk: 1_450_000, Tips: 12, TipOps: 2000}
	dir := os.Getenv("SATCHEL_BENCH_DIR")
	if dir == "" {
		dir = b.TempDir()
	}
	for b.Loop() {
		f := measureNames(b, filepath.Join(dir, "chain"), shape)
		fmt.Println(f) // b.Log would cut it off
		b.ReportMetric(f.ratio(0), "ratio")
		b.ReportMetric(f.ratio(1), "ratio-at-once")
		b.ReportMetric(float64(f.lookups[0].Nanoseconds())/1e3, "µs/lookup-p50")
		b.ReportMetric(float64(f.lookups[1].Nanoseconds())/1e3, "µs/lookup-p99")
		b.ReportMetric(float64(f.memory)/1e6, "MB-anonymous")
		b.ReportMetric(float64(f.tip.Microseconds())/1e3, "ms/tip-block")
		b.ReportMetric(0, "ns/op") // says nothing
	}
}

// TestNamesFigures takes the figures of a small chain, to know that they can be
// taken.
func TestNamesFigures(t *testing.T) {
	shape := chaintest.Shape{Names: 1000, Blocks: 60, Bulk: 20_000, Tips: 4, TipOps: 300}
	if f := measureNames(t, t.TempDir(), shape); f.ratio(0) <= 0 || f.memory <= 0 || f.tip <= 0 || f.lookups[0] <= 0 {
		t.Errorf("got %+v", f)
	} else {
		t.Log(f)
	}
}

// figures are what is measured of following a chain.
type figures struct {
	shape    chaintest.Shape
	bytes    int64
	thrown   [2]time.Duration // to fetch and verify all blocks and throw them away: one by one, several at once
	followed time.Duration    // to follow them
	ratios   [2][]float64     // of both, in each stretch of the chain
	memory   int64            // the most anonymous memory while following
	lookups  [2]time.Duration
	tip      time.Duration
	disk     int64 // that the index takes
}

// ratio compares following with one way to throw away.
func (f figures) ratio(way int) float64 { return f.thrown[way].Seconds() / f.followed.Seconds() }

func (f figures) String() string {
	rate := func(d time.Duration) float64 { return float64(f.shape.Blocks) / d.Seconds() }
	return fmt.Sprintf(`%d names in %d blocks of %.0f kB
fetched, verified and thrown away  %6.0f blocks a second, one after the other
                                   %6.0f blocks a second, %d at once
followed                           %6.0f blocks a second (%v)
ratio                              %6.2f of the first (median of stretches %.2f)
                                   %6.2f of the second (median of stretches %.2f)
look-up                            p50 %v, p99 %v
anonymous memory                   %.0f MB at most
tip block of %d operations       %v
index on disk                      %.0f MB`,
		f.shape.Names, f.shape.Blocks, float64(f.bytes)/float64(f.shape.Blocks)/1e3,
		rate(f.thrown[0]), rate(f.thrown[1]), atOnce, rate(f.followed), f.followed.Round(time.Millisecond),
		f.ratio(0), median(f.ratios[0]), f.ratio(1), median(f.ratios[1]), f.lookups[0], f.lookups[1], float64(f.memory)/1e6,
		f.shape.TipOps, f.tip.Round(10*time.Microsecond), float64(f.disk)/1e6)
}

// atOnce is how many questions a follower asks its source at a time.
const atOnce = 8

// memoryLimit is what the runtime is told to stay below.
const memoryLimit = 128 << 20

// measureNames makes the chain, then takes all figures in one process: the
// source's part of its memory is small, and what making the chain took is given
// back first.
func measureNames(t testing.TB, dir string, shape chaintest.Shape) figures {
	s, err := chaintest.MakeSynthetic(dir, shape)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	debug.FreeOSMemory()
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(memoryLimit))
	indexDir := t.TempDir()
	ix, err := chain.OpenIndex(indexDir, s.Params)
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	follower := chain.NewFollower(s, ix, chain.FollowerOptions{})
	f := figures{shape: shape}
	f.follow(t, s, follower)
	f.lookUp(t, ix)
	f.tips(t, s, follower)
	f.disk = diskSize(t, indexDir)
	for h := s.Params.FirstBlock; h <= s.Height(); h++ {
		if got, err := ix.ConsensusHash(h); err != nil || got != s.Consensus(h) {
			t.Fatalf("height %d: consensus hash %x, want %x, %v", h, got, s.Consensus(h), err)
		}
	}
	return f
}

// follow goes through the chain in ten stretches. Of each it first fetches and
// verifies the blocks and throws them away, one after the other and again several
// at once, as a follower does; then it follows them. So all three are measured at
// the same times. The source shows the whole chain from the start: what keeps the
// follower from going on is that the rest is not confirmed.
func (f *figures) follow(t testing.TB, s *chaintest.Synthetic, follower *chain.Follower) {
	const stretches = 10
	s.Show(f.shape.Blocks)
	for i := range stretches {
		from, to := f.shape.Blocks*i/stretches+1, f.shape.Blocks*(i+1)/stretches
		var thrown [2]time.Duration
		for way, n := range []int{1, atOnce} {
			start := time.Now()
			f.bytes += throwAway(t, s, from, to, n) / 2
			thrown[way] = time.Since(start)
		}
		debug.FreeOSMemory()
		most := watchMemory()
		s.Params.Confirmations = f.shape.Blocks - to
		start := time.Now()
		if err := follower.Sync(context.Background()); err != nil {
			t.Fatal(err)
		}
		followed := time.Since(start)
		f.memory = max(f.memory, most())
		f.followed += followed
		for way := range thrown {
			f.thrown[way] += thrown[way]
			f.ratios[way] = append(f.ratios[way], thrown[way].Seconds()/followed.Seconds())
		}
	}
}

// throwAway fetches and verifies blocks, n at a time, and does nothing with
// them. It returns how many bytes they had.
func throwAway(t testing.TB, s *chaintest.Synthetic, from, to, n int) (bytes int64) {
	var g errgroup.Group
	g.SetLimit(n)
	var sum atomic.Int64
	for h := from; h <= to; h++ {
		g.Go(func() error {
			header := s.Header(h)
			raw, err := s.Block(context.Background(), header.Hash)
			if err == nil {
				_, err = bitcoin.Verify(header, raw)
			}
			sum.Add(int64(len(raw)))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return sum.Load()
}

// lookUp looks names up at random and takes the time of each.
func (f *figures) lookUp(t testing.TB, ix *chain.Index) {
	times := make([]time.Duration, 100_000)
	for i := range times {
		n := chaintest.SyntheticName(rand.IntN(f.shape.Names))
		start := time.Now()
		rec, err := ix.Lookup(n)
		times[i] = time.Since(start)
		if err != nil || !rec.HasValue {
			t.Fatalf("%s: %+v, %v", n, rec, err)
		}
	}
	slices.Sort(times)
	f.lookups = [2]time.Duration{times[len(times)/2], times[len(times)*99/100]}
}

// tips takes the time from the moment at which the source has a new block until
// it is in the index and on the disk. The first two are not counted: not all of
// their operations are there yet.
func (f *figures) tips(t testing.TB, s *chaintest.Synthetic, follower *chain.Follower) {
	var times []time.Duration
	for h := f.shape.Blocks + 1; h <= s.Height(); h++ {
		s.Show(h)
		start := time.Now()
		if err := follower.Sync(context.Background()); err != nil {
			t.Fatal(err)
		}
		times = append(times, time.Since(start))
	}
	f.tip = median(times[2:])
}

func median[T int64 | float64 | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// watchMemory looks at this process's anonymous memory until the function that
// it returns is called, which tells the most that it saw.
func watchMemory() (most func() int64) {
	stop, result := make(chan struct{}), make(chan int64)
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		highest := anonymous()
		for {
			select {
			case <-stop:
				result <- max(highest, anonymous())
				return
			case <-tick.C:
				highest = max(highest, anonymous())
			}
		}
	}()
	return func() int64 {
		close(stop)
		return <-result
	}
}

// anonymous returns how much memory of this process is not that of files.
func anonymous() (bytes int64) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "RssAnon:"); ok {
			fmt.Sscan(rest, &bytes)
			return bytes << 10
		}
	}
	return 0
}

func diskSize(t testing.TB, dir string) (size int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			size += info.Sys().(*syscall.Stat_t).Blocks * 512 // some files have holes
		}
	}
	return size
}

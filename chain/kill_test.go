package chain_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"satchel/chain"
	"satchel/chain/chaintest"
)

// killShape is a chain that takes longer to follow than a process lives.
var killShape = chaintest.Shape{Names: 15_000, Blocks: 3_000, Bulk: 300}

const killRounds = 100

// TestKilledWhileFollowing kills a process that follows, again and again. The
// next one must find an index that is that of some block, whole, at or above the
// one before, and go on from there.
func TestKilledWhileFollowing(t *testing.T) {
	if dir := os.Getenv("SATCHEL_TEST_FOLLOW"); dir != "" {
		followToDie(dir)
		return
	}
	dir := t.TempDir()
	s, err := chaintest.MakeSynthetic(dir, killShape)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := killResult{pause: 20 * time.Millisecond}
	for round := range killRounds {
		r.kill(t, dir, round)
		if t.Failed() {
			return
		}
	}
	t.Logf("of %d kills %d hit a process that had begun and not finished, %d of those had applied blocks; %d chains were finished",
		killRounds, r.hits, r.moved, r.finished)
	if r.hits < killRounds*8/10 || r.moved < killRounds/4 {
		t.Error("too few kills hit")
	}
	checkKilled(t, dir, s)
}

// checkKilled follows to the end without being killed.
func checkKilled(t *testing.T, dir string, s *chaintest.Synthetic) {
	ix, err := chain.OpenIndex(dir+"/index", s.Params)
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	sync(t, chain.NewFollower(s, ix, chain.FollowerOptions{}))
	if err := sameAsMade(ix, s, s.Params.FirstBlock); err != nil {
		t.Error(err)
	}
	if tip, _ := ix.Tip(); tip != s.Height() {
		t.Errorf("tip %d, want %d", tip, s.Height())
	}
}

// sameAsMade compares the consensus hashes of an index, from a height on, with
// those that the maker of the chain found.
func sameAsMade(ix *chain.Index, s *chaintest.Synthetic, from int) error {
	tip, hash := ix.Tip()
	if hash != s.Hash(tip) {
		return fmt.Errorf("tip %d %v", tip, hash)
	}
	for h := max(from, s.Params.FirstBlock); h <= tip; h++ {
		if got, err := ix.ConsensusHash(h); err != nil || got != s.Consensus(h) {
			return fmt.Errorf("height %d: %x, want %x, %v", h, got, s.Consensus(h), err)
		}
	}
	return nil
}

// killResult counts what the kills hit.
type killResult struct {
	height, hits, moved, finished int
	pause                         time.Duration // before the kill, on average
}

// kill starts a follower in a process and kills it a little after it began.
// Every second one follows block by block, as at the tip.
func (r *killResult) kill(t *testing.T, dir string, round int) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWhileFollowing$")
	cmd.Env = append(os.Environ(), "SATCHEL_TEST_FOLLOW="+dir, "SATCHEL_TEST_STEP="+strconv.Itoa(round%2), "SATCHEL_TEST_FROM="+strconv.Itoa(r.height))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	begun := lines.Text()
	time.Sleep(rand.N(2 * r.pause))
	cmd.Process.Kill()
	done := lines.Scan() // it would say so
	cmd.Wait()
	var height int
	if _, err := fmt.Sscanf(begun, "begun at %d", &height); err != nil || height < r.height {
		t.Errorf("round %d, tip was %d: %s", round, r.height, begun)
		return
	}
	if height > r.height { // by the one before
		r.moved++
		r.pause = max(r.pause*9/10, 10*time.Millisecond)
	} else {
		r.pause = min(r.pause*5/4, time.Second) // it takes longer here
	}
	r.height = height
	switch {
	case cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled() && !done:
		r.hits++
	case done && strings.HasPrefix(lines.Text(), "done"):
		r.finished++
		r.height = 0
		if err := os.RemoveAll(dir + "/index"); err != nil {
			t.Error(err)
		}
	default:
		t.Errorf("round %d: %s", round, lines.Text())
	}
}

// followToDie is the process that is killed. It looks at what the last one
// left, then says where it begins, then follows.
func followToDie(dir string) {
	s, err := chaintest.MakeSynthetic(dir, killShape)
	if err != nil {
		fmt.Println(err)
		return
	}
	ix, err := chain.OpenIndex(dir+"/index", s.Params)
	if err != nil {
		fmt.Println(err)
		return
	}
	from, _ := strconv.Atoi(os.Getenv("SATCHEL_TEST_FROM"))
	if err := sameAsMade(ix, s, from); err != nil {
		fmt.Println(err)
		return
	}
	f := chain.NewFollower(s, ix, chain.FollowerOptions{})
	height, _ := ix.Tip()
	fmt.Println("begun at", height)
	if os.Getenv("SATCHEL_TEST_STEP") == "1" {
		for ; height < s.Height() && err == nil; height++ {
			s.Show(height + 1)
			err = f.Sync(context.Background())
		}
	} else {
		err = f.Sync(context.Background())
	}
	fmt.Println("done", err)
	if err == nil {
		ix.Close()
	}
}

package chain_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"satchel/chain"
	"satchel/chain/chaintest"
)

const killBlocks = 200

// killChain is the same chain in parent and child.
func killChain(t *testing.T) *chaintest.Chain {
	c := openID(t)
	for i := 0; c.Height() < firstBlock+killBlocks; i++ {
		n := fmt.Sprintf("n%d.id", i)
		key := chaintest.NewKey(n)
		c.MineBlock(c.PreorderTx(n, key), c.RegisterTx(n, key))
		c.MineBlock(c.UpdateTx(n, key, [20]byte{byte(i)}))
	}
	return c
}

// TestKilledWhileFollowing kills a process that follows, again and again: the
// index must be that of some block, whole, and go on from there.
func TestKilledWhileFollowing(t *testing.T) {
	if dir := os.Getenv("SATCHEL_TEST_FOLLOW"); dir != "" {
		followSlowly(t, dir)
		return
	}
	c := killChain(t)
	want := c.Index()
	dir := t.TempDir()
	hits, last := 0, 0
	for range 20 {
		if killFollower(t, dir) {
			hits++
		}
		ix, err := chain.OpenIndex(dir, c.Params)
		if err != nil {
			t.Fatal(err)
		}
		height, hash := ix.Tip()
		if height < last {
			t.Errorf("the tip went back from %d to %d", last, height)
		}
		last = height
		if height >= firstBlock {
			a, err1 := ix.ConsensusHash(height)
			b, err2 := want.ConsensusHash(height)
			if a != b || err1 != nil || err2 != nil || hash != c.Hash(height) {
				t.Errorf("height %d: %x, want %x, %v %v", height, a, b, err1, err2)
			}
		}
		if err := ix.Close(); err != nil {
			t.Error(err)
		}
		if height == c.Height() {
			break
		}
	}
	t.Logf("%d kills hit, the last at height %d of %d", hits, last, c.Height())
	if hits < 3 {
		t.Errorf("only %d kills hit", hits)
	}
	ix, f := followIn(t, c, dir)
	sync(t, f)
	a, _ := ix.ConsensusHash(c.Height())
	if b, _ := want.ConsensusHash(c.Height()); a != b {
		t.Errorf("at the end %x, want %x", a, b)
	}
}

// killFollower starts a follower in a process and kills it some blocks later;
// false if it had ended by then.
func killFollower(t *testing.T, dir string) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWhileFollowing$")
	cmd.Env = append(os.Environ(), "SATCHEL_TEST_FOLLOW="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for sc := bufio.NewScanner(out); sc.Scan(); {
		if sc.Text() == "following" {
			break
		}
	}
	time.Sleep(rand.N(40 * time.Millisecond))
	cmd.Process.Kill()
	cmd.Wait()
	return cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled()
}

// followSlowly lets more and more blocks count as confirmed.
func followSlowly(t *testing.T, dir string) {
	c := killChain(t)
	p := *c.Params
	ix, err := chain.OpenIndex(dir, &p)
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	fmt.Println("following")
	f := chain.NewFollower(c, ix, chain.FollowerOptions{})
	for p.Confirmations = killBlocks; p.Confirmations >= 0; p.Confirmations-- {
		if err := f.Sync(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

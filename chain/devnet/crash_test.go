package devnet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"satchel/chain"
	"satchel/chain/registrar"
	"satchel/chain/zonefile"
)

// childDir names the folder of the chain that this process, a child of the test,
// is to serve until it is killed.
const childDir = "SATCHEL_TEST_DEVNET"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := serveChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func serveChild(dir string) error {
	n, err := Open(dir, Options{Log: quiet})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	return n.Serve(l)
}

// startChild serves the chain in dir from a process of its own.
func startChild(t *testing.T, dir string) (addr string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dead := false
	kill = func() {
		if !dead {
			dead = true
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
	t.Cleanup(kill)
	addr, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the child doesn't serve: %v", err)
	}
	return strings.TrimSpace(addr), kill
}

// TestKill kills the chain's process while transactions are mined. Each that was
// confirmed is still there, and the index of another follower goes on.
func TestKill(t *testing.T) {
	ctx := t.Context()
	dir, state, index := t.TempDir(), t.TempDir(), t.TempDir()
	alice := key(t)
	zone := []byte("a zone file")
	var mined []chainhash.Hash
	for round := range 3 {
		addr, kill := startChild(t, dir)
		c := Dial(addr)
		for _, txid := range mined {
			if _, err := c.PrevTx(ctx, txid); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		ix, err := chain.OpenIndex(index, chain.Satchel(testParams(), FirstBlock))
		if err != nil {
			t.Fatal(err)
		}
		f := chain.NewFollower(c, ix, chain.FollowerOptions{Log: quiet})
		if err := f.Sync(ctx); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if round > 0 {
			if rec, err := ix.Lookup("alice.id"); err != nil || rec.Address != address(alice) {
				t.Fatalf("round %d: %+v, %v", round, rec, err)
			}
			if got, err := c.Zonefile(ctx, zonefile.Hash(zone)); err != nil || string(got) != string(zone) {
				t.Fatalf("round %d: zone file %q, %v", round, got, err)
			}
		}
		r := &registrar.Registrar{Chain: c, Index: ix, Follower: f, Dir: state}
		if err := r.Register(ctx, "alice.id", alice, zone, func(s registrar.Step) { mined = append(mined, s.Txid) }); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if err := c.PutZonefile(ctx, zone); err != nil {
			t.Fatal(err)
		}
		stop := time.AfterFunc(time.Duration(20+30*round)*time.Millisecond, kill)
		for {
			txid, err := c.Fund(ctx, address(alice), 10_000)
			if err != nil {
				break
			}
			mined = append(mined, txid)
		}
		if stop.Stop() {
			t.Fatalf("round %d: the chain failed before it was killed", round)
		}
		c.Close()
		ix.Close()
	}
	addr, _ := startChild(t, dir)
	c := Dial(addr)
	defer c.Close()
	for _, txid := range mined {
		if _, err := c.PrevTx(ctx, txid); err != nil {
			t.Fatal(err)
		}
	}
}

// copyDir copies a folder as it is, which is what a crash leaves of it.
func copyDir(t *testing.T, from string) (to string) {
	t.Helper()
	to = filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// hashes returns the best chain's blocks.
func hashes(t *testing.T, n *Node) (list []chainhash.Hash) {
	t.Helper()
	for h := range n.Height() + 1 {
		hash, err := n.chain.BlockHashByHeight(int32(h))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, *hash)
	}
	return list
}

// TestOpenAfter opens chains that were closed, crashed and damaged in all ways
// that the log makes up for: each is the chain that it was.
func TestOpenAfter(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir)
	if err := n.Mine(5); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Fund(context.Background(), address(key(t)), 50_000); err != nil {
		t.Fatal(err)
	}
	if err := n.Reorg(2); err != nil {
		t.Fatal(err)
	}
	forbidden := hashes(t, n)[n.Height()-1]
	if err := n.Invalidate(forbidden, 0); err != nil { // shorter than what it leaves
		t.Fatal(err)
	}
	want := hashes(t, n)
	crashed := copyDir(t, dir)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		what string
		dir  string
		harm func(dir string) error
	}{
		{"it crashed", crashed, nil},
		{"it was closed", copyDir(t, dir), nil},
		{"the database is gone", copyDir(t, dir), func(d string) error { return os.RemoveAll(filepath.Join(d, "blocks")) }},
		{"the database is broken", copyDir(t, dir), func(d string) error {
			return os.Truncate(filepath.Join(d, "blocks", "metadata", "CURRENT"), 3)
		}},
		{"the note is another log's", copyDir(t, dir), func(d string) error {
			return os.WriteFile(filepath.Join(d, "clean"), []byte("12345"), 0o600)
		}},
		{"the index is gone", copyDir(t, dir), func(d string) error { return os.RemoveAll(filepath.Join(d, "index")) }},
	}
	for _, c := range cases {
		if c.harm != nil {
			if err := c.harm(c.dir); err != nil {
				t.Fatalf("%s: %v", c.what, err)
			}
		}
		n := open(t, c.dir)
		if got := hashes(t, n); !slices.Equal(got, want) {
			t.Errorf("%s: %d blocks, want %d", c.what, len(got), len(want))
		}
		if err := n.Reconsider(forbidden); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		if got := hashes(t, n); len(got) != len(want)+2 || got[len(want)] != forbidden {
			t.Errorf("%s: %d blocks after what was forbidden was allowed, want %d", c.what, len(got), len(want)+2)
		}
		if err := n.Mine(1); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		if err := n.Close(); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

// TestInUse opens a chain that is open.
func TestInUse(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir)
	if _, err := Open(dir, Options{Log: quiet}); !errors.Is(err, ErrInUse) {
		t.Fatalf("opened twice: %v", err)
	}
	if err := n.Mine(1); err != nil {
		t.Error(err)
	}
	want := n.Height()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if got := open(t, dir).Height(); got != want {
		t.Errorf("height %d, want %d", got, want)
	}
}

// TestBootstrapCutShort begins chains whose first start was cut short after each
// of the blocks that open the namespace.
func TestBootstrapCutShort(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	miner, err := os.ReadFile(filepath.Join(dir, "miner"))
	if err != nil {
		t.Fatal(err)
	}
	var ends []int64
	l, err := openLog(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.read(func(byte, []byte) error { ends = append(ends, l.size); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(ends) != bootBlocks {
		t.Fatalf("%d blocks open the namespace, want %d", len(ends), bootBlocks)
	}
	for _, blocks := range []int{0, 40, 100, 101, 102} {
		dir := t.TempDir()
		for name, data := range map[string][]byte{"log": raw[:ends[blocks]], "miner": miner} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		n := open(t, dir)
		if ns, err := n.Index().Namespace(Namespace); err != nil || !ns.Ready || n.Height() != bootBlocks {
			t.Errorf("cut after %d blocks: namespace %+v, %v, height %d", blocks, ns, err, n.Height())
		}
		n.Close()
	}
}

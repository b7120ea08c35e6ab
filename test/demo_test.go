package test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"satchel/test/testenv"
)

// `make demo` ends well, once and again, after Ctrl-C, and after everything of it
// was killed.
func TestDemo(t *testing.T) {
	w := testenv.New(t)
	dir := w.Path("demo")
	t.Cleanup(func() {
		w.Satchel("demo", "--clean", dir)
	})
	tour := func(words ...string) {
		t.Helper()
		w.With([]string{"DEMO_EXIT=1"}, "demo", dir).Want(t, 0, append(words,
			"alice.id's drive is mounted at "+dir+"/alice", "byte for byte", "alice reads bob's line", "bob.id's status", "unmounted")...)
	}
	tour("three mined transactions: preorder ")
	tour("registered, by an earlier run")

	stay := func() *exec.Cmd {
		t.Helper()
		cmd := w.Command("demo", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		for s := bufio.NewScanner(out); s.Scan(); {
			fmt.Fprintln(&said, s.Text())
			if strings.Contains(s.Text(), "stay until Ctrl-C") {
				go func() {
					for s.Scan() {
					}
				}()
				return cmd
			}
		}
		t.Fatalf("the demo ended: %v\n%s", cmd.Wait(), said.String())
		return nil
	}
	cmd := stay()
	_ = cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || bytes.Contains(mounts, []byte(dir)) {
		t.Errorf("a mount was left after Ctrl-C: %v", err)
	}

	cmd = stay()
	killed := []int{cmd.Process.Pid}
	for _, file := range []string{"alice/data/lock", "bob/data/lock", "blobs-process"} {
		var pid int
		data, err := os.ReadFile(filepath.Join(dir, "world", file))
		if _, e := fmt.Sscan(string(data), &pid); err != nil || e != nil {
			t.Fatalf("%s: %v, %v", file, err, e)
		}
		killed = append(killed, pid)
	}
	for _, pid := range killed {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatalf("kill %d: %v", pid, err)
		}
	}
	_ = cmd.Wait()
	tour("cleaned up the mount")
}

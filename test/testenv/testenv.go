// Package testenv is a whole world made small: a private chain, people with homes
// and mounts, storage that can be told to lie. All of it is real: every command is
// a run of the built binary, every mount is served by a process of its own, and
// programs that are no part of the test touch the mounts.
package testenv

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience bounds a single command or a wait for something to happen.
const Patience = 2 * time.Minute

// binary builds satchel once for all tests of a process.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "satchel-test-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "satchel")
	out, err := exec.Command("go", "build", "-o", bin, "satchel/cmd/satchel").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return bin, nil
})

// Main runs the tests of a package that uses this one, several at a time, and
// cleans up after them.
func Main(m *testing.M) {
	flag.Parse()
	beside := flag.Lookup("test.parallel")
	if beside != nil && beside.Value.String() == fmt.Sprint(runtime.GOMAXPROCS(0)) {
		_ = beside.Value.Set(fmt.Sprint(max(4, runtime.GOMAXPROCS(0))))
	}
	code := m.Run()
	if bin, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(code)
}

// A World is a private chain and those who live on it.
type World struct {
	t     *testing.T
	dir   string
	bin   string
	Chain string // address of the private chain
}

// New starts a world that ends with the test, which from here on runs beside
// others: most of what it does is waiting. Without /dev/fuse it is skipped.
func New(t *testing.T) *World {
	t.Helper()
	t.Parallel()
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("no /dev/fuse here")
	}
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	w := &World{t: t, dir: t.TempDir(), bin: bin}
	t.Cleanup(func() { w.Satchel("devnet", "--stop", "--home", w.chainHome()) })
	w.StartChain()
	return w
}

func (w *World) chainHome() string { return filepath.Join(w.dir, "chain") }

// StartChain starts the private chain, or starts it again.
func (w *World) StartChain() {
	w.t.Helper()
	r := w.Satchel("devnet", "--detach", "--home", w.chainHome())
	addr, ok := strings.CutPrefix(strings.TrimSpace(r.Out), "ready ")
	if !ok {
		w.t.Fatalf("devnet: %v", r)
	}
	if w.Chain != "" && addr != w.Chain {
		w.t.Fatalf("the chain came back at %s, was at %s", addr, w.Chain)
	}
	w.Chain = addr
}

// StopChain stops the private chain.
func (w *World) StopChain() {
	w.t.Helper()
	w.Satchel("devnet", "--stop", "--home", w.chainHome()).Want(w.t, 0)
}

// Reorg undoes the newest blocks and puts one more empty ones in their place.
func (w *World) Reorg(depth int) {
	w.t.Helper()
	w.post(fmt.Sprintf("/reorg?depth=%d", depth))
}

// Path returns a path of the test's own folder.
func (w *World) Path(elem ...string) string {
	return filepath.Join(append([]string{w.dir}, elem...)...)
}

// A Result is what a command printed and how it ended.
type Result struct {
	Line     string
	Out, Err string
	Code     int
}

func (r Result) String() string {
	return fmt.Sprintf("%s: exit code %d\nstdout: %s\nstderr: %s", r.Line, r.Code, r.Out, r.Err)
}

// Want fails the test unless the command ended with that exit code and its
// output, on either stream, holds each of the words.
func (r Result) Want(t *testing.T, code int, words ...string) Result {
	t.Helper()
	if r.Code != code {
		t.Fatalf("want exit code %d, got %v", code, r)
	}
	for _, word := range words {
		if !strings.Contains(r.Out+r.Err, word) {
			t.Fatalf("want %q in %v", word, r)
		}
	}
	return r
}

// Has returns the result as it is if its output holds each of the words, else as
// one that failed.
func (r Result) Has(words ...string) Result {
	for _, word := range words {
		if r.Code == 0 && !strings.Contains(r.Out+r.Err, word) {
			r.Code = 1
			r.Err += "\n(want " + word + ")"
		}
	}
	return r
}

// Satchel runs the program.
func (w *World) Satchel(args ...string) Result {
	w.t.Helper()
	return w.run(w.Command(args...))
}

// Command is a run of the program that the test starts and ends itself.
func (w *World) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(w.bin, args...)
	cmd.Env = withoutSatchel(os.Environ())
	return cmd
}

// With runs the program with more in its environment.
func (w *World) With(env []string, args ...string) Result {
	w.t.Helper()
	cmd := w.Command(args...)
	cmd.Env = append(cmd.Env, env...)
	return w.run(cmd)
}

// run runs a command with a deadline and without our passphrase.
func (w *World) run(cmd *exec.Cmd) Result {
	w.t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	r := Result{Line: strings.Join(cmd.Args, " ")}
	if err := runFor(cmd, Patience); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			w.t.Fatalf("%s: %v", r.Line, err)
		}
		r.Code = exit.ExitCode()
	}
	r.Out, r.Err = out.String(), errs.String()
	if r.Code < 0 {
		w.t.Fatalf("killed after %v: %v", Patience, r)
	}
	return r
}

// runFor runs a command and kills it, with all its children, after some time.
func runFor(cmd *exec.Cmd, limit time.Duration) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return err
	}
	timer := time.AfterFunc(limit, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer timer.Stop()
	return cmd.Wait()
}

// withoutSatchel drops what would lead a command to the developer's own drive.
func withoutSatchel(env []string) []string {
	var kept []string
	for _, e := range env {
		if !strings.HasPrefix(e, "SATCHEL_") && !strings.HasPrefix(e, "XDG_") {
			kept = append(kept, e)
		}
	}
	return kept
}

// Eventually asks again and again until f returns nil.
func (w *World) Eventually(f func() error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			w.t.Fatalf("still after %v: %v", Patience, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

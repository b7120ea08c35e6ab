package fs

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"satchel/fs/drive"
	"satchel/fs/drive/drivetest"
)

// A mount is touched by children of the test binary only, never by the process
// that serves it. A child runs one of the stories.

const (
	storyEnv  = "SATCHEL_FS_STORY"
	memoryEnv = "SATCHEL_FS_MEMORY" // where to mount a memory, for package bench
	patience  = time.Minute
)

func TestMain(m *testing.M) {
	if name := os.Getenv(storyEnv); name != "" {
		os.Exit(child(name, os.Args[1:]))
	}
	if dir := os.Getenv(memoryEnv); dir != "" {
		serveMemory(dir)
	}
	os.Exit(m.Run())
}

// child runs a story with a folder and further arguments.
func child(name string, args []string) (code int) {
	defer func() {
		if p := recover(); p != nil {
			trace := make([]byte, 4096)
			fmt.Fprintf(os.Stderr, "%s: %v\n%s\n", name, p, trace[:runtime.Stack(trace, false)])
			code = 1
		}
	}()
	stories[name](&user{dir: args[0], args: args[1:], in: bufio.NewReader(os.Stdin)})
	return 0
}

// A user is a child that does things in a folder. Whatever fails ends it.
type user struct {
	dir  string
	args []string
	in   *bufio.Reader
}

func (u *user) path(p string) string { return filepath.Join(u.dir, p) }

// pause has the parent take its next step, and waits until it did.
func (u *user) pause() {
	fmt.Println("pause")
	if _, err := u.in.ReadString('\n'); err != nil {
		panic(err)
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func got[T any](v T, err error) T {
	must(err)
	return v
}

func wantErr(err, want error, what string) {
	if !isErr(err, want) {
		panic(fmt.Sprintf("%s: got %v, want %v", what, err, want))
	}
}

func same[T comparable](what string, got, want T) {
	if got != want {
		panic(fmt.Sprintf("%s: got %v, want %v", what, got, want))
	}
}

// eventually waits for what comes from elsewhere.
func (u *user) eventually(what string, ok func() bool) {
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	panic("not within 10 s: " + what)
}

func (u *user) write(p, s string) { must(os.WriteFile(u.path(p), []byte(s), 0o644)) }

func (u *user) want(p, s string) {
	b, err := os.ReadFile(u.path(p))
	must(err)
	same(p, string(b), s)
}

func (u *user) list(p string) string {
	var names []string
	for _, e := range got(os.ReadDir(u.path(p))) {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// A place is a drive mounted for a test.
type place struct {
	*testing.T
	drivetest.Actor
	dir   string
	mount *Mount
}

func haveFuseHere(t *testing.T) {
	t.Helper()
	if err := haveFuse(false); err != nil {
		t.Skip(err)
	}
}

// mountDrive mounts d until the test ends.
func mountDrive(t *testing.T, d *drive.Drive) *place {
	t.Helper()
	return mountDriveFor(t, d, Options{})
}

func mountDriveFor(t *testing.T, d *drive.Drive, o Options) *place {
	t.Helper()
	haveFuseHere(t)
	dir := t.TempDir()
	o.Log, o.FSName = testLog(t), "test"
	m, err := MountAt(dir, d, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return &place{T: t, Actor: drivetest.As(t, d), dir: dir, mount: m}
}

// newPlace mounts a new drive of alice.id.
func newPlace(t *testing.T) *place {
	t.Helper()
	return newPlaceFor(t, Options{})
}

func newPlaceFor(t *testing.T, o Options) *place {
	t.Helper()
	haveFuseHere(t)
	return mountDriveFor(t, drivetest.New(t).Person("alice.id", "a").Join(), o)
}

// A teller is a child that is telling its story.
type teller struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	errs bytes.Buffer
}

func tell(t *testing.T, story, dir string, args ...string) *teller {
	t.Helper()
	if stories[story] == nil {
		t.Fatalf("no story %s", story)
	}
	c := &teller{t: t, cmd: exec.Command(os.Args[0], append([]string{dir}, args...)...)}
	c.cmd.Env = append(os.Environ(), storyEnv+"="+story)
	c.cmd.Stderr = &c.errs
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.in, c.out = in, bufio.NewReader(out)
	kill := time.AfterFunc(patience, func() { c.cmd.Process.Kill() })
	t.Cleanup(func() {
		if kill.Stop() && c.cmd.ProcessState == nil {
			c.cmd.Process.Kill()
			c.cmd.Wait()
		}
	})
	return c
}

// paused waits until the child pauses.
func (c *teller) paused() {
	c.t.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil || line != "pause\n" {
		c.cmd.Wait()
		c.t.Fatalf("the child said %q, %v: %s", line, err, c.errs.String())
	}
}

func (c *teller) resume() { fmt.Fprintln(c.in) }

// end waits until the child has told its story.
func (c *teller) end() {
	c.t.Helper()
	io.Copy(io.Discard, c.out)
	if err := c.cmd.Wait(); err != nil {
		c.t.Fatalf("%v: %s", err, c.errs.String())
	}
}

// tell tells a story in the mount; between its pauses the steps are taken.
func (p *place) tell(story string, steps ...func()) {
	p.T.Helper()
	c := tell(p.T, story, p.dir)
	for _, step := range steps {
		c.paused()
		step()
		c.resume()
	}
	c.end()
}

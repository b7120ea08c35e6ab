package fs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"bazil.org/fuse"

	"satchel/chain"
	"satchel/fs/drive"
	"satchel/fs/drive/drivetest"
	"satchel/storage"
	"satchel/storage/storagetest"
)

// TestStories has children do in a mount what programs do on a disk.
func TestStories(t *testing.T) {
	for name := range stories {
		if !strings.HasPrefix(name, "with ") {
			t.Run(name, func(t *testing.T) { newPlace(t).tell(name) })
		}
	}
}

func TestRefusedMountpoints(t *testing.T) {
	p := newPlace(t)
	dir := t.TempDir()
	file, full := filepath.Join(dir, "file"), filepath.Join(dir, "full")
	if err := errors.Join(os.Mkdir(full, 0o755), os.WriteFile(file, nil, 0o600), os.WriteFile(filepath.Join(full, "x"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dir, says string
		is        error
	}{
		{filepath.Join(dir, "missing"), "mkdir -p " + dir, os.ErrNotExist},
		{filepath.Join(dir, "missing", "deeper"), "mkdir -p", os.ErrNotExist},
		{file, "not a folder", syscall.ENOTDIR},
		{full, "not empty", syscall.ENOTEMPTY},
		{p.dir, "satchel unmount " + p.dir, syscall.EBUSY},
	} {
		m, err := MountAt(c.dir, p.D, Options{})
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v", c.dir, err)
		}
		if err == nil {
			m.Close()
		}
	}
	if err := Unmount(full); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("unmounting what is no mount: %v", err)
	}
	p.tell("files") // the mount was not harmed by the attempt to mount over it
}

func TestMountedAgain(t *testing.T) {
	p := newPlace(t)
	p.tell("with write")
	if err := p.mount.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.mount.Wait(); err != nil {
		t.Errorf("wait after the end: %v", err)
	}
	if err := p.mount.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if trace := stacks(); strings.Contains(trace, "satchel/fs.") && strings.Contains(trace, "(*Mount)") {
		t.Errorf("something of the mount is left:\n%s", trace)
	}
	// By a path with a symlink in it, and one that needs escapes in the mount table.
	odd := filepath.Join(t.TempDir(), "My Drive")
	link := filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.Mkdir(odd, 0o755), os.Symlink(odd, link)); err != nil {
		t.Fatal(err)
	}
	m, err := MountAt(link, p.D, Options{})
	if err != nil {
		t.Fatal(err)
	}
	tell(t, "with read", odd).end()
	// Somebody else unmounts.
	if err := Unmount(link); err != nil {
		t.Fatal(err)
	}
	if err := m.Wait(); err != nil {
		t.Error(err)
	}
	if m, err = MountAt(odd, p.D, Options{AllowOther: true}); err != nil {
		t.Fatal(err)
	}
	if err := fusermount(odd, true); err != nil { // as users do it
		t.Fatal(err)
	}
	if err := m.Wait(); err != nil {
		t.Error(err)
	}
}

func stacks() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}

func TestUnmountWhileInUse(t *testing.T) {
	p := newPlace(t)
	c := tell(t, "with open file", p.dir)
	c.paused()
	if err := Unmount(p.dir); !errors.Is(err, syscall.EBUSY) || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("unmounting what is in use: %v", err)
	}
	if err := fusermount(p.dir, false); !errors.Is(err, syscall.EBUSY) {
		t.Fatalf("the same as a user does it: %v", err)
	}
	start := time.Now()
	if err := p.mount.Unmount(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d < busyTime || d > busyTime+5*time.Second {
		t.Errorf("taken away after %v", d)
	}
	c.resume()
	c.end()
	p.Want("Private/f", "written") // what was written before is not lost
}

// TestServed is no test: it serves a mount for TestDeadMount, until it is killed.
func TestServed(t *testing.T) {
	dir := os.Getenv("SATCHEL_FS_SERVE")
	if dir == "" {
		t.Skip("for TestDeadMount only")
	}
	if _, err := MountAt(dir, drivetest.New(t).Person("alice.id", "a").Join(), Options{}); err != nil {
		t.Fatal(err)
	}
	fmt.Println("ready")
	time.Sleep(patience)
}

func TestDeadMount(t *testing.T) {
	p := newPlace(t)
	dir := t.TempDir()
	dead := func() {
		t.Helper()
		cmd := exec.Command(os.Args[0], "-test.run", "^TestServed$")
		cmd.Env = append(os.Environ(), "SATCHEL_FS_SERVE="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		if n, _ := out.Read(b); !strings.HasPrefix(string(b[:n]), "ready") {
			t.Fatalf("the child said %q", b[:n])
		}
		cmd.Process.Kill()
		cmd.Wait()
		if _, err := os.ReadDir(dir); !errors.Is(err, syscall.ENOTCONN) {
			t.Fatalf("the mount of a killed process: %v", err)
		}
	}
	dead()
	if err := Unmount(dir); err != nil {
		t.Fatal(err)
	}
	if _, ok := mountAt(dir); ok {
		t.Fatal("still mounted")
	}
	dead()
	m, err := MountAt(dir, p.D, Options{})
	if err != nil {
		t.Fatal(err)
	}
	tell(t, "files", dir).end()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, ok := mountAt(dir); ok {
		t.Fatal("something is left at the mount point")
	}
}

func TestForgottenNodes(t *testing.T) {
	p := newPlace(t)
	count := func() int {
		p.mount.nodes.mu.Lock()
		defer p.mount.nodes.mu.Unlock()
		return len(p.mount.nodes.byID)
	}
	if !door || p.mount.conn.Features()&fuse.InitDoReaddirplus == 0 {
		t.Error("no READDIRPLUS")
	}
	var before int
	p.tell("with many nodes", func() {
		if before = count(); before < 100 {
			t.Errorf("%d nodes are known with 100 files", before)
		}
	}, func() {
		eventually(t, "the nodes of removed files are forgotten", func() bool { return count() < before-90 })
		eventually(t, "no handle is left", func() bool {
			p.mount.handles.mu.Lock()
			defer p.mount.handles.mu.Unlock()
			return len(p.mount.handles.files)+len(p.mount.handles.dirs) == 0
		})
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 300 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("not within 3 s: %s", what)
}

// two mounts the drive of alice.id, who shares a folder with bob.id.
func two(t *testing.T) (w *drivetest.World, alice *place, bob drivetest.Actor) {
	t.Helper()
	haveFuseHere(t)
	w = drivetest.New(t)
	a, b := w.Person("alice.id", "a"), w.Person("bob.id", "b")
	d := a.Join()
	bob = drivetest.As(t, b.Join())
	return w, mountDrive(t, d), bob
}

func TestChangesFromElsewhere(t *testing.T) {
	_, alice, bob := two(t)
	for _, name := range []string{"a", "b", "c", "m"} {
		bob.Write("People/alice.id/"+name, "one")
	}
	bob.Mkdir("People/alice.id/dir")
	bob.Write("People/alice.id/dir/inner", "one")
	bob.Wait()
	alice.tell("with changes from elsewhere", func() {
		bob.Sync()
		bob.Write("People/alice.id/a", "two!")
		bob.Remove("People/alice.id/b", false)
		bob.Rename("People/alice.id/c", "People/alice.id/d")
		mode := os.FileMode(0o640)
		if _, err := bob.Node("People/alice.id/m").SetAttr(t.Context(), drive.SetAttr{Mode: &mode}); err != nil {
			t.Error(err)
		}
		bob.Write("People/alice.id/e", "new")
		bob.Remove("People/alice.id/dir/inner", false)
		bob.Remove("People/alice.id/dir", true)
		bob.Wait()
		alice.Sync()
	}, func() {
		alice.Wait()
		bob.Sync()
		bob.Want("People/alice.id/a", "two!")
		bob.Want("People/alice.id/from alice", "hello")
		bob.Want("People/alice.id/b", "back")
		bob.Mkdir("People/alice.id/dir")
		bob.Wait()
		alice.Sync()
	})
}

// inCalls counts the requests that are under way.
func (p *place) inCalls() int {
	p.mount.calls.mu.Lock()
	defer p.mount.calls.mu.Unlock()
	return len(p.mount.calls.m)
}

// othersWork checks that a mount answers in spite of those who wait.
func (p *place) othersWork() {
	p.T.Helper()
	start := time.Now()
	p.tell("with write")
	p.tell("with read")
	if d := time.Since(start); d > 5*time.Second {
		p.T.Errorf("others had to wait %v", d)
	}
}

// stopAll ends children that wait in the mount.
func stopAll(t *testing.T, waiting []*teller, sig syscall.Signal) {
	t.Helper()
	start := time.Now()
	for _, c := range waiting {
		c.cmd.Process.Signal(sig)
	}
	for _, c := range waiting {
		err := c.cmd.Wait()
		if s, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != sig {
			t.Errorf("a child ended with %v: %s", err, c.errs.String())
		}
	}
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("killing those who wait took %v", d)
	}
}

// silent has a provider not answer any more.
func silent(w *drivetest.World, host string) {
	w.Swap(host, func(d storage.Driver) storage.Driver { return storagetest.Slow(d, -1, nil) })
}

// TestReadsThatWait has a provider that does not answer: who waits for it can be
// killed, and keeps nobody from working or unmounting.
func TestReadsThatWait(t *testing.T) {
	w, alice, bob := two(t)
	const files = 20
	for i := range files {
		bob.Write(fmt.Sprintf("People/alice.id/%d", i), strings.Repeat(fmt.Sprint(i), 50_000))
	}
	bob.Wait()
	alice.WantList("People/bob.id", bob.List("People/alice.id")...)
	silent(w, "b")
	var waiting []*teller
	for i := range files {
		waiting = append(waiting, tell(t, "with a reader", alice.dir, fmt.Sprintf("People/bob.id/%d", i)))
	}
	for _, c := range waiting {
		c.paused()
		c.resume()
	}
	time.Sleep(200 * time.Millisecond)
	alice.othersWork()
	stopAll(t, waiting, syscall.SIGKILL)
	start := time.Now()
	if err := alice.mount.Close(); err != nil {
		t.Error(err)
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("unmounting took %v", d)
	}
}

// TestLookupsThatWait has names be looked up whose provider does not answer. A
// signal that kills nobody does not disturb that, one that kills ends it.
func TestLookupsThatWait(t *testing.T) {
	w, alice, _ := two(t)
	const names = 5
	for i := range names {
		host := fmt.Sprint("p", i)
		w.Person(chain.Name(host+".id"), host).Join()
		silent(w, host)
	}
	var waiting []*teller
	for i := range names {
		waiting = append(waiting, tell(t, "with a look", alice.dir, fmt.Sprintf("People/p%d.id", i)))
	}
	for _, c := range waiting {
		c.paused()
		c.resume()
	}
	eventually(t, "all are waiting", func() bool { return alice.inCalls() == names })
	alice.othersWork()
	for _, c := range waiting {
		c.cmd.Process.Signal(syscall.SIGURG)
	}
	time.Sleep(4 * killPoll)
	if n := alice.inCalls(); n != names {
		t.Errorf("%d of %d still wait after a signal that kills nobody", n, names)
	}
	stopAll(t, waiting, syscall.SIGTERM) // for which a Go program has a handler
	eventually(t, "nobody waits any more", func() bool { return alice.inCalls() == 0 })
	eventually(t, "readers that are too many leave", func() bool {
		r := alice.mount.readers
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.total <= r.keep+1 && r.free == r.total
	})
}

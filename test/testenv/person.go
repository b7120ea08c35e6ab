package testenv

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Passphrase opens everybody's keystore.
const Passphrase = "correct horse"

// A Person has a name, a home and a mount point.
type Person struct {
	w     *World
	Name  string
	Home  string
	Mount string
}

// Person makes an identity, not yet registered. Without flags its provider is a
// folder in its home.
func (w *World) Person(name string, initFlags ...string) *Person {
	w.t.Helper()
	return w.PersonIn(name, name, initFlags...)
}

// PersonIn is Person in a home of another name: two can claim one name.
func (w *World) PersonIn(folder, name string, initFlags ...string) *Person {
	w.t.Helper()
	args := append([]string{"init", name, "--chain", w.Chain, "--words-file", w.Path("words-" + folder)}, initFlags...)
	return w.person(folder, name, args...)
}

// PersonOn is a person on another chain than the world's: args are all of init.
func (w *World) PersonOn(name string, args ...string) *Person {
	w.t.Helper()
	return w.person(name, name, args...)
}

func (w *World) person(folder, name string, init ...string) *Person {
	w.t.Helper()
	p := &Person{w: w, Name: name, Home: w.Path("home-" + folder), Mount: w.Path("mnt-" + folder)}
	if err := os.Mkdir(p.Mount, 0o700); err != nil {
		w.t.Fatal(err)
	}
	p.Satchel(init...).Want(w.t, 0)
	w.t.Cleanup(p.cleanUp)
	return p
}

// Citizen is a person whose name is registered and whose drive is mounted.
func (w *World) Citizen(name string, initFlags ...string) *Person {
	w.t.Helper()
	p := w.Person(name, initFlags...)
	p.Register()
	p.MountDrive()
	return p
}

// Register registers the person's name.
func (p *Person) Register() {
	p.w.t.Helper()
	p.Satchel("name", "register", p.Name).Want(p.w.t, 0)
}

// MountDrive mounts the person's drive.
func (p *Person) MountDrive() {
	p.w.t.Helper()
	p.Satchel("mount", p.Mount).Want(p.w.t, 0)
}

// Unmount unmounts it.
func (p *Person) Unmount() {
	p.w.t.Helper()
	p.Satchel("unmount", p.Mount).Want(p.w.t, 0)
}

// Satchel runs a command in the person's home.
func (p *Person) Satchel(args ...string) Result {
	p.w.t.Helper()
	return p.w.With([]string{"SATCHEL_PASSPHRASE=" + Passphrase}, append([]string{"--home", p.Home}, args...)...)
}

// JSON runs a command with --json and decodes what it prints.
func (p *Person) JSON(into any, args ...string) {
	p.w.t.Helper()
	r := p.Satchel(append(args, "--json")...).Want(p.w.t, 0)
	if err := json.Unmarshal([]byte(r.Out), into); err != nil {
		p.w.t.Fatalf("%v: %v", r, err)
	}
}

// Wait returns when everything is stored.
func (p *Person) Wait() {
	p.w.t.Helper()
	p.Satchel("wait", "--timeout", "100s").Want(p.w.t, 0)
}

// Sync returns when the others' newest state is merged.
func (p *Person) Sync() {
	p.w.t.Helper()
	p.Satchel("sync").Want(p.w.t, 0)
}

// PID returns the process that serves the mount.
func (p *Person) PID() int {
	data, _ := os.ReadFile(filepath.Join(p.Home, "data", "lock"))
	pid, _ := strconv.Atoi(strings.SplitN(string(data), " ", 2)[0])
	return pid
}

// Kill ends the process that serves the mount at once, as a power cut would, and
// clears the dead mount away.
func (p *Person) Kill() {
	p.w.t.Helper()
	pid := p.PID()
	if pid == 0 {
		p.w.t.Fatalf("nobody serves %s", p.Mount)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	p.w.Eventually(func() error {
		if syscall.Kill(pid, 0) == nil && !zombie(pid) {
			return fmt.Errorf("process %d is still there", pid)
		}
		return nil
	})
}

func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && bytes.Contains(stat, []byte(") Z "))
}

// cleanUp leaves no process and no mount behind, however the test ended.
func (p *Person) cleanUp() {
	if r := p.Satchel("unmount", p.Mount); r.Code == 0 {
		return
	}
	if pid := p.PID(); pid > 0 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = exec.Command("fusermount3", "-uzq", p.Mount).Run()
	if p.w.t.Failed() {
		p.w.t.Logf("log of %s:\n%s", p.Name, p.Log())
	}
}

// Log returns what the person's daemon logged.
func (p *Person) Log() string {
	data, _ := os.ReadFile(filepath.Join(p.Home, "data", "satchel.log"))
	return string(data)
}

// Path returns a path below the person's mount.
func (p *Person) Path(rel string) string { return filepath.Join(p.Mount, rel) }

// Try runs a shell script in the person's mount, with args as $1, $2…
func (p *Person) Try(script string, args ...string) Result {
	p.w.t.Helper()
	cmd := exec.Command("sh", append([]string{"-ec", script, "sh"}, args...)...)
	cmd.Dir = p.Mount
	return p.w.run(cmd)
}

// Sh is Try for a script that has to succeed; it returns what it printed.
func (p *Person) Sh(script string, args ...string) string {
	p.w.t.Helper()
	return p.Try(script, args...).Want(p.w.t, 0).Out
}

// Write has a program write a file.
func (p *Person) Write(rel, text string) {
	p.w.t.Helper()
	p.Sh(`printf %s "$2" > "$1"`, rel, text)
}

// Read has a program read a file.
func (p *Person) Read(rel string) string {
	p.w.t.Helper()
	return p.Sh(`cat "$1"`, rel)
}

// Xattr returns an extended attribute of a file, empty if it has none.
func (p *Person) Xattr(rel, name string) string {
	p.w.t.Helper()
	buf := make([]byte, 1<<16)
	n, err := unix.Getxattr(p.Path(rel), name, buf)
	if err != nil && !errors.Is(err, unix.ENODATA) {
		p.w.t.Fatalf("%s of %s: %v", name, rel, err)
	}
	return string(buf[:max(n, 0)])
}

// WantRead waits until a file has that text.
func (p *Person) WantRead(rel, want string) {
	p.w.t.Helper()
	p.w.Eventually(func() error {
		if r := p.Try(`cat "$1"`, rel); r.Code != 0 || r.Out != want {
			return fmt.Errorf("want %q in %v", want, r)
		}
		return nil
	})
}

// WantEqual waits until programs find a file or folder of the mount equal to a
// path outside of it.
func (p *Person) WantEqual(rel, path string) {
	p.w.t.Helper()
	p.w.Eventually(func() error {
		if r := p.Try(`diff -rq "$1" "$2"`, path, rel); r.Code != 0 {
			return fmt.Errorf("%v", r)
		}
		return nil
	})
}

// Owner returns the address of the person's owner key.
func (p *Person) Owner() string {
	p.w.t.Helper()
	var s struct{ Owner string }
	p.JSON(&s, "status")
	return s.Owner
}

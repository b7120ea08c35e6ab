package fs

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A posixCase is something that must go the same way on every file system that a
// program may meet: on a mount, and on the disk on which the tests run.
type posixCase struct {
	name string
	run  func()
}

// posixCases are all of them. Each runs in an empty folder, which is the working
// directory.
func posixCases() (list []posixCase) {
	for _, some := range [][]posixCase{
		errnoCases(), permissionCases(), timeCases(), kindCases(), nameCases(), openCases(), renameCases(),
		privilegeCases(), lockCases(), mappingCases(), holeCases(), xattrCases(), linkCases(), listingCases(),
	} {
		list = append(list, some...)
	}
	return list
}

// TestPosixMount has root use a mount that lets others in.
func TestPosixMount(t *testing.T) {
	needRoot(t)
	p := newPlaceFor(t, Options{AllowOther: true})
	tell(t, "with posix", filepath.Join(p.dir, "Private")).end()
}

// TestOthers has another user enter, where that was allowed.
func TestOthers(t *testing.T) {
	needRoot(t)
	newPlaceFor(t, Options{AllowOther: true}).tell("with others")
}

func withOthers(u *user) {
	fill(u.path("Private/f"), "secret")
	fill(u.path("Public/alice.id/f"), "public")
	must(unix.Mkdir(u.path("Private/d"), 0o777))
	must(unix.Chmod(u.path("Private/d"), 0o777))
	must(os.Chdir(u.dir))
	as(nobody, nobody, func() {
		holds("Public/alice.id/f", "public")
		wantErr(openErr("Private/f", unix.O_RDONLY), syscall.EACCES, "open")
		wantErr(unix.Mkdir("Public/alice.id/d", 0o755), syscall.EACCES, "mkdir")
		wantErr(unix.Chmod("Private", 0o777), syscall.EPERM, "chmod")
	})
	must(unix.Chmod("Private", 0o755))
	same("mode", mode("Private"), 0o755)
	as(nobody, nobody, func() {
		fill("Private/d/mine", "mine")
		holds("Private/d/mine", "mine")
		wantErr(unix.Mkdir("Private/x", 0o755), syscall.EACCES, "mkdir")
	})
	same("owner", lstat("Private/d/mine").Uid, nobody)
}

// TestPosixDisk checks the cases themselves.
func TestPosixDisk(t *testing.T) {
	needRoot(t)
	tell(t, "with posix", t.TempDir()).end()
}

func needRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be several users")
	}
}

// withPosix runs every case and says which failed; of those named in
// SATCHEL_FS_CASE if that is set.
func withPosix(u *user) {
	var failed []string
	unix.Umask(0)
	only := os.Getenv("SATCHEL_FS_CASE")
	for i, c := range posixCases() {
		if !strings.Contains(c.name, only) {
			continue
		}
		dir := filepath.Join(u.dir, fmt.Sprint("case", i))
		must(os.Mkdir(dir, 0o755))
		must(os.Chdir(dir))
		if err := attempt(c.run); err != nil {
			failed = append(failed, fmt.Sprintf("%s: %v", c.name, err))
		}
		must(os.Chdir(u.dir))
	}
	if failed != nil {
		panic(fmt.Sprintf("%d cases failed:\n\t%s", len(failed), strings.Join(failed, "\n\t")))
	}
}

func attempt(f func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			cause, ok := p.(error)
			if !ok {
				cause = fmt.Errorf("%v", p)
			}
			err = cause
			for skip := 2; skip < 12; skip++ {
				_, file, line, _ := runtime.Caller(skip)
				if strings.HasPrefix(filepath.Base(file), "posix") && !strings.Contains(filepath.Base(file), "posix_test") {
					err = fmt.Errorf("%w (%s:%d)", cause, filepath.Base(file), line)
					break
				}
			}
		}
	}()
	f()
	return nil
}

// nobody is a user without rights.
const nobody = 65534

// as runs f as another user of a group and no other, without root's rights over files.
func as(uid, gid int, f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	syscall.RawSyscall(syscall.SYS_SETGROUPS, 0, 0, 0)
	must(unix.Setfsgid(gid))
	must(unix.Setfsuid(uid))
	defer func() {
		must(unix.Setfsuid(0))
		must(unix.Setfsgid(0))
	}()
	f()
}

func lstat(p string) (s unix.Stat_t) {
	must(unix.Lstat(p, &s))
	return s
}

func fstat(fd int) (s unix.Stat_t) {
	must(unix.Fstat(fd, &s))
	return s
}

func mode(p string) uint32 { return lstat(p).Mode & 0o7777 }

// opened opens a file, made if it isn't there.
func opened(p string, flags int) int {
	return got(unix.Open(p, flags|unix.O_CREAT, 0o644))
}

func closed(fds ...int) {
	for _, fd := range fds {
		must(unix.Close(fd))
	}
}

// fill makes a file that holds s.
func fill(p, s string) {
	must(os.WriteFile(p, []byte(s), 0o644))
}

func holds(p, s string) {
	same("content of "+p, string(got(os.ReadFile(p))), s)
}

// tick waits until a file system's clock has moved.
func tick() { time.Sleep(12 * time.Millisecond) }

// moves checks which times of p a step moves forward: of "amc".
func moves(p, which string, step func()) {
	before := lstat(p)
	tick()
	step()
	compare(p, which, before, lstat(p))
}

func compare(p, which string, a, b unix.Stat_t) {
	for _, t := range []struct {
		name string
		a, b int64
	}{{"m", a.Mtim.Nano(), b.Mtim.Nano()}, {"c", a.Ctim.Nano(), b.Ctim.Nano()}} {
		if moved := t.b > t.a; moved != strings.Contains(which, t.name) || t.b < t.a {
			panic(fmt.Sprintf("%stime of %s: %d, then %d", t.name, p, t.a, t.b))
		}
	}
}

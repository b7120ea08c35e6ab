package fs

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func timeCases() (list []posixCase) {
	// What moves the folder's times, the file's or both.
	for _, c := range []struct {
		name, dir, file string
		step            func()
	}{
		{"create", "mc", "", func() { fill("d/new", "") }},
		{"mkdir", "mc", "", func() { must(unix.Mkdir("d/new", 0o755)) }},
		{"mkfifo", "mc", "", func() { must(unix.Mkfifo("d/new", 0o644)) }},
		{"symlink", "mc", "", func() { must(unix.Symlink("x", "d/new")) }},
		{"mknod", "mc", "", func() { must(unix.Mknod("d/new", unix.S_IFCHR|0o600, 0x103)) }},
		{"link", "mc", "c", func() { must(unix.Link("f", "d/new")) }},
		{"rename in", "mc", "c", func() { must(unix.Rename("f", "d/f")); must(unix.Link("d/f", "f")) }},
		{"rename over", "mc", "c", func() { must(unix.Rename("f", "d/gone")); must(unix.Link("d/gone", "f")) }},
		{"unlink", "mc", "", func() { must(unix.Unlink("d/gone")) }},
		{"unlink of one of two", "mc", "c", func() { must(unix.Unlink("d/two")) }},
		{"rmdir", "mc", "", func() { must(unix.Rmdir("d/dir")) }},
		{"rename away", "mc", "", func() { must(unix.Rename("d/dir", "dir")) }},
		{"chmod", "", "c", func() { must(unix.Chmod("f", 0o600)) }},
		{"chown", "", "c", func() { must(unix.Chown("f", 5, 5)) }},
		{"chown to the same", "", "c", func() { must(unix.Chown("f", 0, 0)) }},
		{"chown of nothing", "", "c", func() { must(unix.Chown("f", -1, -1)) }},
		{"truncate", "", "mc", func() { must(unix.Truncate("f", 2)) }},
		{"truncate to more", "", "mc", func() { must(unix.Truncate("f", 20)) }},
		{"truncate at open", "", "mc", func() { closed(got(unix.Open("f", unix.O_WRONLY|unix.O_TRUNC, 0))) }},
		{"ftruncate", "", "mc", func() { fd := opened("f", unix.O_RDWR); must(unix.Ftruncate(fd, 1)); closed(fd) }},
		{"write", "", "mc", func() { fd := opened("f", unix.O_RDWR); got(unix.Write(fd, []byte("x"))); closed(fd) }},
		{"write of nothing", "", "", func() { fd := opened("f", unix.O_RDWR); got(unix.Write(fd, nil)); closed(fd) }},
		{"setxattr", "", "c", func() { must(unix.Setxattr("f", "user.x", []byte("y"), 0)) }},
		{"removexattr", "", "c", func() { must(unix.Removexattr("f", "user.old")) }},
		{"read", "", "", func() { holds("f", "content") }},
		{"open", "", "", func() { closed(opened("f", unix.O_RDWR)) }},
		{"touch", "", "mc", func() { must(unix.UtimesNanoAt(unix.AT_FDCWD, "f", nil, 0)) }},
		{"touch of atime", "", "c", func() {
			must(unix.UtimesNanoAt(unix.AT_FDCWD, "f", []unix.Timespec{{Sec: 5}, {Nsec: unix.UTIME_OMIT}}, 0))
			same("atime", lstat("f").Atim.Sec, 5)
		}},
		{"touch of nothing", "", "", func() {
			must(unix.UtimesNanoAt(unix.AT_FDCWD, "f", []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}, 0))
		}},
		{"fallocate", "", "mc", func() { fd := opened("f", unix.O_RDWR); must(unix.Fallocate(fd, 0, 0, 100)); closed(fd) }},
		{"what fails", "", "", func() {
			wantErr(unix.Mkdir("d/gone", 0o755), syscall.EEXIST, "mkdir")
			wantErr(unix.Rmdir("d"), syscall.ENOTEMPTY, "rmdir")
			wantErr(unix.Unlink("d/missing"), syscall.ENOENT, "unlink")
			wantErr(unix.Rename("d/missing", "d/x"), syscall.ENOENT, "rename")
			wantErr(unix.Link("f", "d/gone"), syscall.EEXIST, "link")
			wantErr(unix.Symlink("f", "d/gone"), syscall.EEXIST, "symlink")
			wantErr(unix.Rename("f", "d/dir"), syscall.EISDIR, "rename")
			as(nobody, nobody, func() {
				wantErr(unix.Chmod("f", 0o666), syscall.EPERM, "chmod")
				wantErr(unix.Chown("f", nobody, nobody), syscall.EPERM, "chown")
				wantErr(unix.Truncate("f", 0), syscall.EACCES, "truncate")
				wantErr(unix.Unlink("d/gone"), syscall.EACCES, "unlink")
			})
			wantErr(unix.Setxattr("f", "user.x", nil, unix.XATTR_REPLACE), syscall.ENODATA, "setxattr")
		}},
	} {
		list = append(list, posixCase{"times of " + c.name, func() {
			must(unix.Mkdir("d", 0o755))
			must(unix.Mkdir("d/dir", 0o755))
			fill("d/gone", "")
			fill("f", "content")
			must(unix.Setxattr("f", "user.old", []byte("y"), 0))
			if c.name == "unlink of one of two" {
				must(unix.Link("f", "d/two"))
			}
			dir := lstat("d")
			moves("f", c.file, c.step)
			compare("d", c.dir, dir, lstat("d"))
		}})
	}
	return append(list, []posixCase{
		{"times of what is made", func() {
			before := time.Now().Add(-20 * time.Millisecond)
			fill("f", "")
			must(unix.Mkdir("d", 0o755))
			must(unix.Symlink("x", "s"))
			for _, p := range []string{"f", "d", "s"} {
				s := lstat(p)
				for _, t := range []unix.Timespec{s.Atim, s.Mtim, s.Ctim} {
					if at := time.Unix(t.Unix()); at.Before(before) || at.After(time.Now()) {
						panic(fmt.Sprintf("%s: %v", p, at))
					}
				}
			}
		}},
		{"times of renamed", func() {
			fill("f", "")
			must(unix.Mkdir("d", 0o755))
			for _, p := range []string{"f", "d"} {
				before := lstat(p)
				tick()
				must(unix.Rename(p, p+"2"))
				compare(p+"2", "c", before, lstat(p+"2"))
			}
		}},
		{"times of odd years", func() {
			fill("f", "")
			must(unix.Mkdir("d", 0o755))
			must(unix.Symlink("missing", "s"))
			for _, p := range []string{"f", "d", "s"} {
				for _, sec := range []int64{-1<<31 + 5, -1, 0, 1, 1<<31 - 1, 1 << 31, 1 << 32, 1<<32 + 12345, 7_000_000_000} {
					want := []unix.Timespec{{Sec: sec, Nsec: 123456789}, {Sec: sec + 1, Nsec: 987654321}}
					must(unix.UtimesNanoAt(unix.AT_FDCWD, p, want, unix.AT_SYMLINK_NOFOLLOW))
					s := lstat(p)
					same("atime of "+p, s.Atim, want[0])
					same("mtime of "+p, s.Mtim, want[1])
				}
			}
		}},
		{"times that now is", func() {
			fill("f", "")
			must(unix.UtimesNanoAt(unix.AT_FDCWD, "f", []unix.Timespec{{Sec: 100}, {Sec: 200}}, 0))
			must(unix.UtimesNanoAt(unix.AT_FDCWD, "f", []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_OMIT}}, 0))
			s := lstat("f")
			same("mtime", s.Mtim.Sec, 200)
			if s.Atim.Sec < time.Now().Unix()-5 {
				panic("atime is not now")
			}
			must(unix.UtimesNanoAt(unix.AT_FDCWD, "f", []unix.Timespec{{Sec: 100}, {Nsec: unix.UTIME_NOW}}, 0))
			s = lstat("f")
			same("atime", s.Atim.Sec, 100)
			if s.Mtim.Sec < time.Now().Unix()-5 {
				panic("mtime is not now")
			}
			wantErr(unix.UtimesNanoAt(unix.AT_FDCWD, "f", []unix.Timespec{{Nsec: 1e9}, {}}, 0), syscall.EINVAL, "nanoseconds")
		}},
		{"times that were set stay", func() {
			fill("f", "content")
			fd := opened("f", unix.O_RDWR)
			got(unix.Write(fd, []byte("x")))
			when := []unix.Timespec{{Sec: 100, Nsec: 1}, {Sec: 200, Nsec: 2}}
			must(unix.UtimesNanoAt(unix.AT_FDCWD, "f", when, 0))
			must(unix.Fsync(fd))
			closed(fd)
			same("mtime", lstat("f").Mtim, when[1])
			if c := lstat("f").Ctim.Sec; c < time.Now().Unix()-5 {
				panic("ctime is not now")
			}
			must(unix.Mkdir("d", 0o755))
			fill("d/f", "")
			must(unix.UtimesNanoAt(unix.AT_FDCWD, "d", when, 0))
			same("mtime", lstat("d").Mtim, when[1])
			must(os.Remove("d/f"))
			if lstat("d").Mtim == when[1] {
				panic("removing left the folder's time")
			}
		}},
	}...)
}

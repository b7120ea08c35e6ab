package fs

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

func run(program string) error { return exec.Command(program).Run() }

func permissionCases() []posixCase {
	return []posixCase{
		{"modes of files", func() {
			fill("f", "")
			must(unix.Chown("f", 1000, 2000))
			for _, c := range []struct {
				mode     uint32
				uid, gid int
				flags    int
				want     error
			}{
				{0o600, 1000, 1, unix.O_RDWR, nil}, {0o400, 1000, 1, unix.O_RDONLY, nil}, {0o400, 1000, 1, unix.O_WRONLY, syscall.EACCES},
				{0o077, 1000, 2000, unix.O_RDONLY, syscall.EACCES}, {0o060, 1001, 2000, unix.O_RDWR, nil},
				{0o606, 1001, 2000, unix.O_RDONLY, syscall.EACCES}, {0o006, 1001, 2001, unix.O_RDWR, nil},
				{0o004, 1001, 2001, unix.O_RDONLY | unix.O_TRUNC, syscall.EACCES}, {0o660, 1001, 2001, unix.O_RDONLY, syscall.EACCES},
			} {
				must(unix.Chmod("f", c.mode))
				as(c.uid, c.gid, func() {
					wantErr(openErr("f", c.flags), c.want, fmt.Sprintf("mode %o for %d:%d", c.mode, c.uid, c.gid))
				})
			}
		}},
		{"what only owners may", func() {
			fill("f", "")
			must(unix.Chmod("f", 0o666))
			must(unix.Chown("f", 1000, 1000))
			before := lstat("f")
			as(nobody, nobody, func() {
				wantErr(unix.Chmod("f", 0o777), syscall.EPERM, "chmod")
				wantErr(unix.Chown("f", nobody, -1), syscall.EPERM, "chown")
				wantErr(unix.Chown("f", -1, nobody), syscall.EPERM, "chgrp")
				must(unix.UtimesNanoAt(unix.AT_FDCWD, "f", nil, 0))
				wantErr(unix.UtimesNanoAt(unix.AT_FDCWD, "f", []unix.Timespec{{Sec: 1}, {Sec: 2}}, 0), syscall.EPERM, "utimensat")
			})
			same("mode", lstat("f").Mode, before.Mode)
			must(unix.Chmod("f", 0o644))
			as(nobody, nobody, func() {
				wantErr(unix.UtimesNanoAt(unix.AT_FDCWD, "f", nil, 0), syscall.EACCES, "touch")
				wantErr(unix.Truncate("f", 3), syscall.EACCES, "truncate")
				wantErr(unix.Setxattr("f", "user.x", []byte("y"), 0), syscall.EACCES, "setxattr")
			})
			as(1000, 1000, func() {
				must(unix.Chmod("f", 0o600))
				must(unix.Chown("f", 1000, 1000))
				wantErr(unix.Chown("f", 1001, -1), syscall.EPERM, "give away")
				wantErr(unix.Chown("f", -1, 1001), syscall.EPERM, "to a group that is not one's own")
				must(unix.UtimesNanoAt(unix.AT_FDCWD, "f", []unix.Timespec{{Sec: 1}, {Sec: 2}}, 0))
			})
		}},
		{"sticky folders", func() {
			must(unix.Mkdir("d", 0o777))
			must(unix.Chmod("d", 0o1777))
			must(unix.Mkdir("other", 0o777))
			as(1000, 1000, func() {
				fill("d/f", "")
				fill("d/g", "")
				must(unix.Mkdir("d/dir", 0o777))
			})
			as(1001, 1001, func() {
				fill("d/mine", "")
				fill("other/f", "")
				must(unix.Mkdir("other/dir", 0o755))
				wantErr(unix.Unlink("d/f"), syscall.EPERM, "unlink")
				wantErr(unix.Rmdir("d/dir"), syscall.EPERM, "rmdir")
				wantErr(unix.Rename("d/f", "d/h"), syscall.EPERM, "rename")
				wantErr(unix.Rename("d/f", "other/h"), syscall.EPERM, "rename away")
				wantErr(unix.Rename("d/mine", "d/f"), syscall.EPERM, "rename over")
				wantErr(unix.Rename("other/f", "d/f"), syscall.EPERM, "rename over")
				wantErr(unix.Rename("other/dir", "d/dir"), syscall.EPERM, "rename over")
				must(unix.Rename("d/mine", "d/mine2"))
				must(unix.Unlink("d/mine2"))
			})
			must(unix.Chown("d", 1001, 1001))
			as(1001, 1001, func() { must(unix.Unlink("d/f")) })
			as(1000, 1000, func() { must(unix.Unlink("d/g")) })
		}},
		{"a folder's place", func() {
			// Who moves a folder changes what .. is in it.
			must(unix.Mkdir("a", 0o777))
			must(unix.Mkdir("b", 0o777))
			must(unix.Mkdir("a/d", 0o755))
			as(nobody, nobody, func() {
				must(unix.Rename("a/d", "a/e"))
				wantErr(unix.Rename("a/e", "b/e"), syscall.EACCES, "rename")
			})
			must(unix.Rename("a/e", "b/e"))
			same("parent", lstat("b/e/..").Ino, lstat("b").Ino)
		}},
		{"umask and modes", func() {
			unix.Umask(0o027)
			defer unix.Umask(0)
			fd := got(unix.Open("f", unix.O_CREAT|unix.O_RDWR, 0o666))
			closed(fd)
			must(unix.Mkdir("d", 0o777))
			must(unix.Mkfifo("p", 0o666))
			same("file", mode("f"), 0o640)
			same("folder", mode("d"), 0o750)
			same("fifo", mode("p"), 0o640)
			unix.Umask(0)
			fd = got(unix.Open("ro", unix.O_CREAT|unix.O_RDWR, 0))
			got(unix.Write(fd, []byte("x")))
			closed(fd)
			same("file", mode("ro"), 0)
			for m := uint32(0); m <= 0o7777; m += 0o111 {
				must(unix.Chmod("f", m))
				same("mode", mode("f"), m)
				must(unix.Chmod("d", m))
				same("mode", mode("d"), m)
			}
			must(unix.Mkdir("t", 0o1755))
			same("sticky", mode("t"), 0o1755)
		}},
		{"owners of what is made", func() {
			must(unix.Mkdir("d", 0o777))
			as(1000, 2000, func() {
				fill("d/f", "")
				must(unix.Mkdir("d/d", 0o755))
				must(unix.Symlink("x", "d/s"))
				must(unix.Mkfifo("d/p", 0o644))
			})
			for _, p := range []string{"d/f", "d/d", "d/s", "d/p"} {
				s := lstat(p)
				same("owner of "+p, s.Uid, 1000)
				same("group of "+p, s.Gid, 2000)
			}
			must(unix.Lchown("d/s", 5, 6))
			s := lstat("d/s")
			same("owner of symlink", fmt.Sprint(s.Uid, s.Gid), "5 6")
			must(unix.Chown("d/f", 4294967294, 4294967294))
			same("owner", lstat("d/f").Uid, 4294967294)
		}},
		{"setgid folders", func() {
			must(unix.Mkdir("d", 0o777))
			must(unix.Chown("d", 0, 3000))
			must(unix.Chmod("d", 0o2777))
			as(1000, 2000, func() {
				fill("d/f", "")
				must(unix.Mkdir("d/d", 0o755))
				must(unix.Symlink("x", "d/s"))
				must(unix.Mkfifo("d/p", 0o644))
				fd := got(unix.Open("d/x", unix.O_CREAT|unix.O_RDWR, 0o2775))
				closed(fd)
			})
			for _, p := range []string{"d/f", "d/d", "d/s", "d/p", "d/x"} {
				same("group of "+p, lstat(p).Gid, 3000)
			}
			same("folder", mode("d/d"), 0o2755)
			same("file", mode("d/f"), 0o644)
			same("setgid file of somebody outside of the group", mode("d/x"), 0o775)
			must(unix.Mkdir("d/root", 0o755))
			same("folder", mode("d/root"), 0o2755)
		}},
		{"read-only handles of unreadable files", func() {
			fill("f", "abc")
			fd := opened("f", unix.O_RDONLY)
			must(unix.Chmod("f", 0))
			b := make([]byte, 3)
			same("read", got(unix.Read(fd, b)), 3)
			closed(fd)
			as(nobody, nobody, func() { wantErr(openErr("f", unix.O_RDONLY), os.ErrPermission, "open") })
		}},
	}
}

func privilegeCases() []posixCase {
	// A setuid file, written by somebody without privileges.
	cleared := func(name string, before, after uint32, step func()) posixCase {
		return posixCase{fmt.Sprintf("setuid %s %o", name, before), func() {
			fill("f", "content")
			must(unix.Chown("f", 1000, 1000))
			must(unix.Chmod("f", before))
			as(1000, 1000, step)
			same("mode", mode("f"), after)
			same("mode when open", fstat(opened("f", unix.O_RDONLY)).Mode&0o7777, after)
		}}
	}
	write := func() {
		fd := got(unix.Open("f", unix.O_WRONLY, 0))
		got(unix.Write(fd, []byte("x")))
		same("mode by handle", fstat(fd).Mode&unix.S_ISUID, 0)
		closed(fd)
	}
	return []posixCase{
		cleared("write", 0o4755, 0o755, write),
		cleared("write", 0o6755, 0o755, write),
		cleared("write", 0o2755, 0o755, write),
		cleared("write", 0o6666, 0o2666, write),
		cleared("truncate", 0o6777, 0o777, func() { must(unix.Truncate("f", 1)) }),
		cleared("truncate", 0o2666, 0o2666, func() { must(unix.Truncate("f", 1)) }),
		cleared("open to truncate", 0o6777, 0o777, func() { closed(got(unix.Open("f", unix.O_WRONLY|unix.O_TRUNC, 0))) }),
		cleared("chown", 0o6777, 0o777, func() { must(unix.Chown("f", 1000, 1000)) }),
		cleared("fallocate", 0o6777, 0o777, func() {
			fd := got(unix.Open("f", unix.O_WRONLY, 0))
			must(unix.Fallocate(fd, 0, 0, 100))
			closed(fd)
		}),
		cleared("read", 0o6777, 0o6777, func() { closed(got(unix.Open("f", unix.O_RDONLY, 0))) }),
		{"setuid and root", func() {
			fill("f", "content")
			must(unix.Chmod("f", 0o6755))
			fd := opened("f", unix.O_WRONLY)
			got(unix.Write(fd, []byte("x")))
			must(unix.Ftruncate(fd, 1))
			closed(fd)
			same("mode", mode("f"), 0o6755)
			must(unix.Chown("f", 0, 0))
			same("mode after chown", mode("f"), 0o755)
			must(unix.Mkdir("d", 0o755))
			must(unix.Chmod("d", 0o6755))
			must(unix.Chown("d", 5, 5))
			same("mode of a folder after chown", mode("d"), 0o6755)
		}},
		{"setgid and groups", func() {
			fill("f", "")
			must(unix.Chown("f", 1000, 3000))
			as(1000, 1000, func() { must(unix.Chmod("f", 0o2755)) })
			same("mode", mode("f"), 0o755)
			must(unix.Chmod("f", 0o2755))
			same("mode", mode("f"), 0o2755)
		}},
	}
}

package fs

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func mappingCases() []posixCase {
	const both = unix.PROT_READ | unix.PROT_WRITE
	return []posixCase{
		{"shared mapping", func() {
			fill("f", strings.Repeat("x", 10_000))
			fd := opened("f", unix.O_RDWR)
			m := got(unix.Mmap(fd, 0, 10_000, both, unix.MAP_SHARED))
			copy(m[5000:], "mapped")
			b := make([]byte, 6)
			got(unix.Pread(fd, b, 5000))
			same("read", string(b), "mapped")
			got(unix.Pwrite(fd, []byte("written"), 100))
			same("mapped", string(m[100:107]), "written")
			must(unix.Msync(m, unix.MS_SYNC))
			must(unix.Munmap(m))
			closed(fd)
			same("size", lstat("f").Size, 10_000)
			same("content", string(got(os.ReadFile("f"))[5000:5006]), "mapped")
		}},
		{"mapping written back at its end", func() {
			fill("f", strings.Repeat("x", 5000))
			before := lstat("f")
			tick()
			fd := opened("f", unix.O_RDWR)
			m := got(unix.Mmap(fd, 0, 5000, both, unix.MAP_SHARED))
			closed(fd)
			m[4999] = 'y'
			must(unix.Munmap(m))
			must(shell("cat f | tail -c 1 | grep -q y"))
			fd = opened("f", unix.O_RDWR)
			must(unix.Fsync(fd))
			closed(fd)
			s := lstat("f")
			if s.Mtim.Nano() <= before.Mtim.Nano() || s.Ctim.Nano() <= before.Ctim.Nano() {
				panic("the times did not move")
			}
		}},
		{"private mapping", func() {
			fill("f", "original")
			fd := opened("f", unix.O_RDONLY)
			m := got(unix.Mmap(fd, 0, 8, both, unix.MAP_PRIVATE))
			copy(m, "private!")
			must(unix.Munmap(m))
			closed(fd)
			holds("f", "original")
		}},
		{"mapping of what is truncated", func() {
			fill("f", strings.Repeat("x", 8192))
			fd := opened("f", unix.O_RDWR)
			m := got(unix.Mmap(fd, 0, 8192, both, unix.MAP_SHARED))
			m[5000] = 'y'
			must(unix.Ftruncate(fd, 100))
			same("rest of the page", m[200], 0)
			must(unix.Ftruncate(fd, 8192))
			same("what came back", m[5000], 0)
			must(unix.Munmap(m))
			closed(fd)
			if !bytes.Equal(got(os.ReadFile("f"))[100:], make([]byte, 8092)) {
				panic("something is left of what was cut off")
			}
		}},
		{"mapping of what is removed", func() {
			fill("f", strings.Repeat("x", 8192))
			fd := opened("f", unix.O_RDWR)
			m := got(unix.Mmap(fd, 0, 8192, both, unix.MAP_SHARED))
			closed(fd)
			must(unix.Unlink("f"))
			m[5000] = 'y'
			must(unix.Msync(m, unix.MS_SYNC))
			same("mapped", string(m[4999:5002]), "xyx")
			must(unix.Munmap(m))
		}},
	}
}

func shell(script string) error { return exec.Command("sh", "-c", script).Run() }

func holeCases() []posixCase {
	const mib = 1 << 20
	return []posixCase{
		{"holes", func() {
			fd := opened("f", unix.O_RDWR)
			must(unix.Ftruncate(fd, 20*mib))
			if n := fstat(fd).Blocks; n > 100 {
				panic(fmt.Sprintf("%d blocks of nothing", n))
			}
			got(unix.Pwrite(fd, bytes.Repeat([]byte("x"), mib), 8*mib))
			if n := fstat(fd).Blocks; n < mib/512 || n > 2*mib/512 {
				panic(fmt.Sprintf("%d blocks of a MiB", n))
			}
			same("data", got(unix.Seek(fd, 0, unix.SEEK_DATA)), 8*mib)
			same("hole", got(unix.Seek(fd, 8*mib, unix.SEEK_HOLE)), 9*mib)
			same("hole", got(unix.Seek(fd, 0, unix.SEEK_HOLE)), 0)
			_, err := unix.Seek(fd, 9*mib, unix.SEEK_DATA)
			wantErr(err, syscall.ENXIO, "data after the last")
			_, err = unix.Seek(fd, 20*mib, unix.SEEK_HOLE)
			wantErr(err, syscall.ENXIO, "hole at the end")
			closed(fd)
		}},
		{"fallocate", func() {
			fd := opened("f", unix.O_RDWR)
			got(unix.Write(fd, bytes.Repeat([]byte("x"), 3*mib)))
			must(unix.Fallocate(fd, 0, 0, 4*mib))
			same("size", fstat(fd).Size, 4*mib)
			must(unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, 8*mib))
			same("size", fstat(fd).Size, 4*mib)
			must(unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, mib-10, mib+20))
			must(unix.Fallocate(fd, unix.FALLOC_FL_ZERO_RANGE, 100, 50))
			b := got(os.ReadFile("f"))
			want := bytes.Repeat([]byte("x"), 4*mib)
			clear(want[mib-10 : 2*mib+10])
			clear(want[100:150])
			clear(want[3*mib:])
			same("content", bytes.Equal(b, want), true)
			wantErr(unix.Fallocate(fd, 0, 0, 0), syscall.EINVAL, "of nothing")
			wantErr(unix.Fallocate(fd, 0, -1, 5), syscall.EINVAL, "before the beginning")
			closed(fd)
			fd = got(unix.Open("f", unix.O_RDONLY, 0))
			wantErr(unix.Fallocate(fd, 0, 0, 5), syscall.EBADF, "to read")
			closed(fd)
		}},
		{"copy_file_range", func() {
			content := bytes.Repeat([]byte("0123456789abcdef"), 3*mib/16+5)
			must(os.WriteFile("f", content, 0o644))
			from, to := opened("f", unix.O_RDONLY), opened("g", unix.O_RDWR)
			for n := 1; n > 0; {
				n = got(unix.CopyFileRange(from, nil, to, nil, 10*mib, 0))
			}
			same("content", bytes.Equal(got(os.ReadFile("g")), content), true)
			in, out := int64(5), int64(len(content)+7)
			same("copied", got(unix.CopyFileRange(from, &in, to, &out, 10, 0)), 10)
			b := got(os.ReadFile("g"))
			same("content", string(b[len(content):]), strings.Repeat("\x00", 7)+"56789abcde")
			_, err := unix.CopyFileRange(to, nil, from, nil, 10, 0)
			wantErr(err, syscall.EBADF, "to what is open to read")
			closed(from, to)
		}},
		{"what was mapped and copied", func() {
			fill("f", strings.Repeat("x", 8192))
			from, to := opened("f", unix.O_RDWR), opened("g", unix.O_RDWR)
			m := got(unix.Mmap(from, 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED))
			m[7] = 'y'
			got(unix.Pwrite(to, []byte("old"), 0))
			b := make([]byte, 3)
			got(unix.Pread(to, b, 0)) // so that it is cached
			same("copied", got(unix.CopyFileRange(from, nil, to, nil, 8192, 0)), 8192)
			must(unix.Munmap(m))
			closed(from, to)
			holds("g", "xxxxxxxy"+strings.Repeat("x", 8184))
		}},
	}
}

func xattrCases() []posixCase {
	return []posixCase{
		{"xattrs", func() {
			fill("f", "")
			must(unix.Mkdir("d", 0o755))
			for _, p := range []string{"f", "d"} {
				must(unix.Setxattr(p, "user.a", []byte("one"), unix.XATTR_CREATE))
				wantErr(unix.Setxattr(p, "user.a", []byte("two"), unix.XATTR_CREATE), syscall.EEXIST, "create")
				wantErr(unix.Setxattr(p, "user.b", []byte("two"), unix.XATTR_REPLACE), syscall.ENODATA, "replace")
				must(unix.Setxattr(p, "user.a", []byte("three"), unix.XATTR_REPLACE))
				must(unix.Setxattr(p, "user.empty", nil, 0))
				must(unix.Setxattr(p, "user."+strings.Repeat("n", 250), []byte("x"), 0))
				wantErr(unix.Setxattr(p, "user."+strings.Repeat("n", 251), []byte("x"), 0), syscall.ERANGE, "a long name")
				b := make([]byte, 100)
				same("value", string(b[:got(unix.Getxattr(p, "user.a", b))]), "three")
				same("size", got(unix.Getxattr(p, "user.a", nil)), 5)
				same("empty", got(unix.Getxattr(p, "user.empty", b)), 0)
				_, err := unix.Getxattr(p, "user.a", b[:4])
				wantErr(err, syscall.ERANGE, "a small buffer")
				_, err = unix.Getxattr(p, "user.none", b)
				wantErr(err, syscall.ENODATA, "none")
				_, err = unix.Listxattr(p, b[:4])
				wantErr(err, syscall.ERANGE, "a small buffer")
				b = make([]byte, got(unix.Listxattr(p, nil)))
				list := string(b[:got(unix.Listxattr(p, b))])
				same("list", strings.Contains(list, "user.a\x00") && strings.Contains(list, "user.empty\x00"), true)
				must(unix.Removexattr(p, "user.a"))
				wantErr(unix.Removexattr(p, "user.a"), syscall.ENODATA, "remove")
				wantErr(unix.Setxattr(p, "odd.x", nil, 0), syscall.EOPNOTSUPP, "a name space that there isn't")
				wantErr(unix.Setxattr(p, "user.", nil, 0), syscall.EINVAL, "no name")
			}
			must(unix.Symlink("f", "s"))
			wantErr(unix.Lsetxattr("s", "user.a", nil, 0), syscall.EPERM, "of a symlink")
			must(unix.Mkfifo("p", 0o644))
			wantErr(unix.Setxattr("p", "user.a", nil, 0), syscall.EPERM, "of a fifo")
		}},
		{"large xattrs", func() {
			fill("f", "")
			wantErr(unix.Setxattr("f", "user.x", make([]byte, 64<<10+1), 0), syscall.E2BIG, "more than there can be")
			large := bytes.Repeat([]byte("v"), 3000)
			must(unix.Setxattr("f", "user.x", large, 0))
			b := make([]byte, 4000)
			same("value", string(b[:got(unix.Getxattr("f", "user.x", b))]), string(large))
			var err error
			for i := 0; err == nil && i < 100; i++ { // until there is no more room
				err = unix.Setxattr("f", fmt.Sprint("user.", i), large, 0)
			}
			wantErr(err, syscall.ENOSPC, "too many")
			same("value", string(b[:got(unix.Getxattr("f", "user.x", b))]), string(large))
			must(unix.Setxattr("f", "user.x", []byte("small"), 0))
		}},
		{"access control lists", func() {
			fill("f", "")
			b := make([]byte, 100)
			_, err := unix.Getxattr("f", "system.posix_acl_access", b)
			if !isErr(err, syscall.ENODATA) && !isErr(err, syscall.EOPNOTSUPP) {
				panic(fmt.Sprint("access control list: ", err))
			}
			must(shell("cp -a f g && cp --preserve=all f h && test $(stat -c %a g) = 644"))
		}},
		{"xattrs of the system", func() {
			fill("f", "")
			must(unix.Chmod("f", 0o666))
			b := make([]byte, 100)
			for _, name := range []string{"trusted.x", "security.x"} {
				must(unix.Setxattr("f", name, []byte("value"), 0))
				same("value", string(b[:got(unix.Getxattr("f", name, b))]), "value")
			}
			must(unix.Symlink("f", "s"))
			must(unix.Lsetxattr("s", "trusted.x", []byte("link"), 0))
			same("value", string(b[:got(unix.Lgetxattr("s", "trusted.x", b))]), "link")
			list := make([]byte, 1000)
			same("list", strings.Contains(string(list[:got(unix.Listxattr("f", list))]), "trusted.x\x00"), true)
			must(unix.Removexattr("f", "trusted.x"))
			_, err := unix.Getxattr("f", "trusted.x", b)
			wantErr(err, syscall.ENODATA, "none")
		}},
	}
}

// lockCases try locks from other programs.
func lockCases() []posixCase {
	taken := func(script string) bool { return shell(script) != nil }
	return []posixCase{
		{"flock", func() {
			fd := opened("f", unix.O_RDWR)
			must(unix.Flock(fd, unix.LOCK_EX))
			same("taken", taken("flock -n f true"), true)
			must(unix.Flock(fd, unix.LOCK_SH))
			same("taken", taken("flock -n -s f true"), false)
			same("taken", taken("flock -n -x f true"), true)
			other := opened("f", unix.O_RDWR)
			wantErr(unix.Flock(other, unix.LOCK_EX|unix.LOCK_NB), syscall.EWOULDBLOCK, "another handle")
			must(unix.Flock(fd, unix.LOCK_UN))
			must(unix.Flock(other, unix.LOCK_EX|unix.LOCK_NB))
			closed(other)
			same("taken", taken("flock -n f true"), false)
			closed(fd)
		}},
		{"locks of ranges", func() {
			fd := opened("f", unix.O_RDWR)
			got(unix.Write(fd, make([]byte, 100)))
			for _, c := range []struct{ set, get int }{{unix.F_SETLK, unix.F_GETLK}, {unix.F_OFD_SETLK, unix.F_OFD_GETLK}} {
				l := unix.Flock_t{Type: unix.F_WRLCK, Start: 10, Len: 10}
				must(unix.FcntlFlock(uintptr(fd), c.set, &l))
				other := opened("f", unix.O_RDWR)
				for start, want := range map[int64]int16{0: unix.F_UNLCK, 10: unix.F_WRLCK, 19: unix.F_WRLCK, 20: unix.F_UNLCK} {
					test := unix.Flock_t{Type: unix.F_RDLCK, Start: start, Len: 1}
					must(unix.FcntlFlock(uintptr(other), unix.F_OFD_GETLK, &test))
					same(fmt.Sprint("lock at ", start), test.Type, want)
				}
				try := unix.Flock_t{Type: unix.F_RDLCK, Start: 15, Len: 10}
				wantErr(unix.FcntlFlock(uintptr(other), unix.F_OFD_SETLK, &try), syscall.EAGAIN, "lock")
				l.Type = unix.F_UNLCK
				must(unix.FcntlFlock(uintptr(fd), c.set, &l))
				must(unix.FcntlFlock(uintptr(other), unix.F_OFD_SETLK, &try))
				closed(other)
			}
			closed(fd)
		}},
	}
}

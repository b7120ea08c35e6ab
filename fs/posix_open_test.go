package fs

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func openCases() []posixCase {
	return []posixCase{
		{"O_EXCL", func() {
			fill("f", "x")
			must(unix.Symlink("missing", "s"))
			wantErr(openErr("f", unix.O_CREAT|unix.O_EXCL), syscall.EEXIST, "file")
			wantErr(openErr("s", unix.O_CREAT|unix.O_EXCL), syscall.EEXIST, "symlink")
			must(openErr("s", unix.O_CREAT|unix.O_RDWR))
			lstat("missing")
		}},
		{"O_TRUNC", func() {
			fill("f", "content")
			fd := got(unix.Open("f", unix.O_RDWR, 0))
			closed(got(unix.Open("f", unix.O_WRONLY|unix.O_TRUNC, 0)))
			same("size", fstat(fd).Size, 0)
			same("read", got(unix.Read(fd, make([]byte, 10))), 0)
			fill("f", "more")
			closed(got(unix.Open("f", unix.O_CREAT|unix.O_WRONLY|unix.O_TRUNC, 0o600)), fd)
			holds("f", "")
			same("mode", mode("f"), 0o644)
		}},
		{"O_APPEND", func() {
			a, b := opened("f", unix.O_WRONLY|unix.O_APPEND), opened("f", unix.O_WRONLY|unix.O_APPEND)
			for range 10 {
				got(unix.Write(a, []byte("aa")))
				got(unix.Write(b, []byte("b")))
			}
			got(unix.Pwrite(a, []byte("c"), 0)) // to the end all the same
			closed(a, b)
			holds("f", strings.Repeat("aab", 10)+"c")
		}},
		{"O_DIRECT", func() {
			fd := opened("f", unix.O_RDWR|unix.O_DIRECT)
			m := got(unix.Mmap(-1, 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE))
			copy(m, strings.Repeat("x", 4096))
			same("written", got(unix.Pwrite(fd, m[:4096], 4096)), 4096)
			same("read", got(unix.Pread(fd, m[4096:], 4096)), 4096)
			same("content", string(m[4096:4100]), "xxxx")
			same("size", fstat(fd).Size, 8192)
			closed(fd)
		}},
		{"O_TMPFILE", func() {
			fd := got(unix.Open(".", unix.O_TMPFILE|unix.O_RDWR, 0o640))
			same("links", fstat(fd).Nlink, 0)
			same("mode", fstat(fd).Mode, unix.S_IFREG|0o640)
			got(unix.Write(fd, []byte("hello")))
			same("names", len(got(os.ReadDir("."))), 0)
			must(unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, "f", unix.AT_SYMLINK_FOLLOW))
			same("links", fstat(fd).Nlink, 1)
			same("inode", lstat("f").Ino, fstat(fd).Ino)
			holds("f", "hello")
			got(unix.Write(fd, []byte(" you")))
			closed(fd)
			holds("f", "hello you")
			fd = got(unix.Open(".", unix.O_TMPFILE|unix.O_RDWR|unix.O_EXCL, 0o640))
			big := strings.Repeat("0123456789abcdef", 200_000)
			got(unix.Write(fd, []byte(big)))
			got(unix.Seek(fd, 0, io.SeekStart))
			f := os.NewFile(uintptr(fd), "tmp")
			same("content", string(got(io.ReadAll(f))) == big, true)
			wantErr(unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, "g", unix.AT_SYMLINK_FOLLOW),
				syscall.ENOENT, "link what was opened to stay without a name")
			must(f.Close())
			wantErr(openErr("f", unix.O_TMPFILE|unix.O_RDWR), syscall.ENOTDIR, "in a file")
			// Without a name, and large: then with one.
			fd = got(unix.Open(".", unix.O_TMPFILE|unix.O_RDWR, 0o600))
			got(unix.Write(fd, []byte(big)))
			must(unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, "big", unix.AT_SYMLINK_FOLLOW))
			must(unix.Fsync(fd))
			closed(fd)
			same("content", string(got(os.ReadFile("big"))) == big, true)
			fd = got(unix.Open(".", unix.O_TMPFILE|unix.O_RDWR, 0o600))
			must(unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, "empty", unix.AT_SYMLINK_FOLLOW))
			closed(fd)
			holds("empty", "")
		}},
		{"unlink while open", func() {
			fill("f", "content")
			fd := opened("f", unix.O_RDWR)
			must(unix.Unlink("f"))
			same("links", fstat(fd).Nlink, 0)
			got(unix.Pwrite(fd, []byte("more"), 7))
			b := make([]byte, 20)
			same("read", string(b[:got(unix.Pread(fd, b, 0))]), "contentmore")
			must(unix.Ftruncate(fd, 3))
			must(unix.Fchmod(fd, 0o600))
			must(unix.Fchown(fd, 5, 6))
			must(unix.Futimes(fd, []unix.Timeval{{Sec: 1}, {Sec: 2}}))
			must(unix.Fsetxattr(fd, "user.x", []byte("y"), 0))
			s := fstat(fd)
			same("attributes", fmt.Sprint(s.Size, s.Mode&0o7777, s.Uid, s.Gid, s.Mtim.Sec), "3 384 5 6 2")
			fill("f", "another")
			same("size", fstat(fd).Size, 3)
			must(unix.Fsync(fd))
			closed(fd)
			holds("f", "another")
		}},
		{"rename over what is open", func() {
			fill("f", "old")
			fill("g", "new")
			fd := opened("f", unix.O_RDWR)
			must(unix.Rename("g", "f"))
			same("links", fstat(fd).Nlink, 0)
			b := make([]byte, 20)
			same("read", string(b[:got(unix.Pread(fd, b, 0))]), "old")
			got(unix.Pwrite(fd, []byte("x"), 0))
			closed(fd)
			holds("f", "new")
			must(unix.Mkdir("d", 0o755))
			must(unix.Mkdir("e", 0o755))
			fd = got(unix.Open("d", unix.O_RDONLY|unix.O_DIRECTORY, 0))
			must(unix.Rename("e", "d"))
			same("links", fstat(fd).Nlink, 0)
			_, err := unix.Openat(fd, "x", unix.O_CREAT|unix.O_RDWR, 0o644)
			wantErr(err, syscall.ENOENT, "create in a folder that is gone")
			closed(fd)
		}},
		{"rename while open", func() {
			fill("f", "old")
			fd := opened("f", unix.O_RDWR)
			must(unix.Mkdir("d", 0o755))
			must(unix.Rename("f", "d/g"))
			got(unix.Pwrite(fd, []byte("new"), 0))
			same("links", fstat(fd).Nlink, 1)
			closed(fd)
			holds("d/g", "new")
		}},
		{"a folder that is gone", func() {
			must(unix.Mkdir("d", 0o755))
			fd := got(unix.Open("d", unix.O_RDONLY|unix.O_DIRECTORY, 0))
			must(unix.Rmdir("d"))
			same("links", fstat(fd).Nlink, 0)
			wantErr(unix.Mkdirat(fd, "x", 0o755), syscall.ENOENT, "mkdir")
			wantErr(unix.Symlinkat("x", fd, "x"), syscall.ENOENT, "symlink")
			wantErr(unix.Mknodat(fd, "x", unix.S_IFIFO|0o644, 0), syscall.ENOENT, "mkfifo")
			names, err := os.NewFile(uintptr(fd), "d").Readdirnames(-1)
			same("names", fmt.Sprint(names, err == nil || isErr(err, syscall.ENOENT)), "[] true")
		}},
		{"reading and writing past the end", func() {
			fd := opened("f", unix.O_RDWR)
			same("written", got(unix.Pwrite(fd, []byte("x"), 10_000)), 1)
			same("size", fstat(fd).Size, 10_001)
			b := make([]byte, 100)
			same("read", got(unix.Pread(fd, b, 20_000)), 0)
			same("read", got(unix.Pread(fd, b, 9_990)), 11)
			same("content", string(b[:11]), strings.Repeat("\x00", 10)+"x")
			must(unix.Ftruncate(fd, 5))
			must(unix.Ftruncate(fd, 20_000))
			n := got(unix.Pread(fd, b, 9_990))
			same("after truncating", string(b[:n]), strings.Repeat("\x00", 100))
			closed(fd)
		}},
	}
}

func renameCases() []posixCase {
	rename := func(from, to string, flags uint) error {
		return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, flags)
	}
	return []posixCase{
		{"rename what may replace what", func() {
			for _, c := range []struct {
				from, to string
				want     error
			}{
				{"file", "file2", nil}, {"file2", "fifo", nil}, {"fifo", "link", nil}, {"link", "gone", nil},
				{"gone", "dir", syscall.EISDIR}, {"dir", "gone", syscall.ENOTDIR}, {"dir", "full", syscall.ENOTEMPTY},
				{"full", "dir", nil}, {"dir", "dir/x", syscall.EINVAL}, {"dir", "dir/f/x", syscall.ENOTDIR}, {"dir", "dir", nil},
				{"gone", "gone", nil}, {"dir/f", "dir", syscall.ENOTEMPTY}, {"missing", "gone", syscall.ENOENT},
			} {
				if c.from == "file" {
					fill("file", "")
					fill("file2", "")
					must(unix.Mkfifo("fifo", 0o644))
					must(unix.Symlink("missing", "link"))
					must(unix.Mkdir("dir", 0o755))
					must(unix.Mkdir("full", 0o755))
					fill("full/f", "")
				}
				err := unix.Rename(c.from, c.to)
				if isErr(err, syscall.EEXIST) {
					err = syscall.ENOTEMPTY
				}
				if c.to == "dir" && c.from == "dir/f" && isErr(err, syscall.EISDIR) {
					err = syscall.ENOTEMPTY
				}
				wantErr(err, c.want, c.from+" to "+c.to)
			}
		}},
		{"rename without replacing", func() {
			fill("a", "a")
			fill("b", "b")
			wantErr(rename("a", "b", unix.RENAME_NOREPLACE), syscall.EEXIST, "rename")
			holds("b", "b")
			must(rename("a", "c", unix.RENAME_NOREPLACE))
			holds("c", "a")
			wantErr(rename("b", "c", unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE), syscall.EINVAL, "both flags")
		}},
		{"exchange", func() {
			fill("a", "a")
			must(unix.Mkdir("d", 0o755))
			fill("d/b", "b")
			fd := opened("a", unix.O_RDWR)
			ino := lstat("a").Ino
			wantErr(rename("a", "missing", unix.RENAME_EXCHANGE), syscall.ENOENT, "with nothing")
			wantErr(rename("missing", "a", unix.RENAME_EXCHANGE), syscall.ENOENT, "nothing")
			must(rename("a", "d/b", unix.RENAME_EXCHANGE))
			holds("a", "b")
			holds("d/b", "a")
			same("inode", lstat("d/b").Ino, ino)
			same("links", fstat(fd).Nlink, 1)
			got(unix.Write(fd, []byte("A")))
			closed(fd)
			holds("d/b", "A")
			must(rename("a", "d", unix.RENAME_EXCHANGE)) // a file and a folder
			holds("d", "b")
			holds("a/b", "A")
			must(unix.Mkdir("e", 0o755))
			fill("e/x", "x")
			must(rename("a", "e", unix.RENAME_EXCHANGE)) // both full
			holds("e/b", "A")
			holds("a/x", "x")
			wantErr(rename("e", "e/b", unix.RENAME_EXCHANGE), syscall.EINVAL, "with what is below")
			wantErr(rename("e/b", "e", unix.RENAME_EXCHANGE), syscall.EINVAL, "with what is above")
			must(rename("a", "a", unix.RENAME_EXCHANGE))
			same("names", len(got(os.ReadDir("."))), 3)
		}},
		{"rename of two names of one file", func() {
			fill("a", "a")
			must(unix.Link("a", "b"))
			must(unix.Rename("a", "b"))
			holds("a", "a")
			same("links", lstat("b").Nlink, 2)
		}},
		{"links of folders", func() {
			must(unix.Mkdir("a", 0o755))
			must(unix.Mkdir("b", 0o755))
			must(unix.Mkdir("a/d", 0o755))
			same("links", fmt.Sprint(lstat("a").Nlink, lstat("b").Nlink), "3 2")
			must(unix.Rename("a/d", "b/d"))
			same("links", fmt.Sprint(lstat("a").Nlink, lstat("b").Nlink), "2 3")
			same("parent", lstat("b/d/..").Ino, lstat("b").Ino)
			must(unix.Mkdir("a/e", 0o755))
			must(unix.Rename("a/e", "b/d"))
			same("links", fmt.Sprint(lstat("a").Nlink, lstat("b").Nlink), "2 3")
			must(unix.Rmdir("b/d"))
			fill("b/f", "")
			same("links", fmt.Sprint(lstat("a").Nlink, lstat("b").Nlink), "2 2")
		}},
	}
}

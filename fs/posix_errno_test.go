package fs

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A pathCall is a system call with a path; makes says that it makes the name.
type pathCall struct {
	name  string
	makes bool
	call  func(p string) error
}

var pathCalls = []pathCall{
	{"open", false, func(p string) error { return openErr(p, unix.O_RDONLY) }},
	{"open to write", false, func(p string) error { return openErr(p, unix.O_WRONLY|unix.O_TRUNC) }},
	{"create", true, func(p string) error { return openErr(p, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR) }},
	{"mkdir", true, func(p string) error { return unix.Mkdir(p, 0o755) }},
	{"mkfifo", true, func(p string) error { return unix.Mkfifo(p, 0o644) }},
	{"mknod", true, func(p string) error { return unix.Mknod(p, unix.S_IFREG|0o644, 0) }},
	{"symlink", true, func(p string) error { return unix.Symlink("x", p) }},
	{"link to", true, func(p string) error { return unix.Link("there", p) }},
	{"rename to", true, func(p string) error { return unix.Rename("there", p) }},
	{"link from", false, func(p string) error { return unix.Link(p, "new") }},
	{"rename from", false, func(p string) error { return unix.Rename(p, "new") }},
	{"unlink", false, unix.Unlink},
	{"rmdir", false, unix.Rmdir},
	{"readlink", false, func(p string) error { _, err := unix.Readlink(p, make([]byte, 10)); return err }},
	{"stat", false, func(p string) error { return unix.Stat(p, new(unix.Stat_t)) }},
	{"lstat", false, func(p string) error { return unix.Lstat(p, new(unix.Stat_t)) }},
	{"chmod", false, func(p string) error { return unix.Chmod(p, 0o644) }},
	{"chown", false, func(p string) error { return unix.Chown(p, 0, 0) }},
	{"lchown", false, func(p string) error { return unix.Lchown(p, 0, 0) }},
	{"truncate", false, func(p string) error { return unix.Truncate(p, 0) }},
	{"utimensat", false, func(p string) error { return unix.UtimesNanoAt(unix.AT_FDCWD, p, nil, 0) }},
	{"statfs", false, func(p string) error { return unix.Statfs(p, new(unix.Statfs_t)) }},
	{"getxattr", false, func(p string) error { _, err := unix.Getxattr(p, "user.x", nil); return err }},
	{"setxattr", false, func(p string) error { return unix.Setxattr(p, "user.x", nil, 0) }},
	{"listxattr", false, func(p string) error { _, err := unix.Listxattr(p, nil); return err }},
	{"chdir", false, unix.Chdir},
}

func openErr(p string, flags int) error {
	fd, err := unix.Open(p, flags, 0o644)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// everyCall checks that all of pathCalls fail in one way.
func everyCall(path string, want syscall.Errno) {
	for _, c := range pathCalls {
		wantErr(c.call(path), want, c.name+" "+path[:min(len(path), 40)])
	}
}

func errnoCases() []posixCase {
	return []posixCase{
		{"a file as a folder", func() {
			fill("there", "")
			fill("file", "")
			everyCall("file/x", syscall.ENOTDIR)
			everyCall("file/x/y", syscall.ENOTDIR)
		}},
		{"nothing as a folder", func() {
			fill("there", "")
			everyCall("missing/x", syscall.ENOENT)
		}},
		{"nothing there", func() {
			fill("there", "")
			for _, c := range pathCalls {
				if !c.makes {
					wantErr(c.call("missing"), syscall.ENOENT, c.name)
					wantErr(c.call(""), syscall.ENOENT, c.name+" of an empty path")
				}
			}
		}},
		{"something there", func() {
			fill("there", "")
			fill("file", "")
			must(unix.Mkdir("dir", 0o755))
			must(unix.Symlink("missing", "dangling"))
			must(unix.Mkfifo("fifo", 0o644))
			for _, c := range pathCalls {
				if c.makes && c.name != "rename to" {
					for _, p := range []string{"file", "dir", "dangling", "fifo", ".", ".."} {
						wantErr(c.call(p), syscall.EEXIST, c.name+" "+p)
					}
				}
			}
		}},
		{"long names", func() {
			fill("there", "")
			for _, c := range pathCalls {
				p := strings.Repeat("n", 256)
				wantErr(c.call(p), syscall.ENAMETOOLONG, c.name)
				wantErr(c.call(p+"/x"), syscall.ENAMETOOLONG, c.name+" below")
			}
			everyCall(strings.Repeat("./", 2048)+"x", syscall.ENAMETOOLONG)
			everyCall(strings.Repeat("x/", 2048), syscall.ENAMETOOLONG)
		}},
		{"names of 255 bytes", func() {
			fill("there", "1")
			p := strings.Repeat("n", 255)
			for _, c := range pathCalls {
				if !c.makes {
					continue
				}
				must(c.call(p))
				lstat(p)
				if c.name == "rename to" {
					fill("there", "2")
				}
				must(os.Remove(p))
			}
		}},
		{"paths of 4095 bytes", func() {
			p := strings.Repeat("./", 2047) + "x"
			fill("there", "")
			for _, c := range pathCalls {
				if !c.makes {
					continue
				}
				must(c.call(p))
				if c.name == "rename to" {
					fill("there", "")
				}
				must(os.Remove("x"))
			}
		}},
		{"symlinks that go round", func() {
			fill("there", "")
			must(unix.Symlink("b", "a"))
			must(unix.Symlink("a", "b"))
			everyCall("a/x", syscall.ELOOP)
			for _, c := range pathCalls {
				switch c.name {
				case "open", "stat", "chmod", "chown", "truncate", "utimensat", "chdir", "statfs", "getxattr", "setxattr", "listxattr":
					wantErr(c.call("a"), syscall.ELOOP, c.name)
				}
			}
			wantErr(openErr("a", unix.O_RDONLY|unix.O_NOFOLLOW), syscall.ELOOP, "open without following")
		}},
		{"folders of others", func() {
			must(unix.Mkdir("closed", 0o700))
			fill("closed/x", "")
			fill("there", "")
			must(unix.Mkdir("mine", 0o755))
			must(unix.Chown("mine", nobody, nobody))
			as(nobody, nobody, func() {
				for _, c := range pathCalls {
					wantErr(c.call("closed/x"), syscall.EACCES, c.name)
				}
			})
			must(unix.Chmod("closed", 0o755))
			as(nobody, nobody, func() {
				lstat("closed/x")
				for _, c := range pathCalls {
					if c.makes && !strings.Contains(c.name, " ") {
						wantErr(c.call("closed/new"), syscall.EACCES, c.name)
					}
				}
				wantErr(unix.Unlink("closed/x"), syscall.EACCES, "unlink")
				wantErr(unix.Rename("closed/x", "mine/x"), syscall.EACCES, "rename")
				fill("mine/x", "")
				wantErr(unix.Rename("mine/x", "closed/y"), syscall.EACCES, "rename to")
				wantErr(unix.Link("mine/x", "closed/y"), syscall.EACCES, "link to")
			})
		}},
		{"folders as files", func() {
			must(unix.Mkdir("dir", 0o755))
			must(unix.Mkdir("full", 0o755))
			fill("full/x", "")
			fill("file", "")
			wantErr(openErr("dir", unix.O_WRONLY), syscall.EISDIR, "open to write")
			wantErr(openErr("dir", unix.O_RDWR), syscall.EISDIR, "open to write")
			wantErr(openErr("dir", unix.O_RDONLY|unix.O_TRUNC), syscall.EISDIR, "open to truncate")
			wantErr(openErr("dir", unix.O_RDONLY|unix.O_CREAT), syscall.EISDIR, "create")
			wantErr(openErr("file", unix.O_RDONLY|unix.O_DIRECTORY), syscall.ENOTDIR, "open as folder")
			wantErr(openErr("file/", unix.O_RDONLY), syscall.ENOTDIR, "with a slash")
			wantErr(unix.Truncate("dir", 0), syscall.EISDIR, "truncate")
			wantErr(unix.Unlink("dir"), syscall.EISDIR, "unlink")
			wantErr(unix.Rmdir("file"), syscall.ENOTDIR, "rmdir")
			wantErr(unix.Rmdir("full"), syscall.ENOTEMPTY, "rmdir")
			wantErr(unix.Rmdir("full/.."), syscall.ENOTEMPTY, "rmdir ..")
			wantErr(unix.Rmdir("dir/."), syscall.EINVAL, "rmdir .")
			wantErr(unix.Link("dir", "new"), syscall.EPERM, "link")
			wantErr(unix.Rename("dir/.", "new"), syscall.EBUSY, "rename .")
			wantErr(unix.Rename("dir/..", "new"), syscall.EBUSY, "rename ..")
			wantErr(unix.Rename("dir", "full/.."), syscall.EBUSY, "rename over ..")
			fd := opened("file", unix.O_RDONLY)
			_, err := unix.Write(fd, []byte("x"))
			wantErr(err, syscall.EBADF, "write what is open to read")
			wantErr(unix.Ftruncate(fd, 1), syscall.EINVAL, "truncate what is open to read")
			closed(fd)
			wantErr(unix.Truncate("file", -1), syscall.EINVAL, "truncate below nothing")
			_, err = unix.Readlink("file", make([]byte, 10))
			wantErr(err, syscall.EINVAL, "readlink of a file")
			fd = got(unix.Open("dir", unix.O_RDONLY, 0))
			_, err = unix.Read(fd, make([]byte, 10))
			wantErr(err, syscall.EISDIR, "read a folder")
			closed(fd)
		}},
		{"bad addresses", func() {
			fill("file", "content")
			fd := opened("file", unix.O_RDWR)
			for _, call := range []uintptr{unix.SYS_READ, unix.SYS_WRITE} {
				_, _, err := syscall.RawSyscall(call, uintptr(fd), 1, 5)
				same("error", err, syscall.EFAULT)
			}
			for _, call := range []uintptr{unix.SYS_MKDIR, unix.SYS_UNLINK, unix.SYS_STAT, unix.SYS_TRUNCATE} {
				_, _, err := syscall.RawSyscall(call, 1, 0, 0)
				same("error", err, syscall.EFAULT)
			}
			p := append([]byte("file"), 0)
			_, _, err := syscall.RawSyscall(unix.SYS_STAT, uintptr(unsafe.Pointer(&p[0])), 1, 0)
			same("error", err, syscall.EFAULT)
			closed(fd)
			holds("file", "content")
		}},
		{"a running program", func() {
			b := got(os.ReadFile("/bin/true"))
			must(os.WriteFile("true", b, 0o755))
			fd := got(unix.Open("true", unix.O_RDWR, 0))
			m := got(unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE))
			same("mapped", string(m[1:4]), "ELF")
			must(unix.Munmap(m))
			err := run("./true")
			wantErr(err, syscall.ETXTBSY, "run what is open to write")
			closed(fd)
			must(run("./true"))
		}},
		{"files that are too large", func() {
			fd := opened("f", unix.O_RDWR)
			if _, err := unix.Pwrite(fd, []byte("x"), 1<<63-1); !isErr(err, syscall.EFBIG) && !isErr(err, syscall.EINVAL) {
				panic(fmt.Sprint("write at the end of the world: ", err))
			}
			closed(fd)
		}},
	}
}

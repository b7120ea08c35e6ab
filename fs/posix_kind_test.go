package fs

import (
	"fmt"
	"net"
	"os"
	"slices"
	"sort"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func kindCases() []posixCase {
	return []posixCase{
		{"devices", func() {
			for i, c := range []struct {
				mode uint32
				dev  uint64
			}{{unix.S_IFCHR, unix.Mkdev(1, 3)}, {unix.S_IFBLK, unix.Mkdev(7, 200)}, {unix.S_IFCHR, unix.Mkdev(4000, 70000)}} {
				p := fmt.Sprint("dev", i)
				must(unix.Mknod(p, c.mode|0o640, int(c.dev)))
				s := lstat(p)
				same("mode", s.Mode, c.mode|0o640)
				same("numbers", s.Rdev, c.dev)
				must(unix.Rename(p, p+"x"))
				must(unix.Unlink(p + "x"))
			}
			must(unix.Mkdir("d", 0o777))
			as(nobody, nobody, func() {
				wantErr(unix.Mknod("d/x", unix.S_IFCHR|0o600, 0x103), syscall.EPERM, "mknod")
				must(unix.Mknod("d/p", unix.S_IFIFO|0o600, 0))
				must(unix.Mknod("d/f", unix.S_IFREG|0o600, 0))
				must(unix.Mknod("d/s", unix.S_IFSOCK|0o600, 0))
			})
			same("kinds", fmt.Sprint(lstat("d/p").Mode, lstat("d/f").Mode, lstat("d/s").Mode),
				fmt.Sprint(unix.S_IFIFO|0o600, unix.S_IFREG|0o600, unix.S_IFSOCK|0o600))
		}},
		{"fifos", func() {
			must(unix.Mkfifo("p", 0o644))
			wantErr(openErr("p", unix.O_WRONLY|unix.O_NONBLOCK), syscall.ENXIO, "nobody reads")
			r := got(unix.Open("p", unix.O_RDONLY|unix.O_NONBLOCK, 0))
			w := got(unix.Open("p", unix.O_WRONLY|unix.O_NONBLOCK, 0))
			got(unix.Write(w, []byte("hello")))
			b := make([]byte, 10)
			same("read", string(b[:got(unix.Read(r, b))]), "hello")
			closed(r, w)
			same("size", lstat("p").Size, 0)
		}},
		{"sockets", func() {
			l := got(net.Listen("unix", "s"))
			same("kind", lstat("s").Mode&unix.S_IFMT, unix.S_IFSOCK)
			go func() {
				if c, err := l.Accept(); err == nil {
					c.Write([]byte("hello"))
					c.Close()
				}
			}()
			c := got(net.Dial("unix", "s"))
			b := make([]byte, 5)
			got(c.Read(b))
			same("read", string(b), "hello")
			must(c.Close())
			wantErr(openErr("s", unix.O_RDWR), syscall.ENXIO, "open")
			must(l.Close()) // removes it
			wantErr(unix.Lstat("s", new(unix.Stat_t)), syscall.ENOENT, "stat")
		}},
		{"symlinks", func() {
			for _, n := range []int{1, 59, 60, 255, 1000, 4000, 4095} {
				target := strings.Repeat("t", n)
				if n > 255 {
					target = strings.Repeat("./", n/2) + strings.Repeat("x", n%2)
				}
				must(unix.Symlink(target, "s"))
				b := make([]byte, 5000)
				same("target", string(b[:got(unix.Readlink("s", b))]), target)
				same("size", lstat("s").Size, int64(n))
				same("part of target", got(unix.Readlink("s", b[:1])), 1)
				must(unix.Unlink("s"))
			}
			wantErr(unix.Symlink(strings.Repeat("t", 4096), "s"), syscall.ENAMETOOLONG, "a long target")
			wantErr(unix.Symlink("", "s"), syscall.ENOENT, "an empty target")
			must(unix.Symlink("odd\xff\xfe\n target", "s"))
			same("target", got(os.Readlink("s")), "odd\xff\xfe\n target")
			same("mode", mode("s"), 0o777)
		}},
		{"what stat says", func() {
			fill("f", "x")
			must(unix.Mkdir("d", 0o755))
			var s unix.Statfs_t
			must(unix.Statfs(".", &s))
			if s.Blocks == 0 || s.Bsize == 0 || s.Bavail > s.Bfree || s.Bfree > s.Blocks || s.Namelen != 255 || s.Files == 0 || s.Ffree > s.Files {
				panic(fmt.Sprintf("%+v", s))
			}
			same("links", lstat("f").Nlink, 1)
			same("blocks", lstat("d").Blksize, 4096)
			var x unix.Statx_t
			must(unix.Statx(unix.AT_FDCWD, "f", 0, unix.STATX_ALL, &x))
			if x.Mask&unix.STATX_BASIC_STATS != unix.STATX_BASIC_STATS {
				panic("statx")
			}
			if x.Mask&unix.STATX_BTIME != 0 {
				tick()
				fill("f", "longer")
				must(unix.Statx(unix.AT_FDCWD, "f", 0, unix.STATX_ALL, &x))
				s := lstat("f")
				same("btime", x.Btime.Sec*1e9+int64(x.Btime.Nsec) < s.Mtim.Nano(), true)
				same("statx", fmt.Sprint(x.Size, x.Ino, x.Nlink, x.Mode, x.Uid, x.Mtime.Nsec), fmt.Sprint(6, s.Ino, s.Nlink, s.Mode, s.Uid, s.Mtim.Nsec))
			}
			must(unix.Mknod("c", unix.S_IFCHR|0o600, int(unix.Mkdev(300, 70000))))
			must(unix.Statx(unix.AT_FDCWD, "c", 0, unix.STATX_ALL, &x))
			same("device", fmt.Sprint(x.Rdev_major, x.Rdev_minor), "300 70000")
		}},
	}
}

func nameCases() []posixCase {
	return []posixCase{
		{"odd names", func() {
			var want []string
			for c := 1; c < 256; c++ {
				if c != '/' && c != '.' {
					want = append(want, string([]byte{byte(c)}))
				}
			}
			want = append(want, "...", ".x", "x.", " ", "é", "e\u0301", "A", strings.Repeat("\xff", 255), "CON", "a:b", "a\\b", "-rf")
			slices.Sort(want)
			want = slices.Compact(want)
			for _, name := range want {
				fill(name, name)
			}
			var names []string
			for _, e := range got(os.ReadDir(".")) {
				names = append(names, e.Name())
			}
			sort.Strings(names)
			same("names", strings.Join(names, "\x00"), strings.Join(want, "\x00"))
			for _, name := range want {
				holds("./"+name, name)
				must(os.Rename(name, "renamed"))
				must(os.Remove("renamed"))
			}
		}},
		{"deep folders", func() {
			name := strings.Repeat("d", 100)
			here := got(os.Getwd())
			for range 60 { // longer than a path can be
				must(unix.Mkdir(name, 0o755))
				must(unix.Chdir(name))
			}
			fill("f", "deep")
			holds("f", "deep")
			for range 60 {
				must(unix.Chdir(".."))
			}
			must(unix.Chdir(here))
			must(os.RemoveAll(name))
		}},
	}
}

func linkCases() []posixCase {
	return []posixCase{
		{"links", func() {
			fill("f", "content")
			must(unix.Mkdir("d", 0o755))
			must(unix.Link("f", "d/g"))
			same("links", lstat("f").Nlink, 2)
			same("inode", lstat("f").Ino, lstat("d/g").Ino)
			fill("f", "changed")
			holds("d/g", "changed")
			must(unix.Chmod("d/g", 0o600))
			same("mode", mode("f"), 0o600)
			fd := opened("f", unix.O_RDWR)
			must(unix.Unlink("f"))
			same("links", fstat(fd).Nlink, 1)
			got(unix.Write(fd, []byte("C")))
			holds("d/g", "Changed")
			must(unix.Rename("d/g", "h"))
			same("links", fstat(fd).Nlink, 1)
			must(unix.Unlink("h"))
			same("links", fstat(fd).Nlink, 0)
			closed(fd)
		}},
		{"links of other kinds", func() {
			must(unix.Symlink("missing", "s"))
			must(unix.Mkfifo("p", 0o644))
			must(unix.Mknod("c", unix.S_IFCHR|0o600, 0x103))
			for _, p := range []string{"s", "p", "c"} {
				must(unix.Linkat(unix.AT_FDCWD, p, unix.AT_FDCWD, p+"2", 0))
				same("links", lstat(p).Nlink, 2)
				same("inode", lstat(p).Ino, lstat(p+"2").Ino)
				must(unix.Unlink(p))
				same("links", lstat(p+"2").Nlink, 1)
			}
		}},
		{"many links", func() {
			fill("f", "")
			for i := range 200 {
				must(unix.Link("f", fmt.Sprint("l", i)))
			}
			same("links", lstat("f").Nlink, 201)
			for i := range 200 {
				must(unix.Unlink(fmt.Sprint("l", i)))
			}
			same("links", lstat("f").Nlink, 1)
		}},
	}
}

func listingCases() []posixCase {
	return []posixCase{
		{"a large folder that changes", func() {
			const stay, come = 8_000, 1_000
			for i := range stay {
				closed(got(unix.Open(fmt.Sprint("stays", i), unix.O_CREAT|unix.O_WRONLY, 0o644)))
			}
			for i := range come {
				closed(got(unix.Open(fmt.Sprint("goes", i), unix.O_CREAT|unix.O_WRONLY, 0o644)))
			}
			d := got(os.Open("."))
			seen := make(map[string]int)
			for i := 0; ; i++ {
				names, err := d.Readdirnames(500)
				for _, name := range names {
					seen[name]++
				}
				if err != nil {
					break
				}
				for k := range 50 {
					j := i*50 + k
					if j < come {
						must(unix.Unlink(fmt.Sprint("goes", j)))
					}
					fill(fmt.Sprint("comes", j), "")
				}
			}
			must(d.Close())
			for i := range stay {
				same(fmt.Sprint("stays", i), seen[fmt.Sprint("stays", i)], 1)
			}
			for name, n := range seen {
				same(name, n, 1)
			}
		}},
		{"seekdir", func() {
			for i := range 300 {
				fill(fmt.Sprint("f", i), "")
			}
			fd := got(unix.Open(".", unix.O_RDONLY|unix.O_DIRECTORY, 0))
			read := func() (names []string) {
				b := make([]byte, 1000)
				n := got(unix.ReadDirent(fd, b))
				_, _, names = unix.ParseDirent(b[:n], -1, nil)
				return names
			}
			var at []int64
			var seen []string
			for {
				at = append(at, got(unix.Seek(fd, 0, 1)))
				names := read()
				if names == nil {
					break
				}
				seen = append(seen, names[0])
			}
			for i := len(seen) - 1; i >= 0; i-- {
				got(unix.Seek(fd, at[i], 0))
				same("name", read()[0], seen[i])
			}
			fill("new", "")
			got(unix.Seek(fd, 0, 0))
			n := 0
			for {
				names := read()
				if names == nil {
					break
				}
				n += len(names)
			}
			same("names after rewinding", n, 301)
			closed(fd)
		}},
	}
}

package fs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stories are what children do in a mount.
var stories map[string]func(u *user)

func init() {
	stories = map[string]func(u *user){
		"files": files, "open": openFiles, "folders": folders, "many": manyNames, "rename": renames,
		"attributes": attributes, "xattrs": xattrs, "mapped": mapped, "other kinds": otherKinds,
		"refused": refused, "random": randomWrites, "parallel": parallel, "between volumes": betweenVolumes,
		"privileges": privileges, "append": appends, "deep": deepTree,

		// These need others to do something.
		"with write":                  func(u *user) { u.write("Private/kept", "kept") },
		"with read":                   func(u *user) { u.want("Private/kept", "kept") },
		"with open file":              withOpenFile,
		"with many nodes":             withManyNodes,
		"with a look":                 withLook,
		"with a reader":               withReader,
		"with changes from elsewhere": withChanges,
		"with posix":                  withPosix,
		"with cold files":             withCold,
		"with others":                 withOthers,
		"with two mounts":             withTwoMounts,
	}
}

func files(u *user) {
	p := u.path("Private/a.txt")
	u.write("Private/a.txt", "hello")
	u.want("Private/a.txt", "hello")
	u.write("Private/a.txt", "hi") // O_TRUNC
	u.want("Private/a.txt", "hi")
	f := got(os.OpenFile(p, os.O_RDWR, 0))
	got(f.WriteAt([]byte("end"), 10)) // leaves a hole
	u.want("Private/a.txt", "hi\x00\x00\x00\x00\x00\x00\x00\x00end")
	must(f.Truncate(4))
	must(f.Truncate(6))
	u.want("Private/a.txt", "hi\x00\x00\x00\x00")
	must(f.Sync())
	must(f.Close())
	same("size", got(os.Stat(p)).Size(), 6)
	must(os.Truncate(p, 1))
	u.want("Private/a.txt", "h")
	_, err := os.OpenFile(p, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	wantErr(err, os.ErrExist, "O_EXCL")
	_, err = os.Open(u.path("Private/missing"))
	wantErr(err, os.ErrNotExist, "open")
	u.write("Private/missing", "no longer") // after the kernel learned that it is missing
	u.want("Private/missing", "no longer")
	// A file that its owner can't write to can be written by who made it.
	f = got(os.OpenFile(u.path("Private/ro"), os.O_CREATE|os.O_WRONLY, 0o444))
	got(f.WriteString("x"))
	must(f.Close())
	big := bytes.Repeat([]byte("0123456789abcdef"), 3<<16+5) // 3 MiB and a bit
	must(os.WriteFile(u.path("Private/big"), big, 0o644))
	if b := got(os.ReadFile(u.path("Private/big"))); !bytes.Equal(b, big) {
		panic("a big file comes back different")
	}
	// Larger than 32 bits can say, and nearly all hole.
	f = got(os.Create(u.path("Private/sparse")))
	must(f.Truncate(5 << 30))
	got(f.WriteAt([]byte("x"), 5<<30-1))
	b := []byte("full of something")
	got(f.ReadAt(b, 4<<30))
	same("a hole", string(b), strings.Repeat("\x00", len(b)))
	got(f.ReadAt(b[:1], 5<<30-1))
	same("the last byte", string(b[:1]), "x")
	same("size", got(f.Stat()).Size(), 5<<30)
	must(f.Close())
}

func openFiles(u *user) {
	u.write("Private/gone", "still here")
	f := got(os.OpenFile(u.path("Private/gone"), os.O_RDWR, 0))
	must(os.Remove(u.path("Private/gone")))
	_, err := os.Stat(u.path("Private/gone"))
	wantErr(err, os.ErrNotExist, "stat")
	got(f.WriteAt([]byte("THERE"), 6))
	b := make([]byte, 20)
	n, err := f.ReadAt(b, 0)
	wantErr(err, io.EOF, "read")
	same("the removed file", string(b[:n]), "still THERE")
	same("its size", got(f.Stat()).Size(), 11)
	must(f.Chmod(0o600))
	must(f.Truncate(2))
	same("its size", got(f.Stat()).Size(), 2)
	u.write("Private/gone", "another") // of the same name
	u.want("Private/gone", "another")
	same("its size", got(f.Stat()).Size(), 2)
	must(f.Close())
	u.want("Private/gone", "another")
}

func folders(u *user) {
	same("root", u.list(""), "People Private Public")
	must(os.Mkdir(u.path("Private/d"), 0o750))
	same("mode", got(os.Stat(u.path("Private/d"))).Mode(), os.ModeDir|0o750)
	wantErr(os.Mkdir(u.path("Private/d"), 0o755), os.ErrExist, "mkdir")
	u.write("Private/d/f", "x")
	wantErr(syscall.Rmdir(u.path("Private/d")), syscall.ENOTEMPTY, "rmdir")
	wantErr(syscall.Rmdir(u.path("Private/d/f")), syscall.ENOTDIR, "rmdir of a file")
	wantErr(syscall.Unlink(u.path("Private/d")), syscall.EISDIR, "unlink of a folder")
	must(os.Remove(u.path("Private/d/f")))
	must(os.Remove(u.path("Private/d")))
	same("Private", u.list("Private"), "")
	must(os.MkdirAll(u.path("Private/a/b/c"), 0o755))
	u.write("Private/a/b/c/f", "deep")
	must(os.RemoveAll(u.path("Private/a")))
	same("Private", u.list("Private"), "")
	var s unix.Statfs_t
	must(unix.Statfs(u.dir, &s))
	if s.Bsize == 0 || s.Blocks == 0 || s.Bavail > s.Blocks || s.Namelen != 255 {
		panic(fmt.Sprintf("statfs: %+v", s))
	}
}

// manyNames is a folder with more names than one answer holds, which is read
// while files are removed from it.
func manyNames(u *user) {
	const n = 3000
	var want []string
	must(os.Mkdir(u.path("Private/many"), 0o755))
	for i := range n {
		name := fmt.Sprintf("%04d-%s", i, strings.Repeat("x", i%50))
		u.write("Private/many/"+name, name)
		want = append(want, name)
	}
	names := got(os.ReadDir(u.path("Private/many")))
	same("count", len(names), n)
	for i, e := range names {
		same("name", e.Name(), want[i])
		same("size of "+want[i], got(e.Info()).Size(), int64(len(want[i])))
	}
	d := got(os.Open(u.path("Private/many")))
	seen := make(map[string]bool)
	for {
		some, err := d.Readdirnames(100)
		for _, name := range some {
			if seen[name] {
				panic("twice: " + name)
			}
			seen[name] = true
			must(os.Remove(u.path("Private/many/" + name)))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		must(err)
	}
	same("names seen while removing", len(seen), n)
	got(d.Seek(0, io.SeekStart))
	same("names after rewinding", len(got(d.Readdirnames(-1))), 0)
	must(d.Close())
	must(os.Remove(u.path("Private/many")))
}

func renames(u *user) {
	u.write("Private/a", "a")
	u.write("Private/b", "b")
	old := got(os.Open(u.path("Private/b")))
	must(os.Rename(u.path("Private/a"), u.path("Private/b"))) // over an open file
	u.want("Private/b", "a")
	_, err := os.Stat(u.path("Private/a"))
	wantErr(err, os.ErrNotExist, "the old name")
	same("the open old file", string(got(io.ReadAll(old))), "b")
	must(old.Close())
	f := got(os.OpenFile(u.path("Private/b"), os.O_RDWR, 0))
	must(os.Rename(u.path("Private/b"), u.path("Private/c"))) // an open file
	got(f.WriteAt([]byte("A"), 0))
	must(f.Close())
	u.want("Private/c", "A")
	u.write("Private/d", "d")
	at := func(from, to string, flags uint) error {
		return unix.Renameat2(unix.AT_FDCWD, u.path(from), unix.AT_FDCWD, u.path(to), flags)
	}
	wantErr(at("Private/c", "Private/d", unix.RENAME_NOREPLACE), os.ErrExist, "no-replace")
	u.want("Private/d", "d")
	must(at("Private/c", "Private/e", unix.RENAME_NOREPLACE))
	u.want("Private/e", "A")
	must(at("Private/d", "Private/e", unix.RENAME_EXCHANGE))
	u.want("Private/e", "d")
	must(at("Private/d", "Private/e", unix.RENAME_EXCHANGE))
	must(os.MkdirAll(u.path("Private/x/y"), 0o755))
	u.write("Private/x/y/f", "f")
	must(os.Rename(u.path("Private/x"), u.path("Private/z")))
	u.want("Private/z/y/f", "f")
	wantErr(os.Rename(u.path("Private/z"), u.path("Private/z/y/z")), syscall.EINVAL, "a folder into itself")
	must(os.Mkdir(u.path("Private/full"), 0o755))
	u.write("Private/full/f", "")
	must(os.Mkdir(u.path("Private/empty"), 0o755))
	wantErr(syscall.Rename(u.path("Private/z"), u.path("Private/full")), syscall.ENOTEMPTY, "over a folder")
	must(syscall.Rename(u.path("Private/z"), u.path("Private/empty")))
	u.want("Private/empty/y/f", "f")
	wantErr(syscall.Rename(u.path("Private/d"), u.path("Private/full")), syscall.EISDIR, "a file over a folder")
	wantErr(syscall.Rename(u.path("Private/full"), u.path("Private/d")), syscall.ENOTDIR, "a folder over a file")
}

func betweenVolumes(u *user) {
	u.write("Private/a", "a")
	before := got(os.Stat(u.path("Private/a")))
	f := got(os.OpenFile(u.path("Private/a"), os.O_RDWR, 0))
	must(os.Rename(u.path("Private/a"), u.path("Public/alice.id/a")))
	u.want("Public/alice.id/a", "a")
	got(f.WriteAt([]byte("bc"), 1)) // the open file has moved with it
	must(f.Close())
	u.want("Public/alice.id/a", "abc")
	if !os.SameFile(before, got(os.Stat(u.path("Public/alice.id/a")))) {
		panic("another inode number after the move")
	}
	must(os.MkdirAll(u.path("Private/d/e"), 0o755))
	u.write("Private/d/e/f", "f")
	must(os.Rename(u.path("Private/d"), u.path("Public/alice.id/d")))
	u.want("Public/alice.id/d/e/f", "f")
	same("Private", u.list("Private"), "")
}

func attributes(u *user) {
	u.write("Private/f", "x")
	p := u.path("Private/f")
	for _, mode := range []os.FileMode{0o600, 0, 0o777, 0o644} {
		must(os.Chmod(p, mode))
		same("mode", got(os.Stat(p)).Mode(), mode)
	}
	must(os.Mkdir(u.path("Private/d"), 0o755))
	must(os.Chmod(u.path("Private/d"), os.ModeSticky|0o777))
	same("mode", got(os.Stat(u.path("Private/d"))).Mode(), os.ModeDir|os.ModeSticky|0o777)
	for _, when := range []time.Time{time.Unix(1_700_000_000, 123_456_789), time.Unix(-12_345, 678), time.Unix(0, 0)} {
		must(os.Chtimes(p, when.Add(time.Hour), when))
		var s unix.Stat_t
		must(unix.Stat(p, &s))
		same("mtime", time.Unix(s.Mtim.Unix()).String(), when.String())
		same("atime", time.Unix(s.Atim.Unix()).String(), when.Add(time.Hour).String())
	}
	before := time.Now().Add(-time.Second)
	must(unix.UtimesNanoAt(unix.AT_FDCWD, p, nil, 0))
	if now := got(os.Stat(p)).ModTime(); now.Before(before) || now.After(time.Now().Add(time.Second)) {
		panic(fmt.Sprintf("touch: %v", now))
	}
	// Writing sets the time, reading it through another descriptor sees that.
	must(os.Chtimes(p, time.Unix(1, 0), time.Unix(1, 0)))
	u.write("Private/f", "changed")
	if got(os.Stat(p)).ModTime().Before(before) {
		panic("a write did not set the time")
	}
	must(os.Chtimes(u.path("Private"), time.Unix(1, 0), time.Unix(1, 0)))
	u.write("Private/new", "")
	if got(os.Stat(u.path("Private"))).ModTime().Before(before) {
		panic("a new file did not set its folder's time")
	}
	if os.Geteuid() == 0 {
		must(os.Chown(p, 1234, 4321))
		s := got(os.Stat(p)).Sys().(*syscall.Stat_t)
		same("owner", fmt.Sprint(s.Uid, s.Gid), "1234 4321")
	}
}

func xattrs(u *user) {
	u.write("Private/f", "x")
	p := u.path("Private/f")
	must(unix.Setxattr(p, "user.color", []byte("blue"), 0))
	must(unix.Setxattr(p, "user.empty", nil, 0))
	wantErr(unix.Setxattr(p, "user.color", []byte("red"), unix.XATTR_CREATE), os.ErrExist, "XATTR_CREATE")
	wantErr(unix.Setxattr(p, "user.other", []byte("red"), unix.XATTR_REPLACE), syscall.ENODATA, "XATTR_REPLACE")
	same("length", got(unix.Getxattr(p, "user.color", nil)), 4)
	_, err := unix.Getxattr(p, "user.color", make([]byte, 3))
	wantErr(err, syscall.ERANGE, "a small buffer")
	b := make([]byte, 64)
	same("value", string(b[:got(unix.Getxattr(p, "user.color", b))]), "blue")
	same("empty", got(unix.Getxattr(p, "user.empty", b)), 0)
	_, err = unix.Getxattr(p, "user.none", b)
	wantErr(err, syscall.ENODATA, "none")
	if n := got(unix.Getxattr(p, "user.satchel.state", b)); n == 0 {
		panic("no state")
	}
	wantErr(unix.Setxattr(p, "user.satchel.state", []byte("x"), 0), os.ErrPermission, "the drive's own")
	wantErr(unix.Setxattr(p, "odd.x", []byte("x"), 0), syscall.EOPNOTSUPP, "another name space")
	must(unix.Setxattr(p, "user.big", bytes.Repeat([]byte("v"), 20_000), 0))
	list := func() string {
		b := make([]byte, got(unix.Listxattr(p, nil)))
		var own []string
		for name := range strings.SplitSeq(strings.TrimSuffix(string(b[:got(unix.Listxattr(p, b))]), "\x00"), "\x00") {
			own = append(own, name)
		}
		sort.Strings(own)
		return strings.Join(own, " ")
	}
	same("names", list(), "user.big user.color user.empty")
	_, err = unix.Listxattr(p, make([]byte, 3))
	wantErr(err, syscall.ERANGE, "a small buffer for names")
	must(unix.Removexattr(p, "user.color"))
	wantErr(unix.Removexattr(p, "user.color"), syscall.ENODATA, "removed twice")
	same("names", list(), "user.big user.empty")
}

func mapped(u *user) {
	p := u.path("Private/m")
	content := bytes.Repeat([]byte("abcdefgh"), 1<<15) // 256 KiB
	must(os.WriteFile(p, content, 0o644))
	f := got(os.OpenFile(p, os.O_RDWR|os.O_APPEND, 0))
	m := got(unix.Mmap(int(f.Fd()), 0, len(content), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED))
	if !bytes.Equal(m, content) {
		panic("the mapping differs")
	}
	copy(m[5000:], "MAPPED")
	must(unix.Msync(m, unix.MS_SYNC))
	must(unix.Munmap(m))
	must(f.Close())
	// A mapping's pages go to their places, though the file is open to append.
	copy(content[5000:], "MAPPED")
	if b := got(os.ReadFile(p)); !bytes.Equal(b, content) {
		panic(fmt.Sprintf("%d bytes, %q", len(b), b[4990:5010]))
	}
}

func otherKinds(u *user) {
	must(os.Symlink("../a/target with\nodd bytes \xff", u.path("Private/l")))
	same("target", got(os.Readlink(u.path("Private/l"))), "../a/target with\nodd bytes \xff")
	same("mode", got(os.Lstat(u.path("Private/l"))).Mode(), os.ModeSymlink|0o777)
	u.write("Private/f", "through a link")
	must(os.Symlink("f", u.path("Private/g")))
	u.want("Private/g", "through a link")
	must(unix.Mkfifo(u.path("Private/p"), 0o600))
	same("fifo", got(os.Lstat(u.path("Private/p"))).Mode(), os.ModeNamedPipe|0o600)
	must(unix.Mknod(u.path("Private/s"), unix.S_IFSOCK|0o600, 0))
	same("socket", got(os.Lstat(u.path("Private/s"))).Mode(), os.ModeSocket|0o600)
	must(unix.Mknod(u.path("Private/r"), unix.S_IFREG|0o600, 0))
	same("file", got(os.Lstat(u.path("Private/r"))).Mode(), os.FileMode(0o600))
	wantErr(unix.Mknod(u.path("Private/r"), unix.S_IFREG|0o600, 0), os.ErrExist, "mknod")
	if os.Geteuid() == 0 {
		must(unix.Mknod(u.path("Private/c"), unix.S_IFCHR|0o600, int(unix.Mkdev(5, 7))))
		s := got(os.Lstat(u.path("Private/c"))).Sys().(*syscall.Stat_t)
		same("device", s.Rdev, unix.Mkdev(5, 7))
	}
	f := got(os.OpenFile(u.path("Private/f"), os.O_RDWR, 0))
	must(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	g := got(os.Open(u.path("Private/f")))
	wantErr(unix.Flock(int(g.Fd()), unix.LOCK_SH|unix.LOCK_NB), syscall.EWOULDBLOCK, "a second lock")
	if n, err := f.Seek(0, unix.SEEK_HOLE); err != nil || n != int64(len("through a link")) {
		panic(fmt.Sprintf("SEEK_HOLE: %d, %v", n, err))
	}
	must(f.Close())
	must(g.Close())
}

func refused(u *user) {
	create := func(p string) error {
		f, err := os.Create(u.path(p))
		if err == nil {
			f.Close()
		}
		return err
	}
	for _, p := range []string{"x", "Public/x", "People/x"} {
		wantErr(create(p), os.ErrPermission, p)
	}
	wantErr(os.Mkdir(u.path("x"), 0o755), os.ErrPermission, "mkdir in the root")
	wantErr(os.Mkdir(u.path("People/nobody.id"), 0o755), os.ErrNotExist, "mkdir of an unknown name")
	for _, p := range []string{"People/nobody.id", "People/Not A Name", "Public/nobody.id", "Other"} {
		_, err := os.Stat(u.path(p))
		wantErr(err, os.ErrNotExist, p)
	}
	wantErr(os.Remove(u.path("Private")), os.ErrPermission, "remove Private")
	wantErr(os.Rename(u.path("Private"), u.path("Mine")), os.ErrPermission, "rename Private")
	long := strings.Repeat("x", 255)
	u.write("Private/"+long, "long")
	u.want("Private/"+long, "long")
	wantErr(create("Private/"+long+"x"), syscall.ENAMETOOLONG, "a longer name")
}

func privileges(u *user) {
	if os.Geteuid() != 0 {
		return
	}
	p := u.path("Private/tool")
	must(os.WriteFile(p, []byte("x"), 0o755))
	must(os.Chmod(p, os.ModeSetuid|os.ModeSetgid|0o755))
	same("mode", got(os.Stat(p)).Mode(), os.ModeSetuid|os.ModeSetgid|0o755)
	must(os.Chown(p, 1, -1))
	same("mode after chown", got(os.Stat(p)).Mode(), os.FileMode(0o755))
	must(os.Chmod(p, os.ModeSetuid|0o777))
	// Somebody without privileges writes to it.
	fd := got(unix.Open(p, unix.O_WRONLY, 0))
	must(dropFsetid())
	got(unix.Pwrite(fd, []byte("y"), 0))
	must(unix.Close(fd))
	u.eventually("no setuid after a write", func() bool { return got(os.Stat(p)).Mode() == 0o777 })
}

// dropFsetid takes the right to keep setuid bits from the thread, which the
// caller stays on.
func dropFsetid() error {
	runtime.LockOSThread()
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var d [2]unix.CapUserData
	if err := unix.Capget(&h, &d[0]); err != nil {
		return err
	}
	d[0].Effective &^= 1 << unix.CAP_FSETID
	return unix.Capset(&h, &d[0])
}

// appends has two descriptors append in turn, one of which was not opened for it.
func appends(u *user) {
	p := u.path("Private/log")
	a := got(os.OpenFile(p, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644))
	b := got(os.OpenFile(p, os.O_WRONLY|os.O_APPEND, 0))
	c := got(os.OpenFile(p, os.O_WRONLY, 0))
	got(a.WriteString("1"))
	got(b.WriteString("2"))
	got(a.WriteString("3"))
	flags := got(unix.FcntlInt(c.Fd(), unix.F_GETFL, 0))
	got(unix.FcntlInt(c.Fd(), unix.F_SETFL, flags|unix.O_APPEND))
	got(c.WriteString("4"))
	got(b.WriteString("5"))
	u.want("Private/log", "12345")
	flags = got(unix.FcntlInt(a.Fd(), unix.F_GETFL, 0))
	got(unix.FcntlInt(a.Fd(), unix.F_SETFL, flags&^unix.O_APPEND))
	got(unix.Pwrite(int(a.Fd()), []byte("X"), 2))
	u.want("Private/log", "12X45")
	must(os.Truncate(p, 1))
	got(b.WriteString("b"))
	u.want("Private/log", "1b")
}

// randomWrites compares a file with a slice of bytes, over writes, appends,
// truncations, reads and mappings by three descriptors.
func randomWrites(u *user) {
	const most = 1 << 20
	rnd := rand.New(rand.NewSource(7))
	p := u.path("Private/random")
	var want []byte
	fds := []*os.File{got(os.Create(p)), got(os.OpenFile(p, os.O_RDWR, 0)), got(os.OpenFile(p, os.O_RDWR|os.O_APPEND, 0))}
	for step := range 3000 {
		f := fds[rnd.Intn(2)]
		switch k := rnd.Intn(21); {
		case k < 7:
			off := rnd.Intn(most)
			b := make([]byte, rnd.Intn(1+rnd.Intn(64<<10)))
			rnd.Read(b)
			same("written", got(f.WriteAt(b, int64(off))), len(b))
			if len(b) > 0 {
				want = put(want, off, b)
			}
		case k < 8 && len(want) < 2*most:
			b := make([]byte, 1+rnd.Intn(10<<10))
			rnd.Read(b)
			got(fds[2].Write(b))
			want = append(want, b...)
		case k < 10:
			size := rnd.Intn(most)
			if rnd.Intn(2) == 0 {
				must(f.Truncate(int64(size)))
			} else {
				must(os.Truncate(p, int64(size)))
			}
			if size > len(want) {
				want = put(want, size, nil)
			}
			want = want[:size:size]
		case k < 16 && len(want) > 0:
			off := rnd.Intn(len(want))
			b := make([]byte, 1+rnd.Intn(64<<10))
			n, err := f.ReadAt(b, int64(off))
			if err != nil && !errors.Is(err, io.EOF) {
				panic(err)
			}
			if exp := want[off:min(len(want), off+len(b))]; !bytes.Equal(b[:n], exp) {
				panic(fmt.Sprintf("step %d: %d bytes at %d of %d differ", step, n, off, len(want)))
			}
		case k < 18 && len(want) > 0:
			m := got(unix.Mmap(int(f.Fd()), 0, len(want), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED))
			if !bytes.Equal(m, want) {
				panic(fmt.Sprintf("step %d: the mapping differs", step))
			}
			if k == 16 {
				off := rnd.Intn(len(want))
				n := copy(m[off:], "mapped")
				copy(want[off:], m[off:off+n])
				must(unix.Msync(m, unix.MS_SYNC))
			}
			must(unix.Munmap(m))
		case k < 19 && len(want) > 0:
			// Zeros, or a copy from elsewhere in the file.
			off, n := rnd.Intn(len(want)), 1+rnd.Intn(200<<10)
			switch rnd.Intn(4) {
			case 0:
				must(unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(n)))
				clear(want[off:min(len(want), off+n)])
			case 1:
				must(unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_ZERO_RANGE, int64(off), int64(n)))
				want = put(want, off, make([]byte, n))
			case 2:
				must(unix.Fallocate(int(f.Fd()), 0, int64(off), int64(n)))
				want = put(want, max(len(want), off+n), nil)
			case 3:
				from := rnd.Intn(len(want))
				n = min(n, len(want)-from, max(off-from, from-off))
				in, out := int64(from), int64(off)
				for n > 0 {
					m := got(unix.CopyFileRange(int(f.Fd()), &in, int(f.Fd()), &out, n, 0))
					want = put(want, off, bytes.Clone(want[from:from+m]))
					from, off, n = from+m, off+m, n-m
				}
			}
		case k < 20 && rnd.Intn(2) == 0:
			must(f.Sync())
		default:
			i := rnd.Intn(2)
			must(fds[i].Close())
			fds[i] = got(os.OpenFile(p, os.O_RDWR, 0))
		}
		same(fmt.Sprintf("step %d: size", step), got(fds[0].Stat()).Size(), int64(len(want)))
	}
	for _, f := range fds {
		must(f.Close())
	}
	if b := got(os.ReadFile(p)); !bytes.Equal(b, want) {
		panic("the file differs at the end")
	}
}

// put writes b at off of content, which grows with zeros.
func put(content []byte, off int, b []byte) []byte {
	if end := off + len(b); end > len(content) {
		content = append(content, make([]byte, end-len(content))...)
	}
	copy(content[off:], b)
	return content
}

// parallel has several programs' worth of threads work side by side.
func parallel(u *user) {
	var wg sync.WaitGroup
	errs := make(chan error, 8)
	for g := range 8 {
		wg.Go(func() {
			dir := u.path(fmt.Sprintf("Private/g%d", g))
			err := os.Mkdir(dir, 0o755)
			for i := 0; i < 60 && err == nil; i++ {
				err = oneRound(fmt.Sprintf("%s/%d", dir, i), u.path(fmt.Sprintf("Private/shared%d", i%3)))
			}
			errs <- err
		})
	}
	wg.Wait()
	for range 8 {
		must(<-errs)
	}
	for g := range 8 {
		same("files", len(got(os.ReadDir(u.path(fmt.Sprintf("Private/g%d", g))))), 60)
	}
}

func oneRound(p, shared string) error {
	if err := os.WriteFile(p+".tmp", []byte(p), 0o644); err != nil {
		return err
	}
	if err := os.Rename(p+".tmp", p); err != nil {
		return err
	}
	if b, err := os.ReadFile(p); err != nil || string(b) != p {
		return fmt.Errorf("%s: %q, %v", p, b, err)
	}
	if err := os.WriteFile(shared, []byte("s"), 0o644); err != nil {
		return err
	}
	if _, err := os.Stat(shared); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Remove(shared); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// deepTree walks up and down a deep path, by name and by descriptor.
func deepTree(u *user) {
	p := "Private"
	for i := range 40 {
		p += fmt.Sprintf("/%d", i)
	}
	must(os.MkdirAll(u.path(p), 0o755))
	u.write(p+"/f", "deep")
	must(os.Chdir(u.path(p)))
	same("in the deep", string(got(os.ReadFile("f"))), "deep")
	same("up and down", string(got(os.ReadFile("../../38/39/f"))), "deep")
	same("where", got(os.Getwd()), u.path(p))
	must(os.Chdir("/"))
	must(os.RemoveAll(u.path("Private/0")))
}

func withOpenFile(u *user) {
	f := got(os.Create(u.path("Private/f")))
	got(f.WriteString("written"))
	u.pause()
	_, err := f.WriteString("more")
	wantErr(err, syscall.ENOTCONN, "write after the end")
	f.Close()
}

func withManyNodes(u *user) {
	for i := range 100 {
		u.write(fmt.Sprintf("Private/%d", i), "")
	}
	u.pause()
	for i := range 100 {
		must(os.Remove(u.path(fmt.Sprintf("Private/%d", i))))
	}
	u.pause()
}

// withReader reads a file that may never come.
func withReader(u *user) {
	u.pause()
	_, name := filepath.Split(u.args[0])
	f := got(unix.Open(u.path(u.args[0]), unix.O_RDONLY, 0))
	b := make([]byte, 10)
	n, err := unix.Pread(f, b, 4096)
	must(err)
	if !strings.Contains(strings.Repeat(name, 20), string(b[:n])) || n != len(b) {
		panic(fmt.Sprintf("read %q", b[:n]))
	}
}

func withChanges(u *user) {
	dir := "People/bob.id/"
	for _, name := range []string{"a", "b", "c", "m", "dir/inner"} {
		u.want(dir+name, "one")
	}
	same("mode", got(os.Stat(u.path(dir+"m"))).Mode(), 0o644)
	_, err := os.Stat(u.path(dir + "e"))
	wantErr(err, os.ErrNotExist, "not there yet")
	same("names", u.list(dir), "a b c dir m")
	old := got(os.OpenFile(u.path(dir+"a"), os.O_RDONLY, 0))
	removed := got(os.OpenFile(u.path(dir+"b"), os.O_RDWR, 0))
	m := got(unix.Mmap(int(old.Fd()), 0, 3, unix.PROT_READ, unix.MAP_SHARED))
	before := got(old.Stat())
	u.pause()
	u.eventually("new content", func() bool { return got(os.Stat(u.path(dir+"a"))).Size() == 4 })
	u.want(dir+"a", "two!")
	b := make([]byte, 10)
	n, _ := old.ReadAt(b, 0)
	same("the open old version", string(b[:n]), "one")
	same("the mapped old version", string(m), "one")
	same("the size of the old version", got(old.Stat()).Size(), 3)
	if !os.SameFile(before, got(os.Stat(u.path(dir+"a")))) {
		panic("another inode number after a change from elsewhere")
	}
	for _, name := range []string{"b", "c", "dir/inner", "dir"} {
		u.eventually(name+" is gone", func() bool {
			_, err := os.Stat(u.path(dir + name))
			return errors.Is(err, os.ErrNotExist)
		})
	}
	u.want(dir+"d", "one")
	u.eventually("another mode", func() bool { return got(os.Stat(u.path(dir+"m"))).Mode() == 0o640 })
	u.want(dir+"e", "new")
	n, _ = removed.ReadAt(b, 0)
	same("the open removed file", string(b[:n]), "one")
	same("names", u.list(dir), "a d e m")
	u.write(dir+"from alice", "hello")
	got(removed.WriteAt([]byte("back"), 0)) // a write brings it back
	must(removed.Sync())
	u.eventually("the removed file is there again", func() bool {
		b, err := os.ReadFile(u.path(dir + "b"))
		return err == nil && string(b) == "back"
	})
	must(removed.Close())
	u.want(dir+"b", "back")
	u.pause()
	u.eventually("a folder of a name that was there before", func() bool {
		_, err := os.Stat(u.path(dir + "dir"))
		return err == nil
	})
	u.write(dir+"dir/inner", "again")
	u.want(dir+"dir/inner", "again")
}

// withLook looks at what may never answer; it does not try again after EINTR.
func withLook(u *user) {
	u.pause()
	var s unix.Stat_t
	err := unix.Stat(u.path(u.args[0]), &s)
	time.Sleep(time.Second) // a signal that ends the program does it now
	must(err)
}

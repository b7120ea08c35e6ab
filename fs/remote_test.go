package fs

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestTwoMounts has one program use the same folder by two people's mounts. When
// it pauses, each drive gets what the other has.
func TestTwoMounts(t *testing.T) {
	_, alice, actor := two(t)
	bob := mountDrive(t, actor.D)
	c := tell(t, "with two mounts", alice.dir, bob.dir)
	for range 4 {
		c.paused()
		alice.Wait()
		bob.Wait()
		alice.Sync()
		bob.Sync()
		alice.Wait() // what merging made
		bob.Sync()
		c.resume()
	}
	c.end()
}

func withTwoMounts(u *user) {
	const here = "People/bob.id/"
	there := u.args[0] + "/People/alice.id/"
	one, two := bytes.Repeat([]byte("version one "), 300_000), bytes.Repeat([]byte("the second version "), 250_000)
	must(os.WriteFile(there+"doc", one, 0o644))
	must(os.Mkdir(there+"watched", 0o755))
	for _, name := range []string{"log", "gone", "tmp", "moved", "mode", "watched/x", "written"} {
		fill(there+name, "one\n")
	}
	u.pause()

	must(os.Chdir(u.path(here)))
	doc, log, gone, tmp := opened("doc", unix.O_RDONLY), opened("log", unix.O_RDWR|unix.O_APPEND), opened("gone", unix.O_RDWR), opened("tmp", unix.O_RDWR)
	written := opened("written", unix.O_RDWR)
	mapped := got(unix.Mmap(doc, 0, len(one), unix.PROT_READ, unix.MAP_SHARED))
	page := got(unix.Mmap(written, 0, 4, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED))
	same("the first page", string(mapped[:12]), "version one ") // the rest comes later
	same("mapped", string(page), "one\n")
	for _, name := range []string{"moved", "mode", "watched/x"} {
		holds(name, "one\n")
	}
	watch := got(unix.InotifyInit1(unix.IN_NONBLOCK))
	got(unix.InotifyAddWatch(watch, "watched/x", unix.IN_DELETE_SELF))
	list := got(os.Open("."))
	got(list.Readdirnames(2))
	must(unix.Unlink("tmp"))
	got(unix.Pwrite(tmp, []byte("dies"), 0))
	must(unix.Fsync(tmp))

	must(os.WriteFile(there+"doc", two, 0o644))
	other := opened(there+"log", unix.O_WRONLY|unix.O_APPEND)
	got(unix.Write(other, []byte("two\n")))
	closed(other)
	must(os.Remove(there + "gone"))
	must(os.Remove(there + "watched/x"))
	must(os.Rename(there+"moved", there+"watched/moved"))
	must(os.Chmod(there+"mode", 0o751))
	fill(there+"new", "new\n")
	fill(there+"written", "two\n")
	before := lstat("doc").Ino
	u.pause()

	// Who looks again sees the new version, whoever has the old one open keeps it.
	u.eventually("the new version", func() bool { return lstat("doc").Size == int64(len(two)) })
	same("the new version is whole", bytes.Equal(got(os.ReadFile("doc")), two), true)
	same("inode", lstat("doc").Ino, before)
	same("size of the old version", fstat(doc).Size, int64(len(one)))
	b := make([]byte, len(one))
	for at := 0; at < len(b); {
		at += got(unix.Pread(doc, b[at:], int64(at)))
	}
	same("the old version is whole", bytes.Equal(b, one), true)
	same("the mapped version is whole", bytes.Equal(mapped, one), true)
	u.eventually("the mode", func() bool { return mode("mode") == 0o751 })
	u.eventually("the move", func() bool { return unix.Access("moved", unix.F_OK) == syscall.ENOENT })
	holds("watched/moved", "one\n")
	u.eventually("the removal", func() bool { return unix.Access("gone", unix.F_OK) == syscall.ENOENT })
	u.eventually("a word of the removal", func() bool { return removed(watch) })
	got(list.Seek(0, 0))
	same("the new name is in the open folder", slices.Contains(got(list.Readdirnames(-1)), "new"), true)
	same("links of what was removed here", fstat(tmp).Nlink, 0)

	// Writing to what is not shown any more.
	same("size of the open log", fstat(log).Size, 4)
	got(unix.Write(log, []byte("mine\n")))
	same("size of the open log", fstat(log).Size, 9)
	copy(page, "MINE")
	must(unix.Msync(page, unix.MS_SYNC))
	must(unix.Munmap(page))
	got(unix.Pwrite(gone, []byte("back"), 0))
	must(unix.Munmap(mapped))
	closed(doc, log, gone, tmp, written, watch)
	u.pause()
	u.pause()

	for _, dir := range []string{"./", there} {
		same("versions of the log in "+dir, versions(dir, "log"), "one\nmine\n|one\ntwo\n")
		same("versions of what was mapped in "+dir, versions(dir, "written"), "MINE|two\n")
		holds(dir+"gone", "back")
		wantErr(unix.Access(dir+"tmp", unix.F_OK), syscall.ENOENT, "what was removed")
	}
}

// versions returns what the files of dir whose names begin with name hold, in order.
func versions(dir, name string) string {
	var all []string
	for range 500 { // a note may be on its way
		all = nil
		for _, e := range got(os.ReadDir(dir)) {
			if strings.HasPrefix(e.Name(), name) {
				if b, err := os.ReadFile(dir + e.Name()); err == nil {
					all = append(all, string(b))
				}
			}
		}
		if len(all) > 1 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	slices.Sort(all)
	return strings.Join(all, "|")
}

// removed tells whether an inotify descriptor says that what it watches is gone.
func removed(fd int) bool {
	b := make([]byte, 4096)
	n, err := unix.Read(fd, b)
	return err == nil && n >= unix.SizeofInotifyEvent && order.Uint32(b[4:])&unix.IN_DELETE_SELF != 0
}

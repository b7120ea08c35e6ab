package fs

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestColdFiles has the kernel know more files than it may: those that nobody
// uses are forgotten, and nobody sees anything of it.
func TestColdFiles(t *testing.T) {
	p := newPlace(t)
	p.mount.nodes.mu.Lock()
	p.mount.nodes.most = 200
	p.mount.nodes.mu.Unlock()
	count := func() int {
		p.mount.nodes.mu.Lock()
		defer p.mount.nodes.mu.Unlock()
		return len(p.mount.nodes.byID)
	}
	p.tell("with cold files", func() {
		eventually(t, "files are forgotten", func() bool { return count() <= 200 })
	})
}

func withCold(u *user) {
	must(os.Mkdir(u.path("Private/d"), 0o755))
	must(os.Chdir(u.path("Private/d")))
	fd := opened("open", unix.O_RDWR)
	m := opened("mapped", unix.O_RDWR)
	must(unix.Ftruncate(m, 4096))
	mapped := got(unix.Mmap(m, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED))
	closed(m)
	inodes := make(map[string]uint64)
	for i := range 2000 {
		name := fmt.Sprint("f", i)
		fill(name, name)
		inodes[name] = lstat(name).Ino
		if i%10 == 0 {
			must(unix.Rename(name, name+"x"))
		}
	}
	u.pause()
	for name, ino := range inodes {
		p := name
		if unix.Access(p, unix.F_OK) != nil {
			p += "x"
		}
		holds(p, name)
		same("inode", lstat(p).Ino, ino)
	}
	got(unix.Write(fd, []byte("still open")))
	same("links", fstat(fd).Nlink, 1)
	same("path", got(os.Readlink(fmt.Sprint("/proc/self/fd/", fd))), u.path("Private/d/open"))
	same("working directory", got(unix.Getcwd(make([]byte, 1000))) > 0, true)
	copy(mapped, "mapped")
	must(unix.Msync(mapped, unix.MS_SYNC))
	must(unix.Munmap(mapped))
	same("mapped", string(got(os.ReadFile("mapped"))[:6]), "mapped")
	closed(fd)
	holds("open", "still open")
}

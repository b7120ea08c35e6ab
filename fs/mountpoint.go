package fs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// probeTime is how long a folder that may be a mount gets to answer.
const probeTime = 5 * time.Second

// resolve makes dir absolute and free of symlinks. The last part of it may be a
// mount that is dead, or our own, so that is not looked into if it need not be.
func resolve(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if errors.Is(err, os.ErrNotExist) {
		return "", missing(abs)
	}
	if err != nil {
		return "", err
	}
	at := filepath.Join(parent, filepath.Base(abs))
	if _, mounted := mountAt(at); mounted {
		return at, nil
	}
	if real, err := filepath.EvalSymlinks(at); err == nil {
		return real, nil
	}
	return at, nil
}

func missing(dir string) error {
	return fmt.Errorf("%s does not exist; make it with: mkdir -p %s: %w", dir, dir, os.ErrNotExist)
}

// prepare checks that a drive can be mounted at dir, after removing dead mounts.
func prepare(dir string) error {
	for range 16 { // mounts may lie on each other
		info, err := probe(dir, probeTime)
		switch {
		case errors.Is(err, syscall.ENOTCONN):
			if err := umount(dir, true); err != nil {
				return fmt.Errorf("%s is the mount of a process that was killed, and can't be unmounted: %w", dir, err)
			}
			continue
		case errors.Is(err, os.ErrNotExist):
			return missing(dir)
		case err != nil:
			return fmt.Errorf("mount at %s: %w", dir, err)
		case !info.IsDir():
			return fmt.Errorf("%s is not a folder; a drive is mounted at an empty one: %w", dir, syscall.ENOTDIR)
		}
		if Mounted(dir) {
			return fmt.Errorf("a drive is mounted at %s already; satchel unmount %s ends that: %w", dir, dir, syscall.EBUSY)
		}
		return wantEmpty(dir)
	}
	return fmt.Errorf("%s has too many dead mounts on it", dir)
}

// wantEmpty refuses to hide somebody's files under a mount.
func wantEmpty(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("mount at %s: %w", dir, err)
	}
	defer f.Close()
	switch _, err := f.Readdirnames(1); {
	case err == nil:
		return fmt.Errorf("%s is not empty; a mount would hide what is in it, so choose an empty folder: %w", dir, syscall.ENOTEMPTY)
	case errors.Is(err, io.EOF):
		return nil
	default:
		return fmt.Errorf("mount at %s: %w", dir, err)
	}
}

// errSilent says that a mount's server neither answers nor is gone.
var errSilent = errors.New("it does not answer")

// probe looks at a folder that may be a mount, at most for a while: statfs always
// reaches the server of a mount, stat may be answered from the kernel's cache.
func probe(dir string, wait time.Duration) (os.FileInfo, error) {
	type result struct {
		info os.FileInfo
		err  error
	}
	c := make(chan result, 1)
	go func() {
		var r result
		var s unix.Statfs_t
		if err := unix.Statfs(dir, &s); err != nil {
			r.err = &os.PathError{Op: "statfs", Path: dir, Err: err}
		} else {
			r.info, r.err = os.Stat(dir)
		}
		c <- r
	}()
	select {
	case r := <-c:
		return r.info, r.err
	case <-time.After(wait):
		return nil, errSilent
	}
}

// A mounted is a line of the mount table.
type mounted struct {
	kind string // of file system
	dev  uint32 // minor device number, which is a FUSE connection's number
}

// Mounted tells whether a Satchel drive is mounted at dir, alive or not. Dir is
// absolute and without symlinks.
func Mounted(dir string) bool {
	at, ok := mountAt(dir)
	return ok && at.kind == "fuse."+subtype
}

// mountAt returns what is mounted at dir, the topmost.
func mountAt(dir string) (mounted, bool) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return mounted{}, false
	}
	defer f.Close()
	return findMount(f, dir)
}

// findMount searches a table such as /proc/self/mountinfo. Its fields: id,
// parent, device, root, mount point, options, any number of optional ones, "-",
// type, source, options.
func findMount(table io.Reader, dir string) (at mounted, ok bool) {
	lines := bufio.NewScanner(table)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		left, right, found := strings.Cut(lines.Text(), " - ")
		f, g := strings.Fields(left), strings.Fields(right)
		if !found || len(f) < 5 || len(g) < 1 || unescape(f[4]) != dir {
			continue
		}
		_, minor, _ := strings.Cut(f[2], ":")
		dev, _ := strconv.ParseUint(minor, 10, 32)
		at, ok = mounted{kind: g[0], dev: uint32(dev)}, true
	}
	return at, ok
}

// unescape undoes the octal escapes of the mount table.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// mayAllowOther tells whether FUSE's configuration lets users let others in.
func mayAllowOther(conf string) bool {
	b, err := os.ReadFile(conf)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if strings.TrimSpace(line) == "user_allow_other" {
			return true
		}
	}
	return false
}

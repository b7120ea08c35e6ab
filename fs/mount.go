package fs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"time"

	"bazil.org/fuse"

	"satchel/fs/drive"
)

// subtype makes the mount's type "fuse.satchel" in the mount table.
const subtype = "satchel"

// answerTime is how long a new mount may take to answer.
const answerTime = 10 * time.Second

// Options say how a drive is mounted.
type Options struct {
	Log        *slog.Logger
	AllowOther bool   // other users of this machine may enter, as far as modes let them
	FSName     string // what df and mount show as the source
}

// A Mount is served from MountAt until it is unmounted, by whomever.
type Mount struct {
	server
	dir   string
	drive *drive.Drive
	above map[*drive.Node]bool // folders of volumes: a look-up there may open one

	nodes   *table
	handles *handles
	notes   *notifier

	closed error
	over   chan struct{} // closed when all of the above has ended
}

// MountAt mounts d at dir, which must be an empty folder, and returns when the
// kernel answers. A mount that a killed process left at dir is removed first.
// The drive stays the caller's, who closes it after the mount.
func MountAt(dir string, d *drive.Drive, o Options) (*Mount, error) {
	dir, err := resolve(dir)
	if err != nil {
		return nil, err
	}
	if err := prepare(dir); err != nil {
		return nil, err
	}
	if err := haveFuse(o.AllowOther); err != nil {
		return nil, err
	}
	m := newMount(dir, d, o)
	if err := m.connect(o); err != nil {
		m.cancel()
		return nil, fmt.Errorf("mount %s: %w", dir, err)
	}
	m.start()
	m.watching.Go(func() { m.notes.run(m.ctx, m.tell) })
	m.watching.Go(func() { m.forgetCold(m.ctx) })
	d.SetNotify(m.notes.add)
	go m.finish()
	if _, err := probe(dir, answerTime); err != nil {
		return nil, errors.Join(fmt.Errorf("mounted %s, but it does not answer: %w", dir, err), m.Close())
	}
	return m, nil
}

func newMount(dir string, d *drive.Drive, o Options) *Mount {
	m := &Mount{
		dir: dir, drive: d,
		nodes: newTable(d.Root()), handles: newHandles(), notes: newNotifier(),
		over: make(chan struct{}),
	}
	m.init(m, o.Log)
	return m
}

// connect has the kernel mount, and settles with it what it may ask.
func (m *Mount) connect(o Options) (err error) {
	if err := m.findAbove(); err != nil {
		return err
	}
	m.conn, err = fuse.Mount(m.dir, mountOptions(o)...)
	return err
}

// findAbove notes the folders that hold volumes.
func (m *Mount) findAbove() error {
	root := m.drive.Root()
	m.above = map[*drive.Node]bool{root: true}
	for _, name := range []string{"Public", "People"} {
		n, err := root.Lookup(m.ctx, name)
		if err != nil {
			return fmt.Errorf("folder %s: %w", name, err)
		}
		m.above[n] = true
	}
	return nil
}

// mountOptions turn on whatever spares requests, but for the writeback cache,
// which would hide changes from elsewhere.
func mountOptions(o Options) []fuse.MountOption {
	name := o.FSName
	if name == "" {
		name = subtype
	}
	list := []fuse.MountOption{
		fuse.FSName(name),
		fuse.Subtype(subtype),
		fuse.DefaultPermissions(),
		fuse.AsyncRead(),
		fuse.MaxReadahead(1 << 20),
		fuse.MaxBackground(64),
		fuse.CongestionThreshold(48),
		fuse.CacheSymlinks(),
		fuse.HandleKillPriv(),
	}
	if o.AllowOther {
		list = append(list, fuse.AllowOther())
	}
	if door {
		// With each entry its node: whoever lists all of a large folder first and looks
		// at each file then needs half the time that he does if the kernel guesses.
		list = append(list, initFlags(fuse.InitDoReaddirplus|fuse.InitAtomicTrunc),
			plainOption("noatime")) // which is so anyway; the mount table shall say it
	}
	return list
}

// haveFuse says what is missing for a mount, in words that help.
func haveFuse(allowOther bool) error {
	if _, err := exec.LookPath("fusermount3"); err != nil {
		return errors.New("fusermount3 is missing; install the package fuse3")
	}
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO):
		return errors.New("this machine has no /dev/fuse; as root: modprobe fuse")
	case err != nil:
		// fusermount3 may open what we may not.
	default:
		f.Close()
	}
	if allowOther && os.Geteuid() != 0 && !mayAllowOther("/etc/fuse.conf") {
		return errors.New("other users can be let in only if /etc/fuse.conf has a line user_allow_other")
	}
	return nil
}

// finish waits until the kernel has gone and clears up.
func (m *Mount) finish() {
	m.reading.Wait()
	m.cancel()
	m.drive.SetNotify(nil)
	m.watching.Wait()
	m.handles.clear()
	m.nodes.clear()
	m.closed = m.conn.Close()
	close(m.over)
}

// Wait returns when nothing is mounted any more and nothing of the mount is left.
func (m *Mount) Wait() error {
	<-m.over
	if err := m.failed.Load(); err != nil {
		return fmt.Errorf("mount %s: %w", m.dir, *err)
	}
	return m.closed
}

// Close unmounts if that was not done, and returns as Wait does.
func (m *Mount) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if err := m.Unmount(ctx); err != nil {
		return err
	}
	return m.Wait()
}

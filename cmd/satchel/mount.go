package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"satchel/chain"
	"satchel/fs"
)

func (a *app) mountCommand() *command {
	c := newCommand("mount", "DIR", 1, 1, "mount the drive")
	c.long = `Mounts the drive of this home at DIR, an empty folder, and returns when the mount
answers; a process in the background serves it and logs to data/satchel.log of the
home. With --foreground it stays, logs to stderr, and Ctrl-C unmounts. Only you may
enter it, unless --allow-other: then the modes and owners of files say who may do what.
Private stays closed to others until chmod opens it, for as long as it is mounted.

A folder does not open while the journal of what was saved in it last can't be read
or is damaged, as by a failing disk; status names the file. If the disk is no better
another time, --set-aside keeps that file under another name and opens the folder with
what can be read.

With --sync=remote, fsync returns when what was written is at the write quorum, not
only safe on this machine's disk. If that isn't so within --sync-timeout it fails
with an input/output error, the log and satchel status say why, and nothing is lost:
all is safe on this machine, and goes to the providers when they answer.`
	var o mountFlags
	c.flags.Func("sync", "when fsync returns: `WHEN` is local (safe on this machine, the default) or remote (at the write quorum)", o.setSync)
	c.flags.DurationVar(&o.timeout, "sync-timeout", 30*time.Second, "with --sync=remote: fsync fails after `D`")
	c.flags.BoolVar(&o.setAside, "set-aside", false, "keep damaged journals beside, and open their folders without what can't be read")
	foreground := c.flags.Bool("foreground", false, "serve the mount in this process, until Ctrl-C")
	c.flags.BoolVar(&o.allowOther, "allow-other", false, "let other users of this machine in, as far as modes allow")
	child := c.flags.Bool("child", false, "(internal) started by another satchel")
	c.run = func(ctx context.Context, args []string) error {
		if o.timeout <= 0 {
			return usagef("--sync-timeout %v: want a time from now on, such as 30s", o.timeout)
		}
		dir, err := filepath.Abs(args[0])
		if err != nil {
			return err
		}
		if *foreground || *child {
			p := newParent(*child)
			err := a.mountHere(ctx, dir, o, p)
			p.ready("", err)
			return err
		}
		return a.mountDetached(ctx, dir, o)
	}
	return c
}

// mountFlags are how a drive is mounted.
type mountFlags struct {
	allowOther bool
	setAside   bool          // damaged journals
	remote     bool          // fsync waits for the quorum,
	timeout    time.Duration // but no longer
}

func (o *mountFlags) setSync(when string) error {
	switch when {
	case "local", "remote":
		o.remote = when == "remote"
		return nil
	}
	return errors.New("want local or remote")
}

// syncRemote is how long fsync waits for the quorum, 0 for not at all.
func (o *mountFlags) syncRemote() time.Duration {
	if o.remote {
		return o.timeout
	}
	return 0
}

// args are the flags that say the same to another process of ours.
func (o *mountFlags) args() (args []string) {
	if o.allowOther {
		args = append(args, "--allow-other")
	}
	if o.setAside {
		args = append(args, "--set-aside")
	}
	if o.remote {
		args = append(args, "--sync", "remote", "--sync-timeout", o.timeout.String())
	}
	return args
}

// mountDetached has a process of its own serve the mount.
func (a *app) mountDetached(ctx context.Context, dir string, o mountFlags) error {
	h, err := a.home()
	if err != nil {
		return err
	}
	if _, err := a.mountable(ctx, h); err != nil {
		return err
	}
	pass, err := a.passphrase(false)
	if err != nil {
		return err
	}
	defer clear(pass)
	args := append(h.args(), "mount", "--child")
	args = append(append(args, o.args()...), "--", dir)
	if _, err := detach(ctx, args, h.logFile(), pass); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "mounted %s\n", dir)
	return nil
}

// mountable checks, before a passphrase is asked for, what can be checked.
func (a *app) mountable(ctx context.Context, h *home) (*config, error) {
	if !h.exists() {
		return nil, failf(exitNoHome, "no identity in %s yet; make one with `satchel %sinit NAME`", h.name(), h.hint())
	}
	cfg, err := readConfig(h.config)
	if err != nil {
		return nil, err
	}
	if who, held := heldBy(h.lockFile()); held && who.Role == roleDaemon && answers(ctx, h) {
		return nil, h.mountedAlready(who)
	}
	return cfg, nil
}

// mountedAlready refuses a second daemon on one home.
func (h *home) mountedAlready(who holder) error {
	return failf(exitBusy, "%s is mounted already, by process %d; `satchel %sunmount DIR` ends it, `satchel %sstatus` says where it is",
		h.name(), who.PID, h.hint(), h.hint())
}

// mountHere serves the mount until it is unmounted or ctx ends.
func (a *app) mountHere(ctx context.Context, dir string, o mountFlags, p *parent) error {
	h, err := a.home()
	if err != nil {
		return err
	}
	cfg, err := a.mountable(ctx, h)
	if err != nil {
		return err
	}
	a.verbose = true
	unlock := func() ([]byte, error) { return a.passphrase(false) }
	if p != nil {
		unlock = p.secret
	}
	l, who, err := holdHome(ctx, h, roleDaemon)
	if errors.Is(err, errHeld) {
		return h.mountedAlready(who)
	}
	if err != nil {
		return err
	}
	defer l.Close()
	e := newEngine(h, cfg, a.logger(), unlock)
	e.setAside = o.setAside
	e.syncRemote = o.syncRemote()
	err = e.serveMount(ctx, dir, o.allowOther, func() {
		fmt.Fprintf(a.out, "mounted %s\n", dir)
		p.ready(dir, nil)
	})
	return errors.Join(err, e.Close())
}

// mountGC is how much garbage, in percent of what is in use, a mount lets gather:
// with the runtime's 100 a tree of 200,000 files took 120 MB more, for 5 % less time.
const mountGC = 50

// serveMount mounts, calls ready, and returns when nothing is mounted any more.
func (e *engine) serveMount(ctx context.Context, dir string, allowOther bool, ready func()) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(mountGC)
	}
	d, err := e.openDrive(ctx)
	if err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(dir) // before it is mounted: who serves a mount doesn't touch it
	if err != nil {
		real = dir
	}
	m, err := fs.MountAt(dir, d, fs.Options{Log: e.log, FSName: e.cfg.Name, AllowOther: allowOther})
	if err != nil {
		return coded(exitMountpoint, err)
	}
	e.mu.Lock()
	e.mount, e.dir, e.realDir = m, dir, real
	e.mu.Unlock()
	control, err := serveControl(e.h, e)
	if err != nil {
		return errors.Join(err, stopMount(m), m.Close())
	}
	offer, cancel := context.WithCancel(ctx)
	var loops sync.WaitGroup
	loops.Go(func() { e.workQueue(offer) })
	loops.Go(func() {
		if err := e.names.keepOffering(offer, chain.Name(e.cfg.Name)); err != nil && offer.Err() == nil {
			e.log.Warn("zone file", "err", err)
		}
	})
	ready()

	gone := make(chan error, 1)
	go func() { gone <- m.Wait() }()
	select {
	case err = <-gone:
	case <-ctx.Done():
		e.log.Info("told to stop")
		err = stopMount(m)
	}
	cancel()
	loops.Wait()
	control.Close()
	return errors.Join(err, m.Close())
}

// stopMount unmounts although programs may still use it: they get errors then.
func stopMount(m *fs.Mount) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return m.Unmount(ctx)
}

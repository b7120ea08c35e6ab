package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"satchel/fs"
)

func (a *app) unmountCommand() *command {
	c := newCommand("unmount", "DIR", 1, 1, "unmount the drive, and return when all is saved")
	c.long = `Saves what isn't yet, unmounts DIR and returns when the process that served it is
gone. A mount that programs use is left alone. One that a killed process left
behind is cleaned up.`
	c.run = func(ctx context.Context, args []string) error {
		dir, err := filepath.Abs(args[0])
		if err != nil {
			return err
		}
		return a.unmount(ctx, dir)
	}
	return c
}

func (a *app) unmount(ctx context.Context, dir string) error {
	h, err := a.home()
	if err != nil {
		return err
	}
	if who, held := heldBy(h.lockFile()); held && who.Role == roleDaemon {
		ours, err := a.unmountByDaemon(ctx, h, dir)
		_, held = heldBy(h.lockFile())
		switch {
		case err != nil && !held && !isOurMount(dir): // it ended by itself meanwhile
			return nil
		case err != nil && held, ours:
			return err
		}
	}
	return a.unmountStray(ctx, dir)
}

// unmountByDaemon asks the home's daemon; false means that it serves another folder.
func (a *app) unmountByDaemon(ctx context.Context, h *home, dir string) (bool, error) {
	s := &session{h: h, say: func(line string) { fmt.Fprintln(a.err, line) }}
	at, err := ask[mountResult](ctx, s, "unmount", unmountArgs{dir})
	if err != nil || at.Dir == "" {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := waitFree(ctx, h.lockFile()); err != nil {
		return true, failf(exitBusy, "unmounted, but the process that served it is still at work: %w; its log is %s", err, h.logFile())
	}
	fmt.Fprintf(a.out, "unmounted %s\n", at.Dir)
	return true, nil
}

// unmountStray unmounts a Satchel mount that no daemon of this home serves: of a
// killed process, or another home's.
func (a *app) unmountStray(ctx context.Context, dir string) error {
	if !isOurMount(dir) {
		return failf(exitNotMounted, "no Satchel drive is mounted at %s", dir)
	}
	if err := unmountUnused(ctx, dir); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "unmounted %s\n", dir)
	return nil
}

type unmountArgs struct {
	Dir string `json:"dir"`
}

type mountResult struct {
	Dir string `json:"dir"` // empty: another folder is mounted
}

// unmount saves what isn't yet and unmounts; the daemon ends after it.
func (e *engine) unmount(ctx context.Context, args unmountArgs, _ func(string)) (mountResult, error) {
	e.mu.Lock()
	m, d, dir := e.mount, e.drive, e.dir
	e.mu.Unlock()
	if m == nil || !samePath(dir, args.Dir) {
		return mountResult{}, nil
	}
	if err := d.CommitAll(ctx); err != nil {
		return mountResult{}, fmt.Errorf("not unmounted, since not everything could be saved: %w", err)
	}
	return mountResult{dir}, unmountUnused(ctx, dir)
}

// busyMount is how long programs get to leave a folder that is to be unmounted.
const busyMount = 2 * time.Second

// unmountUnused unmounts dir unless programs use it: it isn't taken from them.
func unmountUnused(ctx context.Context, dir string) error {
	deadline := time.Now().Add(busyMount)
	for {
		err := fs.Unmount(dir)
		switch {
		case !errors.Is(err, syscall.EBUSY):
			return err
		case time.Now().After(deadline):
			return coded(exitBusy, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// samePath compares paths without touching what they name, which may be our own
// mount: only the folders above are resolved.
func samePath(a, b string) bool { return resolveParent(a) == resolveParent(b) }

func resolveParent(path string) string {
	parent, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return filepath.Clean(path)
	}
	return filepath.Join(parent, filepath.Base(path))
}

// isOurMount reports whether a Satchel drive is mounted at dir, alive or not.
func isOurMount(dir string) bool { return fs.Mounted(resolveParent(dir)) }

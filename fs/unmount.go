package fs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// busyTime is how long an unmount waits for programs that use the mount.
	busyTime = 3 * time.Second
	// closeTime bounds Close.
	closeTime = 15 * time.Second
)

// Unmount unmounts dir, whoever serves it. A mount that is in use stays, and the
// error is EBUSY; a dead one goes at once.
func Unmount(dir string) error {
	dir, err := resolve(dir)
	if err != nil {
		return err
	}
	if _, ok := mountAt(dir); !ok {
		return fmt.Errorf("nothing is mounted at %s: %w", dir, syscall.EINVAL)
	}
	_, err = probe(dir, probeTime)
	err = umount(dir, errors.Is(err, syscall.ENOTCONN))
	if errors.Is(err, syscall.EBUSY) {
		return fmt.Errorf("%s is in use; close the programs that have files or a terminal open there: %w", dir, err)
	}
	return err
}

// Unmount unmounts and returns when nothing of the mount is left. Programs that
// use it get some seconds to finish; then it is taken from them, and they get
// errors. Nothing that was written is lost by that. If ctx ends first the mount
// may be detached already, and is served until its users are gone.
func (m *Mount) Unmount(ctx context.Context) error {
	err := m.unmount(ctx)
	if err == nil {
		select {
		case <-m.over:
			return nil
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return fmt.Errorf("unmount %s: %w", m.dir, err)
}

func (m *Mount) unmount(ctx context.Context) error {
	deadline := time.Now().Add(busyTime)
	for time.Now().Before(deadline) {
		if m.gone() {
			return nil
		}
		switch err := umount(m.dir, false); {
		case errors.Is(err, syscall.EINVAL):
			return nil // somebody else did it just now
		case !errors.Is(err, syscall.EBUSY):
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.over:
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
	m.log.Warn("the mount is in use, and is taken from its users", "dir", m.dir)
	at, _ := mountAt(m.dir)
	if err := umount(m.dir, true); err != nil {
		return err
	}
	// Where only root could have ended the connection with the mount, the
	// kernel's own door for it may be open.
	abort := fmt.Sprintf("/sys/fs/fuse/connections/%d/abort", at.dev)
	if err := os.WriteFile(abort, []byte("1"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		m.log.Warn("the mount is served until its users are gone", "dir", m.dir, "err", err)
	}
	return nil
}

// gone tells whether the kernel has gone.
func (m *Mount) gone() bool { return m.ctx.Err() != nil }

// umount takes what is mounted at dir away. With force it goes although it is
// in use or its server is dead. What root may not need not be tried again by
// fusermount3, which does it for users.
func umount(dir string, force bool) error {
	flags := unix.UMOUNT_NOFOLLOW
	if force {
		flags |= unix.MNT_DETACH | unix.MNT_FORCE
	}
	err := unix.Unmount(dir, flags)
	if errors.Is(err, syscall.EPERM) {
		return fusermount(dir, force)
	}
	if err != nil {
		return &os.PathError{Op: "unmount", Path: dir, Err: err}
	}
	return nil
}

func fusermount(dir string, force bool) error {
	args := []string{"-u", "--", dir}
	if force {
		args = []string{"-u", "-z", "--", dir}
	}
	cmd := exec.Command("fusermount3", args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	switch text := strings.TrimSpace(string(out)); {
	case err == nil:
		return nil
	case strings.Contains(text, "busy"):
		return &os.PathError{Op: "unmount", Path: dir, Err: syscall.EBUSY}
	case text != "":
		return errors.New(text)
	default:
		return fmt.Errorf("fusermount3: %w", err)
	}
}

package main

import (
	"context"
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

// A home is where everything of one identity lies: with --home or $SATCHEL_HOME
// in one folder, else in the three XDG folders.
type home struct {
	config string // config.toml
	data   string // keystore, chain index, drive state, lock, control socket, logs
	cache  string
	flag   string // what to pass to another process of ours; empty for XDG
}

// home returns the home that flag and environment name. Nothing is created.
func (a *app) home() (*home, error) {
	dir := a.homeFlag
	if dir == "" {
		dir = os.Getenv("SATCHEL_HOME")
	}
	if dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		return &home{
			config: filepath.Join(abs, "config.toml"),
			data:   filepath.Join(abs, "data"),
			cache:  filepath.Join(abs, "cache"),
			flag:   abs,
		}, nil
	}
	config, err := xdg("XDG_CONFIG_HOME", ".config")
	if err != nil {
		return nil, err
	}
	data, err := xdg("XDG_DATA_HOME", ".local/share")
	if err != nil {
		return nil, err
	}
	cache, err := xdg("XDG_CACHE_HOME", ".cache")
	if err != nil {
		return nil, err
	}
	return &home{config: filepath.Join(config, "config.toml"), data: data, cache: cache}, nil
}

func xdg(env, fallback string) (string, error) {
	base := os.Getenv(env)
	if !filepath.IsAbs(base) { // the XDG rules: a relative path is ignored
		user, err := os.UserHomeDir()
		if err != nil {
			return "", usagef("no home folder: %v; give --home DIR", err)
		}
		base = filepath.Join(user, fallback)
	}
	return filepath.Join(base, "satchel"), nil
}

func (h *home) keystore() string  { return filepath.Join(h.data, "keystore") }
func (h *home) lockFile() string  { return filepath.Join(h.data, "lock") }
func (h *home) socket() string    { return filepath.Join(h.data, "control.sock") }
func (h *home) logFile() string   { return filepath.Join(h.data, "satchel.log") }
func (h *home) index() string     { return filepath.Join(h.data, "chain") }
func (h *home) chainInfo() string { return filepath.Join(h.data, "chain.json") }
func (h *home) zonefiles() string { return filepath.Join(h.data, "zonefiles") }
func (h *home) drive() string     { return filepath.Join(h.data, "drive") }
func (h *home) devnet() string    { return filepath.Join(h.data, "devnet") }
func (h *home) provider() string  { return filepath.Join(h.data, "provider") }

// name is how the home is called in messages.
func (h *home) name() string {
	if h.flag != "" {
		return h.flag
	}
	return h.data
}

// args are the flags that make another process of ours use this home.
func (h *home) args() []string {
	if h.flag == "" {
		return nil
	}
	return []string{"--home", h.flag}
}

// hint is how a user would write those flags.
func (h *home) hint() string {
	if h.flag == "" {
		return ""
	}
	return "--home " + h.flag + " "
}

// create makes the home's folders, for the user alone.
func (h *home) create() error {
	// A folder that is there already, such as --home itself, keeps its mode for
	// those who use it; what is ours in it is ours alone.
	if err := os.MkdirAll(filepath.Dir(h.config), 0o700); err != nil {
		return err
	}
	for _, dir := range []string{h.data, h.cache} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := os.Chmod(dir, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// exists reports whether an identity was made here.
func (h *home) exists() bool {
	_, err := os.Stat(h.keystore())
	return err == nil
}

// errHeld reports a lock that another process has.
var errHeld = errors.New("held by another process")

// A lock is one on a file that says who holds it. The kernel gives it back when
// its holder ends, however that happens. It is an open file description's lock
// (fcntl), since whether somebody has such a one can be asked without taking it.
type lock struct{ f *os.File }

// whole is a write lock on a whole file.
func whole() *unix.Flock_t { return &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart} }

// A holder is the process that has a lock: its pid and what it runs.
type holder struct {
	PID  int
	Role string
}

// tryLock takes the lock on path, for a process that does role. If another
// process has it, the error is errHeld and the holder says which.
func tryLock(path, role string) (*lock, holder, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, holder{}, err
	}
	err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, whole())
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		defer f.Close()
		return nil, readHolder(path), errHeld
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(fmt.Appendf(nil, "%d %s\n", os.Getpid(), role), 0)
	}
	if err != nil {
		f.Close()
		return nil, holder{}, fmt.Errorf("lock %s: %w", path, err)
	}
	return &lock{f}, holder{}, nil
}

// readHolder says who wrote itself into a lock file. The holder may be just
// writing it, then the pid is 0.
func readHolder(path string) holder {
	data, _ := os.ReadFile(path)
	pid, role, _ := strings.Cut(strings.TrimSpace(string(data)), " ")
	n, _ := strconv.Atoi(pid)
	return holder{n, role}
}

// heldBy reports whether somebody has the lock on path, and who.
func heldBy(path string) (holder, bool) {
	f, err := os.Open(path)
	if err != nil {
		return holder{}, false
	}
	defer f.Close()
	found := whole()
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, found); err != nil || found.Type == unix.F_UNLCK {
		return holder{}, false
	}
	return readHolder(path), true
}

// waitFree returns when nobody has the lock on path.
func waitFree(ctx context.Context, path string) error {
	for {
		if _, held := heldBy(path); !held {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Close gives the lock back.
func (l *lock) Close() error {
	_ = l.f.Truncate(0)
	return l.f.Close()
}

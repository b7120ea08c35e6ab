package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// grow writes zeros so that a file reaches beyond end.
func (l *Log) grow(at int, end int64) error {
	size := &l.sizes[at]
	if end <= *size {
		return nil
	}
	f := l.files[at]
	by := int64(step)
	if end < step {
		by = firstStep
	}
	to := (end + by - 1) / by * by
	if _, err := f.WriteAt(make([]byte, to-*size), *size); err != nil {
		return fmt.Errorf("make room: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("make room: %w", err)
	}
	*size = to
	return nil
}

// blocks rounds up to whole blocks.
func blocks(n int64) int64 { return (n + block - 1) / block * block }

// makeDir makes dir and what is missing above it, durably.
func makeDir(dir string) error {
	above := filepath.Dir(dir)
	if _, err := os.Stat(above); errors.Is(err, os.ErrNotExist) {
		if err := makeDir(above); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(above)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// fdatasync makes the bytes of f durable, and of its attributes what reading them
// needs.
func fdatasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}

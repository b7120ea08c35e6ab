package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// SetAside makes of a log that Open finds damaged one that it opens, with the
// batches up to the damage. The damaged files are kept, under the names that it
// returns.
func SetAside(dir string, key [32]byte, base Base) (kept []string, err error) {
	l := &Log{dir: dir, key: key}
	defer l.Close()
	if err := l.openFiles(); err != nil {
		return nil, err
	}
	found, damage := l.choose(base)
	if found {
		err := l.readAll(func([]byte) error { return nil })
		if !errors.Is(err, ErrDamaged) {
			return nil, err
		}
		damage[l.at] = err
	}
	for i := range l.files {
		if damage[i] == nil {
			continue
		}
		name, err := l.setAside(i, l.end)
		if err != nil {
			return kept, fmt.Errorf("set %s aside: %w", l.files[i].Name(), err)
		}
		kept = append(kept, name)
	}
	return kept, nil
}

// setAside gives file i another name and puts a copy of its first bytes in its
// place. A crash leaves one of both there.
func (l *Log) setAside(i int, n int64) (kept string, err error) {
	path := l.files[i].Name()
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, io.NewSectionReader(l.files[i], 0, n))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", err
	}
	for try := 1; ; try++ {
		kept = fmt.Sprintf("%s%s%d", path, asideEnd, try)
		if err = os.Link(path, kept); !errors.Is(err, os.ErrExist) {
			break
		}
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	return kept, errors.Join(err, syncDir(filepath.Dir(path)))
}

// asideEnd is what the names of files that were set aside end with, and a number.
const asideEnd = ".damaged"

// Kept returns the files in dir that were set aside.
func Kept(dir string) ([]string, error) {
	return filepath.Glob(filepath.Join(dir, "[ab]"+asideEnd+"*"))
}

package registrar

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxJob bounds a job's file.
const maxJob = 16 << 20

func (r *Registrar) path(e *entry) string {
	return filepath.Join(r.Dir, fmt.Sprintf("%06d-%s.json", e.ID, e.Subject))
}

// load reads the queue, once. A file that can't be read is an error: it may hold
// what was paid already.
func (r *Registrar) load() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loaded || r.Dir == "" {
		return nil
	}
	files, err := os.ReadDir(r.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("queue of name operations: %w", err)
	}
	var jobs []*entry // ReadDir sorts
	for _, f := range files {
		path := filepath.Join(r.Dir, f.Name())
		if strings.HasPrefix(f.Name(), newPrefix) {
			_ = os.Remove(path) // a crash left it
			continue
		}
		if number, _, ok := strings.Cut(f.Name(), "-"); !ok || strings.Trim(number, "0123456789") != "" {
			continue // nobody's here
		}
		e, err := r.read(path)
		if err != nil {
			return fmt.Errorf("queue of name operations: %s: %w; what was paid may stand in it, so nothing is done before it is mended or moved away", path, err)
		}
		jobs = append(jobs, e)
		r.last = max(r.last, e.ID)
	}
	r.jobs, r.loaded = append(jobs, r.jobs...), true
	return nil
}

func (r *Registrar) read(path string) (*entry, error) {
	f, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if f.Size() > maxJob {
		return nil, fmt.Errorf("%d bytes are too many", f.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	e, err := parseJob(b, r)
	if err == nil && r.path(e) != path {
		err = errors.New("it is another job's")
	}
	return e, err
}

// parseJob reads what save wrote.
func parseJob(b []byte, r *Registrar) (*entry, error) {
	e := &entry{saved: true}
	if err := json.Unmarshal(b, &e.Job); err != nil {
		return nil, err
	}
	if e.ID < 1 {
		return nil, errors.New("no number")
	}
	if err := e.check(r.Index.Params()); err != nil {
		return nil, err
	}
	for i := range e.Txs {
		if err := e.Txs[i].parse(); err != nil {
			return nil, fmt.Errorf("transaction %d: %w", i, err)
		}
	}
	e.kept = e.copy()
	e.publish()
	return e, nil
}

const newPrefix = ".new-"

// save writes an entry to its file, so that a crash leaves the old or the new one.
// If it can't, the job is what it was when it was saved last: nothing is sent that
// a crash would forget.
func (r *Registrar) save(e *entry) error {
	defer e.publish()
	if err := r.write(e); err != nil {
		state, problem := e.State, e.Problem
		e.Job = e.kept.copy()
		e.State, e.Problem = state, problem
		return fmt.Errorf("queue of name operations: %w", err)
	}
	e.kept = e.copy()
	return nil
}

func (r *Registrar) write(e *entry) error {
	if r.Dir == "" {
		return nil
	}
	if err := r.makeDir(); err != nil {
		return err
	}
	b, err := json.Marshal(e.Job)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(r.Dir, newPrefix+"*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(b, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), r.path(e)); err != nil {
		return err
	}
	e.saved = true
	return syncDir(r.Dir)
}

// makeDir makes the queue's folder, for good.
func (r *Registrar) makeDir() error {
	if _, err := os.Stat(r.Dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return err
	}
	return syncDir(filepath.Dir(r.Dir))
}

// drop removes an entry's file.
func (r *Registrar) drop(e *entry) error {
	if r.Dir == "" || !e.saved {
		return nil
	}
	if err := os.Remove(r.path(e)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	e.saved = false
	return syncDir(r.Dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

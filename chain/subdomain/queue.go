package subdomain

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"satchel/chain"
	"satchel/chain/zonefile"
)

const (
	maxQueue   = 8 << 20                              // bytes on disk
	maxRequest = 6*(maxLine+zonefile.MaxSize) + 1<<10 // a byte takes up to six in JSON

	recordSuffix = ".json" // behind the name
)

// A submission is a record with the zone file that it names.
type submission struct {
	Record   string `json:"record"`
	Zonefile string `json:"zonefile,omitempty"`
	Bytes    []byte `json:"bytes,omitempty"` // in its place where it is no UTF-8, which JSON can't hold

	r  *Record
	at time.Time // when it was queued
}

func submissionOf(r *Record, zone []byte) *submission {
	s := &submission{Record: r.Line(), r: r}
	if s.Zonefile = string(zone); !utf8.Valid(zone) {
		s.Zonefile, s.Bytes = "", zone
	}
	return s
}

func (s *submission) zone() []byte {
	if s.Bytes != nil {
		return s.Bytes
	}
	return []byte(s.Zonefile)
}

// parse checks a submission for itself.
func (s *submission) parse() (err error) {
	if s.r, err = ParseLine(s.Record); err != nil {
		return err
	}
	if s.Bytes != nil && s.Zonefile != "" {
		return fmt.Errorf("%w: there are two zone files", ErrRecord) // of which one would not be read again
	}
	if zone := s.zone(); len(zone) > zonefile.MaxSize || zonefile.Hash(zone) != s.r.Value {
		return fmt.Errorf("%w: the zone file is another one than it names", ErrRecord)
	}
	return nil
}

func (g *Registrar) path(n chain.Name) string { return filepath.Join(g.Dir, string(n)+recordSuffix) }

func (g *Registrar) read(n chain.Name) (*submission, error) {
	b, err := os.ReadFile(g.path(n))
	if err != nil {
		return nil, err
	}
	s := new(submission)
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("%s: %w", g.path(n), err)
	}
	return s, s.parse()
}

// write writes a file of the queue, durably.
func (g *Registrar) write(path string, b []byte) error {
	if err := os.MkdirAll(g.Dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(g.Dir, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(g.Dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// files returns those of a kind in the queue.
func (g *Registrar) files(suffix string) (list []fs.FileInfo, err error) {
	all, err := os.ReadDir(g.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, f := range all {
		if !strings.HasSuffix(f.Name(), suffix) {
			continue
		}
		info, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, info)
	}
	return list, nil
}

// size returns how many bytes the record of a name takes, and how many all do. The
// files are counted once, and not again for each record that comes.
func (g *Registrar) size(n chain.Name) (one, all int64, err error) {
	if !g.count {
		files, err := g.files(recordSuffix)
		if err != nil {
			return 0, 0, err
		}
		g.bytes, g.count = 0, true
		for _, f := range files {
			g.bytes += f.Size()
		}
	}
	switch st, err := os.Stat(g.path(n)); {
	case err == nil:
		return st.Size(), g.bytes, nil
	case !errors.Is(err, fs.ErrNotExist):
		return 0, 0, err
	}
	return 0, g.bytes, nil
}

// waiting returns the records that are not on the chain, the oldest first: nobody's
// can be pushed back by ever more others.
func (g *Registrar) waiting() (list []*submission, err error) {
	files, err := g.files(recordSuffix)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), recordSuffix)
		s, err := g.read(chain.Name(name))
		if err != nil {
			g.Log.Warn("a record in the queue can't be read", "name", name, "err", err)
			continue
		}
		s.at = f.ModTime()
		list = append(list, s)
	}
	slices.SortStableFunc(list, func(a, b *submission) int { return a.at.Compare(b.at) })
	return list, nil
}

// forget takes a record out of the queue, unless another one has taken its place
// meanwhile.
func (g *Registrar) forget(s *submission) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch now, err := g.read(s.r.Name); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case now.Record != s.Record:
		return nil
	}
	size, _, err := g.size(s.r.Name)
	if err != nil {
		return err
	}
	if err := os.Remove(g.path(s.r.Name)); err != nil {
		return err
	}
	g.bytes -= size
	return nil
}

package drive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"

	"satchel/fs/tree"
	"satchel/fs/volume"
	"satchel/storage/pack"
)

// A PinStatus is something that is kept on this machine.
type PinStatus struct {
	Path  string `json:"path"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"` // of content, as it is stored
	Here  int64  `json:"here"`  // of these
	Error string `json:"error,omitempty"`
}

// A pin is a path and what is known of what stands there.
type pin struct {
	path  string        // in the drive
	id    tree.Identity // of what stands there
	dir   tree.Identity // of its folder
	files int
	needs []volume.Segment
	err   error
}

// label returns the folder of the pin's volume, and the path below it.
func (p *pin) label() (label, below string) { return splitPath(p.path) }

// splitPath splits a path in the drive into the folder of the volume and the
// path below it; an empty label if it is in none.
func splitPath(path string) (label, below string) {
	first, rest, _ := strings.Cut(path, "/")
	switch first {
	case private:
		return private, rest
	case public, people:
		if name, below, _ := strings.Cut(rest, "/"); name != "" {
			return join(first, name), below
		}
	}
	return "", ""
}

// Pin has a file or folder fetched and kept on this machine.
func (d *Drive) Pin(ctx context.Context, path string) error {
	path = strings.Trim(path, "/")
	label, below := splitPath(path)
	if label == "" {
		return fmt.Errorf("%q is in no folder of the drive: Private, Public/NAME or People/NAME: %w", path, os.ErrInvalid)
	}
	v, err := d.volume(ctx, label)
	if err != nil {
		return err
	}
	info, err := v.At(ctx, below)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return d.keeper.add(path, info)
}

// Unpin lets what is pinned at path leave this machine.
func (d *Drive) Unpin(path string) error {
	path = strings.Trim(path, "/")
	k := d.keeper
	if !k.has(path) {
		if above := k.above(path); above != "" {
			return fmt.Errorf("%s is pinned with %s: unpin that", path, above)
		}
		return fmt.Errorf("%s is not pinned: %w", path, os.ErrNotExist)
	}
	err := d.db.Update(func(tx *badger.Txn) error { return tx.Delete([]byte("stay/" + path)) })
	if err != nil {
		return err
	}
	k.mu.Lock()
	delete(k.pins, path)
	k.forgetWalk(path)
	k.mu.Unlock()
	k.wake()
	return nil
}

func (k *keeper) has(path string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pins[path] != nil
}

// above returns the pinned folder in which path is, "" if there is none.
func (k *keeper) above(path string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := strings.LastIndexByte(path, '/'); i > 0; i = strings.LastIndexByte(path[:i], '/') {
		if k.pins[path[:i]] != nil {
			return path[:i]
		}
	}
	return ""
}

// Pins lists what is pinned, in the order of paths. It asks nobody.
func (d *Drive) Pins() []PinStatus {
	k := d.keeper
	k.mu.Lock()
	list := make([]pin, 0, len(k.pins))
	for _, p := range k.pins {
		list = append(list, *p)
	}
	k.mu.Unlock()
	out := make([]PinStatus, 0, len(list))
	for _, p := range list {
		s := PinStatus{Path: p.path, Files: p.files}
		for _, n := range p.needs {
			s.Bytes += int64(n.Ref.Len)
			if k.here(n) {
				s.Here += int64(n.Ref.Len)
			}
		}
		if p.err != nil {
			s.Error = p.err.Error()
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b PinStatus) int { return strings.Compare(a.Path, b.Path) })
	return out
}

func (k *keeper) here(s volume.Segment) bool {
	return k.d.packs.Has(pack.ID(s.Ref.Pack), int64(s.Ref.Off), int64(s.Ref.Len))
}

// WaitPinned returns when all that is pinned at path, or anywhere if it is
// empty, is here.
func (d *Drive) WaitPinned(ctx context.Context, path string, say func(PinStatus)) error {
	path = strings.Trim(path, "/")
	if err := d.CommitAll(ctx); err != nil {
		return err
	}
	d.keeper.recheck()
	for {
		d.keeper.wake()
		done := d.keeper.upToDate()
		var err error
		for _, s := range d.Pins() {
			if path != "" && s.Path != path {
				continue
			}
			if s.Error != "" {
				err = fmt.Errorf("%s: %s", s.Path, s.Error)
			}
			done = done && s.Here == s.Bytes && s.Error == ""
			if say != nil {
				say(s)
			}
		}
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-d.ctx.Done():
			return errors.New("the drive is closing")
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// recheck has the next step look whether all that is pinned is here.
func (k *keeper) recheck() {
	k.mu.Lock()
	k.check, k.retry = time.Time{}, time.Time{}
	clear(k.later)
	k.mu.Unlock()
	k.d.packs.CheckKept()
}

// upToDate tells whether the pins were looked at since the last change.
func (k *keeper) upToDate() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.pins {
		label, _ := p.label()
		if v := k.known[label]; v == nil || k.walked[label] != v.Stamp() {
			return false
		}
	}
	return true
}

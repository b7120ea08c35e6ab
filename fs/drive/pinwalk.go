package drive

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"

	"satchel/fs/tree"
	"satchel/fs/volume"
)

// look walks the pins of volumes that changed.
func (k *keeper) look(ctx context.Context) {
	k.mu.Lock()
	labels := make(map[string][]*pin)
	for _, p := range k.pins {
		label, _ := p.label()
		labels[label] = append(labels[label], p)
	}
	for label := range k.nodes {
		if labels[label] == nil {
			delete(k.nodes, label)
			delete(k.walked, label)
		}
	}
	for label, at := range k.later {
		if time.Now().Before(at) {
			delete(labels, label)
		}
	}
	k.mu.Unlock()
	for label, pins := range labels {
		if err := k.walk(ctx, label, pins); err != nil {
			k.mu.Lock()
			k.later[label] = time.Now().Add(pinRetry)
			for _, p := range pins {
				p.err = err
			}
			k.mu.Unlock()
		}
	}
}

// walk finds what the pins of a volume need, if it changed since the last walk.
func (k *keeper) walk(ctx context.Context, label string, pins []*pin) error {
	v, err := k.d.volume(ctx, label)
	if err != nil {
		return err
	}
	stamp := v.Stamp()
	k.mu.Lock()
	k.known[label] = v.Volume
	same := k.walked[label] == stamp
	k.mu.Unlock()
	if same {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	began := time.Now()
	s, err := v.Snapshot(ctx)
	if err != nil {
		return err
	}
	for _, p := range pins {
		if err := k.walkPin(ctx, v.Volume, s, p); err != nil {
			return err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.walked[label], k.nodes[label], k.due = stamp, s.Nodes(), true
	k.later[label] = time.Now().Add(min(walkShare*time.Since(began), pinCheck))
	return nil
}

// walkPin finds what one pin needs. That nothing stands at its path is no error
// of the walk.
func (k *keeper) walkPin(ctx context.Context, v *volume.Volume, s *volume.Snapshot, p *pin) error {
	label, below := p.label()
	info, below, err := k.find(ctx, v, s, p, below)
	if isNothing(err) {
		k.mu.Lock()
		defer k.mu.Unlock()
		p.files, p.needs, p.err = 0, nil, errors.New("nothing of this name is stored now")
		return nil
	}
	if err != nil {
		return err
	}
	files := 0
	var needs []volume.Segment
	err = s.Files(ctx, info, func(i tree.Info, refs []tree.Ref) {
		if i.Kind != tree.Dir {
			files++
		}
		for _, r := range refs {
			needs = append(needs, volume.Segment{Ref: r})
		}
	})
	if err != nil {
		return err
	}
	if err := k.moved(p, strings.TrimSuffix(join(label, below), "/"), info); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	p.files, p.needs, p.err = files, needs, nil
	return nil
}

// find returns what a pin is for now, and where that stands.
func (k *keeper) find(ctx context.Context, v *volume.Volume, s *volume.Snapshot, p *pin, below string) (tree.Info, string, error) {
	info, err := s.Find(ctx, below)
	if below == "" || err == nil && info.ID == p.id || err != nil && !isNothing(err) {
		return info, below, err
	}
	if at, e := v.Path(ctx, p.id); e == nil { // it was renamed
		if moved, e := s.Find(ctx, at); e == nil && moved.ID == p.id {
			return moved, at, nil
		}
	}
	if err == nil { // another one was renamed over it
		return info, below, nil
	}
	if dir, e := v.Path(ctx, p.dir); e == nil { // both, its folder and over it
		at := join(dir, below[strings.LastIndexByte(below, '/')+1:])
		if moved, e := s.Find(ctx, at); e == nil {
			return moved, at, nil
		}
	}
	return info, below, err
}

// isNothing tells whether err says that nothing stands at a path.
func isNothing(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// moved notes where a pin's file stands now, and which it is.
func (k *keeper) moved(p *pin, path string, is tree.Info) error {
	k.mu.Lock()
	from, pinned := p.path, k.pins[p.path] == p
	k.mu.Unlock()
	if !pinned || from == path && p.id == is.ID && p.dir == is.Dir {
		return nil
	}
	err := k.d.db.Update(func(tx *badger.Txn) error {
		if err := tx.Delete([]byte("stay/" + from)); err != nil {
			return err
		}
		return tx.Set([]byte("stay/"+path), slices.Concat(is.ID[:], is.Dir[:]))
	})
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pins[from] == p {
		delete(k.pins, from)
		k.pins[path] = p
	}
	p.path, p.id, p.dir = path, is.ID, is.Dir
	return nil
}

package volume

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"satchel/fs/journal"
	"satchel/fs/tree"
	"satchel/storage/pack"
)

func (v *Volume) withJournal(ctx context.Context) (*Volume, error) {
	if err := v.openJournal(ctx); err != nil {
		return nil, err
	}
	return v, nil
}

// openJournal opens the volume's journal and makes what is in it again.
func (v *Volume) openJournal(ctx context.Context) error {
	if v.opt.Journal == "" || v.opt.ReadOnly {
		return nil
	}
	base := v.last.base()
	var found []recovered
	var damage error
	keep := func(payload []byte) error {
		changes, files, err := parseBatch(payload)
		if damage = cmp.Or(damage, err); damage == nil {
			found = append(found, recovered{changes, files})
		}
		return nil
	}
	log, err := journal.Open(v.opt.Journal, v.opt.JournalKey, base, keep)
	if errors.Is(err, journal.ErrDamaged) && v.opt.SetAside {
		found, damage = nil, nil
		if err = v.setAside(base, err); err == nil {
			log, err = journal.Open(v.opt.Journal, v.opt.JournalKey, base, keep)
		}
	}
	if err == nil {
		err = v.replay(ctx, found)
		if errors.Is(err, errBatch) || errors.Is(err, tree.ErrFormat) {
			damage, err = cmp.Or(damage, err), nil
		}
	}
	if err != nil {
		if log != nil {
			_ = log.Close()
		}
		v.giveUp()
		return fmt.Errorf("volume %s: journal: %w", v.opt.Label, err)
	}
	v.sync.log = log
	if damage != nil {
		// What is behind it would not be found again: the next Sync is a commit.
		v.merged = true
		v.warn(fmt.Errorf("volume %s: journal: what was synced last is lost: %w", v.opt.Label, damage))
	}
	return nil
}

// setAside has the damaged journal kept beside one of what can be read of it.
func (v *Volume) setAside(base journal.Base, damage error) error {
	kept, err := journal.SetAside(v.opt.Journal, v.opt.JournalKey, base)
	if err == nil {
		v.warn(fmt.Errorf("volume %s: journal: what was behind the damage is lost, the file is kept as %s: %w",
			v.opt.Label, strings.Join(kept, ", "), damage))
	}
	return err
}

// giveUp gives back what a volume took that can't be opened now.
func (v *Volume) giveUp() {
	_ = v.Close()
	v.mu.Lock()
	for n := range v.dirty {
		n.discard(v)
	}
	v.mu.Unlock()
	v.packMu.Lock()
	defer v.packMu.Unlock()
	for _, w := range v.unclosed {
		w.Leave()
	}
	if v.data != nil {
		_ = v.data.Abort()
	}
	v.unclosed, v.data = nil, nil
}

func (v *Volume) warn(err error) {
	if v.opt.Warn != nil {
		v.opt.Warn(err)
	}
}

// recovered is a batch as it was found in the journal.
type recovered struct {
	changes []byte // encoded tree.Batch, nil for none
	files   []fileChange
}

// replay makes the changes of batches again.
func (v *Volume) replay(ctx context.Context, found []recovered) error {
	if err := v.adopt(found); err != nil {
		return err
	}
	for _, r := range found {
		if err := v.replayOne(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

func (v *Volume) replayOne(ctx context.Context, r recovered) error {
	err := v.do(ctx, func() error {
		if r.changes == nil {
			return nil
		}
		gone, err := v.tree.Restore(r.changes)
		if err != nil {
			return err
		}
		for _, id := range gone {
			v.unlink(id, tree.Info{ID: id})
		}
		v.touched()
		return nil
	})
	for _, c := range r.files {
		if err == nil {
			err = v.replayFile(ctx, c)
		}
	}
	return err
}

// adopt goes on with the open packs to which the files' new chunks refer. Packs
// that were closed have to be at the quorum before the next head leaves. Readers
// check the chunks.
func (v *Volume) adopt(found []recovered) error {
	var files []fileChange
	for _, r := range found {
		files = append(files, r.files...)
	}
	ends := make(map[pack.ID]int64)
	for _, c := range files {
		for i, s := range c.stored {
			if s.ref.IsZero() || s.ref.Owner != v.opt.Name {
				continue
			}
			id, closed := v.opt.Packs.Resolve(pack.ID(s.ref.Pack))
			if closed {
				// One that has its own name here may be another volume's.
				v.madeBefore(id, id != pack.ID(s.ref.Pack))
				s.ref.Pack = [32]byte(id)
				c.stored[i] = s
				continue
			}
			ends[id] = max(ends[id], int64(s.ref.Off)+int64(s.ref.Len))
		}
	}
	for id, end := range ends {
		if err := v.adoptOne(id, end); err != nil {
			return err
		}
	}
	return nil
}

// madeBefore notes a closed pack for which the next head has to wait; here tells
// that it was written for this volume.
func (v *Volume) madeBefore(id pack.ID, here bool) {
	v.packMu.Lock()
	defer v.packMu.Unlock()
	list := &v.moved
	if here {
		list = &v.made
	}
	if !slices.Contains(*list, id) {
		*list = append(*list, id)
	}
}

// adoptOne goes on with an open pack of which so many bytes are needed.
func (v *Volume) adoptOne(id pack.ID, size int64) error {
	v.packMu.Lock()
	defer v.packMu.Unlock()
	w, err := v.opt.Packs.Adopt(id, size)
	if errors.Is(err, os.ErrNotExist) {
		v.warn(fmt.Errorf("volume %s: journal: some written bytes are lost: %w", v.opt.Label, err))
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: pack: %w", v.opt.Label, err)
	}
	if w.Size() < size {
		v.warn(fmt.Errorf("volume %s: journal: some written bytes are lost: pack %s has %d of %d", v.opt.Label, id, w.Size(), size))
	}
	v.unclosed = append(v.unclosed, w)
	return nil
}

// find looks a path up, with the lock held.
func (v *Volume) find(path string) (info tree.Info, err error) {
	for name := range strings.SplitSeq(path, "/") {
		if info, err = v.tree.Lookup(info.ID, name); err != nil {
			break
		}
	}
	return info, err
}

// replayFile makes what a batch says of a file again.
func (v *Volume) replayFile(ctx context.Context, c fileChange) error {
	var n *Node
	err := v.do(ctx, func() error {
		info, err := v.find(c.path)
		if err == nil && info.ID != c.id {
			err = fmt.Errorf("another file: %w", errBatch)
		}
		if err != nil {
			return err
		}
		n = v.node(info)
		f, err := n.openFile(v)
		if err != nil {
			return err
		}
		if c.since.low < f.size {
			f.cut(v, c.since.low)
		}
		f.size = c.size
		for i, s := range c.stored {
			f.restoreStored(v, i, s.is, s.ref, s.edge)
		}
		n.written(v, c.mtime)
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", c.path, err)
	}
	for _, s := range c.spans {
		if _, err := n.writePart(ctx, s.data, int64(s.chunk)*chunkSize+int64(s.off), false); err != nil {
			return fmt.Errorf("%s: %w", c.path, err)
		}
		_ = v.sealSome(ctx) // on a full disk it all stays in memory: the journal is not that long
	}
	_, err = n.locked(func(v *Volume, n *Node) error {
		n.file.size, n.file.mtime = c.size, c.mtime
		n.file.synced()
		n.file.since.any = false
		return nil
	})
	return err
}

// Close releases the journal and stops what happens in the background. What is not synced is lost: commit before.
func (v *Volume) Close() error {
	v.ahead.close()
	v.sealers.close()
	v.mu.Lock()
	v.frozen = errClosed
	v.mu.Unlock()
	if v.sync.log == nil {
		return nil
	}
	return v.sync.log.Close()
}

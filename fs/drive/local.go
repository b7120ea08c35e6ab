package drive

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"satchel/crypto"
)

const (
	// idle is how long after the last change a volume is committed, and
	// longest how long a change waits at most.
	idle    = 2 * time.Second
	longest = 30 * time.Second
	// saveEvery is how often what changed goes to the journal, though nobody syncs.
	saveEvery = 5 * time.Second
	// retryHeld is the pause between tries to publish what is held.
	retryHeld = 5 * time.Second
	// reserve is kept free on the local disk, so that a full one can still be
	// emptied and committed.
	reserve = 64 << 20
	// scarce is how much free space has the cache give way to what is written.
	scarce = reserve + 64<<20
)

// commitLoop commits each volume some seconds after its last change.
func (d *Drive) commitLoop(ctx context.Context) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	var saved time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			save := now.Sub(saved) > saveEvery
			if save {
				saved = now
			}
			for _, v := range d.openVolumes() {
				d.publishHeld(ctx, v, now)
				dirty, changed, since := v.Dirty()
				if dirty && save {
					if err := v.Save(); err != nil {
						d.opt.Log.Warn("journal", "folder", v.Label(), "err", err)
					}
				}
				if !dirty || now.Before(v.retryAt()) || now.Sub(changed) < idle && now.Sub(since) < longest {
					continue
				}
				commit := v.CommitIdle
				if now.Sub(since) >= longest {
					commit = v.Commit
				}
				if err := commit(ctx); err != nil {
					v.failed(now, err)
					d.opt.Log.Error("commit failed, will be tried again", "folder", v.Label(), "err", err)
					continue
				}
				v.failed(time.Time{}, nil)
			}
		}
	}
}

// publishHeld publishes what was held, as soon as it can be.
func (d *Drive) publishHeld(ctx context.Context, v *openVolume, now time.Time) {
	if v.held() == nil || now.Before(v.retryAt()) {
		return
	}
	v.mu.Lock()
	v.retry = now.Add(retryHeld)
	v.mu.Unlock()
	if d.sealable(ctx, v) == nil {
		v.failed(now, v.Republish(ctx))
	}
}

// sealable returns why no head of the volume can be sealed to all members now,
// nil if one can.
func (d *Drive) sealable(ctx context.Context, v *openVolume) error {
	d.mu.Lock()
	err := d.ownErr
	d.mu.Unlock()
	if err == nil {
		err = v.stopped()
	}
	if err == nil {
		_, _, err = d.members(ctx, v)
	}
	return err
}

// CommitAll makes all changes of all volumes durable on this machine.
func (d *Drive) CommitAll(ctx context.Context) error {
	var errs []error
	for _, v := range d.openVolumes() {
		errs = append(errs, v.Commit(ctx))
	}
	return errors.Join(errs...)
}

// Statfs returns the local disk's free space less the reserve: what is written
// lands there first.
func (d *Drive) Statfs(ctx context.Context) (Statfs, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(d.opt.Dir, &s); err != nil {
		return Statfs{}, err
	}
	keep := uint64(reserve) / uint64(s.Bsize)
	less := func(n uint64) uint64 { return n - min(n, keep) }
	return Statfs{
		Blocks: s.Blocks, Bfree: less(s.Bfree), Bavail: less(s.Bavail),
		Files: s.Files, Ffree: s.Ffree, Bsize: uint32(s.Bsize), NameLen: 255,
	}, nil
}

// free is how much may still be written to the local disk. What is in the cache
// makes room while there is little: it can be fetched again.
func (d *Drive) free() int64 {
	n, err := freeBytes(d.opt.Dir)
	if err == nil && n < scarce && sameDisk(d.opt.Dir, d.opt.Cache) && d.packs.Release(scarce-n) > 0 {
		n, err = freeBytes(d.opt.Dir)
	}
	if err != nil {
		return 0
	}
	return n - reserve
}

func freeBytes(dir string) (int64, error) {
	var s unix.Statfs_t
	err := unix.Statfs(dir, &s)
	return int64(s.Bavail) * s.Bsize, err
}

func sameDisk(a, b string) bool {
	var s, t unix.Stat_t
	return unix.Stat(a, &s) == nil && unix.Stat(b, &t) == nil && s.Dev == t.Dev
}

// relieve has the open volumes seal dirty chunks until their memory is within bounds.
func (d *Drive) relieve() error {
	for _, v := range d.openVolumes() {
		if err := v.Relieve(); err != nil {
			return err
		}
	}
	return nil
}

// capBytes is the cap of the cache, n if that says anything: else 10 GiB or a
// tenth of the disk that dir is on.
func capBytes(dir string, n int64) int64 {
	if n > 0 {
		return n
	}
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 1 << 30
	}
	return min(10<<30, int64(s.Blocks)*s.Bsize/10)
}

// inode numbers a folder above or at the top of a volume.
func (d *Drive) inode(label string) uint64 {
	h := crypto.NewHasher()
	h.Write(d.opt.Keys.LocalSecret[:])
	h.Write([]byte(label))
	h.Write(make([]byte, 17)) // a separator and the root's identity, as in the volume
	return max(2, binary.BigEndian.Uint64(h.Sum(nil)))
}

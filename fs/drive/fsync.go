package drive

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A SyncStatus is what fsync promises, and why it could not last.
type SyncStatus struct {
	Remote bool   `json:"remote"` // it waits for the write quorum
	Error  string `json:"error,omitempty"`
}

// A notStored is why fsync failed though all is safe on this machine. It keeps a
// cause's text but not its kind: for a program it is an input/output error.
type notStored struct{ text string }

func (n notStored) Error() string { return n.text }

// syncRemote returns when all changes of a volume are at the write quorum, if
// fsync is to wait for that. The volume was synced on this machine before.
func (d *Drive) syncRemote(ctx context.Context, label string) error {
	v := d.opened(label)
	if d.opt.SyncRemote <= 0 || v == nil || v.ReadOnly() {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, d.opt.SyncRemote)
	defer cancel()
	err := d.store(limited, v)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err() // the program was interrupted
	}
	if err != nil {
		text := fmt.Sprintf("fsync in %s: safe on this machine, but not at %d of %d providers within %v: %v",
			label, d.own.Quorum(), d.own.N(), d.opt.SyncRemote, err)
		text = strings.ReplaceAll(text, "\n", "; ")
		d.opt.Log.Error(text)
		err = notStored{text}
	}
	d.statusMu.Lock()
	d.syncErr = err
	d.statusMu.Unlock()
	return err
}

// store commits a volume and returns when its newest head, and so all that it
// needs, is at the write quorum.
func (d *Drive) store(ctx context.Context, v *openVolume) error {
	if err := v.Commit(ctx); err != nil {
		return err
	}
	if v.held() != nil && d.sealable(ctx, v) == nil {
		if err := v.Republish(ctx); err != nil {
			return err
		}
	}
	if why := v.held(); why != nil {
		return fmt.Errorf("not published: %w", why)
	}
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		waiting, err := d.waitingVolumes()
		if err != nil || !waiting[v.of.Key()] {
			return err
		}
		if ctx.Err() == nil {
			err = d.upload(ctx)
			if waiting, e := d.waitingVolumes(); e == nil && !waiting[v.of.Key()] {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-d.ctx.Done():
			return errors.New("the drive is closing")
		case <-time.After(pause):
		}
	}
}

package fs

import (
	"context"
	"math"
	"os"
	"time"

	"bazil.org/fuse"

	"satchel/fs/drive"
)

func (m *Mount) getattr(ctx context.Context, r *fuse.GetattrRequest) error {
	n, err := m.node(r.Node)
	if err != nil {
		return err
	}
	a, err := n.Attr(ctx)
	if err != nil {
		return err
	}
	answer(&r.Header, appendAttrOut(nil, keep, a))
	return nil
}

func (m *Mount) setattr(ctx context.Context, r *fuse.SetattrRequest) error {
	n, err := m.node(r.Node)
	if err != nil {
		return err
	}
	s := changes(r, time.Now())
	s.Touch = s == (drive.SetAttr{}) // chown(2) to nobody
	if s.Mode == nil && (r.Valid.SetattrKillSUIDGID() || r.Valid.Uid() || r.Valid.Gid() || s.Touch) {
		if s.Mode, err = lessPrivileged(ctx, n); err != nil {
			return err
		}
	}
	a, err := n.SetAttr(ctx, s)
	if err != nil {
		return err
	}
	answer(&r.Header, appendAttrOut(nil, keep, a))
	return nil
}

// changes are the attributes that a request names.
func changes(r *fuse.SetattrRequest, now time.Time) (s drive.SetAttr) {
	if r.Valid.Size() {
		s.Size = &r.Size
	}
	if r.Valid.Mode() {
		s.Mode = &r.Mode
	}
	if r.Valid.Uid() {
		s.UID = &r.Uid
	}
	if r.Valid.Gid() {
		s.GID = &r.Gid
	}
	s.Atime = newTime(r.Valid.Atime(), r.Valid.AtimeNow(), r.Atime, now)
	s.Mtime = newTime(r.Valid.Mtime(), r.Valid.MtimeNow(), r.Mtime, now)
	return s
}

// The drive counts nanoseconds in 64 bits.
var earliest, latest = time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64)

func newTime(given, useNow bool, t, now time.Time) *time.Time {
	switch {
	case useNow:
		t = now
	case !given:
		return nil
	case t.Before(earliest):
		t = earliest
	case t.After(latest):
		t = latest
	}
	return &t
}

// lessPrivileged returns the mode that a file has after a change of its owner,
// or of its content by somebody without privileges: no setuid, and no setgid
// where the group may execute. It is nil if nothing changes.
func lessPrivileged(ctx context.Context, n *drive.Node) (*os.FileMode, error) {
	a, err := n.Attr(ctx)
	if err != nil || a.Mode.IsDir() {
		return nil, err
	}
	mode := a.Mode &^ os.ModeSetuid
	if a.Mode&0o010 != 0 {
		mode &^= os.ModeSetgid
	}
	if mode == a.Mode {
		return nil, nil
	}
	return &mode, nil
}

// killPriv takes those bits away. The kernel looks at the attributes again after
// what the file was opened for.
func killPriv(ctx context.Context, n *drive.Node) error {
	mode, err := lessPrivileged(ctx, n)
	if err != nil || mode == nil {
		return err
	}
	_, err = n.SetAttr(ctx, drive.SetAttr{Mode: mode})
	return err
}

func (m *Mount) statfs(ctx context.Context, r *fuse.StatfsRequest) error {
	s, err := m.drive.Statfs(ctx)
	if err != nil {
		return err
	}
	r.Respond(&fuse.StatfsResponse{
		Blocks: s.Blocks, Bfree: s.Bfree, Bavail: s.Bavail, Files: s.Files, Ffree: s.Ffree,
		Bsize: s.Bsize, Frsize: s.Bsize, Namelen: s.NameLen,
	})
	return nil
}

package drive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
	"syscall"
	"time"

	"satchel/fs/tree"
)

// The attributes by which a file tells about itself. They can't be set but for one.
const (
	xattrState = "user.satchel.state"
	xattrBy    = "user.satchel.by"
	xattrFresh = "user.satchel.fresh"
	xattrPin   = "user.satchel.pin" // can be set and removed
	xattrOwn   = "user.satchel."
)

// Xattrs lists the node's extended attributes, but for those by which it tells
// about itself: who copies a file with all that is listed can't set them.
func (n *Node) Xattrs(ctx context.Context) ([]string, error) {
	if n.in == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	info, err := n.in.Info(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for k := range info.Xattrs {
		if n.own(k) {
			names = append(names, k)
		}
	}
	sort.Strings(names)
	return names, nil
}

// Xattr returns one extended attribute; ENODATA if there is none of that name.
func (n *Node) Xattr(ctx context.Context, name string) ([]byte, error) {
	if n.in == nil {
		return nil, syscall.ENODATA
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	info, err := n.in.Info(ctx)
	if err != nil {
		return nil, err
	}
	switch name {
	case xattrState:
		return []byte(n.d.state(n.in, info)), nil
	case xattrBy:
		return []byte(n.d.by(ctx, n.in, info)), nil
	case xattrFresh:
		return []byte(n.d.fresh(n.in.Volume().Label())), nil
	case xattrPin:
		return n.pinned(ctx)
	}
	if v, ok := info.Xattrs[name]; ok && n.own(name) {
		return v, nil
	}
	return nil, syscall.ENODATA
}

// SetXattr sets an extended attribute of the user's own; flags are those of
// setxattr(2).
func (n *Node) SetXattr(ctx context.Context, name string, value []byte, flags int) error {
	if name == xattrPin && n.in != nil {
		path, err := n.path(ctx)
		if err != nil {
			return err
		}
		return n.d.Pin(ctx, path)
	}
	if err := n.mayXattr(name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	if value == nil {
		value = []byte{}
	}
	return n.in.SetXattr(ctx, name, value, flags)
}

// RemoveXattr removes an extended attribute.
func (n *Node) RemoveXattr(ctx context.Context, name string) error {
	if name == xattrPin && n.in != nil {
		path, err := n.path(ctx)
		if err == nil {
			err = n.d.Unpin(path)
		}
		if errors.Is(err, os.ErrNotExist) {
			return syscall.ENODATA
		}
		return err
	}
	if err := n.mayXattr(name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	return n.in.SetXattr(ctx, name, nil, 0)
}

// own tells whether an attribute in the tree is one that a user could have set:
// another member may have planted any.
func (n *Node) own(name string) bool {
	return n.space(name) && !strings.HasPrefix(name, xattrOwn) && !strings.Contains(name, "\x00")
}

// space tells whether the node can have attributes of the name's name space.
// Those of the system are for folders in which nobody else writes.
func (n *Node) space(name string) bool {
	if strings.HasPrefix(name, "trusted.") || strings.HasPrefix(name, "security.") {
		return n.d.mine(n.in.Volume().Label())
	}
	return strings.HasPrefix(name, "user.")
}

func (n *Node) mayXattr(name string) error {
	switch {
	case n.in == nil, strings.HasPrefix(name, xattrOwn):
		return os.ErrPermission
	case n.in.IsRoot():
		return syscall.ENOTSUP
	case !n.space(name):
		return syscall.ENOTSUP
	case strings.HasSuffix(name, ".") && strings.Count(name, ".") == 1:
		return syscall.EINVAL
	}
	return nil
}

// pendingNow tells whether a node shows something that no head says yet.
func pending(i tree.Info) bool { return i.Dot.IsPending() || i.DataDot.IsPending() }

// fresh says when the volume was last confirmed fresh, and by how many providers.
func (d *Drive) fresh(label string) string {
	v := d.opened(label)
	if v == nil || v.members == nil {
		return "own"
	}
	at, by := v.freshness()
	if at.IsZero() {
		return "never"
	}
	return fmt.Sprintf("%s by %d", at.UTC().Format(time.RFC3339), by)
}

// path is where the node, one of a volume, stands in the drive.
func (n *Node) path(ctx context.Context) (string, error) {
	v := n.in.Volume()
	below, err := v.Path(ctx, n.in.Identity())
	return strings.TrimSuffix(join(v.Label(), below), "/"), err
}

// pinned is user.satchel.pin: "pinned", or "with" the pinned folder that it is in.
func (n *Node) pinned(ctx context.Context) ([]byte, error) {
	path, err := n.path(ctx)
	switch {
	case errors.Is(err, os.ErrNotExist): // unlinked
		return nil, syscall.ENODATA
	case err != nil:
		return nil, err
	}
	if n.d.keeper.has(path) {
		return []byte("pinned"), nil
	}
	if above := n.d.keeper.above(path); above != "" {
		return []byte("with " + above), nil
	}
	return nil, syscall.ENODATA
}

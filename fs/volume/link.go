package volume

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"syscall"
	"time"

	"satchel/fs/tree"
)

// Unnamed makes a file that has no name in the folder n, and dies with its last
// close unless Link gives it one.
func (n *Node) Unnamed(ctx context.Context, o New) (c *Node, err error) {
	now := time.Now().UnixNano()
	id := newIdentity()
	err = n.do(ctx, func(v *Volume, n *Node) error {
		if err := v.writable(); err != nil {
			return err
		}
		if n.state != live {
			return os.ErrNotExist
		}
		o, err := o.within(v, n)
		if err != nil {
			return err
		}
		c = &Node{ino: v.inode(id), id: id, state: unlinked, unnamed: true, looked: 1, ctime: now}
		c.vol.Store(v)
		c.info = &tree.Info{ID: id, Kind: tree.File, Mode: o.Mode, UID: o.UID, GID: o.GID,
			Atime: now, Ctime: now, Btime: now, Mtime: now, Content: tree.InlineContent(nil)}
		return nil
	})
	return c, err
}

// Link gives the node, which is no folder, another name.
func (n *Node) Link(ctx context.Context, dir *Node, name string) error {
	return n.do(ctx, func(v *Volume, n *Node) error {
		if err := v.writable(); err != nil {
			return err
		}
		d := dir.current(v)
		switch {
		case dir.vol.Load() != v:
			return syscall.EXDEV
		case d.state != live, n.state == unlinked && !n.unnamed:
			return os.ErrNotExist
		case n.dir:
			return syscall.EPERM
		}
		now := time.Now().UnixNano()
		if n.unnamed {
			if err := n.named(v, d, name, now); err != nil {
				return err
			}
		} else if _, err := v.tree.Link(n.id, d.id, name, now); err != nil {
			return err
		}
		n.ctime = now
		v.touched()
		return nil
	})
}

// named puts a node that had no name into the tree, with what was written to it.
func (n *Node) named(v *Volume, dir *Node, name string, now int64) error {
	a := n.info
	made, err := v.tree.Create(dir.id, name, tree.Spec{ID: n.id, Kind: a.Kind, Mode: a.Mode, UID: a.UID, GID: a.GID,
		Now: now, Xattrs: a.Xattrs, Content: a.Content})
	if err != nil {
		return err
	}
	n.state, n.unnamed = live, false
	v.nodes[n.id] = n
	if n.file == nil {
		_, err = v.tree.SetMtime(n.id, a.Mtime, now)
		return err
	}
	n.file.base = made.DataDot
	if n.file.dirty {
		v.dirty[n] = struct{}{}
	}
	n.info = &made
	return nil
}

// Exchange has two names, in the same volume, change their places.
func (n *Node) Exchange(ctx context.Context, name string, to *Node, toName string) error {
	return n.do(ctx, func(v *Volume, n *Node) error {
		if err := v.writable(); err != nil {
			return err
		}
		if to.vol.Load() != v {
			return syscall.EXDEV
		}
		to := to.current(v)
		a, err := v.tree.Lookup(n.id, name)
		if err != nil {
			return err
		}
		b, err := v.tree.Lookup(to.id, toName)
		if err != nil {
			return err
		}
		if a.ID == b.ID {
			return nil
		}
		if v.under(to.id, a.ID) || v.under(n.id, b.ID) {
			return syscall.EINVAL
		}
		now := time.Now().UnixNano()
		if err := v.exchange(place{n.id, name}, place{to.id, toName}, now); err != nil {
			return err
		}
		v.touched()
		v.changedName(a.ID, now)
		v.changedName(b.ID, now)
		return nil
	})
}

// A place is a name in a folder.
type place struct {
	dir  tree.Identity
	name string
}

// exchange goes by way of a third name, which nobody sees. What has been done
// when a step fails is undone.
func (v *Volume) exchange(a, b place, now int64) (err error) {
	third := place{a.dir, unusedName()}
	steps := [][2]place{{a, third}, {b, a}, {third, b}}
	for i, s := range steps {
		if err = v.put(s[0], s[1], now); err == nil {
			continue
		}
		for ; i > 0; i-- {
			err = errors.Join(err, v.put(steps[i-1][1], steps[i-1][0], now))
		}
		return err
	}
	return nil
}

// unusedName is a name that nobody chose.
func unusedName() string {
	id := newIdentity()
	return "." + hex.EncodeToString(id[:])
}

func (v *Volume) put(from, to place, now int64) error {
	_, _, err := v.tree.Rename(from.dir, from.name, to.dir, to.name, true, now)
	return err
}

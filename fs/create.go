package fs

import (
	"context"
	"errors"
	"os"

	"bazil.org/fuse"

	"satchel/fs/drive"
)

// make creates name in a folder and counts the new node.
func (m *Mount) make(ctx context.Context, h *fuse.Header, name string, o drive.CreateOptions) (entry, error) {
	dir, err := m.node(h.Node)
	if err != nil {
		return entry{}, err
	}
	o.Mode &^= os.ModeIrregular // the kernel named no type: a file
	o.UID, o.GID = h.Uid, h.Gid
	made := false
	return m.find(ctx, func() (*drive.Node, error) {
		if made {
			return dir.Lookup(ctx, name)
		}
		n, err := dir.Create(ctx, name, o)
		made = err == nil
		return n, err
	})
}

// makeOrFind is make, but what is there already is found.
func (m *Mount) makeOrFind(ctx context.Context, h *fuse.Header, name string, o drive.CreateOptions) (e entry, made bool, err error) {
	exclusive := o.Exclusive
	o.Exclusive = true
	if e, err = m.make(ctx, h, name, o); exclusive || !errors.Is(err, os.ErrExist) {
		return e, true, err
	}
	dir, err := m.node(h.Node)
	if err != nil {
		return entry{}, false, err
	}
	e, err = m.find(ctx, func() (*drive.Node, error) { return dir.Lookup(ctx, name) })
	return e, false, err
}

// create makes and opens a file. That it can be written to does not depend on
// its mode.
func (m *Mount) create(ctx context.Context, r *fuse.CreateRequest) error {
	e, made, err := m.makeOrFind(ctx, &r.Header, r.Name, drive.CreateOptions{
		Mode:      r.Mode,
		Exclusive: r.Flags&fuse.OpenExclusive != 0,
	})
	if err != nil {
		return err
	}
	flags := openFlags(r.Flags)
	if made {
		flags &^= os.O_TRUNC
	}
	h, err := e.node.Open(ctx, flags)
	if err != nil {
		m.nodes.forget(e.id, 1)
		return err
	}
	if flags&os.O_TRUNC != 0 {
		if e.attr, err = e.node.Attr(ctx); err != nil {
			h.Release()
			m.nodes.forget(e.id, 1)
			return err
		}
	}
	answer(&r.Header, appendOpen(e.append(nil), m.handles.addFile(h), fuse.OpenKeepCache))
	return nil
}

func (m *Mount) mkdir(ctx context.Context, r *fuse.MkdirRequest) error {
	return m.makeOnly(ctx, &r.Header, r.Name, drive.CreateOptions{Mode: r.Mode})
}

func (m *Mount) mknod(ctx context.Context, r *fuse.MknodRequest) error {
	return m.makeOnly(ctx, &r.Header, r.Name, drive.CreateOptions{Mode: r.Mode, Rdev: r.Rdev, Exclusive: true})
}

func (m *Mount) symlink(ctx context.Context, r *fuse.SymlinkRequest) error {
	return m.makeOnly(ctx, &r.Header, r.NewName, drive.CreateOptions{Mode: os.ModeSymlink | 0o777, Target: r.Target})
}

// makeOnly makes what is not opened at once.
func (m *Mount) makeOnly(ctx context.Context, h *fuse.Header, name string, o drive.CreateOptions) error {
	e, err := m.make(ctx, h, name, o)
	if err != nil {
		return err
	}
	answer(h, e.append(nil))
	return nil
}

func (m *Mount) readlink(ctx context.Context, r *fuse.ReadlinkRequest) error {
	n, err := m.node(r.Node)
	if err != nil {
		return err
	}
	target, err := n.Readlink(ctx)
	if err != nil {
		return err
	}
	r.Respond(target)
	return nil
}

// link gives a file another name.
func (m *Mount) link(ctx context.Context, r *fuse.LinkRequest) error {
	dir, err := m.node(r.Node)
	if err != nil {
		return err
	}
	n, err := m.node(r.OldNode)
	if err != nil {
		return err
	}
	made := false
	e, err := m.find(ctx, func() (*drive.Node, error) {
		if !made {
			if err := n.Link(ctx, dir, r.NewName); err != nil {
				return nil, err
			}
			made = true
		}
		return dir.Lookup(ctx, r.NewName)
	})
	if err != nil {
		return err
	}
	answer(&r.Header, e.append(nil))
	return nil
}

func (m *Mount) remove(ctx context.Context, r *fuse.RemoveRequest) error {
	dir, err := m.node(r.Node)
	if err != nil {
		return err
	}
	if err := dir.Remove(ctx, r.Name, r.Dir); err != nil {
		return err
	}
	r.Respond()
	return nil
}

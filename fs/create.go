package fs

import (
	"context"
	"os"
	"syscall"

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

// create makes and opens a file. That it can be written to does not depend on
// its mode.
func (m *Mount) create(ctx context.Context, r *fuse.CreateRequest) error {
	e, err := m.make(ctx, &r.Header, r.Name, drive.CreateOptions{
		Mode:      r.Mode,
		Exclusive: r.Flags&fuse.OpenExclusive != 0,
	})
	if err != nil {
		return err
	}
	h, err := e.node.Open(ctx, openFlags(r.Flags))
	if err != nil {
		m.nodes.forget(e.id, 1)
		return err
	}
	if r.Flags&fuse.OpenTruncate != 0 {
		e.attr.Size, e.attr.Blocks = 0, 0
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

// link refuses hard links in the words of link(2).
func (m *Mount) link(*fuse.LinkRequest) error { return syscall.EPERM }

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

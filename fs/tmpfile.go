package fs

import (
	"context"
	"os"
	"syscall"

	"bazil.org/fuse"

	"satchel/fs/drive"
)

// tmpfile is open(2) with O_TMPFILE. Body: flags, mode, umask, further flags (4
// bytes each). Answer: as to a create.
func (m *Mount) tmpfile(ctx context.Context, r *fuse.UnrecognizedRequest) error {
	b := body(r)
	if len(b) < 16 {
		return syscall.ENOSYS
	}
	dir, err := m.node(r.Node)
	if err != nil {
		return err
	}
	n, err := dir.Unnamed(ctx, drive.CreateOptions{Mode: goPermissions(order.Uint32(b[4:])), UID: r.Uid, GID: r.Gid})
	if err != nil {
		return err
	}
	e, err := m.find(ctx, func() (*drive.Node, error) { return n, nil })
	if err != nil {
		return err
	}
	h, err := e.node.Open(ctx, openFlags(fuse.OpenFlags(order.Uint32(b))))
	if err != nil {
		m.nodes.forget(e.id, 1)
		return err
	}
	answer(&r.Header, appendOpen(e.append(nil), m.handles.addFile(h), fuse.OpenKeepCache))
	return nil
}

// goPermissions puts the permission bits of a mode into Go's form.
func goPermissions(mode uint32) os.FileMode {
	m := os.FileMode(mode & 0o777)
	if mode&syscall.S_ISUID != 0 {
		m |= os.ModeSetuid
	}
	if mode&syscall.S_ISGID != 0 {
		m |= os.ModeSetgid
	}
	if mode&syscall.S_ISVTX != 0 {
		m |= os.ModeSticky
	}
	return m
}

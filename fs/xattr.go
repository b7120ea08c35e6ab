package fs

import (
	"context"
	"strings"
	"syscall"

	"bazil.org/fuse"
)

// userXattr is the name space that the drive keeps. The kernel asks for others
// with each write of a file that it sees for the first time.
const userXattr = "user."

func (m *Mount) getxattr(ctx context.Context, r *fuse.GetxattrRequest) error {
	if !strings.HasPrefix(r.Name, userXattr) {
		return syscall.ENODATA
	}
	n, err := m.node(r.Node)
	if err != nil {
		return err
	}
	v, err := n.Xattr(ctx, r.Name)
	if err != nil {
		return err
	}
	if r.Size != 0 && len(v) > int(r.Size) {
		return syscall.ERANGE
	}
	r.Respond(&fuse.GetxattrResponse{Xattr: v}) // of size 0: only how long it is
	return nil
}

func (m *Mount) listxattr(ctx context.Context, r *fuse.ListxattrRequest) error {
	n, err := m.node(r.Node)
	if err != nil {
		return err
	}
	names, err := n.Xattrs(ctx)
	if err != nil {
		return err
	}
	var resp fuse.ListxattrResponse
	resp.Append(names...)
	if r.Size != 0 && len(resp.Xattr) > int(r.Size) {
		return syscall.ERANGE
	}
	r.Respond(&resp)
	return nil
}

func (m *Mount) setxattr(ctx context.Context, r *fuse.SetxattrRequest) error {
	if !strings.HasPrefix(r.Name, userXattr) {
		return syscall.EOPNOTSUPP
	}
	n, err := m.node(r.Node)
	if err != nil {
		return err
	}
	// The value lies in the request's buffer, which is used again.
	if err := n.SetXattr(ctx, r.Name, append([]byte{}, r.Xattr...), int(r.Flags)); err != nil {
		return err
	}
	r.Respond()
	return nil
}

func (m *Mount) removexattr(ctx context.Context, r *fuse.RemovexattrRequest) error {
	if !strings.HasPrefix(r.Name, userXattr) {
		return syscall.ENODATA
	}
	n, err := m.node(r.Node)
	if err != nil {
		return err
	}
	if err := n.RemoveXattr(ctx, r.Name); err != nil {
		return err
	}
	r.Respond()
	return nil
}

package fs

import (
	"context"
	"slices"
	"strings"
	"syscall"

	"bazil.org/fuse"
)

// kept tells whether a name is in a name space of which the drive may keep some.
// Access control lists are not.
func kept(name string) bool {
	for _, space := range [...]string{"user.", "trusted.", "security."} {
		if strings.HasPrefix(name, space) {
			return true
		}
	}
	return false
}

func (m *Mount) getxattr(ctx context.Context, r *fuse.GetxattrRequest) error {
	if !kept(r.Name) {
		return syscall.EOPNOTSUPP
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
	if r.Uid != 0 {
		names = slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, "trusted.") })
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
	if !kept(r.Name) {
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
	if !kept(r.Name) {
		return syscall.EOPNOTSUPP
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

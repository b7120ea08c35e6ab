package fs

import (
	"bytes"
	"context"
	"syscall"

	"bazil.org/fuse"
	"golang.org/x/sys/unix"
)

func (m *Mount) rename(ctx context.Context, r *fuse.RenameRequest) error {
	if err := m.move(ctx, r.Node, r.OldName, r.NewDir, r.NewName, false); err != nil {
		return err
	}
	r.Respond()
	return nil
}

// rename2 is renameat2(2): of its flags, no-replace and exchange are known. Two
// programs that save by renaming never overwrite each other with the first.
func (m *Mount) rename2(ctx context.Context, r *fuse.UnrecognizedRequest) (err error) {
	in, ok := parseRename2(body(r))
	if !ok {
		return syscall.ENOSYS
	}
	switch in.flags {
	case 0, unix.RENAME_NOREPLACE:
		err = m.move(ctx, r.Node, in.oldName, in.newDir, in.newName, in.flags != 0)
	case unix.RENAME_EXCHANGE:
		err = m.exchange(ctx, r.Node, in)
	default:
		err = syscall.EINVAL
	}
	if err != nil {
		return err
	}
	answer(&r.Header, nil)
	return nil
}

func (m *Mount) move(ctx context.Context, oldDir fuse.NodeID, oldName string, newDir fuse.NodeID, newName string, noReplace bool) error {
	from, err := m.node(oldDir)
	if err != nil {
		return err
	}
	to, err := m.node(newDir)
	if err != nil {
		return err
	}
	return from.Rename(ctx, oldName, to, newName, noReplace)
}

func (m *Mount) exchange(ctx context.Context, dir fuse.NodeID, in rename2Request) error {
	from, err := m.node(dir)
	if err != nil {
		return err
	}
	to, err := m.node(in.newDir)
	if err != nil {
		return err
	}
	return from.Exchange(ctx, in.oldName, to, in.newName)
}

// A rename2Request is the body of RENAME2: number of the new folder (8 bytes),
// flags, padding (4 each), both names, each ended by a zero.
type rename2Request struct {
	newDir           fuse.NodeID
	flags            uint32
	oldName, newName string
}

func parseRename2(b []byte) (in rename2Request, ok bool) {
	if len(b) < 16 {
		return in, false
	}
	in.newDir = fuse.NodeID(order.Uint64(b))
	in.flags = order.Uint32(b[8:])
	oldName, rest, ok := bytes.Cut(b[16:], []byte{0})
	if !ok {
		return in, false
	}
	newName, rest, ok := bytes.Cut(rest, []byte{0})
	in.oldName, in.newName = string(oldName), string(newName)
	return in, ok && len(rest) == 0 && len(oldName) > 0 && len(newName) > 0
}

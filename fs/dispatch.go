package fs

import (
	"context"
	"syscall"

	"bazil.org/fuse"
)

// quick answers a request that never waits, and tells whether it was one.
func (m *Mount) quick(r fuse.Request) bool {
	switch r := r.(type) {
	case *fuse.ForgetRequest:
		m.forget(r)
	case *fuse.BatchForgetRequest:
		m.batchForget(r)
	default:
		return false
	}
	return true
}

// dispatch has a request answered by its handler, which returns nil if it
// answered.
func (m *Mount) dispatch(ctx context.Context, r fuse.Request) error {
	switch r := r.(type) {
	case *fuse.LookupRequest:
		return m.lookup(ctx, r)
	case *fuse.GetattrRequest:
		return m.getattr(ctx, r)
	case *fuse.SetattrRequest:
		return m.setattr(ctx, r)
	case *fuse.CreateRequest:
		return m.create(ctx, r)
	case *fuse.OpenRequest:
		return m.open(ctx, r)
	case *fuse.ReadRequest:
		if r.Dir {
			return m.readdir(ctx, r)
		}
		return m.readFile(ctx, r)
	case *fuse.WriteRequest:
		return m.write(ctx, r)
	case *fuse.FlushRequest:
		return m.flush(ctx, r)
	case *fuse.FsyncRequest:
		return m.fsync(ctx, r)
	case *fuse.ReleaseRequest:
		m.release(r)
	case *fuse.MkdirRequest:
		return m.mkdir(ctx, r)
	case *fuse.MknodRequest:
		return m.mknod(ctx, r)
	case *fuse.SymlinkRequest:
		return m.symlink(ctx, r)
	case *fuse.ReadlinkRequest:
		return m.readlink(ctx, r)
	case *fuse.LinkRequest:
		return m.link(ctx, r)
	case *fuse.RemoveRequest:
		return m.remove(ctx, r)
	case *fuse.RenameRequest:
		return m.rename(ctx, r)
	case *fuse.GetxattrRequest:
		return m.getxattr(ctx, r)
	case *fuse.ListxattrRequest:
		return m.listxattr(ctx, r)
	case *fuse.SetxattrRequest:
		return m.setxattr(ctx, r)
	case *fuse.RemovexattrRequest:
		return m.removexattr(ctx, r)
	case *fuse.FAllocateRequest:
		return m.fallocate(ctx, r)
	case *fuse.StatfsRequest:
		return m.statfs(ctx, r)
	case *fuse.DestroyRequest:
		r.Respond()
	case *fuse.UnrecognizedRequest:
		return m.unrecognized(ctx, r)
	default:
		return syscall.ENOSYS // the kernel then does without
	}
	return nil
}

// unrecognized answers what the library doesn't know.
func (m *Mount) unrecognized(ctx context.Context, r *fuse.UnrecognizedRequest) error {
	switch r.Opcode {
	case opReaddirplus:
		return m.readdirplus(ctx, r)
	case opRename2:
		return m.rename2(ctx, r)
	case opLseek:
		return m.lseek(ctx, r)
	case opCopyFileRange:
		return m.copyRange(ctx, r)
	case opStatx:
		return m.statx(ctx, r)
	case opTmpfile:
		return m.tmpfile(ctx, r)
	}
	return syscall.ENOSYS
}

package drive

import (
	"context"
	"syscall"
)

// A Node is a file or directory of the drive: one per identity that somebody
// has looked up. Nodes are compared by pointer and are safe for concurrent use.
type Node struct{}

var errNotYet = syscall.ENOSYS

func (n *Node) Inode() uint64                                          { return 1 }
func (n *Node) Attr(ctx context.Context) (Attr, error)                 { return Attr{}, errNotYet }
func (n *Node) Lookup(ctx context.Context, name string) (*Node, error) { return nil, errNotYet }
func (n *Node) ReadDir(ctx context.Context) ([]DirEntry, error)        { return nil, errNotYet }
func (n *Node) Create(ctx context.Context, name string, o CreateOptions) (*Node, error) {
	return nil, errNotYet
}
func (n *Node) Readlink(ctx context.Context) (string, error)            { return "", errNotYet }
func (n *Node) Remove(ctx context.Context, name string, dir bool) error { return errNotYet }
func (n *Node) Rename(ctx context.Context, oldName string, newDir *Node, newName string, noReplace bool) error {
	return errNotYet
}
func (n *Node) SetAttr(ctx context.Context, s SetAttr) (Attr, error)   { return Attr{}, errNotYet }
func (n *Node) Open(ctx context.Context, flags int) (*Handle, error)   { return nil, errNotYet }
func (n *Node) Xattr(ctx context.Context, name string) ([]byte, error) { return nil, errNotYet }
func (n *Node) Xattrs(ctx context.Context) ([]string, error)           { return nil, errNotYet }
func (n *Node) SetXattr(ctx context.Context, name string, value []byte, flags int) error {
	return errNotYet
}
func (n *Node) RemoveXattr(ctx context.Context, name string) error { return errNotYet }
func (n *Node) Fsync(ctx context.Context) error                    { return errNotYet }
func (n *Node) Forget()                                            {}

// A Handle is an open file.
type Handle struct{}

func (h *Handle) ReadAt(ctx context.Context, p []byte, off int64) (int, error)  { return 0, errNotYet }
func (h *Handle) WriteAt(ctx context.Context, p []byte, off int64) (int, error) { return 0, errNotYet }
func (h *Handle) Flush(ctx context.Context) error                               { return errNotYet }
func (h *Handle) Fsync(ctx context.Context) error                               { return errNotYet }
func (h *Handle) Release()                                                      {}

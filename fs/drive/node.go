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
	"satchel/fs/volume"
)

// The folders that belong to no volume.
const (
	public  = "Public"
	people  = "People"
	private = "Private"
)

// A Node is a file or folder of the drive, one per identity that somebody has
// looked up. Nodes are compared by pointer and are safe for concurrent use.
type Node struct {
	d   *Drive
	in  *volume.Node // nil for the folders above the volumes
	dir string       // of those: "", "Public" or "People"
	ino uint64       // of those
}

// wrap returns the one Node for a volume's node.
func (d *Drive) wrap(in *volume.Node) *Node {
	if in == nil {
		return nil
	}
	return in.Outer(func() any { return &Node{d: d, in: in} }).(*Node)
}

// Inode is the node's number: 1 for the root, stable over restarts for all.
func (n *Node) Inode() uint64 {
	if n.in != nil {
		return n.in.Inode()
	}
	return n.ino
}

// Forget says that the kernel has dropped its last reference to the node.
func (n *Node) Forget() {
	if n.in == nil {
		return
	}
	n.in.Forget()
}

// ColdAt returns where the node, a file that nobody has open, stands, as far as
// that is known without reading; nil for any other.
func (n *Node) ColdAt() (dir *Node, name string) {
	if n.in == nil {
		return nil, ""
	}
	in, name := n.in.ColdAt()
	return n.d.wrap(in), name
}

// Attr returns what stat shows.
func (n *Node) Attr(ctx context.Context) (Attr, error) {
	if n.in == nil {
		return n.fixedAttr(), nil
	}
	ctx, cancel := limit(ctx)
	defer cancel()
	s, err := n.in.Stat(ctx)
	if err != nil {
		return Attr{}, err
	}
	return n.attr(&s), nil
}

func (n *Node) fixedAttr() Attr {
	o := &n.d.opt
	t := n.d.started
	return Attr{Inode: n.ino, Mode: os.ModeDir | 0o755, Nlink: 2, UID: o.UID, GID: o.GID, Atime: t, Mtime: t, Ctime: t, Btime: t}
}

func (n *Node) attr(i *volume.Stat) Attr {
	a := Attr{
		Inode:  n.in.Inode(),
		Size:   i.Size,
		Blocks: i.Blocks,
		Mode:   fileMode(i.Kind, i.Mode),
		Nlink:  max(1, i.Links),
		UID:    i.UID,
		GID:    i.GID,
		Atime:  time.Unix(0, i.Atime),
		Mtime:  time.Unix(0, i.Mtime),
		Ctime:  time.Unix(0, i.Ctime),
		Btime:  time.Unix(0, i.Btime),
	}
	switch i.Kind {
	case tree.Dir:
		a.Nlink, a.Size, a.Blocks = uint32(2+i.Subdirs), 4096, 8
	case tree.Char, tree.Block:
		a.Size, a.Blocks, a.Rdev = 0, 0, rdev(i.Content.Inline)
	}
	if n.in.IsRoot() {
		n.rootAttr(&a)
	}
	if i.Unlinked {
		a.Nlink = 0
	}
	return a
}

// rootAttr gives a volume's folder, of which nothing is stored, its owner and times.
func (n *Node) rootAttr(a *Attr) {
	o := &n.d.opt
	a.UID, a.GID, a.Mode = o.UID, o.GID, os.ModeDir|0o755
	if n.d.mine(n.in.Volume().Label()) {
		a.Mode = os.ModeDir | 0o700
	}
	if n.in.Volume().ReadOnly() {
		a.Mode = os.ModeDir | 0o555
	} else if m, ok := n.d.rootMode(n.in.Volume().Label()); ok {
		a.Mode = os.ModeDir | m
	}
	for _, t := range []*time.Time{&a.Atime, &a.Mtime, &a.Ctime, &a.Btime} {
		if t.UnixNano() == 0 {
			*t = n.d.started
		}
	}
}

// rootMode returns the mode that somebody gave to a volume's folder.
func (d *Drive) rootMode(label string) (os.FileMode, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m, ok := d.modes[label]
	return m, ok
}

func (d *Drive) setRootMode(label string, mode os.FileMode) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.modes == nil {
		d.modes = make(map[string]os.FileMode)
	}
	d.modes[label] = mode
}

// fileMode puts a kind and permission bits into Go's form.
func fileMode(k tree.Kind, mode uint32) os.FileMode {
	m := os.FileMode(mode & 0o777)
	for _, b := range []struct {
		bit uint32
		m   os.FileMode
	}{{syscall.S_ISUID, os.ModeSetuid}, {syscall.S_ISGID, os.ModeSetgid}, {syscall.S_ISVTX, os.ModeSticky}} {
		if mode&b.bit != 0 {
			m |= b.m
		}
	}
	switch k {
	case tree.Dir:
		m |= os.ModeDir
	case tree.Symlink:
		m |= os.ModeSymlink
	case tree.Fifo:
		m |= os.ModeNamedPipe
	case tree.Socket:
		m |= os.ModeSocket
	case tree.Char:
		m |= os.ModeDevice | os.ModeCharDevice
	case tree.Block:
		m |= os.ModeDevice
	}
	return m
}

// kindMode is fileMode's inverse.
func kindMode(m os.FileMode) (tree.Kind, uint32) {
	mode := uint32(m.Perm())
	if m&os.ModeSetuid != 0 {
		mode |= syscall.S_ISUID
	}
	if m&os.ModeSetgid != 0 {
		mode |= syscall.S_ISGID
	}
	if m&os.ModeSticky != 0 {
		mode |= syscall.S_ISVTX
	}
	switch {
	case m&os.ModeDir != 0:
		return tree.Dir, mode
	case m&os.ModeSymlink != 0:
		return tree.Symlink, mode
	case m&os.ModeNamedPipe != 0:
		return tree.Fifo, mode
	case m&os.ModeSocket != 0:
		return tree.Socket, mode
	case m&os.ModeCharDevice != 0:
		return tree.Char, mode
	case m&os.ModeDevice != 0:
		return tree.Block, mode
	}
	return tree.File, mode
}

// Lookup returns the node of a name in the folder. Looking up a name under
// Public or People opens that volume.
func (n *Node) Lookup(ctx context.Context, name string) (*Node, error) {
	ctx, cancel := limit(ctx)
	defer cancel()
	if n.in != nil {
		c, err := n.in.Lookup(ctx, name)
		if err != nil {
			return nil, err
		}
		return n.d.wrap(c), nil
	}
	switch {
	case n.dir == "" && name == public:
		return n.d.public, nil
	case n.dir == "" && name == people:
		return n.d.people, nil
	case n.dir == "" && name != private:
		return nil, os.ErrNotExist
	}
	v, err := n.d.volume(ctx, join(n.dir, name))
	if err != nil {
		return nil, err
	}
	return n.d.wrap(v.Root()), nil
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// ReadDir returns the folder's entries in the order of their names.
func (n *Node) ReadDir(ctx context.Context) ([]DirEntry, error) {
	ctx, cancel := limit(ctx)
	defer cancel()
	if n.in == nil {
		return n.fixedEntries(), nil
	}
	list, err := n.in.List(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]DirEntry, len(list))
	for i, e := range list {
		out[i] = DirEntry{Name: e.Name, Inode: e.Inode, Type: fileMode(e.Kind, 0).Type()}
	}
	return out, nil
}

func (n *Node) fixedEntries() []DirEntry {
	if n.dir == "" {
		return []DirEntry{
			{people, n.d.people.ino, os.ModeDir},
			{private, n.d.inode(private), os.ModeDir},
			{public, n.d.public.ino, os.ModeDir},
		}
	}
	var out []DirEntry
	for _, label := range n.d.labels() {
		if name, ok := strings.CutPrefix(label, n.dir+"/"); ok {
			out = append(out, DirEntry{name, n.d.inode(label), os.ModeDir})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// Create makes what o says as name in the folder. A file that is there is
// returned, unless o.Exclusive; anything else that is there is os.ErrExist.
func (n *Node) Create(ctx context.Context, name string, o CreateOptions) (*Node, error) {
	ctx, cancel := limit(ctx)
	defer cancel()
	if n.in == nil {
		if o.Mode.IsDir() && n.dir != "" {
			if _, err := n.Lookup(ctx, name); err != nil {
				return nil, err
			}
			return nil, os.ErrExist
		}
		return nil, fmt.Errorf("%s holds people's folders only: %w", join(n.dir, name), os.ErrPermission)
	}
	kind, mode := kindMode(o.Mode)
	var content []byte
	switch kind {
	case tree.Symlink:
		if len(o.Target) > 4095 {
			return nil, syscall.ENAMETOOLONG
		}
		content, mode = []byte(o.Target), 0o777
	case tree.Char, tree.Block:
		content = rdevBytes(o.Rdev)
	}
	c, err := n.in.Create(ctx, name, volume.New{Kind: kind, Mode: mode, UID: o.UID, GID: o.GID, Content: content})
	if errors.Is(err, os.ErrExist) && kind == tree.File && !o.Exclusive {
		c, err = n.in.Lookup(ctx, name)
	}
	if err != nil {
		return nil, err
	}
	return n.d.wrap(c), nil
}

// Readlink returns a symlink's target.
func (n *Node) Readlink(ctx context.Context) (string, error) {
	if n.in == nil {
		return "", syscall.EINVAL
	}
	info, err := n.in.Info(ctx)
	if err != nil {
		return "", err
	}
	if info.Kind != tree.Symlink {
		return "", syscall.EINVAL
	}
	return string(info.Content.Inline), nil
}

// Remove removes name: an empty folder if dir, anything else if not.
func (n *Node) Remove(ctx context.Context, name string, dir bool) error {
	if n.in == nil {
		return fmt.Errorf("%s stays: %w", join(n.dir, name), os.ErrPermission)
	}
	ctx, cancel := limit(ctx)
	defer cancel()
	return n.in.Remove(ctx, name, dir)
}

// Rename moves oldName of the folder to newName of newDir, over what is there
// unless noReplace. Between volumes nothing is copied; where that can't be, the
// error is EXDEV.
func (n *Node) Rename(ctx context.Context, oldName string, newDir *Node, newName string, noReplace bool) error {
	if n.in == nil || newDir.in == nil {
		return fmt.Errorf("%s stays where it is: %w", join(n.dir, oldName), os.ErrPermission)
	}
	ctx, cancel := limit(ctx)
	defer cancel()
	if n.in.Volume() == newDir.in.Volume() {
		return n.in.Rename(ctx, oldName, newDir.in, newName, noReplace)
	}
	return volume.Move(ctx, n.in, oldName, newDir.in, newName, noReplace)
}

// SetAttr changes attributes and returns all as they are then.
func (n *Node) SetAttr(ctx context.Context, s SetAttr) (Attr, error) {
	if n.in == nil {
		return Attr{}, os.ErrPermission
	}
	ctx, cancel := limit(ctx)
	defer cancel()
	c := volume.Change{UID: s.UID, GID: s.GID, Size: s.Size, Touch: s.Touch}
	if s.Mode != nil {
		_, mode := kindMode(*s.Mode)
		c.Mode = &mode
		if n.in.IsRoot() {
			n.d.setRootMode(n.in.Volume().Label(), *s.Mode&^os.ModeType)
			c.Mode = nil
		}
	}
	for _, t := range []struct {
		from *time.Time
		to   **int64
	}{{s.Atime, &c.Atime}, {s.Mtime, &c.Mtime}} {
		if t.from != nil {
			ns := t.from.UnixNano()
			*t.to = &ns
		}
	}
	if _, err := n.in.SetAttr(ctx, c); err != nil {
		return Attr{}, err
	}
	return n.Attr(ctx)
}

// Link gives the node, which is no folder, another name; between volumes the
// error is EXDEV.
func (n *Node) Link(ctx context.Context, dir *Node, name string) error {
	if n.in == nil || dir.in == nil {
		return os.ErrPermission
	}
	ctx, cancel := limit(ctx)
	defer cancel()
	return n.in.Link(ctx, dir.in, name)
}

// Unnamed makes a file that has no name in the folder until Link gives it one.
func (n *Node) Unnamed(ctx context.Context, o CreateOptions) (*Node, error) {
	if n.in == nil {
		return nil, os.ErrPermission
	}
	ctx, cancel := limit(ctx)
	defer cancel()
	_, mode := kindMode(o.Mode)
	c, err := n.in.Unnamed(ctx, volume.New{Kind: tree.File, Mode: mode, UID: o.UID, GID: o.GID})
	if err != nil {
		return nil, err
	}
	return n.d.wrap(c), nil
}

// Exchange has two names of the same volume change their places.
func (n *Node) Exchange(ctx context.Context, name string, to *Node, toName string) error {
	if n.in == nil || to.in == nil {
		return os.ErrPermission
	}
	ctx, cancel := limit(ctx)
	defer cancel()
	return n.in.Exchange(ctx, name, to.in, toName)
}

// Fsync returns when everything in the node's volume up to now would survive a
// power cut of this machine, and with Options.SyncRemote its loss.
func (n *Node) Fsync(ctx context.Context) error {
	if n.in == nil {
		return nil
	}
	v := n.in.Volume()
	if err := v.Sync(ctx); err != nil {
		return err
	}
	return n.d.syncRemote(ctx, v.Label())
}

// A Handle is an open file. Release it once.
type Handle struct {
	n *Node
	h *volume.Handle
}

// Open opens the node's content; flags are those of open(2).
func (n *Node) Open(ctx context.Context, flags int) (*Handle, error) {
	if n.in == nil {
		return nil, syscall.EISDIR
	}
	ctx, cancel := limit(ctx)
	defer cancel()
	write := flags&syscall.O_ACCMODE != syscall.O_RDONLY
	h, err := n.in.Open(ctx, write, flags&syscall.O_APPEND != 0, flags&syscall.O_TRUNC != 0)
	if err != nil {
		return nil, err
	}
	return &Handle{n, h}, nil
}

// ReadAt reads with the rules of io.ReaderAt.
func (h *Handle) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	ctx, cancel := limit(ctx)
	defer cancel()
	return h.h.ReadAt(ctx, p, off)
}

// WriteAt writes all of p at off; at the end if the file was opened with O_APPEND.
func (h *Handle) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	ctx, cancel := limit(ctx)
	defer cancel()
	return h.h.WriteAt(ctx, p, off)
}

// Allocate is fallocate(2).
func (h *Handle) Allocate(ctx context.Context, mode uint32, off, length int64) error {
	ctx, cancel := limit(ctx)
	defer cancel()
	return h.h.Allocate(ctx, mode, off, length)
}

// Seek finds data or a hole, as lseek(2) does.
func (h *Handle) Seek(ctx context.Context, off int64, whence int) (int64, error) {
	ctx, cancel := limit(ctx)
	defer cancel()
	return h.h.Seek(ctx, off, whence)
}

// CopyRange copies n bytes of h to another file, without their being read where
// that can be. It returns how many there were.
func (h *Handle) CopyRange(ctx context.Context, off int64, to *Handle, toOff, n int64) (int64, error) {
	ctx, cancel := limit(ctx)
	defer cancel()
	return volume.CopyRange(ctx, h.h, off, to.h, toOff, n)
}

// Flush is called with each close; what is written is committed soon after.
func (h *Handle) Flush(ctx context.Context) error { return nil }

// Fsync is Node.Fsync.
func (h *Handle) Fsync(ctx context.Context) error { return h.n.Fsync(ctx) }

// Release ends the handle's use.
func (h *Handle) Release() { h.h.Close() }

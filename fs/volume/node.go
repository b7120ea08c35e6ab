package volume

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"satchel/crypto"
	"satchel/fs/tree"
)

var (
	errReadOnly = fmt.Errorf("this folder is somebody else's: %w", syscall.EROFS)
	errClosed   = fmt.Errorf("volume: %w", os.ErrClosed)
	errNoAttr   = fmt.Errorf("no such attribute: %w", syscall.ENODATA)
)

// A state says how a node stands to the tree.
type state int

const (
	live     state = iota // the tree shows it
	retired               // somebody else changed its content: this node keeps what it showed
	removed               // somebody else removed it; a write brings it back
	unlinked              // removed here; what is written dies with the last close
)

// A Node is one identity that somebody looked up. It is safe for concurrent use.
type Node struct {
	ino uint64
	vol atomic.Pointer[Volume] // changes when the node moves to another volume

	outerOnce sync.Once
	outer     any

	// Guarded by the volume's mutex.
	id      tree.Identity
	dir     bool
	root    bool
	unnamed bool // unlinked, and Link may still give it a name
	state   state
	info    *tree.Info // what a node shows that is not live, or would if it were removed elsewhere
	file    *file      // dirty data, nil if there is none
	count   count      // of stored chunks
	ctime   int64      // of changes of which the tree keeps no time: of names and data
	looked  int        // look-ups that Forget has not taken back
	opens   int
	writers int // of opens, those for writing
}

// node returns the node of what info shows, with the lock held.
func (v *Volume) node(info tree.Info) *Node {
	n := v.nodes[info.ID]
	if n == nil {
		n = &Node{ino: v.inode(info.ID), id: info.ID, dir: info.Kind == tree.Dir, root: info.ID == (tree.Identity{})}
		n.vol.Store(v)
		v.nodes[info.ID] = n
	}
	return n
}

// inode derives a node's number from its identity: stable over restarts, and
// without meaning to anybody else.
func (v *Volume) inode(id tree.Identity) uint64 {
	b := append(make([]byte, 0, 128), v.opt.Secret[:]...)
	b = append(append(b, v.opt.Label...), 0)
	h := crypto.Sum(append(b, id[:]...))
	n := binary.BigEndian.Uint64(h[:])
	if n < 2 {
		n = 2
	}
	return n
}

// lock locks the volume in which n is now and returns it.
func (n *Node) lock() *Volume {
	for {
		v := n.vol.Load()
		v.mu.Lock()
		if n.vol.Load() == v {
			return v
		}
		v.mu.Unlock()
	}
}

// do runs f with the node's volume locked, as Volume.do does. f gets the node
// that stands for the identity now: a forgotten one may have a successor.
func (n *Node) do(ctx context.Context, f func(v *Volume, n *Node) error) error {
	for {
		v, err := n.locked(f)
		if err = v.resolve(ctx, err); err != errAgain {
			return err
		}
	}
}

func (n *Node) locked(f func(v *Volume, n *Node) error) (*Volume, error) {
	v := n.lock()
	defer v.mu.Unlock()
	defer v.shrink()
	return v, f(v, n.current(v))
}

// current returns the node that is registered for n's identity, n itself if
// there is none.
func (n *Node) current(v *Volume) *Node {
	if n.state != live {
		return n
	}
	m := v.nodes[n.id]
	if m == nil {
		v.nodes[n.id] = n
		return n
	}
	return m
}

// show returns what n shows, with the lock held.
func (n *Node) show(v *Volume) (tree.Info, error) {
	var info tree.Info
	if n.state != live {
		info = *n.info
	} else {
		var err error
		if info, err = v.tree.Get(n.id); err != nil {
			return tree.Info{}, err
		}
	}
	if n.file != nil {
		info.Size = uint64(n.file.size)
		info.Mtime = n.file.mtime
	}
	info.Ctime = max(info.Ctime, n.ctime)
	if v.opt.Foreign {
		info.Mode &= 0o777
		info.UID, info.GID = v.opt.UID, v.opt.GID
	}
	return info, nil
}

// Volume returns the volume in which the node is.
func (n *Node) Volume() *Volume { return n.vol.Load() }

// Outer returns what makes returned when it was first called for this node: the
// caller's own view of it.
func (n *Node) Outer(makes func() any) any {
	n.outerOnce.Do(func() { n.outer = makes() })
	return n.outer
}

// Inode is the node's number.
func (n *Node) Inode() uint64 { return n.ino }

// IsDir tells whether the node is a folder.
func (n *Node) IsDir() bool { return n.dir }

// Info returns what the node shows, with the size and time of what is written
// but not committed.
func (n *Node) Info(ctx context.Context) (info tree.Info, err error) {
	err = n.do(ctx, func(v *Volume, n *Node) (err error) {
		info, err = n.show(v)
		return err
	})
	return info, err
}

// A Stat is what stat(2) tells of a node.
type Stat struct {
	tree.Info
	Blocks   uint64 // of 512 bytes that a file takes
	Subdirs  int    // of a folder
	Unlinked bool   // it has no name any more
}

// Stat returns Info with all that stands beside it.
func (n *Node) Stat(ctx context.Context) (s Stat, err error) {
	err = n.do(ctx, func(v *Volume, n *Node) (err error) {
		s.Info, err = n.show(v)
		if err != nil {
			return err
		}
		s.Unlinked = n.state == unlinked
		switch {
		case s.Kind != tree.Dir:
			s.Blocks = n.blocks(v, &s.Info)
		case n.state == live:
			s.Subdirs = v.tree.Subdirs(n.id)
		}
		return nil
	})
	return s, err
}

// Forget takes back every look-up: the kernel's last reference is gone.
func (n *Node) Forget() {
	v := n.lock()
	defer v.mu.Unlock()
	n.looked = 0
	v.drop(n)
}

// ColdAt returns the folder and the name of a file that is not open, nil for any
// other node, or if that folder was not looked up.
func (n *Node) ColdAt() (dir *Node, name string) {
	v := n.lock()
	defer v.mu.Unlock()
	if n.dir || n.opens > 0 || n.state != live {
		return nil, ""
	}
	info, err := v.tree.Get(n.id)
	if err != nil {
		return nil, ""
	}
	return v.nodes[info.Dir], info.Name
}

// drop forgets a node that nobody refers to and that has nothing to keep.
func (v *Volume) drop(n *Node) {
	if n.looked == 0 && n.opens == 0 && n.file == nil && v.nodes[n.id] == n {
		delete(v.nodes, n.id)
	}
}

// Lookup returns the node of a name in the folder.
func (n *Node) Lookup(ctx context.Context, name string) (c *Node, err error) {
	err = n.do(ctx, func(v *Volume, n *Node) error {
		info, err := v.tree.Lookup(n.id, name)
		if err != nil {
			return err
		}
		c = v.node(info)
		c.looked++
		return nil
	})
	return c, err
}

// An Entry is a name in a folder and what it shows.
type Entry struct {
	tree.Info
	Inode uint64
}

// List returns the folder's entries in the order of their names.
func (n *Node) List(ctx context.Context) (list []Entry, err error) {
	err = n.do(ctx, func(v *Volume, n *Node) error {
		infos, err := v.tree.List(n.id)
		if err != nil {
			return err
		}
		list = make([]Entry, 0, len(infos))
		for _, i := range infos {
			ino := uint64(0)
			if c := v.nodes[i.ID]; c != nil {
				ino = c.ino
			} else {
				ino = v.inode(i.ID)
			}
			list = append(list, Entry{i, ino})
		}
		return nil
	})
	return list, err
}

// A New says what Create makes.
type New struct {
	Kind     tree.Kind
	Mode     uint32
	UID, GID uint32
	Content  []byte // a symlink's target, a device's numbers
}

// Create makes name in the folder. If it is there the error is os.ErrExist.
func (n *Node) Create(ctx context.Context, name string, o New) (c *Node, err error) {
	id := newIdentity()
	now := time.Now().UnixNano()
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
		info, err := v.tree.Create(n.id, name, tree.Spec{ID: id, Kind: o.Kind, Mode: o.Mode, UID: o.UID, GID: o.GID,
			Now: now, Content: tree.InlineContent(o.Content)})
		if err != nil {
			return err
		}
		v.touched()
		c = v.node(info)
		c.looked++
		return nil
	})
	return c, err
}

// within returns o as it is made in the folder n: a setgid folder hands down its
// group, and to folders that bit too.
func (o New) within(v *Volume, n *Node) (New, error) {
	if n.root || v.opt.Foreign {
		return o, nil
	}
	dir, err := n.show(v)
	if err != nil || dir.Mode&syscall.S_ISGID == 0 {
		return o, err
	}
	o.GID = dir.GID
	if o.Kind == tree.Dir {
		o.Mode |= syscall.S_ISGID
	}
	return o, nil
}

func newIdentity() (id tree.Identity) {
	rand.Read(id[:])
	return id
}

// Remove removes name from the folder: a folder if dir, anything else if not.
func (n *Node) Remove(ctx context.Context, name string, dir bool) error {
	return n.do(ctx, func(v *Volume, n *Node) error {
		if err := v.writable(); err != nil {
			return err
		}
		before, err := v.tree.Lookup(n.id, name)
		if err != nil {
			return err
		}
		gone, err := v.tree.Remove(n.id, name, dir, time.Now().UnixNano())
		if err != nil {
			return err
		}
		v.touched()
		v.unlink(before.ID, gone)
		return nil
	})
}

// unlink detaches the node of an identity of which a name was removed here, if
// info says that it has none left, with the lock held.
func (v *Volume) unlink(id tree.Identity, info tree.Info) {
	n := v.nodes[id]
	if n == nil {
		return
	}
	n.ctime = time.Now().UnixNano()
	if info.Links > 0 {
		return
	}
	n.detach(v, unlinked, info)
	if n.opens == 0 {
		n.discard(v)
	}
}

// detach takes n out of the tree's view: it keeps showing info.
func (n *Node) detach(v *Volume, s state, info tree.Info) {
	if v.nodes[n.id] == n {
		delete(v.nodes, n.id)
	}
	n.state, n.info = s, &info
	if s == unlinked {
		delete(v.dirty, n)
	}
}

// Rename moves oldName of the folder to newName of to, in the same volume.
func (n *Node) Rename(ctx context.Context, oldName string, to *Node, newName string, noReplace bool) error {
	return n.do(ctx, func(v *Volume, n *Node) error {
		if err := v.writable(); err != nil {
			return err
		}
		if to.vol.Load() != v {
			return syscall.EXDEV
		}
		now := time.Now().UnixNano()
		moved, replaced, err := v.tree.Rename(n.id, oldName, to.id, newName, noReplace, now)
		if err != nil {
			return err
		}
		v.touched()
		v.changedName(moved.ID, now)
		if replaced != nil {
			v.unlink(replaced.ID, *replaced)
		}
		return nil
	})
}

// changedName notes when a name of id changed, with the lock held.
func (v *Volume) changedName(id tree.Identity, now int64) {
	if n := v.nodes[id]; n != nil {
		n.ctime = now
	}
}

// A Change of attributes; nil fields stay as they are.
type Change struct {
	Mode         *uint32
	UID, GID     *uint32
	Atime, Mtime *int64
	Size         *uint64
	Touch        bool // the time of change, if nothing else
}

// SetAttr changes attributes, the size among them.
func (n *Node) SetAttr(ctx context.Context, c Change) (info tree.Info, err error) {
	now := time.Now().UnixNano()
	if c.Size != nil {
		if err := n.truncate(ctx, int64(*c.Size), now); err != nil {
			return tree.Info{}, err
		}
	}
	err = n.do(ctx, func(v *Volume, n *Node) error {
		if c.Mode != nil || c.UID != nil || c.GID != nil || c.Atime != nil || c.Mtime != nil || c.Touch {
			if err := v.writable(); err != nil {
				return err
			}
			if err := n.setAttr(v, c, now); err != nil {
				return err
			}
			v.touched()
		}
		info, err = n.show(v)
		return err
	})
	return info, err
}

func (n *Node) setAttr(v *Volume, c Change, now int64) error {
	n.ctime = now
	edit := func(a *tree.Attr) {
		set(&a.Mode, c.Mode)
		set(&a.Atime, c.Atime)
		if !v.opt.Foreign {
			set(&a.UID, c.UID)
			set(&a.GID, c.GID)
		}
		a.Ctime = now
	}
	if n.state != live {
		a := tree.Attr{Mode: n.info.Mode, UID: n.info.UID, GID: n.info.GID, Atime: n.info.Atime}
		edit(&a)
		n.info.Mode, n.info.UID, n.info.GID, n.info.Atime, n.info.Ctime = a.Mode, a.UID, a.GID, a.Atime, a.Ctime
		set(&n.info.Mtime, c.Mtime)
	} else {
		if _, err := v.tree.SetAttr(n.id, edit); err != nil {
			return err
		}
		if c.Mtime != nil && n.file == nil {
			if _, err := v.tree.SetMtime(n.id, *c.Mtime, now); err != nil {
				return err
			}
		}
	}
	if n.file != nil && c.Mtime != nil {
		n.file.mtime, n.file.since.any = *c.Mtime, true
	}
	return nil
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// SetXattr sets or, with a nil value, removes an extended attribute. flags are
// those of setxattr(2).
func (n *Node) SetXattr(ctx context.Context, name string, value []byte, flags int) error {
	const create, replace = 1, 2
	return n.do(ctx, func(v *Volume, n *Node) error {
		if err := v.writable(); err != nil {
			return err
		}
		info, err := n.show(v)
		if err != nil {
			return err
		}
		now := time.Now().UnixNano()
		_, have := info.Xattrs[name]
		switch {
		case have && flags&create != 0:
			return os.ErrExist
		case !have && (flags&replace != 0 || value == nil):
			return errNoAttr
		case n.state != live:
			n.info.Xattrs, n.info.Ctime = withXattr(n.info.Xattrs, name, value), now
			return nil
		}
		_, err = v.tree.SetAttr(n.id, func(a *tree.Attr) {
			a.Xattrs, a.Ctime = withXattr(a.Xattrs, name, value), now
		})
		if err == nil {
			v.touched()
		}
		return err
	})
}

// withXattr returns a copy of x, which others may have been shown, with an
// attribute set or, if value is nil, without it.
func withXattr(x map[string][]byte, name string, value []byte) map[string][]byte {
	y := make(map[string][]byte, len(x)+1)
	maps.Copy(y, x)
	if value == nil {
		delete(y, name)
	} else {
		y[name] = append([]byte{}, value...)
	}
	return y
}

// IsRoot tells whether the node is the volume's own folder.
func (n *Node) IsRoot() bool { return n.root }

// Dirty tells whether what was written to the node is not in the tree yet.
func (n *Node) Dirty() bool {
	v := n.lock()
	defer v.mu.Unlock()
	n = n.current(v)
	return n.file != nil && n.file.dirty
}

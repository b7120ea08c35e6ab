package fs

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"bazil.org/fuse"
	"golang.org/x/sys/unix"

	"satchel/fs/drive"
)

// A memory is a file system without anything behind it: what it takes is what
// the kernel, the library and the loop of readers take, so nothing on them can be
// faster. The benchmark of package bench has this test binary serve one.
type memory struct {
	server
	mu      sync.RWMutex // of all below
	nodes   map[fuse.NodeID]*memNode
	streams map[fuse.HandleID][]drive.DirEntry
	last    fuse.NodeID
	handle  fuse.HandleID
}

type memNode struct {
	id     fuse.NodeID
	attr   drive.Attr
	names  map[string]*memNode // of a folder
	blocks [][]byte            // of a file, memBlock each or nil
	target string
	looked uint64
}

const memBlock = 1 << 17

func newMemory() *memory {
	m := &memory{nodes: make(map[fuse.NodeID]*memNode), streams: make(map[fuse.HandleID][]drive.DirEntry)}
	m.add(os.ModeDir|0o755, &fuse.Header{Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid())})
	return m
}

// serveMemory mounts a memory at dir whenever it is not mounted: unmounting has
// the kernel forget what it knows of it, but not what is in it.
func serveMemory(dir string) {
	for m := newMemory(); ; {
		m.server = server{}
		m.init(m, nil)
		m.conn = got(fuse.Mount(dir, mountOptions(Options{FSName: "memory"})...))
		m.start()
		m.reading.Wait()
		must(m.conn.Close())
	}
}

func (m *memory) add(mode os.FileMode, h *fuse.Header) *memNode {
	m.last++
	now := time.Now()
	n := &memNode{id: m.last, attr: drive.Attr{Inode: uint64(m.last), Mode: mode, Nlink: 1, UID: h.Uid, GID: h.Gid,
		Atime: now, Mtime: now, Ctime: now}}
	if mode.IsDir() {
		n.names, n.attr.Nlink, n.attr.Size = make(map[string]*memNode), 2, 4096
	}
	m.nodes[n.id] = n
	return n
}

// drop forgets a node that has no name and that the kernel doesn't know.
func (m *memory) drop(n *memNode) {
	if n.attr.Nlink == 0 && n.looked == 0 {
		delete(m.nodes, n.id)
	}
}

func (m *memory) quick(r fuse.Request) bool {
	switch r := r.(type) {
	case *fuse.ForgetRequest:
		m.forget(r.Node, r.N)
		r.Respond()
	case *fuse.BatchForgetRequest:
		for _, i := range r.Forget {
			m.forget(i.NodeID, i.N)
		}
		r.Respond()
	default:
		return false
	}
	return true
}

func (m *memory) forget(id fuse.NodeID, n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := m.nodes[id]; k != nil {
		k.looked -= min(n, k.looked)
		m.drop(k)
	}
}

func (m *memory) dispatch(_ context.Context, r fuse.Request) error {
	if r, ok := r.(*fuse.ReadRequest); ok && !r.Dir {
		buf := readBuffers.Get().(*[maxRead]byte)
		defer readBuffers.Put(buf)
		m.mu.RLock()
		n := m.nodes[r.Node].read(buf[:min(r.Size, maxRead)], r.Offset)
		m.mu.RUnlock()
		r.Respond(&fuse.ReadResponse{Data: buf[:n]})
		return nil
	}
	b, err := m.do(r)
	if err == nil {
		answer(r.Hdr(), b)
	}
	return err
}

// do does what a request asks for, and returns the answer.
func (m *memory) do(r fuse.Request) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := r.Hdr()
	n := m.nodes[h.Node]
	if n == nil {
		return nil, syscall.ENOSYS // of no node
	}
	switch r := r.(type) {
	case *fuse.LookupRequest:
		if c := n.names[r.Name]; c != nil {
			return c.entry(), nil
		}
		return appendEntry(nil, 0, keepMissing, 0, drive.Attr{}), nil
	case *fuse.GetattrRequest:
		return appendAttrOut(nil, keep, n.attr), nil
	case *fuse.SetattrRequest:
		n.set(changes(r, time.Now()))
		return appendAttrOut(nil, keep, n.attr), nil
	case *fuse.CreateRequest:
		c := n.names[r.Name]
		if c == nil {
			c = m.add(r.Mode&^os.ModeIrregular, h)
			n.names[r.Name] = c
		}
		return appendOpen(c.entry(), m.open(c, r.Flags), fuse.OpenKeepCache), nil
	case *fuse.MkdirRequest:
		return n.put(r.Name, m.add(r.Mode, h)), nil
	case *fuse.SymlinkRequest:
		c := m.add(os.ModeSymlink|0o777, h)
		c.target = r.Target
		return n.put(r.NewName, c), nil
	case *fuse.LinkRequest:
		c := m.nodes[r.OldNode]
		c.attr.Nlink++
		return n.put(r.NewName, c), nil
	case *fuse.ReadlinkRequest:
		return []byte(n.target), nil
	case *fuse.OpenRequest:
		return appendOpen(nil, m.open(n, r.Flags), fuse.OpenKeepCache), nil
	case *fuse.ReadRequest:
		return dirents(m.from(r.Handle, r.Offset), r.Offset, r.Size), nil
	case *fuse.WriteRequest:
		n.write(r.Data, r.Offset)
		return order.AppendUint64(nil, uint64(len(r.Data))), nil
	case *fuse.ReleaseRequest:
		delete(m.streams, r.Handle)
	case *fuse.FlushRequest, *fuse.FsyncRequest, *fuse.DestroyRequest:
	case *fuse.RemoveRequest:
		if c := n.names[r.Name]; c != nil && len(c.names) > 0 {
			return nil, syscall.ENOTEMPTY
		}
		m.unlink(n, r.Name)
	case *fuse.RenameRequest:
		return nil, m.rename(n, r.OldName, m.nodes[r.NewDir], r.NewName, false)
	case *fuse.UnrecognizedRequest:
		return m.unrecognized(r, n)
	default:
		return nil, syscall.ENOSYS
	}
	return nil, nil
}

func (m *memory) unrecognized(r *fuse.UnrecognizedRequest, n *memNode) (b []byte, err error) {
	switch r.Opcode {
	case opReaddirplus:
		handle, off, size, _ := parseReaddir(body(r))
		for i, e := range m.from(handle, off) {
			if len(b)+entrySize+direntLen(e.Name) > size {
				break
			}
			if c := n.names[e.Name]; c != nil {
				b = append(b, c.entry()...)
			} else {
				b = append(b, make([]byte, entrySize)...)
			}
			b = appendDirent(b, e, uint64(off)+uint64(i)+1)
		}
		return b, nil
	case opRename2:
		in, ok := parseRename2(body(r))
		to := m.nodes[in.newDir]
		if !ok || in.flags&^unix.RENAME_NOREPLACE != 0 {
			return nil, syscall.EINVAL
		}
		return nil, m.rename(n, in.oldName, to, in.newName, in.flags != 0)
	}
	return nil, syscall.ENOSYS
}

// open returns a new handle.
func (m *memory) open(n *memNode, flags fuse.OpenFlags) fuse.HandleID {
	m.handle++
	if n.names != nil {
		m.streams[m.handle] = n.list()
	} else if flags&fuse.OpenTruncate != 0 {
		n.resize(0)
	}
	return m.handle
}

// from returns what an open folder has from an offset on.
func (m *memory) from(h fuse.HandleID, off int64) []drive.DirEntry {
	list := m.streams[h]
	return list[min(int(off), len(list)):]
}

// entry is a node as the kernel is told of it, which counts.
func (n *memNode) entry() []byte {
	n.looked++
	return appendEntry(nil, n.id, keep, keep, n.attr)
}

// put gives c a name in the folder.
func (n *memNode) put(name string, c *memNode) []byte {
	n.names[name] = c
	return c.entry()
}

func (m *memory) unlink(dir *memNode, name string) {
	n := dir.names[name]
	delete(dir.names, name)
	n.attr.Nlink--
	if n.names != nil {
		n.attr.Nlink = 0
	}
	m.drop(n)
}

func (m *memory) rename(from *memNode, oldName string, to *memNode, newName string, noReplace bool) error {
	if to.names[newName] != nil {
		if noReplace {
			return os.ErrExist
		}
		m.unlink(to, newName)
	}
	to.names[newName] = from.names[oldName]
	delete(from.names, oldName)
	return nil
}

func (n *memNode) list() []drive.DirEntry {
	list := []drive.DirEntry{{Name: ".", Inode: n.attr.Inode, Type: os.ModeDir}, {Name: "..", Inode: n.attr.Inode, Type: os.ModeDir}}
	for name, c := range n.names {
		list = append(list, drive.DirEntry{Name: name, Inode: c.attr.Inode, Type: c.attr.Mode.Type()})
	}
	slices.SortFunc(list[2:], func(a, b drive.DirEntry) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func (n *memNode) set(s drive.SetAttr) {
	a := &n.attr
	if s.Mode != nil {
		a.Mode = a.Mode.Type() | *s.Mode&^os.ModeType
	}
	for _, f := range []struct{ to, from *uint32 }{{&a.UID, s.UID}, {&a.GID, s.GID}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	for _, f := range []struct{ to, from *time.Time }{{&a.Atime, s.Atime}, {&a.Mtime, s.Mtime}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if s.Size != nil {
		n.resize(*s.Size)
	}
	a.Ctime = time.Now()
}

func (n *memNode) resize(size uint64) {
	if size < n.attr.Size {
		n.blocks = n.blocks[:min(len(n.blocks), int((size+memBlock-1)/memBlock))]
		if at := int(size % memBlock); at > 0 && int(size/memBlock) < len(n.blocks) && n.blocks[size/memBlock] != nil {
			clear(n.blocks[size/memBlock][at:])
		}
	}
	n.attr.Size, n.attr.Blocks = size, (size+511)/512
}

func (n *memNode) read(p []byte, off int64) int {
	size := max(0, min(len(p), int(int64(n.attr.Size)-off)))
	for done := 0; done < size; {
		i, at := int((off+int64(done))/memBlock), int((off+int64(done))%memBlock)
		m := min(size-done, memBlock-at)
		if i < len(n.blocks) && n.blocks[i] != nil {
			k := 0
			if at < len(n.blocks[i]) {
				k = copy(p[done:done+m], n.blocks[i][at:])
			}
			clear(p[done+k : done+m])
		} else {
			clear(p[done : done+m])
		}
		done += m
	}
	return size
}

func (n *memNode) write(p []byte, off int64) {
	end := uint64(off) + uint64(len(p))
	for len(p) > 0 {
		i, at := int(off/memBlock), int(off%memBlock)
		for len(n.blocks) <= i {
			n.blocks = append(n.blocks, nil)
		}
		m := min(len(p), memBlock-at)
		if len(n.blocks[i]) < at+m {
			b := make([]byte, at+m)
			copy(b, n.blocks[i])
			n.blocks[i] = b
		}
		copy(n.blocks[i][at:], p[:m])
		p, off = p[m:], off+int64(m)
	}
	if end > n.attr.Size {
		n.resize(end)
	}
	n.attr.Mtime = time.Now()
}

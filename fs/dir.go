package fs

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"

	"bazil.org/fuse"

	"satchel/fs/drive"
)

// A dirStream is an open folder: the list of its names as of the last read from
// the beginning. An entry's place in the list is its offset, so offsets hold
// while names come and go.
type dirStream struct {
	node *drive.Node
	mu   sync.Mutex
	list []drive.DirEntry
}

// from returns the entries from an offset on; 0 reads the folder anew.
func (s *dirStream) from(ctx context.Context, off int64) ([]drive.DirEntry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if off == 0 || s.list == nil {
		names, err := s.node.ReadDir(ctx)
		if err != nil {
			return nil, err
		}
		s.list = append([]drive.DirEntry{
			{Name: ".", Inode: s.node.Inode(), Type: os.ModeDir},
			{Name: "..", Inode: s.node.Inode(), Type: os.ModeDir},
		}, names...)
	}
	if off < 0 || off > int64(len(s.list)) {
		return nil, syscall.EINVAL
	}
	return s.list[off:], nil
}

// stream returns an open folder.
func (m *Mount) stream(id fuse.HandleID) (*dirStream, error) {
	if s := m.handles.dir(id); s != nil {
		return s, nil
	}
	return nil, syscall.EBADF
}

func (m *Mount) readdir(ctx context.Context, r *fuse.ReadRequest) error {
	s, err := m.stream(r.Handle)
	if err != nil {
		return err
	}
	list, err := s.from(ctx, r.Offset)
	if err != nil {
		return err
	}
	r.Respond(&fuse.ReadResponse{Data: dirents(list, r.Offset, min(r.Size, maxRead))})
	return nil
}

// dirents puts as many entries as fit into size bytes into the kernel's form.
func dirents(list []drive.DirEntry, off int64, size int) []byte {
	b := make([]byte, 0, size)
	for _, e := range list {
		if len(b)+direntLen(e.Name) > size {
			break
		}
		off++
		b = appendDirent(b, e, uint64(off))
	}
	return b
}

// readdirplus is readdir with a look-up of each name, which the kernel counts.
func (m *Mount) readdirplus(ctx context.Context, r *fuse.UnrecognizedRequest) error {
	handle, off, size, ok := parseReaddir(body(r))
	if !ok {
		return syscall.ENOSYS
	}
	s, err := m.stream(handle)
	if err != nil {
		return err
	}
	list, err := s.from(ctx, off)
	if err != nil {
		return err
	}
	answer(&r.Header, m.direntsPlus(ctx, s.node, list, off, min(size, maxRead)))
	return nil
}

// parseReaddir reads the beginning of struct fuse_read_in: handle, offset (8
// bytes each), size (4 bytes).
func parseReaddir(b []byte) (h fuse.HandleID, off int64, size int, ok bool) {
	if len(b) < 20 {
		return 0, 0, 0, false
	}
	return fuse.HandleID(order.Uint64(b)), int64(order.Uint64(b[8:])), int(order.Uint32(b[16:])), true
}

// direntsPlus is dirents with an entry before each name. An entry without a node
// says nothing but that the name is there: so are those that would have to be
// opened first, and all from the first on that can't be looked at now, since each
// might wait as long.
func (m *Mount) direntsPlus(ctx context.Context, dir *drive.Node, list []drive.DirEntry, off int64, size int) []byte {
	b := make([]byte, 0, size)
	plain := m.above[dir]
	for i, e := range list {
		if len(b)+entrySize+direntLen(e.Name) > size {
			break
		}
		var found entry
		if off+int64(i) >= 2 && !plain {
			var err error
			found, err = m.find(ctx, func() (*drive.Node, error) { return dir.Lookup(ctx, e.Name) })
			plain = err != nil && !errors.Is(err, os.ErrNotExist)
		}
		if found.id != 0 {
			b = found.append(b)
		} else {
			b = append(b, make([]byte, entrySize)...)
		}
		b = appendDirent(b, e, uint64(off)+uint64(i)+1)
	}
	return b
}

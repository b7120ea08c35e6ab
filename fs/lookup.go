package fs

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"bazil.org/fuse"

	"satchel/fs/drive"
)

// maxName is how many bytes a name may have.
const maxName = 255

const (
	// keep is how long the kernel may keep names and attributes. It is told of
	// every change from elsewhere, so this only bounds the harm of a lost note.
	keep = time.Minute
	// keepMissing is how long it may keep that a name isn't there. It is short,
	// for a removed file comes back without a note when somebody writes to it.
	keepMissing = time.Second
)

// node returns the node with that number.
func (m *Mount) node(id fuse.NodeID) (*drive.Node, error) {
	if n := m.nodes.node(id); n != nil {
		return n, nil
	}
	return nil, syscall.ESTALE
}

// An entry is a node as the kernel is told of it: counted, with attributes.
type entry struct {
	id   fuse.NodeID
	node *drive.Node
	attr drive.Attr
}

func (e entry) append(b []byte) []byte { return appendEntry(b, e.id, keep, keep, e.attr) }

// find asks get for a node and counts it. get is called again should the kernel
// have forgotten the node meanwhile.
func (m *Mount) find(ctx context.Context, get func() (*drive.Node, error)) (entry, error) {
	for {
		id, n, err := m.count(get)
		if err != nil {
			return entry{}, err
		}
		if id == 0 {
			continue
		}
		a, err := n.Attr(ctx)
		if err != nil {
			m.nodes.forget(id, 1)
			return entry{}, err
		}
		return entry{id, n, a}, nil
	}
}

// count is a step of find; the number is 0 if it has to be done again.
func (m *Mount) count(get func() (*drive.Node, error)) (fuse.NodeID, *drive.Node, error) {
	f := m.nodes.start()
	defer m.nodes.end(f)
	n, err := get()
	if err != nil {
		return 0, nil, err
	}
	return m.nodes.add(f, n), n, nil
}

func (m *Mount) lookup(ctx context.Context, r *fuse.LookupRequest) error {
	if len(r.Name) > maxName {
		return syscall.ENAMETOOLONG
	}
	dir, err := m.node(r.Node)
	if err != nil {
		return err
	}
	e, err := m.find(ctx, func() (*drive.Node, error) { return dir.Lookup(ctx, r.Name) })
	switch {
	case err == nil:
		answer(&r.Header, e.append(nil))
	case errors.Is(err, os.ErrNotExist) && !m.above[dir]:
		answer(&r.Header, appendEntry(nil, 0, keepMissing, 0, drive.Attr{}))
	default:
		return err
	}
	return nil
}

func (m *Mount) forget(r *fuse.ForgetRequest) {
	m.nodes.forget(r.Node, r.N)
	r.Respond()
}

func (m *Mount) batchForget(r *fuse.BatchForgetRequest) {
	for _, i := range r.Forget {
		m.nodes.forget(i.NodeID, i.N)
	}
	r.Respond()
}

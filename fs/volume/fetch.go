package volume

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"satchel/crypto"
	"satchel/fs/tree"
	"satchel/storage/pack"
)

// fetchers is how many nodes are read at once.
const fetchers = 8

// fetchNodes reads, verifies and opens the nodes of refs into the node cache.
func (v *Volume) fetchNodes(ctx context.Context, refs []tree.Ref) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(fetchers)
	for _, ref := range refs {
		g.Go(func() error {
			plain, err := v.segment(ctx, crypto.TypeNode, ref)
			if err != nil {
				return err
			}
			v.cache.put(ref, plain)
			return nil
		})
	}
	return g.Wait()
}

// segment returns the plaintext of a segment from the first copy that verifies.
func (v *Volume) segment(ctx context.Context, typ byte, ref tree.Ref) ([]byte, error) {
	var plain []byte
	err := v.sealed(ctx, ref, 0, int64(ref.Len), func(b []byte) (err error) {
		plain, err = crypto.OpenSegment(typ, ref.Hash, ref.Key, b)
		return err
	})
	if err != nil {
		return nil, err
	}
	return plain, nil
}

// sealed reads n bytes at off of a sealed segment, from this machine or the
// first provider of the pack's owner whose copy passes check. check keeps
// nothing of what it is given.
func (v *Volume) sealed(ctx context.Context, ref tree.Ref, off, n int64, check func([]byte) error) error {
	if !v.opt.Member(ref.Owner) {
		return fmt.Errorf("%s: a reference to a pack of %q, who is no member", v.opt.Label, ref.Owner)
	}
	id := pack.ID(ref.Pack)
	if v.onDisk(id, int64(ref.Off)+off, n, check) {
		return nil
	}
	if ctx.Value(fromDiskKey{}) != nil {
		return errFetch
	}
	from, blame, err := v.opt.Source(ctx, ref.Owner)
	if err != nil {
		return fmt.Errorf("%s: pack %s: %w", v.opt.Label, id, unreadable{err})
	}
	if _, err = v.opt.Packs.Read(ctx, from, id, int64(ref.Off)+off, n, check, blame); err != nil {
		// A pack that nobody has is not a file that isn't there.
		return fmt.Errorf("%s: pack %s of %s: %w", v.opt.Label, id, ref.Owner, unreadable{err})
	}
	return nil
}

// errFetch says that what is wanted is not on this machine.
var errFetch = errors.New("not on this machine")

type fromDiskKey struct{}

// fromDisk returns a context in which reading something that is not on this machine
// is errFetch.
func fromDisk(ctx context.Context) context.Context {
	return context.WithValue(ctx, fromDiskKey{}, true)
}

// Buffers for sealed bytes, which are gone once they are opened.
var (
	smallBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}
	largeBuffers = sync.Pool{New: func() any { b := make([]byte, chunkSize+16<<10); return &b }}
)

// onDisk tells whether bytes of a pack are on this machine and pass check.
func (v *Volume) onDisk(id pack.ID, off, n int64, check func([]byte) error) bool {
	pool := &smallBuffers
	if n > 32<<10 {
		pool = &largeBuffers
	}
	buf := pool.Get().(*[]byte)
	defer pool.Put(buf)
	if n > int64(len(*buf)) {
		return false
	}
	b := (*buf)[:n]
	return v.opt.Packs.ReadInto(id, b, off) == nil && check(b) == nil
}

// unreadable keeps an error's text but not its kind, so that a lost pack is an
// input/output error to whoever reads a file, never "no such file".
type unreadable struct{ err error }

func (u unreadable) Error() string { return u.err.Error() }

func (u unreadable) Is(target error) bool {
	return (target == context.Canceled || target == context.DeadlineExceeded) && errors.Is(u.err, target)
}

// A nodeCache holds decoded nodes by the hash of their sealed form and its key, the least
// recently used leave first.
type nodeCache struct {
	mu    sync.Mutex
	max   int
	size  int
	byRef map[nodeKey]*list.Element
	order list.List // front is newest
}

// A nodeKey has the key too: one sealed form opened with another key must not
// pass for what somebody else's ref means.
type nodeKey struct {
	hash crypto.Hash
	key  [32]byte
}

type cachedNode struct {
	key   nodeKey
	plain []byte
}

func newNodeCache(max int) *nodeCache {
	return &nodeCache{max: max, byRef: make(map[nodeKey]*list.Element)}
}

// load is the tree's Loader: it never reads, it reports what is missing.
func (c *nodeCache) load(ref tree.Ref) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byRef[nodeKey{ref.Hash, ref.Key}]
	if e == nil {
		return nil, &tree.Missing{Refs: []tree.Ref{ref}}
	}
	c.order.MoveToFront(e)
	return e.Value.(*cachedNode).plain, nil
}

func (c *nodeCache) put(ref tree.Ref, plain []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := nodeKey{ref.Hash, ref.Key}
	if _, ok := c.byRef[k]; ok {
		return
	}
	c.byRef[k] = c.order.PushFront(&cachedNode{k, plain})
	c.size += len(plain)
	// The newest stay whatever their size, so that an operation that needs
	// more than the cache holds still gets on.
	for c.size > c.max && c.order.Len() > 1024 {
		old := c.order.Remove(c.order.Back()).(*cachedNode)
		delete(c.byRef, old.key)
		c.size -= len(old.plain)
	}
}

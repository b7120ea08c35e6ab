package volume

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"satchel/crypto"
	"satchel/fs/tree"
)

// A Segment is something stored that a part of the tree needs: a chunk or a node.
type Segment struct {
	Ref  tree.Ref
	Node bool
}

// A Snapshot is the volume's tree as of the last commit and the newest merged
// heads: what a restart would find. It shares nothing with the volume but its
// caches, and is for one goroutine.
type Snapshot struct {
	v    *Volume
	tree *tree.Tree
	read map[tree.Ref]bool // nodes
}

// Stamp says what a snapshot would show: it is another one after each commit
// and each merge.
func (v *Volume) Stamp() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%d %x", v.last.Seq, v.last.Digest[:8])
	for _, h := range sortedHeads(v.heads) {
		fmt.Fprintf(&b, " %d %x", h.Seq, h.Digest[:8])
	}
	return b.String()
}

func sortedHeads(heads map[crypto.DeviceID]tree.Head) []tree.Head {
	list := slices.Collect(maps.Values(heads))
	slices.SortFunc(list, func(a, b tree.Head) int { return slices.Compare(a.Writer[:], b.Writer[:]) })
	return list
}

// Snapshot returns the tree of now. Nodes that are not on this machine are
// fetched, now and by what is called later.
func (v *Volume) Snapshot(ctx context.Context) (*Snapshot, error) {
	v.mu.Lock()
	last, heads := v.last, sortedHeads(v.heads)
	v.mu.Unlock()
	s := &Snapshot{v: v, read: make(map[tree.Ref]bool)}
	if last.Seq == 0 {
		s.tree = tree.New(v.opt.Self, v.opt.Name, s.load)
	} else {
		merged := maps.Clone(last.Vector)
		merged[v.opt.Self] = tree.VectorEntry{Name: v.opt.Name, Seq: last.Seq, Head: last.Head}
		err := s.do(ctx, func() (err error) {
			s.tree, err = tree.Load(v.opt.Self, v.opt.Name, merged, last.Root, last.Digest, s.load)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	for _, h := range heads {
		if last.Vector[h.Writer].Seq >= h.Seq {
			continue
		}
		if err := s.do(ctx, func() error { _, err := s.tree.Join(h, s.load); return err }); err != nil {
			return nil, fmt.Errorf("head %d of %s in %s: %w", h.Seq, h.Name, v.opt.Label, err)
		}
	}
	return s, nil
}

// load is the tree's Loader, which notes what was read.
func (s *Snapshot) load(ref tree.Ref) ([]byte, error) {
	s.read[ref] = true
	return s.v.cache.load(ref)
}

// do runs f until no node is missing.
func (s *Snapshot) do(ctx context.Context, f func() error) error {
	for {
		if err := s.v.resolve(ctx, f()); err != errAgain {
			return err
		}
	}
}

// Find returns what stands at a path below the volume's folder; "" is the folder.
func (s *Snapshot) Find(ctx context.Context, path string) (info tree.Info, err error) {
	info.Kind = tree.Dir
	for name := range strings.SplitSeq(path, "/") {
		if name == "" {
			continue
		}
		dir := info.ID
		err := s.do(ctx, func() (err error) { info, err = s.tree.Lookup(dir, name); return err })
		if err != nil {
			return info, err
		}
	}
	return info, nil
}

// Files calls f for each entry at and below info, folders before what is in them,
// with the chunks of its content.
func (s *Snapshot) Files(ctx context.Context, info tree.Info, f func(tree.Info, []tree.Ref)) error {
	var refs []tree.Ref
	err := s.do(ctx, func() error {
		refs = refs[:0]
		return info.Content.EachRef(s.load, func(r tree.Ref) error { refs = append(refs, r); return nil })
	})
	if err != nil {
		return err
	}
	refs = slices.DeleteFunc(refs, func(r tree.Ref) bool { return s.read[r] })
	f(info, refs)
	if info.Kind != tree.Dir {
		return nil
	}
	var list []tree.Info
	if err := s.do(ctx, func() (err error) { list, err = s.tree.List(info.ID); return err }); err != nil {
		return err
	}
	for _, i := range list {
		if err := s.Files(ctx, i, f); err != nil {
			return err
		}
	}
	return nil
}

// Nodes returns the nodes that were read so far.
func (s *Snapshot) Nodes() []tree.Ref { return slices.Collect(maps.Keys(s.read)) }

// Fetch sees to it that a segment is on this machine, verified.
func (v *Volume) Fetch(ctx context.Context, s Segment) error {
	typ := byte(crypto.TypeChunk)
	if s.Node {
		typ = crypto.TypeNode
	}
	_, err := v.segment(ctx, typ, s.Ref)
	return err
}

package volume

import (
	"fmt"

	"satchel/crypto"
	"satchel/fs/tree"
	"satchel/storage/pack"
)

// A sink puts the nodes of one commit into packs of their own.
type sink struct {
	v      *Volume
	w      *pack.Writer
	closed []pack.ID
}

// Node implements tree.Sink.
func (s *sink) Node(encode func(local func(tree.Ref) tree.Ref) ([]byte, error)) (tree.Ref, error) {
	if s.w != nil && s.w.Size() >= packSize {
		if err := s.close(); err != nil {
			return tree.Ref{}, err
		}
	}
	if s.w == nil {
		w, err := s.v.opt.Packs.Create()
		if err != nil {
			return tree.Ref{}, err
		}
		s.w = w
	}
	var open bool
	plain, err := encode(func(r tree.Ref) tree.Ref {
		if r == (tree.Ref{}) {
			return r
		}
		id, closed := s.v.opt.Packs.Resolve(pack.ID(r.Pack))
		switch {
		case pack.ID(r.Pack) == s.w.ID():
			r.Pack = [32]byte{}
		case closed:
			r.Pack = [32]byte(id)
		default:
			open = true
		}
		return r
	})
	if err != nil {
		return tree.Ref{}, err
	}
	if open {
		return tree.Ref{}, errMore // something was sealed since the packs were closed
	}
	sealed, hash, key, err := crypto.SealSegment(crypto.TypeNode, plain, true)
	if err != nil {
		return tree.Ref{}, fmt.Errorf("seal: %w", err)
	}
	off, err := s.w.Append(sealed)
	if err != nil {
		return tree.Ref{}, err
	}
	ref := tree.Ref{Owner: s.v.opt.Name, Pack: [32]byte(s.w.ID()), Off: uint32(off), Len: uint32(len(sealed)), Hash: hash, Key: key}
	s.v.cache.put(ref, plain)
	return ref, nil
}

// close closes the pack of nodes; after an error it can be called again.
func (s *sink) close() error {
	if s.w == nil {
		return nil
	}
	id, err := s.w.Close()
	if err != nil {
		return fmt.Errorf("%s: pack: %w", s.v.opt.Label, err)
	}
	s.closed = append(s.closed, id)
	s.w = nil
	return nil
}

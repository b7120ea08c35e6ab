package tree

import (
	"fmt"

	"satchel/crypto"
)

// A Ref says where a sealed segment is, what it must hash to and how to open
// it. The zero Ref is a hole: nothing but zeros.
type Ref struct {
	Owner string   // the name whose pack it is in
	Pack  [32]byte // inside one process this may be a pack that is still open
	Off   uint32
	Len   uint32 // of the sealed bytes
	Hash  crypto.Hash
	Key   [32]byte
}

// IsZero tells whether r is a hole.
func (r Ref) IsZero() bool { return r == Ref{} }

// same tells whether r and s open to the same bytes, wherever these are.
func (r Ref) same(s Ref) bool { return r.Hash == s.Hash && r.Key == s.Key }

// A Loader returns a node's plaintext from memory. If the node must be fetched
// first the error is a *Missing. The bytes must not be changed afterwards.
type Loader func(Ref) ([]byte, error)

// Missing reports nodes that must be fetched before an operation can be done.
// The operation changed nothing: fetch them and call it again.
type Missing struct {
	Refs []Ref // all that could be found out in one pass
}

func (m *Missing) Error() string {
	return fmt.Sprintf("%d nodes of the tree are not in memory", len(m.Refs))
}

// A Sink takes new nodes. It decides for a pack, then calls encode with a
// function that says how a ref is to be written there: with the zero Pack if
// it is in that very pack, with the pack's real id otherwise. Node returns
// where the node can be found.
type Sink interface {
	Node(encode func(local func(Ref) Ref) ([]byte, error)) (Ref, error)
}

package proof

import (
	"bytes"
	"context"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/ops"
)

// A Question asks what happened to a name at a height.
type Question struct {
	Name   chain.Name
	Height int
	// Trust is the consensus hash that is trusted, of the height or a later one.
	Trust Hash
	// Tx is asked instead of Trust if it isn't nil: a transaction whose sender
	// is trusted, a preorder or transfer, which quote a consensus hash.
	Tx *chainhash.Hash
}

// An Answer is what was proven.
type Answer struct {
	Name        chain.Name `json:"name"`
	Height      int        `json:"height"`
	Operations  []Record   `json:"operations"` // on the name in that block, in order; none if nothing happened
	Consensus   Hash       `json:"consensus"`  // of that height
	Trust       Hash       `json:"trust"`
	TrustHeight int        `json:"trust_height"`
	Requests    int        `json:"requests"` // that it took
}

// Verify has an untrusted server prove what happened to a name. The rules say
// which registry it is. If the server lies, or its answers make no sense, the
// error is ErrForged.
func Verify(ctx context.Context, c *Client, p *chain.Params, q Question) (*Answer, error) {
	v := &verifier{c: c, first: p.FirstBlock, magic: p.Magic}
	before := c.requests
	a, err := v.answer(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("verify %s at block %d: %w", q.Name, q.Height, err)
	}
	a.Requests = c.requests - before
	return a, nil
}

type verifier struct {
	c     *Client
	first int
	magic [2]byte
}

// A node is a place of the walk.
type node struct {
	hash   Hash
	height int
}

func (v *verifier) answer(ctx context.Context, q Question) (*Answer, error) {
	if q.Height < v.first {
		return nil, fmt.Errorf("names begin at block %d", v.first)
	}
	root, err := v.root(ctx, q)
	if err != nil {
		return nil, err
	}
	if root.height < q.Height {
		return nil, fmt.Errorf("the trusted hash is that of block %d: it says nothing about a later one", root.height)
	}
	at, s, err := v.walk(ctx, root, q.Height)
	if err != nil {
		return nil, err
	}
	records, err := v.records(ctx, q.Height, s.Ops)
	if err != nil {
		return nil, err
	}
	if err := v.walkDown(ctx, at, s, records); err != nil {
		return nil, err
	}
	list, err := recordsOf(records, q.Name)
	if err != nil {
		return nil, err
	}
	return &Answer{Name: q.Name, Height: q.Height, Operations: list, Consensus: at.hash, Trust: root.hash, TrustHeight: root.height}, nil
}

// root returns the trusted hash with the height that the server claims for it.
func (v *verifier) root(ctx context.Context, q Question) (node, error) {
	n := node{hash: q.Trust}
	if q.Tx != nil {
		raw, err := v.c.tx(ctx, *q.Tx)
		if err != nil {
			return n, err
		}
		if n.hash, err = quoted(raw, *q.Tx, v.magic); err != nil {
			return n, err
		}
	}
	height, err := v.c.height(ctx, n.hash)
	if err != nil {
		return n, err
	}
	if height < v.first {
		return n, fmt.Errorf("%w: consensus hash %x can't be that of block %d", ErrForged, n.hash, height)
	}
	n.height = height
	return n, nil
}

// quoted returns the consensus hash that a transaction quotes in clear.
func quoted(raw []byte, txid chainhash.Hash, magic [2]byte) (Hash, error) {
	var tx wire.MsgTx
	r := bytes.NewReader(raw)
	if err := tx.Deserialize(r); err != nil || r.Len() > 0 || tx.TxHash() != txid {
		return Hash{}, fmt.Errorf("%w: it is not transaction %v", ErrForged, txid)
	}
	if t, ok := ops.Read(magic, &tx); ok {
		switch op := t.Op.(type) {
		case ops.NamePreorder:
			return op.Consensus, nil
		case ops.NamespacePreorder:
			return op.Consensus, nil
		case ops.Transfer:
			return op.Consensus, nil
		}
	}
	return Hash{}, fmt.Errorf("transaction %v quotes no consensus hash: it has to be a preorder or a transfer of this registry", txid)
}

// walk goes from a node to the one at a lower height, or the same, and returns
// that and its step.
func (v *verifier) walk(ctx context.Context, n node, to int) (node, *step, error) {
	for {
		s, err := v.c.step(ctx, n.height)
		if err != nil {
			return n, nil, err
		}
		if err := s.check(n.hash, n.height, v.first); err != nil {
			return n, nil, err
		}
		if n.height == to {
			return n, s, nil
		}
		n = s.jump(n, to, v.first)
	}
}

// jump returns the node to which the longest jump leads that doesn't pass a
// height.
func (s *step) jump(n node, to, first int) node {
	next := n
	for i, j := range jumps(n.height, first) {
		if n.height-j >= to {
			next = node{s.Earlier[i], n.height - j}
		}
	}
	return next
}

// walkDown proves the heights: it goes on to the first block, and checks that it
// is the first.
func (v *verifier) walkDown(ctx context.Context, n node, s *step, records []string) error {
	if n.height == v.first {
		return nil // no earlier hashes, and its records are checked
	}
	_, last, err := v.walk(ctx, s.jump(n, v.first, v.first), v.first)
	if err == nil {
		_, err = v.records(ctx, v.first, last.Ops)
	}
	return err
}

// records returns all operations of a block with that ops hash.
func (v *verifier) records(ctx context.Context, height int, ops OpsHash) ([]string, error) {
	records, err := v.c.records(ctx, height)
	if err == nil {
		err = checkRecords(records, ops, height)
	}
	return records, err
}

package chain

import (
	"encoding/hex"

	"satchel/chain/ops"
)

// rules applies the operations of one block to the state as of the block
// before.
//
// Look-ups are made "as of the last block": a name registered in this block
// can't be used in it, nor can a namespace revealed in it. But a preorder, and
// a namespace that became ready, are visible at once, and so are changes to a
// name that was there before.
type rules struct {
	p      *Params
	s      *state
	height int
	window [][16]byte // consensus hashes that can be quoted, newest first

	collided   map[string]bool     // names with a dot, namespace ids without
	preordered map[preorderID]bool // in this block
	registered map[string]int      // in this block, by owner
	holdings   map[string]*holding // as of now, by owner; nil if they aren't kept
}

// preorderID tells preorders apart.
type preorderID struct {
	kind byte
	hash [20]byte
}

// newRules returns the rules for the state's block.
func newRules(p *Params, s *state) *rules {
	return &rules{
		p: p, s: s, height: s.height, window: s.window(p),
		collided:   make(map[string]bool),
		preordered: make(map[preorderID]bool),
		registered: make(map[string]int),
		holdings:   make(map[string]*holding),
	}
}

// applyBlock checks the operations in the order of the block, commits the ones
// that are acceptable and returns their serialised forms, in that order, with
// "" for each rejected one or one that the consensus hash does not cover.
func applyBlock(p *Params, s *state, txs []*ops.Tx) []string {
	r := newRules(p, s)
	r.findCollisions(txs)
	records := make([]string, len(txs))
	for i, t := range txs {
		if commit := r.accept(t); commit != nil {
			records[i] = commit()
		}
	}
	return records
}

// window returns the consensus hashes of the last heights, newest first.
func (s *state) window(p *Params) (hashes [][16]byte) {
	for h := s.height - 1; h >= s.height-p.Window; h-- {
		if h < p.FirstBlock { // below it there is but one hash
			hashes = append(hashes, p.Genesis)
		} else {
			hashes = append(hashes, s.consensus(h))
		}
	}
	return hashes
}

// genesisBlocks is how many heights before the first one have Params.Genesis
// as consensus hash.
const genesisBlocks = 4

// findCollisions marks each name that two acceptable operations of the block
// register, and each namespace that two reveal: nobody gets it. Nothing is
// committed yet, so an operation that needs an earlier one of the block does not
// count here; but registrations fill up their recipient's quota as they will.
func (r *rules) findCollisions(txs []*ops.Tx) {
	if !claimedTwice(txs) {
		return
	}
	seen := make(map[string]int)
	for _, t := range txs {
		switch op := t.Op.(type) {
		case ops.Registration:
			if r.isRegistered(r.s.name(op.Name), r.height-1) || r.accept(t) == nil {
				continue // a renewal, which does not collide, or nothing
			}
			seen[op.Name]++
			r.registered[string(t.Recipient)]++
		case ops.NamespaceReveal:
			if r.accept(t) != nil {
				seen[op.ID]++
			}
		}
	}
	for n, count := range seen {
		r.collided[n] = count > 1
	}
	clear(r.registered)
}

// claimedTwice says if any name or namespace id is in two operations that could
// collide; in nearly all blocks none is.
func claimedTwice(txs []*ops.Tx) bool {
	claimed := make(map[string]bool)
	for _, t := range txs {
		subject := ""
		switch op := t.Op.(type) {
		case ops.Registration:
			subject = op.Name
		case ops.NamespaceReveal:
			subject = op.ID
		}
		if subject != "" && claimed[subject] {
			return true
		}
		claimed[subject] = true
	}
	return false
}

// accept returns what commits an operation and serialises it, nil if the
// operation is not acceptable. It changes nothing itself.
func (r *rules) accept(t *ops.Tx) (commit func() string) {
	if r.p.address(t.Sender) == "" {
		return nil // segwit and other scripts own nothing in these epochs
	}
	switch op := t.Op.(type) {
	case ops.NamePreorder:
		return r.preorderName(t, op)
	case ops.Registration:
		return r.register(t, op)
	case ops.Update:
		return r.update(t, op)
	case ops.Transfer:
		return r.transfer(t, op)
	case ops.Revoke:
		return r.revoke(t, op)
	case ops.Import:
		return r.importName(t, op)
	case ops.NamespacePreorder:
		return r.preorderNamespace(t, op)
	case ops.NamespaceReveal:
		return r.reveal(t, op)
	case ops.NamespaceReady:
		return r.ready(t, op)
	}
	return nil // an announcement changes nothing
}

// expired says if a name has expired at a height. One that is not there yet
// counts as expired.
func (r *rules) expired(e *entry, height int) bool { return r.over(e, height, 0) }

// gone says if a name has expired and nobody can renew it any more.
func (r *rules) gone(e *entry, height int) bool {
	return r.over(e, height, r.p.epoch(height).Grace)
}

// over says if a name's time and some more blocks have passed at a height.
func (r *rules) over(e *entry, height, more int) bool {
	ns := r.s.namespace(Name(e.Name).Namespace())
	if ns == nil || e.FirstRegistered > height {
		return true
	}
	if ns.Ready == 0 {
		return !r.revealed(ns, height)
	}
	life := r.p.lifetime(ns, height) + more
	return ns.Ready+life <= height && e.LastRenewed+life < height
}

// isRegistered says if a name is somebody's at a height: not gone, not revoked.
func (r *rules) isRegistered(e *entry, height int) bool {
	return e != nil && !e.Revoked && !r.gone(e, height)
}

// revealed says if a namespace is revealed at a height and neither ready nor
// too late to become so.
func (r *rules) revealed(ns *namespace, height int) bool {
	return ns != nil && ns.Ready == 0 && ns.Revealed <= height && height < ns.Revealed+r.p.RevealExpiry
}

// recent says if a consensus hash can be quoted now.
func (r *rules) recent(c [16]byte) bool {
	for _, w := range r.window {
		if w == c {
			return true
		}
	}
	return false
}

// outstanding returns the preorder with that hash which nothing was made from
// yet, nil if there is none.
func (r *rules) outstanding(kind byte, hash [20]byte) *preorder {
	p := r.s.preorder(kind, hash)
	if p == nil || r.p.PreorderExpiry > 0 && p.Height+r.p.PreorderExpiry < r.height {
		return nil
	}
	made := r.s.madeFrom(kind, hash)
	if made == "" {
		return p
	}
	if kind == '?' {
		if e := r.s.name(made); e != nil && e.PreorderHash == hash && !r.gone(e, r.height-1) {
			return nil
		}
		return p
	}
	ns := r.s.namespace(made)
	if ns != nil && ns.PreorderHash == hash && (ns.Ready > 0 || r.revealed(ns, r.height-1)) {
		return nil
	}
	return p
}

// preorder is what preorders of names and namespaces have in common.
func (r *rules) preorder(t *ops.Tx, kind byte, hash [20]byte, c [16]byte) *preorder {
	if !t.HasFee || !r.recent(c) || r.preordered[preorderID{kind, hash}] || r.outstanding(kind, hash) != nil {
		return nil
	}
	return &preorder{
		Hash: hash, Kind: kind, Consensus: c,
		Sender: t.Sender, SenderKey: t.SenderKey, Address: r.p.address(t.Sender),
		Height: r.height, Fee: t.Fee, Txid: t.Txid, Index: t.Index,
	}
}

func (r *rules) putPreorder(p *preorder) {
	r.preordered[preorderID{p.Kind, p.Hash}] = true
	r.s.putPreorder(p)
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

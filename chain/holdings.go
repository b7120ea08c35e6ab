package chain

import "satchel/chain/ops"

// holding is the names that a script owns and that are somebody's as of the last
// block. It is made once in a block and then kept up: somebody with very many names,
// who need not even be alive, could else make each operation of a block take long.
type holding struct {
	names  map[string]bool
	byHash map[[16]byte]string // ops.Hash128; nil until somebody asks
}

// rememberedNames is of how many names of an owner the entries stay in memory,
// because an operation is likely to be about one of them.
const rememberedNames = 25

// owned returns the names that a script owns as of the last block.
func (r *rules) owned(script []byte) *holding {
	if h := r.holdings[string(script)]; h != nil {
		return h
	}
	h := &holding{names: make(map[string]bool)}
	for i, n := range r.s.ownedNames(script) {
		e := r.s.name
		if i >= rememberedNames {
			e = r.s.nameOnce
		}
		if r.isRegistered(e(n), r.height-1) {
			h.names[n] = true
		}
	}
	if r.holdings != nil {
		r.holdings[string(script)] = h
	}
	return h
}

// putName writes an entry, and keeps up what was asked of its owners.
func (r *rules) putName(e *entry) {
	was := r.s.putName(e)
	r.holdings[string(was)].remove(e.Name)
	if h := r.holdings[string(e.Owner)]; h != nil && r.isRegistered(e, r.height-1) {
		h.add(e.Name)
	}
}

func (h *holding) remove(name string) {
	if h == nil {
		return
	}
	delete(h.names, name)
	if h.byHash != nil {
		delete(h.byHash, ops.Hash128(name))
	}
}

func (h *holding) add(name string) {
	h.names[name] = true
	if h.byHash != nil {
		h.byHash[ops.Hash128(name)] = name
	}
}

// find returns the name that has a hash, "" if there is none.
func (h *holding) find(hash [16]byte) string {
	if h.byHash == nil {
		h.byHash = make(map[[16]byte]string, len(h.names))
		for n := range h.names {
			h.byHash[ops.Hash128(n)] = n
		}
	}
	return h.byHash[hash]
}

// full says if a script is at the quota.
func (r *rules) full(script []byte) bool {
	return len(r.owned(script).names)+r.registered[string(script)] >= r.p.Quota
}

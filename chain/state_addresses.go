package chain

import (
	"hash/maphash"
	"sync/atomic"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"satchel/chain/ops"
)

// An addressCache remembers addresses of scripts: the rules ask for the same few
// again and again, and base 58 is slow. It is safe for concurrent use.
type addressCache struct {
	seen [1024]atomic.Pointer[scriptAddress]
}

type scriptAddress struct {
	script  string
	chain   *chaincfg.Params
	address string
}

var addressSeed = maphash.MakeSeed()

// of returns ops.Address. It remembers nothing if a is nil.
func (a *addressCache) of(script []byte, c *chaincfg.Params) string {
	if a == nil || !ops.IsPubKeyHash(script) && !ops.IsScriptHash(script) {
		return ops.Address(script, c)
	}
	slot := &a.seen[maphash.Bytes(addressSeed, script)%uint64(len(a.seen))]
	if s := slot.Load(); s != nil && s.script == string(script) && s.chain == c {
		return s.address
	}
	s := &scriptAddress{string(script), c, ops.Address(script, c)}
	slot.Store(s)
	return s.address
}

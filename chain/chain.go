// Package chain reads name registrations from Bitcoin blocks and keeps the
// table of names that follows from them.
//
// A Follower asks a bitcoin.Source for headers and blocks, believes it
// nothing, and hands each block's operations to an Index, which applies them
// by the rules of its Params. Whoever reads the same blocks by the same rules
// gets the same table, and the same consensus hash at each height.
//
// The rules are in rules.go (what a block does), names.go, namespaces.go (what
// each operation demands and changes), params.go (the numbers in which rule
// sets differ) and consensus.go (the hash). They know no clock, disk or
// network: they see the state as of the last block and this block's operations.
package chain

import (
	"fmt"
	"os"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// ErrUnknownName reports a name that nobody has registered.
var ErrUnknownName = fmt.Errorf("unknown name: %w", os.ErrNotExist)

// A Record is what the registry knows about a name.
type Record struct {
	Name            Name
	Owner           []byte // script
	Address         string // of Owner
	ValueHash       [20]byte
	HasValue        bool
	FirstRegistered int // height; a registration after expiry counts anew
	LastRenewed     int
	BlockNumber     int            // height at which it was first ever preordered or imported
	Expires         int            // first height at which it is expired; 0 never
	Revoked         bool           // until it expires
	Expired         bool           // as of the index's tip
	Txid            chainhash.Hash // of the last operation
	Op              string         // the last operation: ":" "::" "+" ">>" ">~" "~" ";"
}

// A Namespace is what the registry knows about a namespace.
type Namespace struct {
	ID       string
	Owner    []byte // script of its revealer
	Ready    bool   // names can be registered
	Expired  bool   // it was not made ready in time
	Reveal   int    // height
	Lifetime int    // of a name, in blocks; 0 for ever
}

// A Change tells what one move of the index did. A name that expires because
// time goes on is in no Change.
type Change struct {
	Height int // of the tip now
	Hash   chainhash.Hash
	Names  []Name // whose record changed, came or went, sorted
	Reorg  bool   // blocks were undone
}

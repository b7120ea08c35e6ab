// Package chain reads name registrations from Bitcoin blocks and keeps the
// table of names that follows from them. Whoever reads the same blocks by the
// same rules gets the same table, and can prove what is in it.
//
// # Operations
//
// An operation is a transaction with an OP_RETURN output; package ops has the
// bytes. Its sender is the script, p2pkh or p2sh, of the output that its input
// 0 spends; its recipient the script of its first other output. A fee is burnt:
// paid to an address to which nobody has the key. The rules accept an operation
// or pass over it, by what the accepted ones before it made:
//
//	namespace preorder  hides a namespace id in a hash, pays for it
//	namespace reveal    shows the id, and how long its names last and what they cost
//	import              the revealer gives out a name before anybody can register
//	namespace ready     the revealer opens the namespace to everybody
//	preorder            hides a name and its owner in a hash, pays for it
//	registration        shows the name; the recipient owns it
//	renewal             the owner pays again; on the wire it is a registration
//	update              the owner sets the name's value, the hash of its zone file
//	transfer            the owner makes the recipient the owner
//	revoke              the owner ends the name before its time
//	announcement        changes nothing
//
// Preorders keep a name secret until it is safe: a registration counts only if
// its sender preordered that name for that recipient before. They, updates and
// transfers quote a consensus hash of the last 24 blocks, so that they are void
// on another fork and for who keeps another table.
//
// # Life of a name
//
//	          preorder              registration
//	nobody's ---------> preordered ------------->+-------+---+ update, transfer,
//	  ^ | import, until the namespace is ready   | owned |   | renewal, import
//	  | +--------------------------------------->+-------+<--+
//	  |                                            |   | revoke
//	  |               its time is over             |   v
//	  +<-------------------------------------------+  revoked
//	  +<-------------------------------------------------+
//
// The time of a name is its namespace's lifetime, times a factor of the epoch,
// from its registration, its last renewal or the block that made the namespace
// ready, whichever is last. Nothing marks its end in the chain: it is computed
// whenever somebody asks. A record stays, expired, until the name is registered
// anew. An owner has 25 names at most, but for imported ones.
//
// # A block
//
// The rules are a function of the table as of the last block and the operations
// of this one, in order; they know no clock, disk or network. First every
// registration and reveal is checked without effect: of two acceptable ones of
// the same name or namespace neither counts. Then each operation is checked and,
// if acceptable, takes effect before the next. But a name that is registered
// and a namespace that is revealed in this block are not there before the next
// one, while preorders, a namespace's becoming ready and changes of older names
// show at once. Records, undo data, hashes and the new tip are one transaction
// of the database. A block that leaves the best chain is undone the same way.
//
// # Consensus hash
//
// Each accepted operation leaves a line of text, the record as it is now. The
// ops hash of a block is a merkle root over the sorted hashes of its lines; its
// consensus hash covers that and the consensus hashes of 1, 3, 7, 15, … blocks
// before. So equal hashes mean equal tables since the first block, and a record
// of any age is proven by a logarithmic number of hashes. What is in no line is
// in no hash: rejected operations and what merely follows, such as expiry.
//
// # Rules
//
// Params are the numbers in which rule sets differ, the stretches of heights
// with rules of their own (Epoch) and the defects that a set keeps. There are
// two sets for one code. Blockstack follows blockstack-core 0.14.2, quirks
// included, so that recorded runs give the recorded hashes; what later releases
// changed from height 488501 of mainnet on it does not know. Satchel, for fresh
// chains, mends: only p2pkh reveals a namespace, a preorder is void after 144
// blocks, and an owner of 25 names can renew.
//
// # Trust
//
// A source of blocks is believed nothing. Headers must have the work and follow
// from the genesis block, a block must hash to its header, and a transaction
// that an operation spends must hash to the txid that its input names: only it
// tells the sender, and a signature script alone can be forged. Signatures
// themselves the miners have checked. What is left to a source is to withhold.
// Zone files come from anywhere, by the hash that is the name's value.
//
// # Where things are
//
//	ops              operations: wire format, both ways
//	rules.go         what a block does; look-ups as of the last one
//	names.go         what each operation on names demands and changes
//	namespaces.go    the same for namespaces, and imports
//	params.go        rule sets, epochs, lifetimes; price.go what names cost
//	holdings.go      what an owner has while a block is applied
//	consensus.go     lines, ops hash, consensus hash
//	state*.go        the table while a block is applied, and its rows
//	connect*.go      a block in, a block out, in one transaction
//	index*.go        the database; lookup.go, history.go what can be asked
//	follower.go      fetch.go, step.go: from a source to the index
//	bitcoin          sources, headers, verified blocks
//	proof            what happened to a name, from a server nobody has to believe
//	registrar        the owner's side: sends operations and waits for them
//
// To follow one block, read Follower.Sync, Index.connectBatch, applyBlock, then the
// operation in names.go.
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

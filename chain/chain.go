// Package chain reads name registrations from Bitcoin blocks.
package chain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"

	"satchel/chain/bitcoin"
)

// A Name is a registered name such as "alice.id". It has its own type so that
// a path or a key cannot be passed for one.
type Name string

// ErrUnknownName reports a name that nobody has registered.
var ErrUnknownName = fmt.Errorf("unknown name: %w", os.ErrNotExist)

// ParseName checks that s is a name.
func ParseName(s string) (Name, error) { return Name(s), nil }

// Label returns what stands before the dot.
func (n Name) Label() string { return "" }

// Namespace returns what stands behind the dot.
func (n Name) Namespace() string { return "" }

// A Record is what the registry knows about a name.
type Record struct {
	Name            Name
	Owner           []byte // script
	Address         string // of Owner
	ValueHash       [20]byte
	HasValue        bool
	FirstRegistered int // height; a registration after expiry counts anew
	LastRenewed     int
	BlockNumber     int // height at which it was first ever preordered
	Expires         int // first height at which it is expired; 0 never
	Revoked         bool
	Expired         bool           // as of the index's tip
	Txid            chainhash.Hash // last operation
	Op              string         // last operation: ":" "::" "+" ">>" ">~" "~" ";"
}

// Params is a rule set for one chain.
type Params struct {
	Chain         *chaincfg.Params
	Magic         [2]byte
	FirstBlock    int
	Confirmations int
}

// Satchel returns the rules of fresh chains.
func Satchel(c *chaincfg.Params, firstBlock int) *Params {
	return &Params{Chain: c, Magic: [2]byte{'s', 'a'}, FirstBlock: firstBlock}
}

// Network identifies chain and rules: magic, then the first 8 bytes of the
// genesis hash in wire order.
func (p *Params) Network() (n [10]byte) {
	copy(n[:2], p.Magic[:])
	copy(n[2:], p.Chain.GenesisHash[:8])
	return n
}

// An Index is the registry's table as of one block.
type Index struct{ p *Params }

var errTodo = errors.New("todo")

// OpenIndex opens or creates the index in dir.
func OpenIndex(dir string, p *Params) (*Index, error) { return nil, errTodo }

// Close releases the index.
func (ix *Index) Close() error { return nil }

// Params returns the rules of the index.
func (ix *Index) Params() *Params { return ix.p }

// Network is that of the index's Params.
func (ix *Index) Network() [10]byte { return ix.p.Network() }

// Tip returns the last block applied.
func (ix *Index) Tip() (height int, hash chainhash.Hash) { return 0, chainhash.Hash{} }

// Lookup returns the record of a name; ErrUnknownName if there is none.
// Expired and revoked ones come back with the flag set.
func (ix *Index) Lookup(n Name) (Record, error) { return Record{}, ErrUnknownName }

// HasValue says if a name that is neither expired nor revoked has that value.
func (ix *Index) HasValue(hash [20]byte) bool { return false }

// ConsensusHash returns the consensus hash of a height from FirstBlock-4 to
// the tip.
func (ix *Index) ConsensusHash(height int) ([16]byte, error) { return [16]byte{}, errTodo }

// Namespace returns the rules of a namespace that is revealed or ready.
func (ix *Index) Namespace(id string) (Namespace, error) { return Namespace{}, errTodo }

// Preordered returns the height of the outstanding preorder with that hash.
func (ix *Index) Preordered(hash [20]byte) (height int, ok bool) { return 0, false }

// NamesOf returns the names that a script owns, expired and revoked ones left out.
func (ix *Index) NamesOf(owner []byte) ([]Name, error) { return nil, errTodo }

// Price returns what a preorder or renewal of the name costs in satoshi, now.
func (ix *Index) Price(n Name) (int64, error) { return 0, errTodo }

// NamespacePrice returns what a preorder of a namespace costs in satoshi, now.
func (ix *Index) NamespacePrice(id string) (int64, error) { return 0, errTodo }

// A Namespace is what the registry knows about a namespace.
type Namespace struct {
	ID      string
	Ready   bool
	Expired bool
}

// A Change tells what one move of the index did.
type Change struct {
	Height int
	Hash   chainhash.Hash
	Names  []Name // whose record changed, sorted
	Reorg  bool   // blocks were undone
}

// FollowerOptions are the options of a Follower.
type FollowerOptions struct {
	Log  *slog.Logger  // nil: slog.Default
	Poll time.Duration // between questions for headers; 0: 30 s
}

// Status tells how a Follower is doing.
type Status struct {
	Height int            `json:"height"` // applied
	Hash   chainhash.Hash `json:"hash"`
	Best   int            `json:"best"` // of the best chain of verified headers
	Reorgs int            `json:"reorgs"`
	Err    error          `json:"-"`     // why the last round failed; nil when it went well
	Since  time.Time      `json:"since"` // of the last round that went well
}

// A Follower keeps an index at the tip of a source's chain.
type Follower struct{}

// NewFollower returns a follower; Run or Sync starts it.
func NewFollower(src bitcoin.Source, ix *Index, o FollowerOptions) *Follower { return &Follower{} }

// Run follows until ctx ends and then returns its error.
func (f *Follower) Run(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// Sync returns when the tip that the source has now is applied.
func (f *Follower) Sync(ctx context.Context) error { return errTodo }

// Changed returns a channel that is closed when the index next moves. Take
// the channel first, then look at the index, then wait.
func (f *Follower) Changed() <-chan struct{} { return nil }

// Subscribe has fn called, one call at a time, after each move of the index.
func (f *Follower) Subscribe(fn func(Change)) (cancel func()) { return func() {} }

// Status returns the follower's state.
func (f *Follower) Status() Status { return Status{} }

// Package bitcoin gets blocks from sources that are believed in nothing.
//
// A Source hands out headers and raw blocks. Headers keeps the headers whose
// proof of work, difficulty and time hold, and knows which chain of them has
// the most work. Verify ties a raw block to its header: after it a source can
// only withhold. OutputOf takes the output that an input spends from the
// transaction whose hash the input names, and from no other.
package bitcoin

import (
	"context"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// MaxHeaders is the most headers that one answer of a Source may hold.
const MaxHeaders = 2000

// A Source fetches headers and blocks. It is safe for concurrent use and
// checks nothing: whoever asks it verifies what comes. Abilities that not
// every source has are the one-method interfaces below, found by a type
// assertion.
type Source interface {
	// Headers returns, in order, up to MaxHeaders headers of the source's
	// best chain that follow the first hash of the locator which is on that
	// chain; if none is, those that follow the genesis block. At the tip it
	// returns none and no error.
	Headers(ctx context.Context, locator []chainhash.Hash) ([]wire.BlockHeader, error)
	// Block returns the block with that hash as serialised on the network,
	// witnesses included or not. If the source doesn't have it the error
	// satisfies errors.Is(err, os.ErrNotExist).
	Block(ctx context.Context, hash chainhash.Hash) ([]byte, error)
}

// A PrevTxer fetches any transaction of the chain or the memory pool, raw.
type PrevTxer interface {
	// PrevTx returns the serialised transaction, witnesses included or not;
	// os.ErrNotExist if the source doesn't have it.
	PrevTx(ctx context.Context, txid chainhash.Hash) ([]byte, error)
}

// A Broadcaster sends transactions to the network.
type Broadcaster interface {
	// Broadcast returns the transaction's id once the source took it.
	Broadcast(ctx context.Context, tx []byte) (chainhash.Hash, error)
}

// A Waker says when it is worth asking for headers. It is a hint only: a
// follower polls as well.
type Waker interface {
	// Wake returns a channel, the same at each call, that gets a value
	// after the source's tip changed. Values may be lost or be too many.
	Wake() <-chan struct{}
}

// An Output is an unspent output.
type Output struct {
	OutPoint wire.OutPoint
	Value    int64 // satoshi
	Script   []byte
	Height   int // of its block; 0 for one in the memory pool
}

// An Unspenter finds the coins that pay to a script.
type Unspenter interface {
	// Unspent returns the outputs with exactly that script that no known
	// transaction spends. A coin that can't be spent yet, such as a young
	// coinbase, is left out.
	Unspent(ctx context.Context, script []byte) ([]Output, error)
}

// A FeeEstimator says what the network asks for now.
type FeeEstimator interface {
	// FeeRate returns satoshi per 1,000 virtual bytes with which a
	// transaction is likely to be in one of the next blocks. A source that
	// can't tell answers os.ErrNotExist.
	FeeRate(ctx context.Context, blocks int) (int64, error)
}

// A Several is a source made of others. Each may be on another chain, so
// whoever verifies asks each of them for headers, and the chain with the most
// work wins.
type Several interface {
	// Members returns those that are worth asking now, best first.
	Members() []Source
}

// A Blamer is told that what it said was bad: whoever answered should not be
// asked again for a while.
type Blamer interface {
	Blame(err error)
}

// Package registrar walks names and namespaces through their transactions: it
// builds, signs and sends each operation, waits until the follower has seen it
// take effect, and goes on from there. It can be stopped anywhere, and
// reorganisations may undo what it did: each time it looks at the index, and
// does what is missing there.
//
// # The queue
//
// What is asked for is a Goal, and a Job is a goal in the queue. Each job is a
// file of its own, DIR/NUMBER-SUBJECT.json, a JSON object as Job has it, written
// anew as a whole and synced before each transaction is sent. It holds all
// transactions that were built for the job, and no secrets. When the goal is
// reached the file goes. Jobs of one name run in the order of their numbers.
//
// # Nothing is paid twice
//
// A transaction is kept before it is sent, and the same bytes are sent until the
// index has seen what they do. Another one takes its place only if it must: the
// consensus hash that it quotes is about to be too old or is another chain's,
// the network wants a higher fee, it was mined and did nothing, or its coins are
// gone. Whatever the reason, the new one spends at least one coin of each
// earlier transaction of the job that has a coin left, so no two of them are
// ever both confirmed. Other jobs leave the coins of a job alone, those that its
// transactions spend and those that they make.
package registrar

import (
	"context"
	"errors"
	"sync"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chainhash/v2"

	"satchel/chain"
	"satchel/chain/bitcoin"
	"satchel/chain/ops"
	"satchel/chain/zonefile"
)

var (
	// ErrTaken reports a name or namespace that somebody else has registered.
	ErrTaken = errors.New("name is taken")
	// ErrNotOwner reports an operation on a name that the key doesn't own.
	ErrNotOwner = errors.New("name belongs to another key")
	// ErrQuota reports an owner of as many names as one may have.
	ErrQuota = errors.New("no owner may have more names")
	// ErrNotOpen reports a name in a namespace that is not open, or is open already.
	ErrNotOpen = errors.New("namespace is not open for that")
	// ErrNoFunds reports an owner address without enough coins.
	ErrNoFunds = errors.New("not enough coins")
	// ErrMaxFee reports a transaction that the network wants more for than the
	// job may pay.
	ErrMaxFee = errors.New("the fee would be higher than allowed")
	// ErrUnsigned reports a job whose next transaction has to be signed
	// elsewhere: Unsigned has it, Signed takes it.
	ErrUnsigned = errors.New("the next transaction has to be signed")
	// ErrBusy reports a job that stands in the way of another one.
	ErrBusy = errors.New("another operation is under way")
	// ErrSpent reports a price that was paid for nothing: the transaction was
	// mined and did nothing. Whoever wants it all the same asks again.
	ErrSpent = errors.New("the transaction was mined and did nothing")
)

// A Chain sends transactions and finds coins. An error of Broadcast that has a
// method Rejected() bool which says true is about the transaction; any other is
// about the way to the chain. What it is beyond that is found by type
// assertions: bitcoin.FeeEstimator, bitcoin.PrevTxer, Funder.
type Chain interface {
	bitcoin.Broadcaster
	bitcoin.Unspenter
}

// A Funder pays an address from coins of its own: the private chain does. Its
// error is errors.ErrUnsupported if it has none.
type Funder interface {
	Fund(ctx context.Context, address string, satoshi int64) (chainhash.Hash, error)
}

// A Step is one operation that has taken effect.
type Step struct {
	Op     string         `json:"op"` // "preorder", "register", "update", "transfer" …
	Txid   chainhash.Hash `json:"txid"`
	Height int            `json:"height"` // of the index when it was seen
}

// A Registrar sends operations and watches them take effect. It is safe for
// concurrent use; one folder has one Registrar.
type Registrar struct {
	Chain    Chain
	Index    *chain.Index
	Follower *chain.Follower // keeps Index at the tip
	Dir      string          // of the queue; empty: it is kept in memory

	once sync.Once
	turn chan struct{} // holds one value while nobody takes a job further

	mu     sync.Mutex // of what follows
	loaded bool
	jobs   []*entry // by number, those that ended in this process too
	last   int      // number given
}

// Register registers a name for the key and gives it the zone file. What is
// done already, by an earlier call too, is not done again; doing all of it again
// is no error. progress, if not nil, hears of each step.
//
// The key pays. If it has too few coins and the chain is a Funder, that is asked
// for some; else the error is ErrNoFunds and says where to pay.
func (r *Registrar) Register(ctx context.Context, n chain.Name, key *btcec.PrivateKey, zone []byte, progress func(Step)) error {
	value := zonefile.Hash(zone)
	return r.do(ctx, Goal{Op: OpRegister, Subject: string(n), Owner: ScriptOf(key), Value: value[:]}, key, zone, progress)
}

// Update gives a name of the key's the zone file. If it has it, nothing is sent.
func (r *Registrar) Update(ctx context.Context, n chain.Name, key *btcec.PrivateKey, zone []byte, progress func(Step)) error {
	value := zonefile.Hash(zone)
	return r.do(ctx, Goal{Op: OpUpdate, Subject: string(n), Owner: ScriptOf(key), Value: value[:]}, key, zone, progress)
}

// Transfer gives a name of the key's to an address. With keep the zone file
// stays the name's; without, the new owner begins with none. A name that belongs
// to the address is left as it is.
func (r *Registrar) Transfer(ctx context.Context, n chain.Name, key *btcec.PrivateKey, to string, keep bool, progress func(Step)) error {
	script, err := ops.PayTo(to, r.Index.Params().Chain)
	if err != nil {
		return err
	}
	return r.do(ctx, Goal{Op: OpTransfer, Subject: string(n), Owner: ScriptOf(key), To: script, Keep: keep}, key, nil, progress)
}

// Namespace opens a namespace in which all names cost the least and never
// expire, if it is not open yet. It is for private chains.
func (r *Registrar) Namespace(ctx context.Context, id string, key *btcec.PrivateKey) error {
	return r.do(ctx, Goal{Op: OpNamespace, Subject: id, Owner: ScriptOf(key), Rules: &Rules{Lifetime: ops.Forever, Base: 1, NonAlpha: 1, NoVowel: 1}}, key, nil, nil)
}

// do puts a goal into the queue and walks it to its end.
func (r *Registrar) do(ctx context.Context, g Goal, key *btcec.PrivateKey, zone []byte, progress func(Step)) error {
	if err := CheckZone(zone); err != nil {
		return err
	}
	id, err := r.Add(ctx, g, Terms{})
	if err != nil {
		return err
	}
	return r.Run(ctx, id, key, Watch{Step: progress})
}

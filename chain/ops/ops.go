// Package ops is the wire format of the registry's operations, both ways.
package ops

import (
	"errors"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// MaxPush is the length of the longest push that carries an operation.
const MaxPush = 80

// An Operation is one of the types NamePreorder, Registration, Update,
// Transfer, Revoke, Import, NamespacePreorder, NamespaceReveal,
// NamespaceReady and Announce.
type Operation interface {
	// Code is the operation's byte on the wire.
	Code() byte
	appendPayload(b []byte) ([]byte, error)
}

// NamePreorder hides a name that its sender is about to register.
type NamePreorder struct {
	Hash      [20]byte // HashName of name, sender and register address
	Consensus [16]byte // a recent consensus hash
}

// Registration registers a preordered name or renews a registered one: which
// of both, the registry's state decides.
type Registration struct {
	Name string
}

// Update gives a name a new value, the hash of its zone file.
type Update struct {
	NameHash [16]byte // UpdateHash of name and a recent consensus hash
	Value    [20]byte
}

// Transfer gives a name a new owner.
type Transfer struct {
	Keep      bool     // keep the value; else it is cleared
	NameHash  [16]byte // Hash128 of the name
	Consensus [16]byte
}

// Revoke ends a name until it expires.
type Revoke struct {
	Name string
}

// Import gives out a name in a namespace that is revealed and not ready.
type Import struct {
	Name string
}

// NamespacePreorder hides a namespace that its sender is about to reveal.
type NamespacePreorder struct {
	Hash      [20]byte // HashName of id, sender and reveal address
	Consensus [16]byte
}

// NamespaceReveal opens a preordered namespace and sets its rules.
type NamespaceReveal struct {
	ID                string
	Version           uint16
	Lifetime          uint32 // of a name, in blocks; Forever for ever
	Coefficient, Base byte
	Buckets           [16]byte // exponents, 0..15, by length of the label
	NonAlpha, NoVowel byte     // discounts, 1..15
}

// Forever is the lifetime of names that never expire.
const Forever = 0xffffffff

// NamespaceReady lets everybody register names in a namespace.
type NamespaceReady struct {
	ID string
}

// Announce publishes the hash of a text; it changes nothing.
type Announce struct {
	Hash [20]byte
}

// ErrForeign reports a push that carries no operation of ours.
var ErrForeign = errors.New("no operation")

// Encode returns the bytes to push: magic, code, payload.
func Encode(magic [2]byte, op Operation) ([]byte, error) { return nil, errors.New("todo") }

// Decode is Encode's inverse. A push without the magic or with an unknown
// code gives ErrForeign.
func Decode(magic [2]byte, push []byte) (Operation, error) { return nil, ErrForeign }

// Script returns the OP_RETURN script that carries an operation.
func Script(magic [2]byte, op Operation) ([]byte, error) { return nil, errors.New("todo") }

// ReturnData returns what an OP_RETURN script pushes; ok is false for any
// other script.
func ReturnData(script []byte) (push []byte, ok bool) { return nil, false }

// HashName hides a name, or a namespace's id, in a preorder.
func HashName(name string, sender []byte, address string) [20]byte { return [20]byte{} }

// Hash128 is what a transfer calls a name.
func Hash128(name string) [16]byte { return [16]byte{} }

// UpdateHash is what an update calls a name.
func UpdateHash(name string, consensus [16]byte) [16]byte { return [16]byte{} }

// Address returns the address of a p2pkh or p2sh script, "" of any other.
func Address(script []byte, p *chaincfg.Params) string { return "" }

// PayTo returns the script of a p2pkh or p2sh address.
func PayTo(address string, p *chaincfg.Params) ([]byte, error) { return nil, errors.New("todo") }

// BurnScript is the script that fees are paid to.
func BurnScript() []byte { return nil }

// A Tx is a transaction that carries an operation.
type Tx struct {
	Op     Operation
	Index  int    // in its block; the coinbase has 0
	Sender []byte // script of the output that input 0 spends; the caller sets it
	MsgTx  *wire.MsgTx
}

package rpc

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Numbers that bitcoind and btcd share.
const (
	codeMisc     = -1     // also: a block that was pruned
	codeNotFound = -5     // no such block or transaction
	codeMissing  = -25    // a transaction whose inputs are not there
	codeRejected = -26    // a transaction that the rules refuse
	codeKnown    = -27    // a transaction that is in the chain or about to be
	codeNoMethod = -32601 // the node doesn't know the method
	codeScanning = -8     // of scantxoutset: another scan goes on
)

// ErrNetwork reports a node of another network than the one that is followed.
var ErrNetwork = errors.New("the node is on another network")

// ErrNoTxIndex reports a node that can't look up transactions. For whoever asks
// for one it is as if the node didn't have it.
var ErrNoTxIndex = fmt.Errorf("the node has no index of transactions, without which nobody can tell who sent an operation: "+
	"start it with txindex=1 (bitcoind) or --txindex (btcd): %w", os.ErrNotExist)

// ErrNoAddrIndex reports a btcd that can't find coins.
var ErrNoAddrIndex = errors.New("the node has no index of addresses, so it can't find coins: start btcd with --addrindex")

// An Error is what a node answered instead of a result.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (e *Error) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("error %d", e.Code)
	}
	return limit(e.Message)
}

// limit shortens what a node says to what a log can bear.
func limit(s string) string {
	const most = 300
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}

// Is makes "not found" os.ErrNotExist.
func (e *Error) Is(target error) bool {
	return target == os.ErrNotExist && (e.Code == codeNotFound || e.pruned())
}

// pruned says if a block is one that bitcoind has no longer.
func (e *Error) pruned() bool {
	return e.Code == codeMisc && (strings.Contains(e.Message, "pruned data") || strings.Contains(e.Message, "not found on disk"))
}

// Rejected tells apart a transaction that was refused from a node that failed.
func (e *Error) Rejected() bool { return e.Code == codeMissing || e.Code == codeRejected }

// code returns the number of a node's error, 0 for another one.
func code(err error) int {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// says tells if a node's error has a word in it.
func says(err error, word string) bool {
	e := (*Error)(nil)
	return errors.As(err, &e) && strings.Contains(e.Message, word)
}

// Package ops is the wire format of the registry's operations, both ways.
//
// An operation rides in a Bitcoin transaction with one OP_RETURN output, whose
// pushed bytes (80 at most) are magic (2 bytes, "id" or "sa"), code (1 byte)
// and a payload. Integers are big-endian, names are ASCII and not padded.
//
//	?  name preorder       hash (20)  consensus hash (16)
//	:  registration        name (3..37); a renewal looks the same
//	+  update              update hash (16)  value hash (20)
//	>  transfer            '>' keep value or '~' clear it (1)  hash128 of the name (16)  consensus hash (16)
//	~  revoke              name
//	;  import              name
//	*  namespace preorder  hash (20)  consensus hash (16)
//	&  namespace reveal    lifetime (4)  coefficient (1)  base (1)  16 exponents, one nibble each (8)
//	                       discounts: high nibble non-alpha, low nibble no-vowel (1)  version (2)  id (1..19)
//	!  namespace ready     '.' and the id
//	#  announce            hash160 of a text (20)
//
// Outputs: 0 is the OP_RETURN. Output 1, the first other one, is the
// recipient: the new owner of a registration, import or transfer, the reveal
// address of a reveal, else the sender again. Preorders and renewals pay their
// fee to BurnScript. An import's value hash is dressed as the hash of a p2pkh
// output, the first whose script is not the recipient's. The sender is the
// script of the output that input 0 spends, which a transaction alone does not
// tell.
package ops

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/txscript/v2"
)

// MaxPush is the length of the longest push that carries an operation.
const MaxPush = 80

// Forever is the lifetime of names that never expire.
const Forever = 0xffffffff

// An Operation is one of the types NamePreorder, Registration, Update,
// Transfer, Revoke, Import, NamespacePreorder, NamespaceReveal,
// NamespaceReady and Announce.
type Operation interface {
	// Code is the operation's byte on the wire.
	Code() byte
	payload() []byte
	check() error
}

// ErrForeign reports a push that carries no operation of ours.
var ErrForeign = errors.New("no operation")

// Encode returns the bytes to push: magic, code, payload.
func Encode(magic [2]byte, op Operation) ([]byte, error) {
	if err := op.check(); err != nil {
		return nil, fmt.Errorf("operation %c: %w", op.Code(), err)
	}
	return append([]byte{magic[0], magic[1], op.Code()}, op.payload()...), nil
}

// Decode is Encode's inverse. A push without the magic or with an unknown
// code gives ErrForeign, a malformed one of ours another error.
func Decode(magic [2]byte, push []byte) (Operation, error) {
	if len(push) < 3 || [2]byte(push[:2]) != magic {
		return nil, ErrForeign
	}
	if len(push) > MaxPush {
		return nil, fmt.Errorf("operation %c: %d bytes are too many", push[2], len(push))
	}
	op, err := decode(push[2], push[3:])
	if err == nil {
		err = op.check()
	}
	if err != nil && !errors.Is(err, ErrForeign) {
		err = fmt.Errorf("operation %c: %w", push[2], err)
	}
	if err != nil {
		return nil, err
	}
	return op, nil
}

func decode(code byte, b []byte) (Operation, error) {
	switch code {
	case '?':
		h, c, err := preorder(b)
		return NamePreorder{h, c}, err
	case '*':
		h, c, err := preorder(b)
		return NamespacePreorder{h, c}, err
	case ':':
		return Registration{string(b)}, nil
	case '~':
		return Revoke{string(b)}, nil
	case ';':
		return Import{string(b)}, nil
	case '+':
		if err := length(b, 36); err != nil {
			return nil, err
		}
		return Update{[16]byte(b), [20]byte(b[16:])}, nil
	case '>':
		return decodeTransfer(b)
	case '&':
		return decodeReveal(b)
	case '!':
		if len(b) == 0 || b[0] != '.' {
			return nil, errors.New("no dot before the namespace id")
		}
		return NamespaceReady{string(b[1:])}, nil
	case '#':
		if err := length(b, 20); err != nil {
			return nil, err
		}
		return Announce{[20]byte(b)}, nil
	}
	return nil, ErrForeign
}

func length(b []byte, want int) error {
	if len(b) != want {
		return fmt.Errorf("payload of %d bytes, want %d", len(b), want)
	}
	return nil
}

func preorder(b []byte) (hash [20]byte, consensus [16]byte, err error) {
	if err := length(b, 36); err != nil {
		return hash, consensus, err
	}
	return [20]byte(b), [16]byte(b[20:]), nil
}

func decodeTransfer(b []byte) (Operation, error) {
	if err := length(b, 33); err != nil {
		return nil, err
	}
	if b[0] != '>' && b[0] != '~' {
		return nil, fmt.Errorf("byte %#x where > or ~ belongs", b[0])
	}
	return Transfer{b[0] == '>', [16]byte(b[1:]), [16]byte(b[17:])}, nil
}

func decodeReveal(b []byte) (Operation, error) {
	if len(b) < 18 {
		return nil, fmt.Errorf("payload of %d bytes, want 18 or more", len(b))
	}
	r := NamespaceReveal{
		Lifetime:    binary.BigEndian.Uint32(b),
		Coefficient: b[4],
		Base:        b[5],
		NonAlpha:    b[14] >> 4,
		NoVowel:     b[14] & 15,
		Version:     binary.BigEndian.Uint16(b[15:]),
		ID:          string(b[17:]),
	}
	for i := range r.Buckets {
		r.Buckets[i] = b[6+i/2] >> (4 * (1 - i%2)) & 15
	}
	return r, nil
}

// Script returns the OP_RETURN script that carries an operation.
func Script(magic [2]byte, op Operation) ([]byte, error) {
	push, err := Encode(magic, op)
	if err != nil {
		return nil, err
	}
	return txscript.NullDataScript(push)
}

// ReturnData returns what an OP_RETURN script pushes first; ok is false for
// any other script. A push that promises more bytes than there are gives those
// that are there, as the old registry took it.
func ReturnData(script []byte) (push []byte, ok bool) {
	if len(script) < 2 || script[0] != txscript.OP_RETURN {
		return nil, false
	}
	n, rest := int(script[1]), script[2:]
	switch {
	case n >= txscript.OP_DATA_1 && n <= txscript.OP_DATA_75:
	case n == txscript.OP_PUSHDATA1 && len(rest) >= 1:
		n, rest = int(rest[0]), rest[1:]
	case n == txscript.OP_PUSHDATA2 && len(rest) >= 2:
		n, rest = int(binary.LittleEndian.Uint16(rest)), rest[2:]
	default: // nobody needs four bytes to say 80
		return nil, true
	}
	return rest[:min(n, len(rest))], true
}

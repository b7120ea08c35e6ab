package bitcoin

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// txSpan is where a transaction stands in a raw block, as the walk found it.
type txSpan struct {
	txid       chainhash.Hash
	start, end int
	size       int  // without witnesses
	returns    bool // some output's script starts with OP_RETURN
}

var errShort = errors.New("it ends too early")

const opReturn = 0x6a

// walk finds the transactions behind the header of a raw block without
// building them. It accepts what wire.MsgBlock accepts, less what Verify
// refuses: bytes that are left over.
func walk(raw []byte) ([]txSpan, error) {
	r := reader{b: raw, off: wire.MaxBlockHeaderPayload}
	n := r.count(10)
	if r.err != nil {
		return nil, r.err
	}
	spans := make([]txSpan, 0, n)
	for i := range n {
		s := r.tx()
		if r.err != nil {
			return nil, fmt.Errorf("transaction %d: %w", i, r.err)
		}
		spans = append(spans, s)
	}
	if r.off != len(raw) {
		return nil, fmt.Errorf("%d bytes are left over", len(raw)-r.off)
	}
	return spans, nil
}

// reader reads a raw block; the first error stays and all reads after it give
// zero.
type reader struct {
	b       []byte
	off     int
	err     error
	scratch []byte
}

func (r *reader) tx() (s txSpan) {
	s.start = r.off
	r.skip(4)
	witness := len(r.b)-r.off >= 2 && r.b[r.off] == 0
	if witness {
		if r.b[r.off+1] != 1 {
			r.fail(errors.New("no inputs"))
		}
		r.skip(2)
	}
	body := r.off
	ins := r.count(41)
	for range ins {
		r.skip(36)
		r.skip(r.count(1))
		r.skip(4)
	}
	for range r.count(9) {
		r.skip(8)
		n := r.count(1)
		s.returns = s.returns || n > 0 && r.b[r.off] == opReturn
		r.skip(n)
	}
	bodyEnd := r.off
	if witness {
		items := 0
		for range ins {
			n := r.count(1)
			for range n {
				r.skip(r.count(1))
			}
			items += n
		}
		if items == 0 {
			r.fail(errors.New("a witness flag without witnesses"))
		}
	}
	r.skip(4)
	s.end = r.off
	if r.err != nil {
		return s
	}
	if !witness {
		s.txid, s.size = chainhash.DoubleHashH(r.b[s.start:s.end]), s.end-s.start
		return s
	}
	b := append(r.scratch[:0], r.b[s.start:s.start+4]...)
	b = append(b, r.b[body:bodyEnd]...)
	b = append(b, r.b[s.end-4:s.end]...)
	r.scratch = b
	s.txid, s.size = chainhash.DoubleHashH(b), len(b)
	return s
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) skip(n int) {
	if n > len(r.b)-r.off {
		r.fail(errShort)
	}
	if r.err == nil {
		r.off += n
	}
}

// next returns the next n bytes, which must be there.
func (r *reader) next(n int) []byte {
	at := r.off
	r.skip(n)
	return r.b[at : at+n]
}

func (r *reader) uint32() uint32 { return binary.LittleEndian.Uint32(r.next(4)) }

// count reads how many things of at least size bytes follow: more than the block
// has room for is an error, before anybody allocates for them.
func (r *reader) count(size int) int {
	n := r.varint()
	if n > uint64((len(r.b)-r.off)/size) {
		r.fail(errShort)
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

// varint reads a number in its shortest form.
func (r *reader) varint() (n uint64) {
	at := r.off
	r.skip(1)
	if r.err != nil {
		return 0
	}
	width, least := 0, uint64(0)
	switch first := r.b[at]; first {
	default:
		return uint64(first)
	case 0xfd:
		width, least = 2, 0xfd
	case 0xfe:
		width, least = 4, 1<<16
	case 0xff:
		width, least = 8, 1<<32
	}
	r.skip(width)
	if r.err != nil {
		return 0
	}
	var b [8]byte
	copy(b[:], r.b[at+1:at+1+width])
	if n = binary.LittleEndian.Uint64(b[:]); n < least {
		r.fail(errors.New("a number is not in its shortest form"))
		return 0
	}
	return n
}

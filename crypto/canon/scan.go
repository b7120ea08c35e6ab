package canon

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Major types.
const (
	typeUint = iota
	typeNegative
	typeBytes
	typeText
	typeArray
	typeMap
	typeTag
	typeSimple
)

var errShort = errors.New("ends too early")

// scan returns nil if b is exactly one value in its one form.
func scan(b []byte) error {
	rest, err := scanValue(b, maxDepth)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes behind the value", len(rest))
	}
	return err
}

// scanValue checks the value at the front of b and returns what follows. depth
// is how many containers may still be opened.
func scanValue(b []byte, depth int) ([]byte, error) {
	typ, n, rest, err := scanHead(b)
	if err != nil {
		return nil, err
	}
	switch typ {
	case typeBytes, typeText:
		if n > uint64(len(rest)) {
			return nil, errShort
		}
		if typ == typeText && !utf8.Valid(rest[:n]) {
			return nil, errors.New("text that is not UTF-8")
		}
		return rest[n:], nil
	case typeArray, typeMap:
		if depth == 0 {
			return nil, errors.New("nested too deep")
		}
		if n > maxItems || n > uint64(len(rest)) {
			return nil, fmt.Errorf("%d elements", n)
		}
		if typ == typeMap {
			return scanPairs(rest, n, depth-1)
		}
		for ; n > 0 && err == nil; n-- {
			rest, err = scanValue(rest, depth-1)
		}
		return rest, err
	}
	return rest, nil
}

// scanPairs checks n pairs of a map.
func scanPairs(b []byte, n uint64, depth int) ([]byte, error) {
	var last []byte
	for ; n > 0; n-- {
		rest, err := scanValue(b, 0) // no container is a key
		if err != nil {
			return nil, err
		}
		key := b[:len(b)-len(rest)]
		if key[0]>>5 == typeSimple {
			return nil, errors.New("a boolean as key")
		}
		if last != nil && bytes.Compare(last, key) >= 0 {
			return nil, errors.New("keys out of order")
		}
		last = key
		if b, err = scanValue(rest, depth); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// scanHead reads a value's type and number (the value of an integer, else a
// length), and checks that it takes the fewest bytes.
func scanHead(b []byte) (typ int, n uint64, rest []byte, err error) {
	if len(b) == 0 {
		return 0, 0, nil, errShort
	}
	typ, info := int(b[0]>>5), b[0]&31
	if typ == typeTag || typ == typeSimple && info != 20 && info != 21 {
		return 0, 0, nil, errors.New("neither number, boolean, string, array nor map")
	}
	if info < 24 {
		return typ, uint64(info), b[1:], nil
	}
	if info > 27 {
		return 0, 0, nil, errors.New("indefinite or reserved length")
	}
	size := 1 << (info - 24)
	if len(b) < 1+size {
		return 0, 0, nil, errShort
	}
	var least uint64
	switch size {
	case 1:
		n, least = uint64(b[1]), 24
	case 2:
		n, least = uint64(binary.BigEndian.Uint16(b[1:])), 1<<8
	case 4:
		n, least = uint64(binary.BigEndian.Uint32(b[1:])), 1<<16
	case 8:
		n, least = binary.BigEndian.Uint64(b[1:]), 1<<32
	}
	if n < least {
		return 0, 0, nil, errors.New("a number in too many bytes")
	}
	return typ, n, b[1+size:], nil
}

// appendHead appends a type and number in the fewest bytes.
func appendHead(b []byte, typ int, n uint64) []byte {
	t := byte(typ << 5)
	switch {
	case n < 24:
		return append(b, t|byte(n))
	case n < 1<<8:
		return append(b, t|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, t|25), uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, t|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, t|27), n)
}

// Package canon is the one encoding of everything that Satchel signs, hashes
// or seals: a subset of CBOR (RFC 8949) in which each value has exactly one
// form, the shortest.
//
// What there is: integers from -2^63 to 2^64-1, booleans, byte strings, text
// (UTF-8), arrays, and maps whose keys are integers, byte strings or texts in
// ascending order of their encoded bytes. Lengths and integers take the fewest
// bytes. There are no floats, tags, null, other simple values, indefinite
// lengths or duplicate keys; containers nest at most 8 deep and have at most
// 131,072 elements. Nothing follows the value.
//
// # Structs
//
// A struct is a map from small integers to its fields, tagged
// `cbor:"1,keyasint"` with omitempty or omitzero where a field may be absent,
// or, with `_ struct{}` tagged `cbor:",toarray"`, an array of exactly its
// fields. A field that may be absent is absent when it is empty, and only then.
//
// Keys below 128 belong to the format: one that the reader doesn't know makes
// the value unreadable. Keys from 128 on are for later additions that an old
// reader may pass over. It keeps them in the struct's field of type Extra,
// tagged `cbor:"-"`, so that encoding the struct again loses nothing; where a
// struct has no such field they are dropped.
//
// A reader encodes what it decoded and compares, so nothing but the one form
// gets through, whatever the decoder is willing to read.
package canon

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"

	"github.com/fxamacker/cbor/v2"
)

const (
	maxDepth = 8       // of arrays and maps in each other
	maxItems = 1 << 17 // elements of an array, pairs of a map
	firstNew = 128     // the first key that an old reader may pass over
)

// ErrForm reports bytes that are not the one encoding of a value of the type
// that was asked for.
var ErrForm = errors.New("not in canonical form")

// Raw is one encoded value, kept as it is.
type Raw = cbor.RawMessage

// Extra holds the fields, from key 128 on, that a struct's type doesn't know.
type Extra map[uint64]Raw

var (
	encoder = must(cbor.EncOptions{
		Sort:          cbor.SortBytewiseLexical,
		IndefLength:   cbor.IndefLengthForbidden,
		NilContainers: cbor.NilContainerAsEmpty,
		OmitEmpty:     cbor.OmitEmptyGoValue,
		TagsMd:        cbor.TagsForbidden,
	}.EncMode())
	decoder = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:   maxDepth,
		MaxArrayElements:  maxItems,
		MaxMapPairs:       maxItems,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
	}.DecMode())
)

func must[M any](m M, err error) M {
	if err != nil {
		panic(err) // the options are constants
	}
	return m
}

// Marshal returns the one encoding of v. It fails for what has none: a float,
// a nil pointer that is not omitted, text that is not UTF-8, nesting beyond the
// limit. A nil slice or map is an empty one.
func Marshal(v any) ([]byte, error) {
	p, err := planOf(reflect.TypeOf(v))
	if err != nil {
		return nil, err
	}
	b, err := encoder.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	if p.keeps && carries(reflect.ValueOf(v)) {
		if b, err = weave(b, reflect.ValueOf(v)); err != nil {
			return nil, fmt.Errorf("encode %T: %w", v, err)
		}
	}
	if err := scan(b); err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return b, nil
}

// Unmarshal decodes data into what v points to, after setting that to its zero
// value. All that is not the one encoding of a value of v's type is ErrForm;
// *v is zero then.
func Unmarshal(data []byte, v any) error {
	ptr := reflect.ValueOf(v)
	if ptr.Kind() != reflect.Pointer || ptr.IsNil() {
		return fmt.Errorf("decode into %T: not a pointer", v)
	}
	p, err := planOf(ptr.Type().Elem())
	if err != nil {
		return err
	}
	ptr.Elem().SetZero()
	if err := unmarshal(data, v, p); err != nil {
		ptr.Elem().SetZero()
		return fmt.Errorf("%w: %w", ErrForm, err)
	}
	return nil
}

func unmarshal(data []byte, v any, p *plan) error {
	if err := scan(data); err != nil {
		return err
	}
	if err := decoder.Unmarshal(data, v); err != nil {
		return err
	}
	if p.deep {
		var err error
		if data, err = lift(data, reflect.ValueOf(v).Elem()); err != nil {
			return err
		}
	}
	again, err := encoder.Marshal(v) // without what lift moved from data to v
	if err != nil {
		return err
	}
	if !bytes.Equal(again, data) {
		return errors.New("encodes to other bytes")
	}
	return nil
}

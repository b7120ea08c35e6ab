package canon

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

// A plan says what has to be walked of a value of one Go type beside its
// encoding: the structs in it. Scalars, byte strings and types with an encoding
// of their own need no walk.
type plan struct {
	deep   bool           // there are structs in it, or it is one
	keeps  bool           // there are fields of type Extra in it
	list   []int          // of a struct that is an array: its fields
	fields map[uint64]int // of a struct that is a map: its fields by key
	extra  int            // of such a struct: the field of type Extra, or -1
}

var (
	plans         sync.Map // reflect.Type → *plan or error
	typeExtra     = reflect.TypeFor[Extra]()
	typeMarshal   = reflect.TypeFor[cbor.Marshaler]()
	typeUnmarshal = reflect.TypeFor[cbor.Unmarshaler]()
)

// planOf returns the plan of t, or what is wrong with the type.
func planOf(t reflect.Type) (*plan, error) {
	if t == nil {
		return &plan{}, nil
	}
	if p, ok := plans.Load(t); ok {
		if err, bad := p.(error); bad {
			return nil, err
		}
		return p.(*plan), nil
	}
	p := &plan{extra: -1}
	if err := p.make(t); err != nil {
		err = fmt.Errorf("canon: %w", err)
		plans.Store(t, err)
		return nil, err
	}
	plans.Store(t, p)
	return p, nil
}

func (p *plan) make(t reflect.Type) error {
	err := visit(t, false, map[visited]bool{}, func(in reflect.Type) error {
		q := plan{extra: -1}
		if err := q.addFields(in); err != nil {
			return err
		}
		p.deep = true
		p.keeps = p.keeps || q.extra >= 0
		return nil
	})
	if err == nil && walked(t) && t.Kind() == reflect.Struct {
		err = p.addFields(t)
	}
	return err
}

// walked tells whether t is encoded as its kind says, not by methods of its own.
func walked(t reflect.Type) bool {
	return !t.Implements(typeMarshal) && !reflect.PointerTo(t).Implements(typeUnmarshal)
}

type visited struct {
	t     reflect.Type
	inMap bool
}

// visit calls f for each struct type that values of t may contain.
func visit(t reflect.Type, inMap bool, seen map[visited]bool, f func(reflect.Type) error) error {
	if seen[visited{t, inMap}] || !walked(t) {
		return nil
	}
	seen[visited{t, inMap}] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return visit(t.Elem(), inMap, seen, f)
	case reflect.Map:
		return visit(t.Elem(), true, seen, f)
	case reflect.Struct:
	default:
		return nil
	}
	if err := f(t); err != nil {
		return err
	}
	for i := range t.NumField() {
		in := t.Field(i)
		if in.Type == typeExtra && inMap {
			return fmt.Errorf("%v keeps fields, so it can't be in a map: a map's values can't be changed", t)
		}
		if in.IsExported() && in.Tag.Get("cbor") != "-" {
			if err := visit(in.Type, inMap, seen, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// addFields notes the fields of struct type t and what is wrong with them.
func (p *plan) addFields(t reflect.Type) error {
	mark, _ := t.FieldByName("_")
	array := mark.Tag.Get("cbor") == ",toarray"
	p.fields = make(map[uint64]int)
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("cbor")
		switch {
		case f.Anonymous:
			return fmt.Errorf("%v.%s: embedded", t, f.Name)
		case f.Type == typeExtra:
			if tag != "-" || array || !f.IsExported() {
				return fmt.Errorf(`%v.%s: must be exported, tagged cbor:"-" and in a map`, t, f.Name)
			}
			p.extra = i
		case tag == "-" || !f.IsExported():
		case array:
			p.list = append(p.list, i)
		default:
			key, err := keyOf(tag)
			if _, dup := p.fields[key]; err != nil || dup {
				return fmt.Errorf(`%v.%s: needs a key of its own, as in cbor:"1,keyasint"`, t, f.Name)
			}
			p.fields[key] = i
		}
	}
	if array {
		p.fields = nil
	}
	return nil
}

func keyOf(tag string) (uint64, error) {
	number, opts, _ := strings.Cut(tag, ",")
	if !strings.HasPrefix(opts, "keyasint") {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseUint(number, 10, 31)
}

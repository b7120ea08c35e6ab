package canon

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// A walker goes through an encoding, which scan has passed, and the Go value
// that it was decoded to or made from, side by side, and copies the encoding
// with the extra fields taken out (lift) or put in (weave).
type walker struct {
	src   []byte
	pos   int    // in src
	done  int    // src before it is in out, or left out
	out   []byte // nil as long as it would equal src
	weave bool
}

// lift checks that the structs in data have no keys that their types don't
// know, moves the fields from key 128 on to the structs' Extra and returns data
// without them.
func lift(data []byte, v reflect.Value) ([]byte, error) {
	w := walker{src: data}
	return w.finish(w.value(v))
}

// weave returns data with the Extra of the structs of v.
func weave(data []byte, v reflect.Value) ([]byte, error) {
	w := walker{src: data, weave: true}
	return w.finish(w.value(v))
}

// carries tells whether a struct in v has an Extra: nearly none has, and then there
// is nothing to weave.
func carries(v reflect.Value) bool {
	p, err := planOf(v.Type())
	if err != nil || !p.keeps || !walked(v.Type()) {
		return err != nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		return !v.IsNil() && carries(v.Elem())
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if carries(v.Index(i)) {
				return true
			}
		}
		return false
	case reflect.Struct:
	default:
		return false // a map keeps none
	}
	if p.extra >= 0 && v.Field(p.extra).Len() > 0 {
		return true
	}
	for _, i := range p.fields {
		if carries(v.Field(i)) {
			return true
		}
	}
	return slices.ContainsFunc(p.list, func(i int) bool { return carries(v.Field(i)) })
}

func (w *walker) finish(err error) ([]byte, error) {
	if err != nil || w.out == nil {
		return w.src, err
	}
	w.flush()
	return w.out, nil
}

// flush copies what was passed since the last time.
func (w *walker) flush() {
	w.out = append(w.out, w.src[w.done:w.pos]...)
	w.done = w.pos
}

// head passes a value's type and number.
func (w *walker) head() (typ int, n uint64) {
	typ, n, rest, _ := scanHead(w.src[w.pos:])
	w.pos = len(w.src) - len(rest)
	return typ, n
}

// skip passes a whole value and returns its bytes.
func (w *walker) skip() []byte {
	start := w.pos
	rest, _ := scanValue(w.src[start:], maxDepth)
	w.pos = len(w.src) - len(rest)
	return w.src[start:w.pos]
}

// value passes one value, of which v is the Go form.
func (w *walker) value(v reflect.Value) error {
	p, err := planOf(v.Type())
	if err != nil {
		return err
	}
	if !p.deep || !walked(v.Type()) {
		w.skip()
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return errors.New("nil pointer")
		}
		return w.value(v.Elem())
	case reflect.Slice, reflect.Array:
		return w.elements(v)
	case reflect.Map:
		return w.pairs(v.Type().Elem())
	}
	if p.fields == nil {
		return w.list(p, v)
	}
	return w.fields(p, v)
}

func (w *walker) elements(v reflect.Value) error {
	typ, n := w.head()
	if typ != typeArray || n != uint64(v.Len()) {
		return fmt.Errorf("%v of another length", v.Type())
	}
	for i := range v.Len() {
		if err := w.value(v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

// pairs checks the values of a map of elem. They keep nothing, so an empty one
// stands for each.
func (w *walker) pairs(elem reflect.Type) error {
	_, n := w.head()
	for ; n > 0; n-- {
		w.skip()
		if w.weave {
			w.skip()
			continue
		}
		if err := w.value(fresh(elem)); err != nil {
			return err
		}
	}
	return nil
}

// fresh returns a zero value of t, what it points to made.
func fresh(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	if t.Kind() == reflect.Pointer {
		v.Set(reflect.New(t.Elem()))
	}
	return v
}

// list passes a struct that is an array.
func (w *walker) list(p *plan, v reflect.Value) error {
	typ, n := w.head()
	if typ != typeArray || n != uint64(len(p.list)) {
		return fmt.Errorf("%v of another length", v.Type())
	}
	for _, i := range p.list {
		if err := w.value(v.Field(i)); err != nil {
			return err
		}
	}
	return nil
}

// fields passes a struct that is a map.
func (w *walker) fields(p *plan, v reflect.Value) error {
	if w.src[w.pos]>>5 != typeMap {
		return fmt.Errorf("%v is no map", v.Type())
	}
	if w.weave {
		return w.put(p, v)
	}
	start := w.pos
	_, n := w.head()
	first := w.pos
	unknown, err := w.unknown(p, v.Type(), n)
	if err != nil {
		return err
	}
	if unknown > 0 {
		w.pos = start
		w.flush()
		w.out = appendHead(w.out, typeMap, n-unknown)
		w.done = first
	}
	w.pos = first
	var extra Extra
	for ; n > 0; n-- {
		at := w.pos
		_, key := w.head()
		i, ok := p.fields[key]
		if ok {
			if err := w.value(v.Field(i)); err != nil {
				return err
			}
			continue
		}
		end := w.pos
		w.pos = at
		w.flush()
		w.pos = end
		raw := w.skip()
		w.done = w.pos
		if p.extra >= 0 {
			if extra == nil {
				extra = make(Extra, unknown)
			}
			extra[key] = append(Raw(nil), raw...)
		}
	}
	if extra != nil {
		v.Field(p.extra).Set(reflect.ValueOf(extra))
	}
	return nil
}

// unknown passes n pairs of a struct and counts the keys that its type doesn't
// know; one that must not be passed over is an error.
func (w *walker) unknown(p *plan, t reflect.Type, n uint64) (count uint64, err error) {
	for ; n > 0; n-- {
		typ, key := w.head()
		if typ != typeUint {
			return 0, fmt.Errorf("a key of %v that is no number", t)
		}
		if _, ok := p.fields[key]; !ok {
			if key < firstNew {
				return 0, fmt.Errorf("key %d, which %v has not", key, t)
			}
			count++
		}
		w.skip()
	}
	return count, nil
}

// put passes a struct and adds its extra fields where their keys belong.
func (w *walker) put(p *plan, v reflect.Value) error {
	var extra Extra
	if p.extra >= 0 {
		extra = v.Field(p.extra).Interface().(Extra)
	}
	keys := slices.Sorted(maps.Keys(extra))
	for _, k := range keys {
		if _, ok := p.fields[k]; ok || k < firstNew {
			return fmt.Errorf("%v: %d is no key for an extra field", v.Type(), k)
		}
	}
	start := w.pos
	_, n := w.head()
	if len(keys) > 0 {
		first := w.pos
		w.pos = start
		w.flush()
		w.out = appendHead(w.out, typeMap, n+uint64(len(keys)))
		w.pos, w.done = first, first
	}
	for ; n > 0; n-- {
		at := w.pos
		_, key := w.head()
		for len(keys) > 0 && keys[0] < key {
			end := w.pos
			w.pos = at
			w.insert(keys[0], extra)
			w.pos = end
			keys = keys[1:]
		}
		if err := w.value(v.Field(p.fields[key])); err != nil {
			return err
		}
	}
	for _, k := range keys {
		w.insert(k, extra)
	}
	return nil
}

func (w *walker) insert(key uint64, extra Extra) {
	w.flush()
	w.out = append(appendHead(w.out, typeUint, key), extra[key]...)
}

package canon

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

type inner struct {
	A     uint64 `cbor:"1,keyasint,omitempty"`
	Extra Extra  `cbor:"-"`
}

type plain struct {
	A uint64 `cbor:"1,keyasint,omitempty"`
}

type row struct {
	_ struct{} `cbor:",toarray"`
	N uint64
	T []inner
}

type record struct {
	Number uint64           `cbor:"1,keyasint"`
	Time   int64            `cbor:"2,keyasint,omitempty"`
	Flag   bool             `cbor:"3,keyasint,omitempty"`
	Bytes  []byte           `cbor:"4,keyasint,omitempty"`
	Text   string           `cbor:"5,keyasint,omitempty"`
	ID     [4]byte          `cbor:"6,keyasint,omitzero"`
	List   []inner          `cbor:"7,keyasint,omitempty"`
	Ptr    *inner           `cbor:"8,keyasint,omitempty"`
	Row    *row             `cbor:"9,keyasint,omitempty"`
	Map    map[string]plain `cbor:"10,keyasint,omitempty"`
	In     inner            `cbor:"11,keyasint,omitzero"`
	Raw    Raw              `cbor:"12,keyasint,omitempty"`
	New    uint64           `cbor:"200,keyasint,omitempty"` // known, above 127
	Extra  Extra            `cbor:"-"`
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// full has something in every field.
var full = record{
	Number: 1 << 40, Time: -2, Flag: true, Bytes: []byte("\xff\x00"), Text: "ä", ID: [4]byte{1, 2, 3, 4},
	List: []inner{{A: 1}, {A: 24, Extra: Extra{128: {0x01}, 300: {0x81, 0x02}}}, {}},
	Ptr:  &inner{Extra: Extra{1 << 40: {0x60}}},
	Row:  &row{N: 7, T: []inner{{Extra: Extra{129: {0xa0}}}}},
	Map:  map[string]plain{"b": {A: 1}, "a": {}, "aa": {A: 2}},
	In:   inner{Extra: Extra{128: {0xf5}}},
	Raw:  Raw{0x83, 1, 2, 3}, New: 5,
	Extra: Extra{199: {0x01}, 201: {0x20}},
}

func TestKnownAnswer(t *testing.T) {
	got, err := Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("testdata", "record.hex"))
	if err != nil {
		t.Fatal(err)
	}
	want := unhex(t, strings.Join(strings.Fields(string(text)), ""))
	if !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	var back record
	if err := Unmarshal(want, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, full) {
		t.Errorf("got  %+v\nwant %+v", back, full)
	}
	again, err := Marshal(&back)
	if err != nil || !bytes.Equal(again, want) {
		t.Errorf("again: %x, %v", again, err)
	}
}

func TestRefused(t *testing.T) {
	for name, s := range map[string]string{
		"nothing":                           "",
		"short":                             "a1 01",
		"something behind":                  "a1 01 00 00",
		"number in two bytes":               "a1 01 18 17",
		"number in nine bytes":              "a1 01 1b 00000000 ffffffff",
		"key in two bytes":                  "a1 18 01 00",
		"length in two bytes":               "a2 01 00 04 58 01 00",
		"keys out of order":                 "a2 02 01 01 01",
		"key twice":                         "a2 01 01 01 01",
		"map without end":                   "bf 01 01 ff",
		"bytes without end":                 "a2 01 00 04 5f 41 00 ff",
		"tag":                               "a1 01 c1 01",
		"half float":                        "a1 01 f9 3c00",
		"double":                            "a1 01 fb 3ff0000000000000",
		"float in a kept field":             "a2 01 00 18 80 f9 3c00",
		"tag in a kept field":               "a2 01 00 18 80 c1 00",
		"null":                              "a1 01 f6",
		"null in a kept field":              "a2 01 00 18 80 f6",
		"undefined":                         "a1 01 f7",
		"long true":                         "a2 01 00 03 f8 15",
		"unknown key":                       "a2 01 00 0d 00",
		"unknown key 127":                   "a2 01 00 18 7f 00",
		"unknown key inside":                "a2 01 00 07 81 a1 02 00",
		"unknown key in an array":           "a2 01 00 09 82 00 81 a1 02 00",
		"unknown key in a map":              "a2 01 00 0a a1 61 61 a1 02 00",
		"negative key":                      "a2 01 00 20 00",
		"text key":                          "a2 01 00 61 31 00",
		"bytes key":                         "a2 01 00 41 01 00",
		"boolean key":                       "a2 01 00 f5 00",
		"absent field":                      "a0",
		"empty field present":               "a2 01 00 02 00",
		"zero array present":                "a2 01 00 06 44 00000000",
		"array too short":                   "a2 01 00 06 43 010203",
		"array too long":                    "a2 01 00 06 45 0102030405",
		"list for bytes":                    "a2 01 00 06 84 01020304",
		"text for bytes":                    "a2 01 00 04 61 61",
		"bytes for text":                    "a2 01 00 05 41 61",
		"not UTF-8":                         "a2 01 00 05 61 ff",
		"too large a number":                "a2 01 00 02 1b 8000000000000000",
		"negative unsigned":                 "a1 01 20",
		"too few in a row":                  "a2 01 00 09 81 00",
		"too many in a row":                 "a2 01 00 09 83 00 80 00",
		"map for a row":                     "a2 01 00 09 a0",
		"array for a struct":                "a2 01 00 08 80",
		"keys out of order in a kept field": "a2 01 00 18 80 a2 02 00 01 00",
		"key twice in a kept field":         "a2 01 00 18 80 a2 01 00 01 00",
		"kept fields out of order":          "a3 01 00 18 81 00 18 80 00",
		"nine deep":                         "a2 01 00 18 80 81 81 81 81 81 81 81 80",
		"nine deep by maps":                 "a2 01 00 18 80 81 81 81 81 81 81 81 a0",
		"many elements":                     "a2 01 00 07 9a ffffffff",
		"very many elements":                "a2 01 00 07 9b ffffffffffffffff",
		"long bytes":                        "a2 01 00 04 5b ffffffffffffffff",
	} {
		r := record{Number: 9}
		if err := Unmarshal(unhex(t, s), &r); !errors.Is(err, ErrForm) {
			t.Errorf("%s: got %v, want ErrForm", name, err)
		}
		if !reflect.DeepEqual(r, record{}) {
			t.Errorf("%s: left %+v behind", name, r)
		}
	}
}

func TestLimitsAccepted(t *testing.T) {
	for name, s := range map[string]string{
		"least":      "a1 01 00",
		"eight deep": "a2 01 00 18 80 81 81 81 81 81 81 80",
	} {
		var r record
		if err := Unmarshal(unhex(t, s), &r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestExtraKeptOrDropped(t *testing.T) {
	data := unhex(t, "a2 01 05 18 80 82 01 02")
	var kept inner
	if err := Unmarshal(data, &kept); err != nil {
		t.Fatal(err)
	}
	if want := (inner{A: 5, Extra: Extra{128: unhex(t, "820102")}}); !reflect.DeepEqual(kept, want) {
		t.Errorf("got %+v, want %+v", kept, want)
	}
	data[2] = 6 // what was kept is a copy
	if again, err := Marshal(kept); err != nil || hex.EncodeToString(again) != "a201051880820102" {
		t.Errorf("again: %x, %v", again, err)
	}
	var dropped plain
	if err := Unmarshal(data, &dropped); err != nil || dropped.A != 6 {
		t.Errorf("without Extra: %+v, %v", dropped, err)
	}
}

func TestMarshalRefused(t *testing.T) {
	type deep struct {
		D *deep `cbor:"1,keyasint,omitempty"`
	}
	var nine *deep
	for range 9 {
		nine = &deep{nine}
	}
	for name, v := range map[string]any{
		"float":        1.5,
		"nil":          nil,
		"nil pointer":  []*inner{nil},
		"not UTF-8":    "\xff",
		"nine deep":    nine,
		"low extra":    inner{Extra: Extra{127: {0}}},
		"known extra":  record{Extra: Extra{200: {0}}},
		"broken extra": inner{Extra: Extra{128: {0x18, 0}}},
		"no key":       struct{ A int }{},
		"text key": struct {
			A int `cbor:"a"`
		}{},
		"embedded": struct{ plain }{},
		"key twice": struct {
			A int `cbor:"1,keyasint"`
			B int `cbor:"1,keyasint"`
		}{},
		"extra in a map": map[string]inner{},
		"unseen extra":   struct{ Extra Extra }{},
	} {
		if b, err := Marshal(v); err == nil {
			t.Errorf("%s: got %x", name, b)
		}
	}
}

func TestUnmarshalTarget(t *testing.T) {
	if Unmarshal([]byte{0}, 0) == nil || Unmarshal([]byte{0}, (*int)(nil)) == nil || Unmarshal([]byte{0}, nil) == nil {
		t.Error("took what is no pointer")
	}
	var m map[string]inner
	if err := Unmarshal([]byte{0xa0}, &m); err == nil {
		t.Error("took a map of structs that keep fields")
	}
}

func TestNumbers(t *testing.T) {
	for _, n := range []uint64{0, 23, 24, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, math.MaxUint64} {
		b, err := Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		if want := appendHead(nil, typeUint, n); !bytes.Equal(b, want) {
			t.Errorf("%d: got %x, want %x", n, b, want)
		}
		var back uint64
		if err := Unmarshal(b, &back); err != nil || back != n {
			t.Errorf("%d: got %d, %v", n, back, err)
		}
	}
}

// FuzzUnmarshal: what is accepted encodes to the same bytes again, unless a
// struct that keeps nothing dropped something, and then to bytes that are as
// stable.
func FuzzUnmarshal(f *testing.F) {
	b, err := Marshal(full)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	for _, s := range []string{"a10100", "a20100188081818181818180", "a201000aa16161a10105", "a201000aa16161a11880f5", "a201000982008101"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v record
		if err := Unmarshal(data, &v); err != nil {
			if !reflect.DeepEqual(v, record{}) {
				t.Fatal("left something behind")
			}
			return
		}
		again, err := Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if len(v.Map) == 0 && !bytes.Equal(again, data) {
			t.Fatalf("%x encodes to %x", data, again)
		}
		var w record
		if err := Unmarshal(again, &w); err != nil || !reflect.DeepEqual(v, w) {
			t.Fatalf("again: %+v, %v; want %+v", w, err, v)
		}
	})
}

func BenchmarkPage(b *testing.B) {
	r := record{Number: 1}
	for i := range 1000 {
		r.List = append(r.List, inner{A: uint64(i) << 30})
	}
	data, _ := Marshal(r)
	b.SetBytes(int64(len(data)))
	b.Run("Marshal", func(b *testing.B) {
		for b.Loop() {
			Marshal(r)
		}
	})
	b.Run("Unmarshal", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			var v record
			if err := Unmarshal(data, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
}

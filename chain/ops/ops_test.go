package ops

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

var id = [2]byte{'i', 'd'}

// samples are one of each operation; testdata/operations.txt has their bytes.
var samples = []Operation{
	NamePreorder{Hash: [20]byte{1, 2}, Consensus: [16]byte{3, 4}},
	Registration{"alice.id"},
	Update{NameHash: [16]byte{5, 6}, Value: [20]byte{7, 8}},
	Transfer{Keep: true, NameHash: [16]byte{9}, Consensus: [16]byte{10}},
	Transfer{NameHash: [16]byte{9}, Consensus: [16]byte{10}},
	Revoke{"alice.id"},
	Import{"a-1_.id"},
	NamespacePreorder{Hash: [20]byte{11}, Consensus: [16]byte{12}},
	NamespaceReveal{ID: "id", Version: 1, Lifetime: 52595, Coefficient: 250, Base: 4,
		Buckets: [16]byte{6, 5, 4, 3, 2, 1}, NonAlpha: 4, NoVowel: 15},
	NamespaceReady{"id"},
	Announce{[20]byte{13}},
}

func TestKnownBytes(t *testing.T) {
	want, err := os.ReadFile("testdata/operations.txt")
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, op := range samples {
		b, err := Encode(id, op)
		if err != nil {
			t.Fatalf("%T: %v", op, err)
		}
		fmt.Fprintf(&got, "%T %x\n", op, b)
		back, err := Decode(id, b)
		if err != nil || !reflect.DeepEqual(back, op) {
			t.Errorf("%x: got %+v, %v, want %+v", b, back, err, op)
		}
		script, err := Script(id, op)
		if push, ok := ReturnData(script); err != nil || !ok || !bytes.Equal(push, b) {
			t.Errorf("%T: script %x gives back %x, %v", op, script, push, err)
		}
	}
	if got.String() != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct {
		push    string
		foreign bool
	}{
		{"", true}, {"id", true}, {"sa:alice.id", true}, {"id$alice.id", true},
		{"id:", false},
		{"id:alice", false},
		{"id:Alice.id", false},
		{"id:alice.id\x00", false},
		{"id:" + strings.Repeat("a", 35) + ".id", false}, // 38 bytes
		{"id?" + strings.Repeat("x", 35), false},
		{"id?" + strings.Repeat("x", 37), false},
		{"id+" + strings.Repeat("x", 35), false},
		{"id>=" + strings.Repeat("x", 32), false},
		{"id>>" + strings.Repeat("x", 31), false},
		{"id&" + strings.Repeat("\x01", 17), false}, // no id
		{"id&" + strings.Repeat("\x01", 17) + "a.b", false},
		{"id&" + strings.Repeat("\x01", 17) + strings.Repeat("a", 20), false},
		{"id!id", false},
		{"id!", false},
		{"id#" + strings.Repeat("x", 21), false},
		{"id:" + strings.Repeat("a", 80), false},
	} {
		op, err := Decode(id, []byte(c.push))
		if err == nil || errors.Is(err, ErrForeign) != c.foreign {
			t.Errorf("%q: got %+v, %v", c.push, op, err)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	for _, op := range []Operation{
		Registration{"alice"}, Revoke{""}, Import{"a.b.c"}, NamespaceReady{"i.d"},
		NamespaceReveal{ID: "id", Buckets: [16]byte{16}}, NamespaceReveal{ID: "id", NoVowel: 16},
	} {
		if b, err := Encode(id, op); err == nil {
			t.Errorf("%+v: got %x", op, b)
		}
	}
}

func TestReturnData(t *testing.T) {
	for _, c := range []struct {
		script, push string
		ok           bool
	}{
		{"6a03616263", "616263", true},
		{"6a05616263", "616263", true}, // promises more than there is
		{"6a0361626304ffffffff", "616263", true},
		{"6a4c03616263", "616263", true},
		{"6a4d0300616263", "616263", true},
		{"6a4c", "", true},
		{"6a00", "", true},
		{"6a51", "", true},
		{"6a", "", false},
		{"", "", false},
		{"76a9", "", false},
	} {
		script, _ := hex.DecodeString(c.script)
		push, ok := ReturnData(script)
		if ok != c.ok || hex.EncodeToString(push) != c.push {
			t.Errorf("%s: got %x, %v", c.script, push, ok)
		}
	}
}

// TestHashes checks hashes that stand in real transactions and old documents.
func TestHashes(t *testing.T) {
	if got := fmt.Sprintf("%x", Hash128("")); got != "e3b0c44298fc1c149afbf4c8996fb924" {
		t.Errorf("Hash128 %s", got)
	}
	c := [16]byte{0x17, 0xac, 0x43}
	if UpdateHash("a.id", c) != Hash128("a.id17ac4300000000000000000000000000") {
		t.Error("UpdateHash does not take the consensus hash as hex")
	}
}

func TestRead(t *testing.T) {
	params := &chaincfg.RegressionNetParams
	alice, err := PayTo("mgoZn4k6LuqiTYsVqQz9eu4LgpGVSz6NUC", params)
	if err != nil {
		t.Fatal(err)
	}
	value := append(append([]byte{0x76, 0xa9, 20}, bytes.Repeat([]byte{7}, 20)...), 0x88, 0xac)
	script := func(op Operation) []byte { b, _ := Script(id, op); return b }
	tx := wire.NewMsgTx(1)
	tx.AddTxIn(&wire.TxIn{})
	for _, out := range []struct {
		value  int64
		script []byte
	}{
		{0, script(Revoke{"first.id"})}, {1, alice}, {2, alice}, {3, value}, {4, BurnScript()}, {5, BurnScript()}, {0, script(Import{"last.id"})},
	} {
		tx.AddTxOut(&wire.TxOut{Value: out.value, PkScript: out.script})
	}
	got, ok := Read(id, tx)
	if !ok || got.Op != (Import{"last.id"}) || !bytes.Equal(got.Recipient, alice) || got.Fee != 4 || !got.HasFee ||
		!got.HasValue || got.Value != [20]byte(bytes.Repeat([]byte{7}, 20)) || got.Outputs != 7 || got.Txid != tx.TxHash() {
		t.Errorf("got %+v, %v", got, ok)
	}
	if _, ok := Read([2]byte{'s', 'a'}, tx); ok {
		t.Error("another magic's operation was read")
	}
	tx.AddTxOut(&wire.TxOut{PkScript: []byte{0x6a, 1, 1}})
	if _, ok := Read(id, tx); ok {
		t.Error("the last OP_RETURN does not count")
	}
}

func TestAddress(t *testing.T) {
	params := &chaincfg.RegressionNetParams
	for _, a := range []string{"mgoZn4k6LuqiTYsVqQz9eu4LgpGVSz6NUC", "2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc"} {
		script, err := PayTo(a, params)
		if err != nil || Address(script, params) != a {
			t.Errorf("%s: %x, %v", a, script, err)
		}
	}
	for _, a := range []string{
		"", "alice", "mgoZn4k6LuqiTYsVqQz9eu4LgpGVSz6NUD", // checksum
		"1111111111111111111114oLvT2",                  // mainnet
		"bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", // segwit owns nothing
	} {
		if script, err := PayTo(a, params); err == nil {
			t.Errorf("%q: %x", a, script)
		}
	}
	if got := Address(BurnScript(), &chaincfg.MainNetParams); got != "1111111111111111111114oLvT2" {
		t.Errorf("burn address %s", got)
	}
}

// TestNameVectors runs the examples in the old registry's source.
func TestNameVectors(t *testing.T) {
	raw, err := os.ReadFile("../../../shared/vectors/names_and_base40.json")
	if err != nil {
		t.Skip("../shared/vectors/names_and_base40.json is not there")
	}
	var file struct {
		Cases []struct {
			Fn     string
			Args   []any
			Expect any
		}
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, c := range file.Cases {
		s, ok := "", false
		if len(c.Args) > 0 {
			s, ok = c.Args[0].(string)
		}
		if !ok {
			continue
		}
		var got any
		switch c.Fn {
		case "is_name_valid", "check_name":
			got = ValidName(s)
		case "is_namespace_valid", "check_namespace":
			got = ValidNamespace(s)
		case "charset_to_int":
			b, ok := Base40(s)
			if got = any("ERROR"); ok {
				n := 0.0
				for _, v := range b {
					n = 256*n + float64(v)
				}
				got = n
			}
		default:
			continue
		}
		ran++
		if got != c.Expect {
			t.Errorf("%s(%q): got %v, want %v", c.Fn, s, got, c.Expect)
		}
	}
	if ran < 30 {
		t.Errorf("only %d cases", ran)
	}
}

func FuzzDecode(f *testing.F) {
	for _, op := range samples {
		b, _ := Encode(id, op)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, push []byte) {
		op, err := Decode(id, push)
		if err != nil {
			return
		}
		b, err := Encode(id, op)
		if err != nil || !bytes.Equal(b, push) {
			t.Fatalf("%x decodes to %+v, which encodes to %x, %v", push, op, b, err)
		}
	})
}

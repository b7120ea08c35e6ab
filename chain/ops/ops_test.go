package ops

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/address/v2"
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

// TestReadOutputs: which output is what.
func TestReadOutputs(t *testing.T) {
	key := func(b byte) []byte {
		return append(append([]byte{0x76, 0xa9, 20}, bytes.Repeat([]byte{b}, 20)...), 0x88, 0xac)
	}
	club := append(append([]byte{0xa9, 20}, bytes.Repeat([]byte{9}, 20)...), 0x87)
	script, _ := Script(id, Import{"a.id"})
	odd := []byte{0x51}
	type outs []*wire.TxOut
	out := func(value int64, script []byte) *wire.TxOut { return &wire.TxOut{Value: value, PkScript: script} }
	for _, c := range []struct {
		why       string
		outs      outs
		ok        bool
		recipient []byte
		value     byte // 0 none
		fee       int64
	}{
		{"as it should be", outs{out(0, script), out(1, key(1)), out(1, key(2))}, true, key(1), 2, -1},
		{"data last", outs{out(1, key(1)), out(1, key(2)), out(0, script)}, true, key(1), 2, -1},
		{"data alone", outs{out(0, script)}, true, nil, 0, -1},
		{"no outputs", outs{}, false, nil, 0, -1},
		{"a script as recipient and a script as value", outs{out(0, script), out(1, club), out(1, key(2))}, true, club, 2, -1},
		{"the value may be in a script's hash", outs{out(0, script), out(1, key(1)), out(1, club)}, true, key(1), 9, -1},
		{"no value", outs{out(0, script), out(1, key(1)), out(1, key(1))}, true, key(1), 0, -1},
		{"an odd output where the value should be", outs{out(0, script), out(1, key(1)), out(1, odd), out(1, key(2))}, true, key(1), 0, -1},
		{"an odd recipient", outs{out(0, script), out(1, odd), out(1, key(2))}, true, odd, 2, -1},
		{"burnt to the recipient", outs{out(0, script), out(7, BurnScript())}, true, BurnScript(), 0, 7},
		{"nothing burnt", outs{out(0, script), out(1, key(1)), out(0, BurnScript())}, true, key(1), 0, 0},
		{"burnt twice", outs{out(0, script), out(1, key(1)), out(5, BurnScript()), out(6, BurnScript())}, true, key(1), 0, 5},
		{"data that burns", outs{out(5, append([]byte{0x6a}, BurnScript()...)), out(0, script), out(1, key(1))}, true, key(1), 0, -1},
		{"other data after it", outs{out(0, script), out(1, key(1)), out(0, []byte("\x6a\x03sat"))}, false, nil, 0, -1},
		{"empty data after it", outs{out(0, script), out(1, key(1)), out(0, []byte{0x6a, 0})}, false, nil, 0, -1},
		{"a bare OP_RETURN after it", outs{out(0, script), out(1, key(1)), out(0, []byte{0x6a})}, true, key(1), 0, -1},
		{"other data before it", outs{out(0, []byte("\x6a\x03sat")), out(0, script), out(1, key(1))}, true, key(1), 0, -1},
	} {
		tx := wire.NewMsgTx(1)
		tx.AddTxIn(&wire.TxIn{})
		tx.TxOut = c.outs
		got, ok := Read(id, tx)
		if ok != c.ok {
			t.Errorf("%s: %+v, %v", c.why, got, ok)
		}
		if !ok {
			continue
		}
		fee, value := int64(-1), byte(0)
		if got.HasFee {
			fee = got.Fee
		}
		if got.HasValue {
			value = got.Value[19]
		}
		if !bytes.Equal(got.Recipient, c.recipient) || fee != c.fee || value != c.value {
			t.Errorf("%s: recipient %x, fee %d, value %d", c.why, got.Recipient, fee, value)
		}
	}
	if _, ok := Read(id, &wire.MsgTx{TxOut: outs{out(0, script)}}); ok {
		t.Error("a transaction without inputs was read")
	}
}

// TestSetSender: a key is taken from the signature script only if it is the
// sender's.
func TestSetSender(t *testing.T) {
	key := append([]byte{2}, bytes.Repeat([]byte{1}, 32)...)
	own := append(append([]byte{0x76, 0xa9, 20}, address.Hash160(key)...), 0x88, 0xac)
	push := func(data ...[]byte) (script []byte) {
		for _, d := range data {
			script = append(append(script, byte(len(d))), d...)
		}
		return script
	}
	club := append(append([]byte{0xa9, 20}, address.Hash160(key)...), 0x87)
	for _, c := range []struct {
		why         string
		sender, sig []byte
		key         bool
	}{
		{"p2pkh", own, push([]byte("sig"), key), true},
		{"more pushes", own, push([]byte("a"), []byte("b"), key), true},
		{"another's key", own, push([]byte("sig"), append([]byte{3}, key[1:]...)), false},
		{"no pushes", own, nil, false},
		{"a script cut short", own, push([]byte("sig"), key)[:20], false},
		{"p2sh", club, push([]byte("sig"), key), false},
		{"segwit", append([]byte{0, 20}, address.Hash160(key)...), push(key), false},
		{"none", nil, push(key), false},
	} {
		tx := &Tx{sigScript: c.sig}
		tx.SetSender(c.sender)
		if !bytes.Equal(tx.Sender, c.sender) || (tx.SenderKey != nil) != c.key || c.key && !bytes.Equal(tx.SenderKey, key) {
			t.Errorf("%s: %x", c.why, tx.SenderKey)
		}
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

func TestValidName(t *testing.T) {
	long := strings.Repeat("a", 34)
	for _, ok := range []string{"a.b", "0.0", "-_.-_", long + ".id", long[:17] + "." + long[:19]} {
		if !ValidName(ok) {
			t.Errorf("%q is no name", ok)
		}
	}
	for _, bad := range []string{
		"", ".", "a", "a.", ".b", "a.b.c", "a+.b", "a.b+", "A.b", "a.B", "a b.c", "a.b ", "\u00e4.b", "a\x00.b",
		long + "a.id", "a." + long[:20],
	} {
		if ValidName(bad) {
			t.Errorf("%q is a name", bad)
		}
	}
	if ValidNamespace(long[:20]) || !ValidNamespace(long[:19]) || ValidNamespace("") {
		t.Error("a namespace id has 1 to 19 characters")
	}
}

// TestBase40 knows that leading zeros vanish, and that hashes of names differ by
// nothing else.
func TestBase40(t *testing.T) {
	for s, want := range map[string]string{"": "00", "0": "00", "1": "01", "10": "28", "abcd": "0a0aad", "00abcd": "0a0aad", "muneeb.id": "87b0059d8e5d", "+": "27"} {
		if b, ok := Base40(s); !ok || hex.EncodeToString(b) != want {
			t.Errorf("%q: %x, %v, want %s", s, b, ok, want)
		}
	}
	for _, bad := range []string{"A", "a b", "a/b", "\u00e4", "\x00"} {
		if b, ok := Base40(bad); ok {
			t.Errorf("%q: %x", bad, b)
		}
	}
	sender := []byte{1}
	if HashName("0a.id", sender, "x") != HashName("a.id", sender, "x") {
		t.Error("a leading zero shows in a hash")
	}
	if HashName("a0.id", sender, "x") == HashName("a.id", sender, "x") || HashName("a.id", sender, "y") == HashName("a.id", sender, "x") ||
		HashName("a.id", []byte{2}, "x") == HashName("a.id", sender, "x") {
		t.Error("two hashes are one")
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

// FuzzRead reads whole transactions: what is found encodes to what the last
// OP_RETURN output begins with, and nothing in it is longer than it may be.
func FuzzRead(f *testing.F) {
	for _, op := range samples {
		script, _ := Script(id, op)
		tx := wire.NewMsgTx(1)
		tx.AddTxIn(&wire.TxIn{SignatureScript: []byte{1, 0, 2, 2, 3}})
		tx.AddTxOut(&wire.TxOut{PkScript: script})
		tx.AddTxOut(&wire.TxOut{Value: 1, PkScript: BurnScript()})
		var b bytes.Buffer
		tx.Serialize(&b)
		f.Add(b.Bytes())
	}
	params := &chaincfg.RegressionNetParams
	f.Fuzz(func(t *testing.T, raw []byte) {
		var tx wire.MsgTx
		if tx.Deserialize(bytes.NewReader(raw)) != nil {
			return
		}
		got, ok := Read(id, &tx)
		if !ok {
			return
		}
		push, err := Encode(id, got.Op)
		if err != nil || len(push) > MaxPush {
			t.Fatalf("%+v encodes to %x, %v", got.Op, push, err)
		}
		var last []byte
		for _, out := range tx.TxOut {
			if data, ok := ReturnData(out.PkScript); ok {
				last = data
			}
		}
		if !bytes.Equal(push, last) {
			t.Fatalf("%x was read, %x is there", push, last)
		}
		if got.Outputs != len(tx.TxOut) || len(got.Recipient) > 0 && got.Recipient[0] == 0x6a {
			t.Fatalf("%+v", got)
		}
		for _, out := range tx.TxOut {
			got.SetSender(out.PkScript)
			if n := len(got.SenderKey); n > 0 && Address(got.Sender, params) == "" {
				t.Fatalf("%x has the key %x", got.Sender, got.SenderKey)
			}
		}
	})
}

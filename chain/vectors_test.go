package chain

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"satchel/chain/ops"
)

// real are namespaces whose parameters the price vectors were made with.
var real = map[string]*namespace{
	"id":            {Coefficient: 250, Base: 4, Buckets: [16]byte{6, 5, 4, 3, 2, 1}, NonAlpha: 4, NoVowel: 4},
	"blockstack":    {Coefficient: 250, Base: 4, Buckets: [16]byte{7, 6, 5, 4, 3, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, NonAlpha: 4, NoVowel: 4},
	"podcast":       {Coefficient: 250, Base: 40, Buckets: [16]byte{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, NonAlpha: 1, NoVowel: 1},
	"helloworld":    {Coefficient: 4, Base: 2, Buckets: [16]byte{15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0}, NonAlpha: 2, NoVowel: 5},
	"test(regtest)": test,
	"test":          test,
}

var test = &namespace{Coefficient: 250, Base: 4, Buckets: [16]byte{6, 5, 4, 3, 2, 1}, NonAlpha: 10, NoVowel: 10}

// readJSON reads the input that the environment names, else a shared one.
func readJSON(t *testing.T, env, name string, v any) {
	t.Helper()
	raw, err := os.ReadFile(vectors(t, env, name))
	if err == nil {
		err = json.Unmarshal(raw, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A tally counts cases, and says so in the end whatever happens.
type tally struct {
	t              *testing.T
	passed, failed int
}

func (c *tally) check(ok bool, format string, args ...any) {
	c.t.Helper()
	if ok {
		c.passed++
		return
	}
	c.failed++
	c.t.Errorf(format, args...)
}

func (c *tally) end(what string) {
	if c.t.Skipped() {
		return // the file is not there
	}
	fmt.Printf("%s: %d passed, %d failed\n", what, c.passed, c.failed)
	if c.passed+c.failed == 0 {
		c.t.Error("no cases")
	}
}

// TestPrices computes prices that were recorded or computed by others.
func TestPrices(t *testing.T) {
	var file struct {
		Anchors []struct {
			Name    Name
			Satoshi float64
		}
		Rows []struct {
			Namespace, Label string
			Price            float64 `json:"price_satoshi"`
		}
	}
	c := &tally{t: t}
	defer c.end("prices")
	readJSON(t, "SATCHEL_PRICES", "prices.json", &file)
	check := func(label, namespace string, want float64) {
		ns := real[namespace]
		if ns == nil {
			c.check(false, "%s.%s: the parameters of the namespace are not known", label, namespace)
			return
		}
		got := price(Name(label+".x"), ns)
		c.check(got == want, "%s.%s: got %v, want %v", label, namespace, got, want)
	}
	for _, row := range file.Rows {
		check(row.Label, row.Namespace, row.Price)
	}
	for _, a := range file.Anchors {
		check(a.Name.Label(), a.Name.Namespace(), a.Satoshi)
	}
}

func TestPriceBounds(t *testing.T) {
	huge := &namespace{Coefficient: 255, Base: 255, Buckets: [16]byte{15}}
	if got := satoshi(price("a.x", huge)); got != 1<<63-1 {
		t.Errorf("a price that nobody can pay is %d", got)
	}
	if got := satoshi(1 << 63); got != 1<<63-1 {
		t.Errorf("a price that nobody can write is %d", got)
	}
	free := &namespace{Coefficient: 0, Base: 0, NonAlpha: 1, NoVowel: 1}
	if got := satoshi(price("abc.x", free)); got != priceUnit {
		t.Errorf("the least price is %d", got)
	}
	p := Satchel(&chaincfg.RegressionNetParams, 1)
	for id, want := range map[string]int64{"a": 41e8, "id": 40e8, "abc": 40e8, "abcd": 4e8, "abcdefg": 4e8, "abcdefgh": 4e7} {
		if got := p.namespacePrice(id); got != want {
			t.Errorf("namespace %s: %d, want %d", id, got, want)
		}
	}
}

func TestPythonFloat(t *testing.T) {
	for f, want := range map[float64]string{
		6400000: "6400000.0", 100: "100.0", 0: "0.0", 1234.5: "1234.5", 1e10: "10000000000.0", 99999999999: "99999999999.0",
		99999999999.95: "99999999999.9", 99999999999.96: "1e+11", 1e11: "1e+11", 1.5e11: "1.5e+11",
		123456789012: "1.23456789012e+11", 999999999999.5: "1e+12", 1e12: "1e+12", 123456789012345: "1.23456789012e+14",
		0.1: "0.1", 1234567.891234567: "1234567.89123", 1e-5: "1e-05",
	} {
		if got := pythonFloat(f); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestImportKeychain derives the addresses that may import.
func TestImportKeychain(t *testing.T) {
	var file struct {
		Key      string   `json:"revealer_pubkey"`
		Children []string `json:"children_0_to_4_then_self"`
		Seen     []string `json:"seen_on_chain"`
	}
	c := &tally{t: t}
	defer c.end("keychain")
	readJSON(t, "SATCHEL_KEYCHAIN", "import_keychain.json", &file)
	key, err := hex.DecodeString(file.Key)
	if err != nil || len(file.Children) < 2 {
		t.Fatal(err, file)
	}
	p := Blockstack(&chaincfg.RegressionNetParams)
	last := len(file.Children) - 1 // the revealer himself
	for i, a := range file.Children[:last] {
		p.ImportKeys = i
		before := p.mayImport(key, a)
		p.ImportKeys = i + 1
		c.check(!before && p.mayImport(key, a), "%s is not child %d", a, i)
	}
	for _, a := range append(file.Seen, file.Children[last]) {
		c.check(p.mayImport(key, a), "%s may not import", a)
	}
	p.ImportKeys = 0
	c.check(p.keyAddress(key) == file.Children[last] && p.mayImport(key, file.Children[last]), "%s is not the revealer", file.Children[last])
	c.check(!p.mayImport(key, "") && !p.mayImport(nil, file.Children[last]) && !p.mayImport(key[1:], file.Children[last]), "anybody may import")
}

// TestNames runs the examples in the old registry's source as far as they are
// about names and base 40 and have text for arguments.
func TestNames(t *testing.T) {
	var file struct {
		Cases []struct {
			Fn     string
			Args   []any
			Expect any
		}
	}
	c := &tally{t: t}
	defer c.end("names")
	readJSON(t, "SATCHEL_NAMES", "names_and_base40.json", &file)
	for _, f := range file.Cases {
		if len(f.Args) == 0 {
			continue
		}
		if got := nameExample(f.Fn, f.Args[0], f.Expect); got != nil {
			c.check(got == f.Expect, "%s(%q): got %v, want %v", f.Fn, f.Args, got, f.Expect)
		}
	}
}

// nameExample returns what we make of an example, nil if it is about something
// else.
func nameExample(fn string, arg, want any) any {
	if n, ok := arg.(float64); ok && fn == "int_to_charset" && n >= 0 {
		if s, _ := want.(string); base40Number(s) == n {
			return want // there is no way back here, since leading zeros vanish
		}
		return n
	}
	s, ok := arg.(string)
	if !ok {
		return nil
	}
	_, digits := ops.Base40(s)
	switch fn {
	case "is_name_valid", "check_name":
		return ops.ValidName(s)
	case "is_namespace_valid", "check_namespace":
		return ops.ValidNamespace(s)
	case "is_b40":
		if digits && want == false {
			return nil // the text was of another type in Python
		}
		return digits
	case "charset_to_int":
		if !digits {
			return "ERROR"
		}
		return base40Number(s)
	case "get_name_from_fq_name", "get_namespace_from_name":
		if !ops.ValidName(s) {
			return nil
		}
		if fn == "get_name_from_fq_name" {
			return Name(s).Label()
		}
		return Name(s).Namespace()
	}
	return nil
}

func base40Number(s string) (n float64) {
	b, _ := ops.Base40(s)
	for _, v := range b {
		n = 256*n + float64(v)
	}
	return n
}

func TestParseName(t *testing.T) {
	n, err := ParseName("alice.id")
	if err != nil || n.Label() != "alice" || n.Namespace() != "id" {
		t.Errorf("got %q %q, %v", n.Label(), n.Namespace(), err)
	}
	for _, bad := range []string{
		"alice", // no namespace
		".id",   // no label
		"alice.", "Alice.id", "a+b.id", "al ice.id", "alice.id\n", "älice.id", "../x.id",
		"abcdefghijklmnopqrstuvwxyz0123456789.id", // too long
	} {
		if n, err := ParseName(bad); err == nil {
			t.Errorf("%q is %q", bad, n)
		}
	}
}

func TestNetwork(t *testing.T) {
	for want, p := range map[string]*Params{
		"736106226e46111a0b59": Satchel(&chaincfg.RegressionNetParams, 1),
		"69646fe28c0ab6f1b372": Blockstack(&chaincfg.MainNetParams),
	} {
		n := p.Network()
		if got := fmt.Sprintf("%x", n[:]); got != want {
			t.Errorf("%s on %s: %s", p.Rules, p.Chain.Name, got)
		}
	}
}

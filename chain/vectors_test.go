package chain

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
)

// real are namespaces whose parameters the price vectors were made with.
var real = map[string]*namespace{
	"id":            {Coefficient: 250, Base: 4, Buckets: [16]byte{6, 5, 4, 3, 2, 1}, NonAlpha: 4, NoVowel: 4},
	"blockstack":    {Coefficient: 250, Base: 4, Buckets: [16]byte{7, 6, 5, 4, 3, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, NonAlpha: 4, NoVowel: 4},
	"podcast":       {Coefficient: 250, Base: 40, Buckets: [16]byte{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, NonAlpha: 1, NoVowel: 1},
	"helloworld":    {Coefficient: 4, Base: 2, Buckets: [16]byte{15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0}, NonAlpha: 2, NoVowel: 5},
	"test(regtest)": {Coefficient: 250, Base: 4, Buckets: [16]byte{6, 5, 4, 3, 2, 1}, NonAlpha: 10, NoVowel: 10},
}

func TestPrices(t *testing.T) {
	raw, err := os.ReadFile(vectors(t, "SATCHEL_PRICES", "prices.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Rows []struct {
			Namespace, Label string
			Price            float64 `json:"price_satoshi"`
		}
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	for _, row := range file.Rows {
		ns := real[row.Namespace]
		if ns == nil {
			t.Errorf("unknown namespace %s", row.Namespace)
			continue
		}
		if got := price(Name(row.Label+".x"), ns); got != row.Price {
			t.Errorf("%s.%s: got %v, want %v", row.Label, row.Namespace, got, row.Price)
		}
	}
	if len(file.Rows) == 0 {
		t.Error("no rows")
	}
}

func TestPriceBounds(t *testing.T) {
	huge := &namespace{Coefficient: 255, Base: 255, Buckets: [16]byte{15}}
	if got := satoshi(price("a.x", huge)); got != 1<<63-1 {
		t.Errorf("a price that nobody can pay is %d", got)
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

func TestImportKeychain(t *testing.T) {
	raw, err := os.ReadFile(vectors(t, "SATCHEL_KEYCHAIN", "import_keychain.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Key      string   `json:"revealer_pubkey"`
		Children []string `json:"children_0_to_4_then_self"`
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	key, err := hex.DecodeString(file.Key)
	if err != nil {
		t.Fatal(err)
	}
	p := Blockstack(&chaincfg.RegressionNetParams)
	for _, a := range file.Children {
		if !p.mayImport(key, a) {
			t.Errorf("%s may not import", a)
		}
	}
	p.ImportKeys = 4
	if p.mayImport(key, file.Children[4]) || p.mayImport(key, "") || p.mayImport(nil, file.Children[5]) {
		t.Error("an address that may not import may")
	}
}

func TestParseName(t *testing.T) {
	n, err := ParseName("alice.id")
	if err != nil || n.Label() != "alice" || n.Namespace() != "id" {
		t.Errorf("got %q %q, %v", n.Label(), n.Namespace(), err)
	}
	for _, bad := range []string{
		"alice", // no namespace
		".id",   // no label
		"alice.", "Alice.id", "a.b.id", "a+b.id", "al ice.id", "alice.id\n", "älice.id", "../x.id",
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

package zonefile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const talk = `$ORIGIN judecn.id
$TTL 3600
pubkey TXT "pubkey:data:04cabba0b5b9a871dbaa11c044066e281c5feb57243c7d2a452f06a0d708613a46ced59f9f806e601b3353931d1e4a98d7040127f31016311050bedc0d4f1f62ff"
_file URI 10 1 "file:///home/jude/.blockstack/storage-disk/mutable/judecn.id"
_https._tcp URI 10 1 "https://blockstack.s3.amazonaws.com/judecn.id"
_http._tcp URI 10 1 "http://node.blockstack.org:6264/RPC2#judecn.id"
_dht._udp URI 10 1 "dht+udp://fc4d9c1481a6349fe99f0e3dd7261d67b23dadc5"
`

func TestParseTalk(t *testing.T) {
	f, err := Parse([]byte(talk))
	if err != nil {
		t.Fatal(err)
	}
	if f.Origin != "judecn.id" || f.TTL != 3600 || len(f.DataKey) != 65 || f.DataKey[0] != 4 {
		t.Errorf("got %+v", f)
	}
	want := []URI{
		{"_file", 10, 1, "file:///home/jude/.blockstack/storage-disk/mutable/judecn.id"},
		{"_https._tcp", 10, 1, "https://blockstack.s3.amazonaws.com/judecn.id"},
		{"_http._tcp", 10, 1, "http://node.blockstack.org:6264/RPC2#judecn.id"},
		{"_dht._udp", 10, 1, "dht+udp://fc4d9c1481a6349fe99f0e3dd7261d67b23dadc5"},
	}
	if !reflect.DeepEqual(f.URIs, want) {
		t.Errorf("got %+v, want %+v", f.URIs, want)
	}
	for i := range f.URIs {
		f.URIs[i].Name = "" // Format finds it again
	}
	if got := string(Format(f)); got != talk {
		t.Errorf("formatted:\n%s\nwant:\n%s", got, talk)
	}
}

func TestParseLoose(t *testing.T) {
	long := strings.Repeat("x", 300)
	key := "02" + strings.Repeat("ab", 32)
	for _, c := range []struct{ why, zone, origin, target, key string }{
		{"final dot, no quotes, odd spaces", "$ORIGIN  a.id.\n\n_https._tcp\t\tURI\t1 2   https://x/y\r\n", "a.id", "https://x/y", ""},
		{"class and time", "$TTL 1h\n$ORIGIN a.id\n_http._tcp 1D IN URI 1 2 \"http://x\"", "a.id", "http://x", ""},
		{"no scheme", "$ORIGIN a.id\n_x URI 1 2 \"x/y\"\n", "a.id", "https://x/y", ""},
		{"long target", "$ORIGIN a.id\n_x URI 1 2 \"s:" + long + "\"\n", "a.id", "s:" + long, ""},
		{"string over lines", "$ORIGIN a.id\npubkey TXT \"pubkey:\ndata:" + key[:10] + "\n" + key[10:] + "\"\n", "a.id", "", key},
		{"key in pieces and parentheses", "$ORIGIN a.id\npubkey TXT ( \"pubkey:data:\" ; why\n \"" + key + "\" )\n", "a.id", "", key},
		{"long text of other use", "$ORIGIN a.id\nb TXT \"" + long + long + "\"\n", "a.id", "", ""},
		{"comment with a quote, escapes", "; it's \" odd\n$ORIGIN a.id\n_x URI 1 2 \"s:a\\\"b\\;c;d\\065\"\n", "a.id", `s:a"b;c;dA`, ""},
		{"two keys are none", "$ORIGIN a.id\na TXT \"pubkey:data:" + key + "\"\nb TXT \"pubkey:data:" + key + "\"\n", "a.id", "", ""},
		{"a broken key is none", "$ORIGIN a.id\na TXT \"pubkey:data:02ab\"\n", "a.id", "", ""},
		{"unknown type, no name", "$ORIGIN a.id\na ALIAS b.c\n  URI 1 2 \"s:x\"\n", "a.id", "s:x", ""},
		{"second origin", "$ORIGIN a.id\n$ORIGIN b.id\n", "a.id", "", ""},
	} {
		f, err := Parse([]byte(c.zone))
		if err != nil {
			t.Errorf("%s: %v", c.why, err)
			continue
		}
		target := ""
		if len(f.URIs) > 0 {
			target = f.URIs[0].Target
		}
		if f.Origin != c.origin || target != c.target || hex.EncodeToString(f.DataKey) != c.key {
			t.Errorf("%s: got %q %q %x", c.why, f.Origin, target, f.DataKey)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, zone := range []string{
		"",
		`{"name": {"formatted": "an old profile"}}`,
		"_x URI 1 2 \"s:x\"\n",                            // no origin
		"$ORIGIN\n",                                       //
		"$ORIGIN a.id\n$TTL 99999999999\n",                //
		"$ORIGIN a.id\n$TTL -1\n",                         //
		"$ORIGIN a.id\n$INCLUDE /etc/passwd\n",            // would read a file here
		"$ORIGIN a.id\n$GENERATE 1-65535 a$ URI 1 2 \"\"", // would grow
		"$ORIGIN a.id\n_x URI 1 \"s:x\"\n",
		"$ORIGIN a.id\n_x URI 70000 1 \"s:x\"\n",
		"$ORIGIN a.id\n_x URI 1 2 \"s:x\n",
		"$ORIGIN a.id\n" + strings.Repeat(";", maxRead),
	} {
		if f, err := Parse([]byte(zone)); err == nil {
			t.Errorf("%.60q: got %+v", zone, f)
		}
	}
}

func TestFormatKeepsAnything(t *testing.T) {
	f := &File{Origin: "a.id", TTL: 7, DataKey: bytes.Repeat([]byte{3}, 33), URIs: []URI{
		{"_https._tcp", 1, 2, "https://x/" + strings.Repeat("y", 400)},
		{"_file", 65535, 0, "file:///a b/\"quoted\"/back\\slash/;/\xff\n/é/\\065"},
		{"_uri", 0, 0, "s 3://x\n$INCLUDE y"},
	}}
	got, err := Parse(Format(f))
	if err != nil || !reflect.DeepEqual(got, f) {
		t.Errorf("got %+v, %v\nfrom %s", got, err, Format(f))
	}
}

// TestRealZoneFiles reads zone files that real people published. It ends with a
// count, whatever happens.
func TestRealZoneFiles(t *testing.T) {
	path, shared := vectors(t, "SATCHEL_ZONEFILES", "zonefiles.jsonl.gz")
	parsed, failed := 0, 0
	defer func() { fmt.Printf("zone files: %d parsed, %d failed\n", parsed, failed) }()
	for i, line := range readLines(t, path) {
		var row struct {
			Name string
			Zone *string `json:"zonefile"`
			Hash string  `json:"zonefile_hash"`
		}
		err := json.Unmarshal(line, &row)
		if err == nil && row.Zone == nil && i == 0 {
			continue // the head line
		}
		var f *File
		if err == nil && row.Zone == nil {
			err = errors.New("no zone file in this line")
		}
		if err == nil {
			f, err = Parse([]byte(*row.Zone))
		}
		if err == nil {
			if hash := Hash([]byte(*row.Zone)); row.Hash != "" && hex.EncodeToString(hash[:]) != row.Hash {
				err = fmt.Errorf("hash %x, want %s", hash, row.Hash)
			}
		}
		if err != nil {
			failed++
			t.Errorf("line %d, %s: %v", i+1, row.Name, err)
			continue
		}
		parsed++
		if f.Origin == row.Name && len(f.URIs) > 0 {
			continue
		}
		if t.Logf("line %d, %s: not a standard one: %+v", i+1, row.Name, f); shared {
			t.Fail() // those are
		}
	}
	if parsed+failed == 0 {
		t.Error("no zone files")
	}
}

// readLines returns the lines of a file, gzipped or not.
func readLines(t *testing.T, path string) (lines [][]byte) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := bufio.NewReader(f)
	if magic, _ := r.Peek(2); string(magic) == "\x1f\x8b" {
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		r = bufio.NewReader(z)
	}
	for {
		line, err := r.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) > 0 {
			lines = append(lines, line)
		}
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Errorf("%s: %v", path, err) // what there is can be tried
			return lines
		}
	}
}

func TestZonesOfOthers(t *testing.T) {
	path, _ := vectors(t, "SATCHEL_ZONEFILE_SYNTAX", "zonefile_syntax.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parsed, failed := 0, 0
	defer func() { fmt.Printf("zone file syntax: %d parsed, %d failed\n", parsed, failed) }()
	var samples struct {
		Texts map[string]string `json:"text_samples"`
	}
	if err := json.Unmarshal(raw, &samples); err != nil {
		t.Fatal(err)
	}
	for name, zone := range samples.Texts {
		if _, err := Parse([]byte(zone)); err != nil {
			failed++
			t.Errorf("%s: %v", name, err)
			continue
		}
		parsed++
	}
	if len(samples.Texts) == 0 {
		t.Error("no samples")
	}
}

// vectors returns the path of a test input: the one that the environment names,
// from here or from the top of the repository, else the shared one. Without
// either the test is skipped.
func vectors(t *testing.T, env, name string) (path string, shared bool) {
	t.Helper()
	if path := os.Getenv(env); path != "" {
		if _, err := os.Stat(filepath.Join("../..", path)); err == nil && !filepath.IsAbs(path) {
			path = filepath.Join("../..", path)
		}
		return path, false
	}
	path = "../../../shared/vectors/" + name
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not set and ../shared/vectors/%s is not there", env, name)
	}
	return path, true
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(talk))
	f.Add([]byte("$ORIGIN a.\n$TTL 1w\n@ IN URI 1 2 ( \"a\"\n \"b\" ) ; c\n\tTXT \\\"x \"\\000\\"))
	f.Fuzz(func(t *testing.T, data []byte) {
		z, err := Parse(data)
		if err != nil {
			return
		}
		for i := range z.URIs {
			z.URIs[i].Name = ""
		}
		if !plain.MatchString(z.Origin) {
			return
		}
		again, err := Parse(Format(z))
		if err != nil {
			t.Fatalf("%q: %v", Format(z), err)
		}
		for i := range again.URIs {
			again.URIs[i].Name = ""
		}
		if len(Format(z)) <= maxRead && !reflect.DeepEqual(z, again) {
			t.Fatalf("got %+v, want %+v", again, z)
		}
	})
}

package crypto

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what is missing in testdata")

// known returns the bytes of a known-answer file: hex with white space and
// lines that start with #. With -update a missing file is made of got.
func known(t testing.TB, name string, got []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name)
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) && *update {
		text = []byte(wrapHex(got))
		err = os.WriteFile(path, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			digits.WriteString(strings.TrimSpace(line))
		}
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return b
}

func wrapHex(b []byte) string {
	var s strings.Builder
	for ; len(b) > 0; b = b[min(40, len(b)):] {
		s.WriteString(hex.EncodeToString(b[:min(40, len(b))]) + "\n")
	}
	return s.String()
}

// wantKnown fails unless got is what the file says.
func wantKnown(t *testing.T, name string, got []byte) {
	t.Helper()
	if want := known(t, name, got); !bytes.Equal(got, want) {
		t.Errorf("%s: got %x\nwant %x", name, got, want)
	}
}

// fixed returns 32 bytes of a test's choice.
func fixed(b byte) (out [32]byte) {
	for i := range out {
		out[i] = b ^ byte(i)
	}
	return out
}

func fixedSigning(t testing.TB, b byte) *SigningKey {
	t.Helper()
	s := fixed(b)
	k, err := ParseSigningKey(s[:])
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func fixedSeal(t testing.TB, b byte) *SealKey {
	t.Helper()
	s := fixed(b)
	k, err := ParseSealKey(s[:])
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// flips calls f with copies of b in which one bit is changed, at each place of
// the first and last edge bytes and at some between, and with shorter ones and
// a longer one.
func flips(b []byte, edge int, f func(what string, changed []byte)) {
	step := max(1, len(b)/97)
	for i := 0; i < len(b); {
		c := bytes.Clone(b)
		c[i] ^= 1 << (i % 8)
		f("bit changed in byte "+strconv.Itoa(i), c)
		if i < edge || i >= len(b)-edge {
			i++
		} else {
			i = min(i+step, len(b)-edge)
		}
	}
	for _, n := range []int{0, 1, len(b) / 2, len(b) - 17, len(b) - 16, len(b) - 1} {
		if n >= 0 && n < len(b) {
			f("cut to "+strconv.Itoa(n), bytes.Clone(b[:n]))
		}
	}
	f("a byte more", append(bytes.Clone(b), 0))
}

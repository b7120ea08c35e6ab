package devnet

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// records reads the log at path and returns what it holds.
func records(path string) (list []string, err error) {
	l, err := openLog(path)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	err = l.read(func(kind byte, data []byte) error {
		list = append(list, fmt.Sprintf("%c %s", kind, data))
		return nil
	})
	return list, err
}

// threeRecords makes a log and returns its bytes and where each record ends.
func threeRecords(t *testing.T) (raw []byte, ends []int64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	l, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	ends = append(ends, l.size)
	for _, r := range []string{"b one", "i two", "r three"} {
		if err := l.add(r[0], []byte(r[2:]), true); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, l.size)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err = os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw, ends
}

func TestLogFormat(t *testing.T) {
	raw, _ := threeRecords(t)
	want := "satchel chain 1\n" +
		"b\x00\x00\x00\x03\x6f\x71\x98\x55" + "one" +
		"i\x00\x00\x00\x03\xe5\xe0\xb1\x99" + "two" +
		"r\x00\x00\x00\x05\xf0\x18\xd6\x62" + "three"
	if string(raw) != want {
		t.Errorf("log\n%q\nwant\n%q", raw, want)
	}
}

// TestLogCutShort loses the end of a log at every byte, as a crash does.
func TestLogCutShort(t *testing.T) {
	raw, ends := threeRecords(t)
	all := []string{"b one", "i two", "r three"}
	path := filepath.Join(t.TempDir(), "log")
	for size := len(logMagic); size <= len(raw); size++ {
		whole := 0
		for whole < len(all) && ends[whole+1] <= int64(size) {
			whole++
		}
		for _, tail := range []string{"", strings.Repeat("\x00", 30)} {
			if err := os.WriteFile(path, append(bytes.Clone(raw[:size]), tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := records(path)
			if tail != "" && err != nil && int64(size) != ends[whole] {
				continue // a record half of zeros may be taken for damage, never for a record
			}
			if want := all[:whole]; err != nil || strings.Join(got, ",") != strings.Join(want, ",") {
				t.Fatalf("%d bytes and %q: %q, %v; want %q", size, tail, got, err, want)
			}
			if st, err := os.Stat(path); err != nil || st.Size() != ends[whole] {
				t.Fatalf("%d bytes and %q: what is behind the last record stays", size, tail)
			}
		}
	}
}

func TestLogDamaged(t *testing.T) {
	raw, ends := threeRecords(t)
	path := filepath.Join(t.TempDir(), "log")
	for i := range ends[2] { // a bad last record looks like a write that was lost
		bad := bytes.Clone(raw)
		bad[i] ^= 0x40
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := records(path); err == nil && len(got) > 1 {
			t.Errorf("byte %d changed: %q", i, got)
		}
	}
}

func FuzzLog(f *testing.F) {
	f.Add([]byte(logMagic + "b\x00\x00\x00\x03\x6f\x71\x98\x55one"))
	f.Add([]byte(logMagic + "b\xff\xff\xff\xff\xe7\x38\xb1\x36one"))
	f.Add([]byte("something else"))
	path := filepath.Join(f.TempDir(), "log")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		first, err := records(path)
		if err != nil {
			return
		}
		again, err := records(path)
		if err != nil || strings.Join(first, ",") != strings.Join(again, ",") {
			t.Errorf("read again: %q, %v; want %q", again, err, first)
		}
	})
}

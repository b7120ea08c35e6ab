package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSetCacheSize(t *testing.T) {
	const rest = "\n[chain]\nkind = \"private\"\n# cache_size = \"no\"\n"
	for old, want := range map[string]string{
		"name = \"a.id\"\n# cache_size = \"10GiB\"\n" + rest:                       "name = \"a.id\"\ncache_size = \"3MiB\"\n" + rest,
		"cache_size = 5 # five\nname = \"a.id\"\n" + rest:                          "cache_size = \"3MiB\"\nname = \"a.id\"\n" + rest,
		"# cache_size = \"1GiB\"\ncache_size = \"2GiB\"\nname = \"a.id\"\n" + rest: "# cache_size = \"1GiB\"\ncache_size = \"3MiB\"\nname = \"a.id\"\n" + rest,
		"name = \"a.id\"\n" + rest:                                                 "name = \"a.id\"\n\ncache_size = \"3MiB\"\n\n" + rest[1:],
		"name = \"a.id\"\n":                                                        "name = \"a.id\"\ncache_size = \"3MiB\"\n\n",
	} {
		path := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := setCacheSize(path, 3<<20); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(path); string(got) != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if st, _ := os.Stat(path); st.Mode().Perm() != 0o600 {
			t.Errorf("got mode %v", st.Mode())
		}
	}
}

// The config that init writes can be changed and read.
func TestSetCacheSizeOfNewConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	c := &config{Name: "alice.id", Chain: chainConfig{Kind: "private"}, Providers: []providerConfig{{URL: "file:///p"}}}
	if err := writeConfig(path, c); err != nil {
		t.Fatal(err)
	}
	for _, n := range []size{0, 1, 5 << 30, 1<<40 + 1, 3 << 10} {
		if err := setCacheSize(path, n); err != nil {
			t.Fatal(err)
		}
		if c, err := readConfig(path); err != nil || c.Cache != n {
			t.Errorf("got %+v, %v; want %d", c, err, n)
		}
	}
}

func TestPathsOfPins(t *testing.T) {
	const dir = "/home/a/Satchel"
	for _, c := range []struct{ path, file, dir, want string }{
		{"x", "/home/a/Satchel/Private/x", dir, "Private/x"},
		{"/home/a/Satchel/Private", "/home/a/Satchel/Private", dir, "Private"},
		{"Private/x/", "/tmp/Private/x", dir, "Private/x"},
		{"People/bob.id/x", "/tmp/People/bob.id/x", "", "People/bob.id/x"},
		{"Private/../Private/x", "/tmp/Private/x", "", "Private/x"},
		{".", "/home/a/Satchel", dir, ""},
		{"../x", "/home/a/x", dir, ""},
		{"/Private/x", "/Private/x", dir, ""},
		{"x", "/tmp/x", "", ""},
		{"x", "/home/a/Satchel2/Private/x", dir, ""},
	} {
		got, err := pinArgs{Path: c.path, File: c.file}.inDrive(c.dir)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%+v: got %q, %v", c, got, err)
		}
	}
}

func TestBytesText(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1023: "1023 bytes", 1024: "1.0 KiB", 1<<20 - 1: "1.0 MiB", 5 << 30: "5.0 GiB", 1<<63 - 1: "8.0 EiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestConfigRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	in := &config{
		Name:      "alice.id",
		Chain:     chainConfig{Kind: "private", Address: "127.0.0.1:1"},
		Providers: []providerConfig{{URL: `file:///a%20"b\`}, {URL: "http://h/", Token: "se\tcret"}},
	}
	if err := writeConfig(path, in); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v: want 0600, since it may hold secrets", st.Mode(), err)
	}
	c, err := readConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != in.Name || !reflect.DeepEqual(c.Chain, in.Chain) || len(c.Providers) != 2 || c.Providers[0] != in.Providers[0] || c.Providers[1] != in.Providers[1] {
		t.Errorf("got %+v, want %+v", c, in)
	}
	if p := c.policy(); p.AllowFile || !p.AllowLoopback || p.CheckFile("/tmp/x") != nil {
		t.Errorf("a private chain's config should allow the others' folders and loopback, got %+v", p)
	}
	if c.poll() != time.Second {
		t.Errorf("got poll %v, want 1s", c.poll())
	}
	if err := writeConfig(path, in); err == nil {
		t.Error("a config was overwritten")
	}
}

func TestConfigSecretFromEnvironment(t *testing.T) {
	t.Setenv("SATCHEL_TOKEN_1", "env1")
	t.Setenv("SATCHEL_TOKEN_2", "env2")
	c := &config{Providers: []providerConfig{{URL: "a"}, {URL: "b", Token: "own"}}}
	ps := c.providers()
	if ps[0].Secret != "env1" || ps[1].Secret != "own" {
		t.Errorf("got %q and %q", ps[0].Secret, ps[1].Secret)
	}
}

func TestConfigRefused(t *testing.T) {
	const ok = "name = \"a.id\"\n[chain]\nkind = \"private\"\n[[provider]]\nurl = \"file:///p\"\n"
	for _, tt := range []struct {
		text string
		want string
	}{
		{"nmae = \"a.id\"\n" + ok, `unknown key "nmae"; remove it, or use one of: cache_size, chain.address`},
		{ok + "tokn = \"x\"\n", `unknown key "provider.tokn"`},
		{strings.Replace(ok, "private", "main", 1), "chain.kind"},
		{strings.Replace(ok, "a.id", "a", 1), "name"},
		{"name = \"a.id\"\n[chain]\nkind = \"private\"\n", "no [[provider]]"},
		{"poll = \"fast\"\n" + ok, "poll"},
		{"poll = \"-1s\"\n" + ok, "more than 0"},
		{"cache_size = \"9999999TiB\"\n" + ok, "size"},
		{"copies = 2\n" + ok, "with 1 providers"},
		{"copies = -1\n" + ok, "copies is -1"},
		{"quorum = 5\n" + ok, "quorum is 5"},
		{strings.Replace(ok, "[[", "address = \"garbage\"\n[[", 1), "not a host and port"},
		{"name = ", "line 1"},
	} {
		path := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := readConfig(path)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) || exitCode(err) != exitConfig {
			t.Errorf("%q: got %v (code %d), want %q", tt.text, err, exitCode(err), tt.want)
		}
	}
	if _, err := readConfig(filepath.Join(t.TempDir(), "none")); exitCode(err) != exitNoHome {
		t.Errorf("no config: got %v", err)
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]size{"0": 0, "7": 7, "3KiB": 3 << 10, "10 GiB": 10 << 30} {
		var s size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s: got %d, %v", text, s, err)
		}
	}
}

package main

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestChainFlags(t *testing.T) {
	six := 6
	for _, tt := range []struct {
		args string
		want chainConfig
		err  string
	}{
		{args: "", want: chainConfig{Kind: "private"}},
		{args: "--chain 127.0.0.1:1", want: chainConfig{Kind: "private", Address: "127.0.0.1:1"}},
		{args: "--chain rpc+http://u@h:1?cookie=/c", want: chainConfig{Kind: "bitcoin", Network: "mainnet", Rules: "blockstack", Sources: []string{"rpc+http://u@h:1?cookie=/c"}}},
		{args: "--chain p2p: --chain esplora+https://h/api --network regtest --rules satchel --first-block 7 --confirmations 6",
			want: chainConfig{Kind: "bitcoin", Network: "regtest", Rules: "satchel", FirstBlock: 7, Confirmations: &six, Sources: []string{"p2p:", "esplora+https://h/api"}}},

		{args: "--chain garbage", err: "not a host and port"},
		{args: "--chain ftp://h/", err: "nor a URL with the scheme"},
		{args: "--chain 127.0.0.1:1 --network mainnet", err: "not for a private chain"},
		{args: "--chain p2p:", err: "previous transactions"},
		{args: "--chain p2p://h", err: "not a host and port"},
		{args: "--network mainnet", err: "chain.sources is empty"},
		{args: "--chain rpc+http://u:secret@h:1", err: "password"},
		{args: "--chain rpc+http://h:1?wallet=x", err: `unknown parameter "wallet"`},
		{args: "--chain rpc+http:///", err: "no host"},
		{args: "--chain esplora+http://h/?cookie=/c", err: "unknown parameter"},
		{args: "--chain rpc+http://h --network moon", err: "chain.network"},
		{args: "--chain rpc+http://h --rules old", err: "chain.rules"},
		{args: "--chain rpc+http://h --rules satchel", err: "first_block"},
		{args: "--chain rpc+http://h --first-block 3", err: "first_block"},
		{args: "--chain rpc+http://h --confirmations 101", err: "confirmations"},
	} {
		var f chainFlags
		c := newCommand("x", "", 0, 0, "")
		f.add(c.flags)
		if _, err := (&app{}).parse(c, strings.Fields(tt.args)); err != nil {
			t.Fatal(err)
		}
		got, err := f.config()
		switch {
		case tt.err != "":
			if err == nil || !strings.Contains(err.Error(), tt.err) || exitCode(err) != exitUsage || strings.Contains(err.Error(), "secret") {
				t.Errorf("%q: got %v, want %q", tt.args, err, tt.err)
			}
		case err != nil || !reflect.DeepEqual(got, tt.want):
			t.Errorf("%q: got %+v, %v; want %+v", tt.args, got, err, tt.want)
		}
	}
}

func TestPublicConfigRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	one := 1
	in := &config{
		Name: "alice.id",
		Chain: chainConfig{Kind: "bitcoin", Network: "testnet3", Rules: "satchel", FirstBlock: 9, Confirmations: &one,
			Sources: []string{"p2p://h:1", `rpc+http://h?cookie=/a"b`}},
		Providers: []providerConfig{{URL: "file:///a"}},
	}
	if err := writeConfig(path, in); err != nil {
		t.Fatal(err)
	}
	c, err := readConfig(path)
	if err != nil || !reflect.DeepEqual(c.Chain, in.Chain) {
		t.Errorf("got %+v, %v; want %+v", c, err, in.Chain)
	}
	if c.poll() != 30*time.Second {
		t.Errorf("poll %v, want 30s", c.poll())
	}
	if p := c.policy(); p.AllowLoopback || len(c.Foreign.Files) > 0 {
		t.Errorf("a public chain's config should allow nothing of this network, got %+v", p)
	}
}

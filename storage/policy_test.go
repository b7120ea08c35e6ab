package storage

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

var addrs = []struct {
	addr  string
	allow bool
}{
	{"8.8.8.8", true},
	{"2606:4700::1111", true},
	{"127.0.0.1", false},
	{"127.8.9.10", false},
	{"::1", false},
	{"::ffff:127.0.0.1", false}, // IPv4 in IPv6 clothes
	{"::ffff:10.0.0.1", false},
	{"::ffff:8.8.8.8", true},
	{"::127.0.0.1", false},
	{"64:ff9b::7f00:1", false}, // NAT64 of 127.0.0.1
	{"64:ff9b::808:808", true},
	{"2002:a00:1::", false}, // 6to4 of 10.0.0.1
	{"2002:808:808::1", true},
	{"10.1.2.3", false},
	{"172.16.0.1", false},
	{"172.32.0.1", true},
	{"192.168.1.1", false},
	{"169.254.169.254", false}, // a cloud's metadata
	{"100.64.0.1", false},
	{"0.0.0.0", false},
	{"0.1.2.3", false},
	{"::", false},
	{"255.255.255.255", false},
	{"224.0.0.1", false},
	{"fe80::1", false},
	{"fe80::1%eth0", false},
	{"fd00::1", false},
	{"fec0::1", false},
	{"2001:0:1::", false},
	{"ff02::1", false},
}

func TestPolicyAddr(t *testing.T) {
	var p Policy
	for _, c := range addrs {
		err := p.CheckAddr(netip.MustParseAddr(c.addr))
		if (err == nil) != c.allow {
			t.Errorf("%s: got %v, want allowed %v", c.addr, err, c.allow)
		}
		if err != nil && (!errors.Is(err, ErrRefused) || !errors.Is(err, os.ErrPermission)) {
			t.Errorf("%s: %v is not a refusal", c.addr, err)
		}
	}
	loop := Policy{AllowLoopback: true}
	if err := loop.CheckAddr(netip.MustParseAddr("::1")); err != nil {
		t.Error(err)
	}
	if err := loop.CheckAddr(netip.MustParseAddr("10.0.0.1")); err == nil {
		t.Error("allowing loopback must not allow private addresses")
	}
	if err := p.Control("tcp", "nonsense", nil); !errors.Is(err, ErrRefused) {
		t.Errorf("got %v, want a refusal of what can't be parsed", err)
	}
}

func TestPolicyHost(t *testing.T) {
	p := Policy{AllowHosts: []string{"nas.local", "box:8080", "[fd00::7]"}}
	for host, want := range map[string]bool{
		"nas.local":       true,
		"NAS.local:443":   true,
		"box:8080":        true,
		"box:80":          false,
		"box":             false,
		"[fd00::7]:80":    true,
		"evil.nas.local":  false,
		"nas.local.evil":  false,
		"nas.local.evil:": false,
	} {
		if got := p.CheckHost(host); got != want {
			t.Errorf("%s: got %v, want %v", host, got, want)
		}
	}
}

func TestPolicyFile(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	p := Policy{AllowFiles: []string{link}}
	for path, want := range map[string]bool{
		dir:                        true, // the allowed folder is named by a link
		filepath.Join(dir, "x"):    true,
		dir + "x":                  false, // a prefix of text, not of folders
		filepath.Dir(dir):          false,
		"/etc":                     false,
		"/":                        false,
		filepath.Join(dir, "../x"): false,
	} {
		if err := p.CheckFile(path); (err == nil) != want {
			t.Errorf("%s: got %v, want allowed %v", path, err, want)
		}
	}
	if err := (&Policy{}).CheckFile("/"); !errors.Is(err, ErrRefused) {
		t.Errorf("got %v, want a refusal", err)
	}
	if err := (&Policy{AllowFile: true}).CheckFile("/etc"); err != nil {
		t.Error(err)
	}
}

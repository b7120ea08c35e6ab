package storage

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// A Policy says which URLs that somebody else wrote (in a zone file, a
// profile or a redirect) may be opened. The zero value allows what is on the
// public internet and nothing of this machine or its local networks: else a
// stranger could make us read our own files or talk to our router.
//
// A driver for files calls CheckFile with the path as it is after all symbolic
// links were followed. A driver for the network calls Control for each address
// that it is about to connect to, so after names were looked up and again
// after each redirect: checking the URL's text is not enough.
type Policy struct {
	AllowFiles    []string // folders at or below which file: URLs may point
	AllowHosts    []string // "host" or "host:port" that may be at any address
	AllowLoopback bool     // any loopback address
	AllowFile     bool     // any file: URL
}

// CheckFile returns an error that satisfies errors.Is(err, ErrRefused) unless
// path, absolute and without symbolic links, may be read.
func (p *Policy) CheckFile(path string) error {
	if p.AllowFile {
		return nil
	}
	for _, dir := range p.AllowFiles {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real
		}
		if dir = filepath.Clean(dir); path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/") {
			return nil
		}
	}
	return fmt.Errorf("file:%s of somebody else's: %w: list its folder in the config's allow_files if you mean to read it", path, ErrRefused)
}

// CheckHost tells whether hostport, as it stands in a URL, is one of
// AllowHosts, so that its addresses need no check.
func (p *Policy) CheckHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	same := func(allowed string) bool {
		return strings.EqualFold(allowed, hostport) || strings.EqualFold(strings.Trim(allowed, "[]"), host)
	}
	return slices.ContainsFunc(p.AllowHosts, same)
}

// CheckAddr returns an error that satisfies errors.Is(err, ErrRefused) unless
// a may be connected to.
func (p *Policy) CheckAddr(a netip.Addr) error {
	a = a.Unmap()
	if a.IsLoopback() {
		if p.AllowLoopback {
			return nil
		}
		return fmt.Errorf("loopback address %s in somebody else's URL: %w: set allow_loopback in the config if you mean it", a, ErrRefused)
	}
	if private(a) {
		return fmt.Errorf("private address %s in somebody else's URL: %w: list its host in the config's allow_hosts if you mean it", a, ErrRefused)
	}
	return nil
}

// Control is for net.Dialer: it is called with the address to connect to,
// after names were looked up.
func (p *Policy) Control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, ErrRefused)
	}
	return p.CheckAddr(ap.Addr())
}

// special are the address ranges beyond those that netip knows by name that
// are not the public internet.
var special = parsePrefixes(
	"0.0.0.0/8",       // this network
	"100.64.0.0/10",   // carrier's own
	"192.0.0.0/24",    // protocol assignments
	"192.0.2.0/24",    // documentation
	"192.88.99.0/24",  // 6to4 relays
	"198.18.0.0/15",   // benchmarks
	"198.51.100.0/24", // documentation
	"203.0.113.0/24",  // documentation
	"240.0.0.0/4",     // reserved, broadcast
	"::/96",           // IPv4-compatible
	"64:ff9b:1::/48",  // local translation
	"100::/64",        // discard
	"2001::/23",       // protocol assignments, Teredo
	"2001:db8::/32",   // documentation
	"3fff::/20",       // documentation
	"5f00::/16",       // segment routing
	"fec0::/10",       // site-local of old
)

var (
	nat64 = netip.MustParsePrefix("64:ff9b::/96") // IPv4 in the last 4 bytes
	sixTo = netip.MustParsePrefix("2002::/16")    // IPv4 in bytes 2 to 5
)

func parsePrefixes(texts ...string) []netip.Prefix {
	ps := make([]netip.Prefix, len(texts))
	for i, s := range texts {
		ps[i] = netip.MustParsePrefix(s)
	}
	return ps
}

// private tells whether a is anything but an address of the public internet.
// An IPv6 address that carries an IPv4 one is judged by that.
func private(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		b := a.As16()
		switch {
		case nat64.Contains(a):
			return private(netip.AddrFrom4([4]byte(b[12:])))
		case sixTo.Contains(a):
			return private(netip.AddrFrom4([4]byte(b[2:6])))
		}
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return true // also unspecified, multicast, link-local
	}
	return slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) })
}

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"satchel/chain"
	"satchel/fs/drive"
	"satchel/storage"
)

// A config is what config.toml says.
type config struct {
	Name      string           `toml:"name"`
	Copies    int              `toml:"copies"`
	Quorum    int              `toml:"quorum"`
	Poll      duration         `toml:"poll"`
	Cache     size             `toml:"cache_size"`
	Chain     chainConfig      `toml:"chain"`
	Foreign   foreignConfig    `toml:"foreign"`
	Providers []providerConfig `toml:"provider"`
}

// A foreignConfig says which URLs of other people may be followed.
type foreignConfig struct {
	Files    []string `toml:"allow_files"`
	Hosts    []string `toml:"allow_hosts"`
	Loopback bool     `toml:"allow_loopback"`
}

// A providerConfig is one storage URL of the user's own.
type providerConfig struct {
	URL   string `toml:"url"`
	Token string `toml:"token"`
}

// knownKeys lists every key, as a message shows them.
var knownKeys = []string{
	"name", "copies", "quorum", "poll", "cache_size", "chain.kind", "chain.address", "chain.network", "chain.rules",
	"chain.first_block", "chain.confirmations", "chain.sources", "chain.zonefiles",
	"foreign.allow_files", "foreign.allow_hosts", "foreign.allow_loopback", "provider.url", "provider.token",
}

// A duration is written like "30s".
type duration time.Duration

func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err == nil && v <= 0 {
		err = fmt.Errorf("duration %q: want more than 0", text)
	}
	*d = duration(v)
	return err
}

// A size is written like "10GiB".
type size int64

func (s *size) UnmarshalText(text []byte) error {
	t := strings.TrimSpace(string(text))
	shift := 0
	for i, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if rest, ok := strings.CutSuffix(t, unit); ok {
			t, shift = strings.TrimSpace(rest), 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(t, 10, 64)
	if err != nil || n < 0 || n > 1<<62>>shift {
		return fmt.Errorf("size %q: want a number, with KiB, MiB, GiB or TiB after it", text)
	}
	*s = size(n << shift)
	return nil
}

func (s size) String() string {
	units := []string{"", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; s != 0 && s%1024 == 0 && i < len(units)-1; i++ {
		s /= 1024
	}
	return fmt.Sprintf("%d%s", int64(s), units[i])
}

// readConfig reads the home's config.toml. An unknown key is refused, since a
// misspelt one would silently not do what its author meant.
func readConfig(path string) (*config, error) {
	var c config
	meta, err := toml.DecodeFile(path, &c)
	if errors.Is(err, os.ErrNotExist) {
		return nil, failf(exitNoHome, "no config at %s; make an identity with `satchel init NAME`", path)
	}
	if err != nil {
		return nil, failf(exitConfig, "%s: %v; mend it, or move it away and run `satchel init NAME` in a new home", path, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, failf(exitConfig, "%s: unknown key %q; remove it, or use one of: %s",
			path, unknown[0].String(), strings.Join(sorted(knownKeys), ", "))
	}
	if err := c.check(); err != nil {
		return nil, failf(exitConfig, "%s: %v", path, err)
	}
	return &c, nil
}

func (c *config) check() error {
	if _, err := chain.ParseName(c.Name); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	if err := c.Chain.check(); err != nil {
		return err
	}
	if len(c.Providers) == 0 {
		return errors.New("no [[provider]]; add one with its url")
	}
	copies := c.Copies
	if copies == 0 {
		copies = len(c.Providers)
	}
	if copies < 1 || copies > len(c.Providers) {
		return fmt.Errorf("copies is %d; with %d providers it may be from 1 to %d, or 0 for all", c.Copies, len(c.Providers), len(c.Providers))
	}
	if c.Quorum < 0 || c.Quorum > copies {
		return fmt.Errorf("quorum is %d; with %d copies it may be from 1 to %d, or 0 for a majority", c.Quorum, copies, copies)
	}
	for i, p := range c.Providers {
		if p.URL == "" {
			return fmt.Errorf("provider %d has no url", i+1)
		}
	}
	return nil
}

// checkAddress returns why addr is no host and port.
func checkAddress(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" {
		return fmt.Errorf("%q is not a host and port, such as 127.0.0.1:18443", addr)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q has no port from 1 to 65535", addr)
	}
	return nil
}

// providers returns the user's own storage with its secrets: from the config, or
// from $SATCHEL_TOKEN_1 for the first provider, $SATCHEL_TOKEN_2 for the second…
func (c *config) providers() []drive.ProviderConfig {
	var ps []drive.ProviderConfig
	for i, p := range c.Providers {
		secret := p.Token
		if secret == "" {
			secret = os.Getenv(fmt.Sprintf("SATCHEL_TOKEN_%d", i+1))
		}
		ps = append(ps, drive.ProviderConfig{URL: p.URL, Secret: secret})
	}
	return ps
}

// policy says which URLs of other people may be followed.
func (c *config) policy() storage.Policy {
	return storage.Policy{
		AllowFiles:    c.Foreign.Files,
		AllowHosts:    c.Foreign.Hosts,
		AllowLoopback: c.Foreign.Loopback,
	}
}

// poll is how often the others' pulses are looked at.
func (c *config) poll() time.Duration {
	if c.Poll > 0 {
		return time.Duration(c.Poll)
	}
	if c.Chain.Kind == chainBitcoin {
		return 30 * time.Second
	}
	return time.Second
}

func sorted(list []string) []string {
	out := append([]string{}, list...)
	sort.Strings(out)
	return out
}

// writeConfig writes a new commented config.toml, for the user alone, since it
// may hold secrets.
func writeConfig(path string, c *config) error {
	var b strings.Builder
	if c.Chain.Kind == chainBitcoin {
		fmt.Fprintf(&b, configHead, c.Name, "30s")
		c.Chain.write(&b)
		b.WriteString(configForeignPublic)
	} else {
		fmt.Fprintf(&b, configHead, c.Name, "1s")
		fmt.Fprintf(&b, configPrivate, c.Chain.Kind, c.Chain.Address)
		b.WriteString(configForeign)
	}
	for _, p := range c.Providers {
		fmt.Fprintf(&b, "\n[[provider]]\nurl = %s\n", tomlString(p.URL))
		if p.Token != "" {
			fmt.Fprintf(&b, "token = %s\n", tomlString(p.Token))
		}
	}
	return writeNew(path, []byte(b.String()))
}

// tomlString quotes s as a TOML basic string.
func tomlString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

const configHead = `# Whose drive this is.
name = %q

# How many providers get each pack (0: all), and how many must have taken
# something before it counts as stored (0: a majority).
copies = 0
quorum = 0

# How often the others are looked at. A private chain and its providers are on
# this machine, so it may be often; elsewhere "30s" is right.
poll = %q

# cache_size = "10GiB"
`

const configPrivate = `
[chain]
kind = %q
# host:port of a running ` + "`satchel devnet`" + `. Empty: this home has a private chain of
# its own, which is started when needed.
address = %q
`

const configForeign = `
# Which storage URLs of other people may be followed. Their zone files and
# profiles say where their storage is, and they could name any file or server
# that only you can reach: a router, a database, a folder of yours. On a private
# chain all people are on this machine, so their folders and loopback servers are
# allowed here. On a public chain leave all three out, or name only what you know.
[foreign]
allow_files = ["/"]
allow_hosts = []
allow_loopback = true
`

const configForeignPublic = `
# Which storage URLs of other people may be followed that only you can reach.
# Nothing of that kind unless it is named here.
[foreign]
allow_files = []
allow_hosts = []
allow_loopback = false
`

// writeNew writes a file that must not exist yet, for the user alone.
func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		os.Remove(path)
	}
	return err
}

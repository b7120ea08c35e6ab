package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"satchel/chain"
)

// A chainConfig says which chain names are read from, and where its blocks come
// from.
type chainConfig struct {
	Kind          string   `toml:"kind"`          // chainPrivate, chainBitcoin
	Address       string   `toml:"address"`       // of a private chain; empty: that of this home
	Network       string   `toml:"network"`       // of Bitcoin
	Rules         string   `toml:"rules"`         // "blockstack", "satchel"
	FirstBlock    int      `toml:"first_block"`   // of the rules "satchel"
	Confirmations *int     `toml:"confirmations"` // nil: those of the rules
	Sources       []string `toml:"sources"`       // URLs
	Zonefiles     []string `toml:"zonefiles"`     // URLs at which /zonefile/HASH has zone files
}

// Kinds of chains.
const (
	chainPrivate = "private"
	chainBitcoin = "bitcoin"
)

// networks are those of Bitcoin.
var networks = []*chaincfg.Params{
	&chaincfg.MainNetParams, &chaincfg.TestNet3Params, &chaincfg.TestNet4Params,
	&chaincfg.SimNetParams, &chaincfg.RegressionNetParams,
}

func networkNames() string {
	var names []string
	for _, n := range networks {
		names = append(names, n.Name)
	}
	return strings.Join(names, ", ")
}

func (c *chainConfig) check() error {
	switch c.Kind {
	case chainPrivate:
		if c.Network != "" || c.Rules != "" || c.FirstBlock != 0 || c.Confirmations != nil || len(c.Sources) > 0 || len(c.Zonefiles) > 0 {
			return fmt.Errorf("chain: a private chain has an address and nothing else; other keys belong to kind %q", chainBitcoin)
		}
		if c.Address == "" {
			return nil
		}
		if err := checkAddress(c.Address); err != nil {
			return fmt.Errorf("chain.address: %w", err)
		}
		return nil
	case chainBitcoin:
		_, err := c.params()
		if err == nil {
			_, err = c.sources()
		}
		return err
	}
	return fmt.Errorf("chain.kind is %q; it may be %q or %q", c.Kind, chainPrivate, chainBitcoin)
}

// params returns the rules of a chain of kind chainBitcoin.
func (c *chainConfig) params() (*chain.Params, error) {
	i := slices.IndexFunc(networks, func(n *chaincfg.Params) bool { return n.Name == c.Network })
	if i < 0 {
		return nil, fmt.Errorf("chain.network is %q; it may be %s", c.Network, networkNames())
	}
	var p *chain.Params
	switch {
	case c.Rules == "blockstack" && c.FirstBlock != 0:
		return nil, errors.New("chain.first_block belongs to the rules \"satchel\": \"blockstack\" has one of its own")
	case c.Rules == "blockstack":
		p = chain.Blockstack(networks[i])
	case c.Rules == "satchel" && c.FirstBlock < 1:
		return nil, errors.New("the rules \"satchel\" want chain.first_block, the height from which names are read")
	case c.Rules == "satchel":
		p = chain.Satchel(networks[i], c.FirstBlock)
	default:
		return nil, fmt.Errorf("chain.rules is %q; it may be \"blockstack\" or \"satchel\"", c.Rules)
	}
	if c.Confirmations != nil {
		if *c.Confirmations < 0 || *c.Confirmations > 100 {
			return nil, fmt.Errorf("chain.confirmations is %d; it may be from 0 to 100", *c.Confirmations)
		}
		p.Confirmations = *c.Confirmations
	}
	return p, nil
}

// write writes the [chain] of a new config.
func (c *chainConfig) write(w io.Writer) {
	fmt.Fprintf(w, "\n[chain]\nkind = %q\nnetwork = %q\nrules = %q\n", c.Kind, c.Network, c.Rules)
	if c.FirstBlock != 0 {
		fmt.Fprintf(w, "# Names are read from this height on. Everybody must have the same.\nfirst_block = %d\n", c.FirstBlock)
	}
	if c.Confirmations != nil {
		fmt.Fprintf(w, "confirmations = %d\n", *c.Confirmations)
	}
	fmt.Fprintf(w, "# %s\nsources = [\n", strings.ReplaceAll(sourceHelp, "\n", "\n# "))
	for _, s := range c.Sources {
		fmt.Fprintf(w, "  %s,\n", tomlString(s))
	}
	fmt.Fprint(w, "]\n# URLs that keep zone files at /zonefile/HASH. They are believed by hash only.\n")
	if len(c.Zonefiles) == 0 {
		fmt.Fprintln(w, "# zonefiles = []")
		return
	}
	fmt.Fprintln(w, "zonefiles = [")
	for _, s := range c.Zonefiles {
		fmt.Fprintf(w, "  %s,\n", tomlString(s))
	}
	fmt.Fprintln(w, "]")
}

// sourceHelp explains the URLs of sources.
const sourceHelp = `Where blocks come from. None is trusted; several are better than one.
  rpc+http://USER@HOST:PORT?password_file=FILE   a node of your own, or ?cookie=FILE; rpc+https with ?ca=FILE
  p2p://HOST:PORT                                a peer of the network; p2p: finds some
  esplora+https://HOST/api                       an Esplora server
At least one must have previous transactions: rpc (with a transaction index) or esplora.`

// A blockSource is one URL of chainConfig.Sources, taken apart.
type blockSource struct {
	kind string // "rpc", "p2p", "esplora"
	url  *url.URL
}

// sources takes the URLs apart.
func (c *chainConfig) sources() (list []blockSource, err error) {
	if len(c.Sources) == 0 {
		return nil, errors.New("chain.sources is empty; give the URL of a node")
	}
	for _, s := range c.Sources {
		b, err := parseSource(s)
		if err != nil {
			return nil, fmt.Errorf("chain.sources: %w", err)
		}
		list = append(list, b)
	}
	if !slices.ContainsFunc(list, func(b blockSource) bool { return b.kind != "p2p" }) {
		return nil, errors.New("chain.sources: peers of the network don't give previous transactions, without which nobody can tell who sent an operation; " +
			"add a node (rpc+http://…) or an Esplora server (esplora+https://…)")
	}
	return list, nil
}

func parseSource(s string) (b blockSource, err error) {
	u, err := url.Parse(s)
	if err != nil {
		return b, fmt.Errorf("a URL can't be read: %w", errors.Unwrap(err)) // without the URL, which may hold a password
	}
	kind, scheme, _ := strings.Cut(u.Scheme, "+")
	b = blockSource{kind, u}
	allowed := map[string][]string{"rpc": {"cookie", "password_file", "ca"}}[kind]
	switch {
	case kind != "rpc" && kind != "p2p" && kind != "esplora":
		return b, fmt.Errorf("%s is not a host and port of a private chain, nor a URL with the scheme rpc+http, rpc+https, p2p, esplora+http or esplora+https", u.Redacted())
	case kind == "p2p" && scheme != "", kind != "p2p" && scheme != "http" && scheme != "https":
		return b, fmt.Errorf("%s: no such scheme", u.Redacted())
	case kind != "p2p" && u.Host == "":
		return b, fmt.Errorf("%s has no host", u.Redacted())
	case kind == "p2p" && (u.Opaque != "" || strings.Trim(u.Path, "/") != "" || u.User != nil):
		return b, fmt.Errorf("%s: want p2p://HOST:PORT, or p2p: for peers that it finds itself", u.Redacted())
	case kind == "p2p" && u.Host != "" && checkAddress(u.Host) != nil:
		return b, fmt.Errorf("%s: %w", u.Redacted(), checkAddress(u.Host))
	}
	if _, has := u.User.Password(); has {
		return b, fmt.Errorf("%s: a password in a URL is shown in too many places; use ?password_file=FILE or $SATCHEL_RPC_PASSWORD", u.Redacted())
	}
	for k := range u.Query() {
		if !slices.Contains(allowed, k) {
			return b, fmt.Errorf("%s: unknown parameter %q", u.Redacted(), k)
		}
	}
	b.url.Scheme = scheme
	return b, nil
}

// password returns what a node's user is known by: from the file that the URL
// names, else from the environment.
func (b *blockSource) password() (string, error) {
	file := b.url.Query().Get("password_file")
	if file == "" {
		return os.Getenv("SATCHEL_RPC_PASSWORD"), nil
	}
	return readToken(file)
}

// chainFlags are the flags by which a command is told of a chain.
type chainFlags struct {
	chains        []string
	network       string
	rules         string
	firstBlock    int
	confirmations int // as a flag: -1 if not given
	zonefiles     []string
}

type listFlag struct{ list *[]string }

func (f listFlag) String() string     { return "" }
func (f listFlag) Set(s string) error { *f.list = append(*f.list, s); return nil }

func (f *chainFlags) add(fs *flag.FlagSet) {
	fs.Var(listFlag{&f.chains}, "chain", "`ADDR` (host:port) of a private chain, or URL of a source of Bitcoin's blocks, which may be given several times: "+
		"rpc+http://USER@HOST:PORT, p2p://HOST:PORT, p2p:, esplora+https://HOST/api")
	fs.Var(listFlag{&f.zonefiles}, "zonefiles", "`URL` that keeps zone files, of a chain that is not private; may be given several times")
	fs.IntVar(&f.confirmations, "confirmations", -1, "`N` blocks that must follow one before it counts (default: 6 on mainnet, else 0)")
	f.addRules(fs)
}

// addRules adds those of the flags that say which registry it is.
func (f *chainFlags) addRules(fs *flag.FlagSet) {
	fs.StringVar(&f.network, "network", "", "Bitcoin's `NET`: "+networkNames()+" (default mainnet)")
	fs.StringVar(&f.rules, "rules", "", "`R`ules by which names are read: blockstack (default) or satchel")
	fs.IntVar(&f.firstBlock, "first-block", 0, "`HEIGHT` from which the rules satchel read names")
}

// given says if any flag names a chain.
func (f *chainFlags) given() bool {
	return len(f.chains) > 0 || f.network != "" || f.rules != "" || f.firstBlock != 0 || f.confirmations > 0
}

// rulesConfig returns what the flags say of the registry.
func (f *chainFlags) rulesConfig() chainConfig {
	c := chainConfig{Kind: chainBitcoin, Network: f.network, Rules: f.rules, FirstBlock: f.firstBlock}
	if c.Network == "" {
		c.Network = chaincfg.MainNetParams.Name
	}
	if c.Rules == "" {
		c.Rules = "blockstack"
	}
	return c
}

// config returns what the flags say.
func (f *chainFlags) config() (c chainConfig, err error) {
	if len(f.chains) == 1 && !strings.Contains(f.chains[0], "://") && f.chains[0] != "p2p:" || !f.given() {
		c = chainConfig{Kind: chainPrivate}
		if len(f.chains) == 1 {
			c.Address = f.chains[0]
		}
		if f.network != "" || f.rules != "" || f.firstBlock != 0 || f.confirmations >= 0 || len(f.zonefiles) > 0 {
			return c, usagef("--network, --rules, --first-block, --confirmations and --zonefiles are not for a private chain, which says them itself")
		}
	} else {
		c = f.rulesConfig()
		c.Sources, c.Zonefiles = f.chains, f.zonefiles
		if f.confirmations >= 0 {
			c.Confirmations = &f.confirmations
		}
	}
	if err := c.check(); err != nil {
		return c, usagef("--chain: %v", err)
	}
	return c, nil
}

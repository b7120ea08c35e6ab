package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/btcsuite/btcd/btcec/v2"

	"satchel/chain"
	"satchel/chain/ops"
	"satchel/chain/registrar"
	"satchel/crypto"
	"satchel/storage"
)

// providerFlags collects --provider and --token-file: a token file belongs to
// the provider before it.
type providerFlags struct {
	list []struct{ url, tokenFile string }
}

type providerFlag struct{ p *providerFlags }

func (f providerFlag) String() string { return "" }
func (f providerFlag) Set(url string) error {
	f.p.list = append(f.p.list, struct{ url, tokenFile string }{url: url})
	return nil
}

type tokenFlag struct{ p *providerFlags }

func (f tokenFlag) String() string { return "" }
func (f tokenFlag) Set(path string) error {
	n := len(f.p.list)
	if n == 0 || f.p.list[n-1].tokenFile != "" {
		return errors.New("it belongs after the --provider whose token it holds")
	}
	f.p.list[n-1].tokenFile = path
	return nil
}

func (a *app) initCommand() *command {
	c := newCommand("init", "NAME", 1, 1, "make keys, recovery words and config for a name")
	c.long = `Makes an identity in this home: 24 recovery words, the keys that come from them,
this device's keys in a keystore under your passphrase, and a commented config.
The words are shown once, or written to a new file with --words-file.

Without --chain a private chain of this home is used, and started if it doesn't
run. Without --provider a folder under this home is where the blobs go.`
	var cf chainFlags
	cf.add(c.flags)
	wordsFile := c.flags.String("words-file", "", "write the words to the new file `F` (0600) instead of showing them")
	var ps providerFlags
	c.flags.Var(providerFlag{&ps}, "provider", "storage `URL`, file:///DIR or http(s)://HOST/PATH; may be given several times")
	c.flags.Var(tokenFlag{&ps}, "token-file", "`F`ile with the token for writing to the provider before it")
	c.run = func(ctx context.Context, args []string) error {
		h, err := a.home()
		if err != nil {
			return err
		}
		in := &initialiser{a: a, h: h, wordsFile: *wordsFile}
		if in.cfg.Chain, err = cf.config(); err != nil {
			return err
		}
		if err := in.check(ctx, args[0], &ps); err != nil {
			return err
		}
		return in.run(ctx)
	}
	return c
}

// An initialiser makes an identity, wholly or not at all.
type initialiser struct {
	a         *app
	h         *home
	cfg       config
	wordsFile string
	made      []string // files to remove should it fail
}

// check looks at everything that could be wrong before anything is made.
func (in *initialiser) check(ctx context.Context, name string, ps *providerFlags) error {
	parsed, err := chain.ParseName(name)
	if err != nil {
		return coded(exitName, err)
	}
	in.cfg.Name = string(parsed)
	if in.h.exists() {
		who := "an identity"
		if cfg, err := readConfig(in.h.config); err == nil {
			who = cfg.Name
		}
		return failf(exitNoHome, "%s holds %s already; give another --home DIR for another name", in.h.name(), who)
	}
	for _, f := range []string{in.wordsFile, in.h.config} {
		if _, err := os.Lstat(f); f != "" && err == nil {
			return failf(exitNoHome, "%s exists already and won't be overwritten; remove it or choose another", f)
		}
	}
	for _, p := range ps.list {
		pc := providerConfig{URL: p.url}
		if p.tokenFile != "" {
			if pc.Token, err = readToken(p.tokenFile); err != nil {
				return err
			}
		}
		if _, err := drivers.Open(ctx, pc.URL, storage.Options{Secret: pc.Token}); err != nil {
			return coded(exitUsage, err)
		}
		in.cfg.Providers = append(in.cfg.Providers, pc)
	}
	if len(ps.list) == 0 {
		dir := url.URL{Scheme: "file", Path: in.h.provider()}
		in.cfg.Providers = []providerConfig{{URL: dir.String()}}
	}
	return nil
}

func (in *initialiser) run(ctx context.Context) (err error) {
	pass, err := in.a.passphrase(true)
	if err != nil {
		return err
	}
	defer clear(pass)
	if err := in.h.create(); err != nil {
		return err
	}
	l, _, err := holdHome(ctx, in.h, "init")
	if err != nil {
		return err
	}
	defer l.Close()
	defer func() {
		if err != nil {
			for _, f := range in.made {
				os.Remove(f)
			}
		}
	}()
	n, err := openNames(ctx, in.h, &in.cfg, in.a.logger())
	if err != nil {
		return err
	}
	defer n.Close()
	if err := n.Sync(ctx); err != nil {
		return err
	}
	words, err := crypto.NewWords()
	if err != nil {
		return err
	}
	ks, err := newKeystore(in.cfg.Name, n.Network(), words)
	if err != nil {
		return err
	}
	if err := in.write(words, pass, ks); err != nil {
		return err
	}
	in.report(ctx, n, ks, words)
	return nil
}

// newKeystore makes the keys of a name's first device, which is its keeper.
func newKeystore(name string, network crypto.Network, words string) (*crypto.Keystore, error) {
	root, err := crypto.ParseWords(words)
	if err != nil {
		return nil, err
	}
	ks := &crypto.Keystore{Name: name, Network: network, DataKey: root.DataKey(0)}
	if ks.Owner, err = root.OwnerKey(); err != nil {
		return nil, err
	}
	if ks.Signing, err = crypto.NewSigningKey(); err != nil {
		return nil, err
	}
	if ks.Sealing, err = crypto.NewSealKey(); err != nil {
		return nil, err
	}
	secret, err := crypto.NewUserSecret()
	if err != nil {
		return nil, err
	}
	recovery, err := root.RecoveryKey()
	if err != nil {
		return nil, err
	}
	ks.Recovery = recovery.Public()
	ks.UserSecrets = map[uint64]crypto.UserSecret{1: secret}
	rand.Read(ks.StateKey[:])
	rand.Read(ks.LocalSecret[:])
	rand.Read(ks.Fingerprint[:])
	return ks, nil
}

// write writes config, words and, last since it makes the identity exist, the
// keystore.
func (in *initialiser) write(words string, pass []byte, ks *crypto.Keystore) error {
	if err := writeConfig(in.h.config, &in.cfg); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	in.made = append(in.made, in.h.config)
	if in.wordsFile != "" {
		if err := writeNew(in.wordsFile, []byte(words+"\n")); err != nil {
			return fmt.Errorf("words file: %w", err)
		}
		in.made = append(in.made, in.wordsFile)
	}
	return crypto.CreateKeystore(in.h.keystore(), pass, ks)
}

// report tells what was made and what recovery needs.
func (in *initialiser) report(ctx context.Context, n *names, ks *crypto.Keystore, words string) {
	out := in.a.out
	fmt.Fprintf(out, "name       %s\nowner      %s\ndevice     %s\nconfig     %s\n", ks.Name, n.address(ks.Owner), ks.Device(), in.h.config)
	switch cc := &in.cfg.Chain; {
	case cc.Kind == chainBitcoin:
		fmt.Fprintf(out, "chain      %s, rules %s, from %s\n", cc.Network, cc.Rules, n.src.address())
	case cc.Address != "":
		fmt.Fprintf(out, "chain      private, at %s\n", cc.Address)
	default:
		fmt.Fprintf(out, "chain      private, of this home, at %s\n", n.src.address())
	}
	for _, p := range in.cfg.Providers {
		fmt.Fprintf(out, "provider   %s\n", storage.Redact(p.URL))
	}
	if in.wordsFile != "" {
		abs, err := filepath.Abs(in.wordsFile)
		if err != nil {
			abs = in.wordsFile
		}
		fmt.Fprintf(out, "words      in %s; move them to a safe place\n", abs)
	} else {
		fmt.Fprintf(out, "\nYour recovery words, shown this once. Write them on paper:\n\n%s\n", wordLines(words))
	}
	fmt.Fprint(out, "\nRecovery needs the words and read access to one of the providers above: keep both together.\n"+
		"The owner key, which transfers the name, is kept in the keystore.\n")
	if rec, err := n.lookup(ctx, chain.Name(ks.Name)); err == nil {
		fmt.Fprintf(out, "%s is registered already, by %s: it must be transferred to %s before it is yours.\n", ks.Name, rec.Address, n.address(ks.Owner))
	}
	next := ""
	if parent, below := chain.Name(ks.Name).Parent(); below {
		next = fmt.Sprintf(" --registrar URL, which whoever owns %s tells you", parent)
	}
	fmt.Fprintf(out, "Next: satchel %sname register %s%s\n", in.h.hint(), ks.Name, next)
}

// wordLines numbers the words, four a line.
func wordLines(words string) string {
	var b strings.Builder
	for i, w := range strings.Fields(words) {
		fmt.Fprintf(&b, "  %2d %-9s", i+1, w)
		if i%4 == 3 {
			b.WriteByte('\n')
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

// address returns the address of an owner key on this chain.
func (n *names) address(key *btcec.PrivateKey) string {
	return ops.Address(registrar.ScriptOf(key), n.index.Params().Chain)
}

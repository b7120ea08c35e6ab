package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"

	"satchel/chain"
	"satchel/chain/proof"
)

func (a *app) nameVerifyCommand() *command {
	c := newCommand("name verify", "NAME --trust HASH|TXID --server URL", 1, 1, "have an untrusted server prove what happened to a name")
	c.long = `Asks a server, such as somebody's ` + "`satchel follow --listen ADDR`" + ` or a private chain, what
happened to NAME in the block --at, and checks the answer against one consensus hash
that you trust: from a friend, from your own follower, or quoted by the preorder or
transfer TXID of somebody whom you trust. Nothing of the server is believed, and the
chain need not be read. Which registry it is, the home's config says, or --network,
--rules and --first-block do.

Without --at it is the newest block in which the server says that something happened;
nobody can prove that there is no newer one.`
	at := c.flags.Int("at", 0, "`HEIGHT` of the block")
	trust := c.flags.String("trust", "", "consensus `HASH` (32 hex digits) of that block or a later one, or TXID (64) of a transaction that quotes one")
	server := c.flags.String("server", "", "`URL` of the server, http or https")
	asJSON := c.flags.Bool("json", false, "print JSON")
	var f chainFlags
	f.addRules(c.flags)
	c.run = func(ctx context.Context, args []string) error {
		q, err := question(args[0], *trust)
		if err != nil {
			return err
		}
		if *server == "" {
			return usagef("name verify wants --server URL, for instance --server http://127.0.0.1:18443")
		}
		rules, err := a.verifyRules(&f)
		if err != nil {
			return err
		}
		client := proof.NewClient(*server)
		if q.Height = *at; q.Height == 0 {
			if q.Height, err = newest(ctx, client, q.Name); err != nil {
				return err
			}
			fmt.Fprintf(a.err, "block %d is the newest in which the server says that something happened to %s\n", q.Height, q.Name)
		}
		answer, err := proof.Verify(ctx, client, rules, q)
		if err != nil {
			return coded(exitChain, err)
		}
		if *asJSON {
			return printJSON(a.out, answer)
		}
		printAnswer(a.out, answer)
		return nil
	}
	return c
}

// question reads what is asked.
func question(name, trust string) (q proof.Question, err error) {
	if q.Name, err = chain.ParseName(name); err != nil {
		return q, coded(exitName, err)
	}
	b, err := hex.DecodeString(trust)
	switch {
	case err == nil && len(b) == len(q.Trust):
		copy(q.Trust[:], b)
	case err == nil && len(b) == chainhash.HashSize:
		q.Tx, err = chainhash.NewHashFromStr(trust)
	default:
		return q, usagef("name verify wants --trust HASH, a consensus hash of 32 hex digits, or --trust TXID, of 64")
	}
	return q, err
}

// verifyRules returns the rules of the registry that the flags, or the home, name.
func (a *app) verifyRules(f *chainFlags) (*chain.Params, error) {
	h, err := a.home()
	if err != nil {
		return nil, err
	}
	if !f.given() && h.exists() {
		cfg, err := readConfig(h.config)
		if err != nil {
			return nil, err
		}
		if cfg.Chain.Kind == chainBitcoin {
			return cfg.Chain.params()
		}
		info, err := readChainInfo(h)
		if err != nil {
			return nil, failf(exitChain, "this home has not seen its private chain yet: %w", err)
		}
		return chain.Satchel(&chaincfg.RegressionNetParams, info.FirstBlock), nil
	}
	cfg := f.rulesConfig()
	p, err := cfg.params()
	return p, coded(exitUsage, err)
}

// newest returns the newest block in which the server says that something
// happened to a name.
func newest(ctx context.Context, c *proof.Client, n chain.Name) (int, error) {
	list, err := c.Heights(ctx, n)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, coded(exitChain, err)
	}
	if len(list) == 0 {
		return 0, failf(exitName, "the server knows nothing of %s; give --at HEIGHT to have it prove that nothing happened there", n)
	}
	return list[len(list)-1], nil
}

func printAnswer(w io.Writer, a *proof.Answer) {
	fmt.Fprintf(w, "proven by the consensus hash %x of block %d, in %d requests:\n", a.Trust, a.TrustHeight, a.Requests)
	if len(a.Operations) == 0 {
		fmt.Fprintf(w, "nothing happened to %s in block %d\n", a.Name, a.Height)
		return
	}
	for _, o := range a.Operations {
		fmt.Fprintf(w, "block %d  %s  %s\n", a.Height, opWord(o.Op), o.Txid)
		fmt.Fprintf(w, "  owner           %s\n", o.Address)
		if o.Value != "" {
			fmt.Fprintf(w, "  zone file hash  %s\n", o.Value)
		}
		if o.Revoked {
			fmt.Fprintln(w, "  revoked")
		}
	}
}

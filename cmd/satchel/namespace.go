package main

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"

	"satchel/chain"
	"satchel/chain/ops"
	"satchel/chain/registrar"
)

// rulesFlags are the rules of a namespace, as flags.
type rulesFlags struct {
	lifetime             string
	coefficient, base    uint
	buckets              string
	noVowel, nonAlphabet uint
}

func (f *rulesFlags) add(fs *flag.FlagSet) {
	fs.StringVar(&f.lifetime, "lifetime", "forever", "`BLOCKS` for which a name lasts, or forever")
	fs.UintVar(&f.coefficient, "coefficient", 0, "a name costs `C` times base to the power of its bucket, times 100 satoshi, at least 100")
	fs.UintVar(&f.base, "base", 1, "`B` of that")
	fs.StringVar(&f.buckets, "buckets", "0", "up to 16 exponents `E,E,…`, 0 to 15, for labels of 1, 2, … letters; the last one holds for all longer ones")
	fs.UintVar(&f.noVowel, "no-vowel", 1, "what the price of a label without vowels is divided by, `N` of 1 to 15")
	fs.UintVar(&f.nonAlphabet, "non-alpha", 1, "what the price of a label with a digit, - or _ is divided by, `N` of 1 to 15")
}

// rules reads the flags.
func (f *rulesFlags) rules() (*registrar.Rules, error) {
	r := &registrar.Rules{Lifetime: ops.Forever}
	if f.lifetime != "forever" {
		n, err := strconv.ParseUint(f.lifetime, 10, 32)
		if err != nil || n == 0 || n == ops.Forever {
			return nil, usagef("--lifetime %s: want a number of blocks, or forever", f.lifetime)
		}
		r.Lifetime = uint32(n)
	}
	for _, b := range []struct {
		flag     string
		v        uint
		min, max uint
		to       *byte
	}{
		{"coefficient", f.coefficient, 0, 255, &r.Coefficient},
		{"base", f.base, 0, 255, &r.Base},
		{"no-vowel", f.noVowel, 1, 15, &r.NoVowel},
		{"non-alpha", f.nonAlphabet, 1, 15, &r.NonAlpha},
	} {
		if b.v < b.min || b.v > b.max {
			return nil, usagef("--%s %d: want %d to %d", b.flag, b.v, b.min, b.max)
		}
		*b.to = byte(b.v)
	}
	return r, parseBuckets(f.buckets, &r.Buckets)
}

func parseBuckets(list string, buckets *[16]byte) error {
	words := strings.Split(list, ",")
	if len(words) > len(buckets) {
		return usagef("--buckets has %d exponents, at most %d", len(words), len(buckets))
	}
	for i := range buckets {
		word := strings.TrimSpace(words[min(i, len(words)-1)])
		n, err := strconv.ParseUint(word, 10, 8)
		if err != nil || n > 15 {
			return usagef("--buckets %s: want exponents of 0 to 15, with commas between them", list)
		}
		buckets[i] = byte(n)
	}
	return nil
}

func (a *app) namespaceCreateCommand() *command {
	c := newCommand("namespace create", "ID", 1, 1, "open a namespace of one's own")
	c.long = `Sends preorder, reveal and ready and waits until each is confirmed: then everybody
can register names in it, by the rules that the flags set, which stay. The price of a
namespace is burnt. With --hold it is only revealed: names can be imported then, until
` + "`satchel namespace ready ID`" + ` opens it, which has to happen in time.`
	var f nameFlags
	f.add(c.flags)
	var rf rulesFlags
	rf.add(c.flags)
	hold := c.flags.Bool("hold", false, "don't open it yet, so that names can be imported")
	c.run = func(ctx context.Context, args []string) error {
		rules, err := rf.rules()
		if err != nil {
			return err
		}
		g := goalArgs{Op: registrar.OpNamespace, Name: args[0], Rules: rules, Hold: *hold}
		r, err := a.reach(ctx, c, &f, g, "")
		return done(err, func() {
			if *hold {
				fmt.Fprintf(a.out, "namespace %s is revealed by %s; import names, then `satchel namespace ready %s`\n", r.Name, r.Address, r.Name)
				return
			}
			fmt.Fprintf(a.out, "namespace %s is open, revealed by %s\n", r.Name, r.Address)
		})
	}
	return c
}

func (a *app) namespaceReadyCommand() *command {
	c := newCommand("namespace ready", "ID", 1, 1, "open a namespace that was held back for imports")
	var f nameFlags
	f.add(c.flags)
	c.run = func(ctx context.Context, args []string) error {
		r, err := a.reach(ctx, c, &f, goalArgs{Op: registrar.OpReady, Name: args[0]}, "")
		return done(err, func() { fmt.Fprintf(a.out, "namespace %s is open\n", r.Name) })
	}
	return c
}

// maxImports is how many names one command imports.
const maxImports = 1000

func (a *app) namespaceImportCommand() *command {
	c := newCommand("namespace import", "NAME…", 1, maxImports, "give out names in a namespace before it opens")
	c.long = `Gives each NAME to --to ADDRESS, or to this home's own address, with the zone file of
--zonefile, or one that says no more than the name. The namespace must have been
revealed by this home and not be open yet (namespace create --hold).`
	var f nameFlags
	f.add(c.flags)
	to := c.flags.String("to", "", "`ADDRESS`, or name of the owner, that gets them")
	file := c.flags.String("zonefile", "", "`FILE` with the zone file of each of them")
	c.run = func(ctx context.Context, args []string) error {
		zone, err := readZonefile(*file)
		if err != nil {
			return err
		}
		for _, name := range args {
			if _, err := chain.ParseName(name); err != nil {
				return coded(exitName, err)
			}
		}
		for _, name := range args {
			g := goalArgs{Op: registrar.OpImport, Name: name, To: *to, Zonefile: zone}
			if zone == nil {
				g.Zonefile = fmt.Appendf(nil, "$ORIGIN %s\n$TTL 3600\n", name)
			}
			r, err := a.reach(ctx, c, &f, g, "")
			if err := done(err, func() { fmt.Fprintf(a.out, "%s is imported\n", r.Name) }); err != nil {
				return err
			}
		}
		return nil
	}
	return c
}

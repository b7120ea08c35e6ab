package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"satchel/chain"
	"satchel/fs/drive"
)

func (a *app) trustCommand() *command {
	c := newCommand("trust", "NAME", 1, 1, "accept a name's new owner after it changed hands")
	c.long = `Shows the fingerprint of what was known of the name and of what the chain says now.
When you agree, the new one is pinned and the name's folders work again. Ask the
person, by another way than this drive, before you do: whoever holds the name now
gets what is put into its folder from here on.`
	yes := c.flags.Bool("yes", false, "agree without being asked")
	c.run = func(ctx context.Context, args []string) error {
		s, err := a.open(ctx, c.name)
		if err != nil {
			return err
		}
		defer s.Close()
		r, err := ask[trustResult](ctx, s, "trust", trustArgs{Name: args[0]})
		if err != nil {
			return err
		}
		fmt.Fprintf(a.out, "known  %s\nnow    %s\n", shownFacts(r.Old), shownFacts(&r.New))
		if r.Old != nil && *r.Old == r.New {
			fmt.Fprintf(a.out, "%s is trusted already\n", args[0])
			return nil
		}
		if !*yes && !a.agree() {
			return failf(exitStopped, "%s stays stopped", args[0])
		}
		if _, err := ask[trustResult](ctx, s, "trust", trustArgs{args[0], &r.New}); err != nil {
			return err
		}
		fmt.Fprintf(a.out, "%s is trusted\n", args[0])
		return nil
	}
	return c
}

func shownFacts(f *drive.Facts) string {
	if f == nil {
		return "nothing"
	}
	return fmt.Sprintf("%s (owner %s, registered in block %d)", f.Fingerprint, f.Owner, f.Registered)
}

// agree asks at the terminal; without one nobody agreed.
func (a *app) agree() bool {
	defer onSignal(func() { os.Exit(exitInterrupt) })()
	fmt.Fprint(a.err, "Trust the new one? Type yes: ")
	line, _ := bufio.NewReader(a.in).ReadString('\n')
	return strings.TrimSpace(line) == "yes"
}

type trustArgs struct {
	Name   string       `json:"name"`
	Accept *drive.Facts `json:"accept,omitempty"` // what was shown and agreed to
}

type trustResult struct {
	Old *drive.Facts `json:"old"` // null if nothing is pinned
	New drive.Facts  `json:"new"`
}

// trust shows what is pinned of a name and what the chain says now; with Accept
// it pins that, if the chain still says so.
func (e *engine) trust(ctx context.Context, args trustArgs, _ func(string)) (trustResult, error) {
	name, err := chain.ParseName(args.Name)
	if err != nil {
		return trustResult{}, coded(exitName, err)
	}
	d, err := e.openDrive(ctx)
	if err != nil {
		return trustResult{}, err
	}
	if err := e.names.Sync(ctx); err != nil {
		return trustResult{}, err
	}
	old, now, err := d.Trust(ctx, name)
	if err != nil {
		return trustResult{}, err
	}
	if args.Accept != nil {
		err = d.AcceptTrust(ctx, name, *args.Accept)
	}
	return trustResult{old, now}, err
}

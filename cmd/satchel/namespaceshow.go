package main

import (
	"context"
	"fmt"
	"io"

	"satchel/chain"
	"satchel/chain/ops"
)

// A namespaceInfo is the output of `namespace show --json`.
type namespaceInfo struct {
	ID       string   `json:"id"`
	Owner    string   `json:"owner"` // address that revealed it
	State    string   `json:"state"` // revealed, ready, expired
	Revealed int      `json:"revealed"`
	Lifetime int      `json:"lifetime"`        // of a name in blocks; 0 for ever
	Price    int64    `json:"price"`           // satoshi, of a name of eight letters
	Names    []string `json:"names,omitempty"` // the first ones
	More     bool     `json:"more,omitempty"`  // there are others
	Height   int      `json:"height"`
}

func (a *app) namespaceShowCommand() *command {
	c := newCommand("namespace show", "ID", 1, 1, "show what the chain says of a namespace")
	asJSON := c.flags.Bool("json", false, "print JSON")
	c.run = func(ctx context.Context, args []string) error {
		s, err := a.open(ctx, c.name)
		if err != nil {
			return err
		}
		defer s.Close()
		r, err := ask[namespaceInfo](ctx, s, "namespace", nameArgs{args[0]})
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(a.out, r)
		}
		r.print(a.out)
		return nil
	}
	return c
}

func (r *namespaceInfo) print(w io.Writer) {
	fmt.Fprintf(w, "namespace      %s\nowner          %s\nstate          %s\nrevealed       in block %d\n", r.ID, r.Owner, r.State, r.Revealed)
	if r.Lifetime == 0 {
		fmt.Fprintln(w, "names          never expire")
	} else {
		fmt.Fprintf(w, "names          expire after %s blocks, about %s\n", grouped(int64(r.Lifetime)), period(r.Lifetime))
	}
	fmt.Fprintf(w, "price          %s for a name of eight letters; `satchel name price NAME` tells each\n", satoshi(r.Price))
	for _, n := range r.Names {
		fmt.Fprintf(w, "name           %s\n", n)
	}
	if r.More {
		fmt.Fprintln(w, "               and others")
	}
}

func (a *app) namespaceListCommand() *command {
	c := newCommand("namespace list", "", 0, 0, "list the namespaces of the chain")
	asJSON := c.flags.Bool("json", false, "print JSON")
	c.run = func(ctx context.Context, args []string) error {
		s, err := a.open(ctx, c.name)
		if err != nil {
			return err
		}
		defer s.Close()
		list, err := ask[[]namespaceInfo](ctx, s, "namespaces", none{})
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(a.out, list)
		}
		for _, n := range list {
			fmt.Fprintf(a.out, "%-20s %-9s %s\n", n.ID, n.State, n.Owner)
		}
		return nil
	}
	return c
}

func (a *app) namespacePriceCommand() *command {
	c := newCommand("namespace price", "ID", 1, 1, "show what a namespace costs, and each step to it")
	asJSON := c.flags.Bool("json", false, "print JSON")
	c.run = func(ctx context.Context, args []string) error {
		return a.price(ctx, c, args[0], true, *asJSON)
	}
	return c
}

// shownNames is how many names of a namespace are shown.
const shownNames = 20

func (e *engine) namespace(ctx context.Context, args nameArgs, _ func(string)) (namespaceInfo, error) {
	if !ops.ValidNamespace(args.Name) {
		return namespaceInfo{}, failf(exitName, "%q is no namespace id", args.Name)
	}
	n, err := e.openNames(ctx)
	if err != nil {
		return namespaceInfo{}, err
	}
	if err := n.Sync(ctx); err != nil {
		return namespaceInfo{}, err
	}
	ns, err := n.index.Namespace(args.Name)
	if err != nil {
		return namespaceInfo{}, failf(exitName, "namespace %s was never revealed", args.Name)
	}
	r := n.shownNamespace(&ns)
	if r.Price, err = n.index.Price(chain.Name("abcdefgh." + ns.ID)); err != nil {
		return r, err
	}
	names, err := n.index.Names(ns.ID, "", shownNames+1)
	if err != nil {
		return r, err
	}
	if r.More = len(names) > shownNames; r.More {
		names = names[:shownNames]
	}
	for _, name := range names {
		r.Names = append(r.Names, string(name))
	}
	return r, nil
}

func (e *engine) namespaces(ctx context.Context, _ none, _ func(string)) ([]namespaceInfo, error) {
	n, err := e.openNames(ctx)
	if err != nil {
		return nil, err
	}
	if err := n.Sync(ctx); err != nil {
		return nil, err
	}
	all, err := n.index.Namespaces()
	list := make([]namespaceInfo, len(all))
	for i := range all {
		list[i] = n.shownNamespace(&all[i])
	}
	return list, err
}

func (n *names) shownNamespace(ns *chain.Namespace) namespaceInfo {
	r := namespaceInfo{ID: ns.ID, Owner: n.scriptAddress(ns.Owner), State: "revealed", Revealed: ns.Reveal, Lifetime: ns.Lifetime}
	r.Height, _ = n.index.Tip()
	switch {
	case ns.Ready:
		r.State = "ready"
	case ns.Expired:
		r.State = "expired"
	}
	return r
}

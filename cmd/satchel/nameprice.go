package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"satchel/chain"
	"satchel/chain/registrar"
)

func (a *app) namePriceCommand() *command {
	c := newCommand("name price", "NAME", 1, 1, "show what a name costs, and each step to it")
	c.long = `Shows the price of a name as the chain asks for it now, what its owner pays when it
is renewed, and what each transaction of its registration costs. Without a dot it is
about a namespace.`
	asJSON := c.flags.Bool("json", false, "print JSON")
	c.run = func(ctx context.Context, args []string) error {
		return a.price(ctx, c, args[0], !strings.Contains(args[0], "."), *asJSON)
	}
	return c
}

// A priceInfo is the output of `name price --json`, in satoshi.
type priceInfo struct {
	Name  string           `json:"name"`
	Price int64            `json:"price"` // burnt by the preorder, and by each renewal
	Rate  int64            `json:"rate"`  // of fees, per 1,000 bytes
	Fees  int64            `json:"fees"`
	Total int64            `json:"total"`
	Steps []registrar.Cost `json:"steps"`
	Term  int              `json:"term,omitempty"` // blocks until it expires; none: never
	Taken bool             `json:"taken"`          // somebody has it
}

func (a *app) price(ctx context.Context, c *command, name string, namespace, asJSON bool) error {
	s, err := a.open(ctx, c.name)
	if err != nil {
		return err
	}
	defer s.Close()
	r, err := ask[priceInfo](ctx, s, "price", priceArgs{name, namespace})
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(a.out, r)
	}
	r.print(a.out, namespace)
	return nil
}

func (r *priceInfo) print(w io.Writer, namespace bool) {
	fmt.Fprintf(w, "%-20s%d satoshi (%s BTC)\n", r.Name, r.Price, btc(r.Price))
	for _, s := range r.Steps {
		fmt.Fprintf(w, "%-20s", s.Op)
		if s.Burnt > 0 {
			fmt.Fprintf(w, "%s, and ", satoshi(s.Burnt))
		}
		fmt.Fprintf(w, "about %s to miners\n", satoshi(s.Fee))
	}
	fmt.Fprintf(w, "%-20s%s, at %d satoshi per 1,000 bytes\n", "in all", satoshi(r.Total), r.Rate)
	if r.Taken {
		fmt.Fprintf(w, "%-20sit is, already\n", "taken")
	}
	switch {
	case namespace:
	case r.Term == 0:
		fmt.Fprintf(w, "%-20snever\n", "expires")
	default:
		fmt.Fprintf(w, "%-20safter %s blocks, about %s; renewing costs the price again\n", "expires", grouped(int64(r.Term)), period(r.Term))
	}
}

type priceArgs struct {
	Name      string `json:"name"`
	Namespace bool   `json:"namespace,omitempty"`
}

// price says what a name or namespace would cost somebody who has nothing of it.
func (e *engine) price(ctx context.Context, args priceArgs, _ func(string)) (priceInfo, error) {
	g := goalArgs{Op: registrar.OpRegister, Name: args.Name}
	if args.Namespace {
		g = goalArgs{Op: registrar.OpNamespace, Name: args.Name, Rules: new(registrar.Rules)}
	}
	if err := e.checkWord(&g); err != nil {
		return priceInfo{}, err
	}
	n, err := e.openNames(ctx)
	if err != nil {
		return priceInfo{}, err
	}
	if err := n.Sync(ctx); err != nil {
		return priceInfo{}, err
	}
	q, err := e.queue(ctx)
	if err != nil {
		return priceInfo{}, err
	}
	r := priceInfo{Name: args.Name}
	if args.Namespace {
		ns, err := n.index.Namespace(args.Name)
		r.Taken = err == nil && !ns.Expired
	} else {
		ns, err := n.index.Namespace(chain.Name(args.Name).Namespace())
		if err != nil || !ns.Ready {
			return r, failf(exitName, "%s can't be had: namespace %s is not open", args.Name, chain.Name(args.Name).Namespace())
		}
		rec, err := n.index.Lookup(chain.Name(args.Name))
		r.Taken, r.Term = err == nil && !rec.Expired, ns.Lifetime
	}
	list, err := q.PriceList(ctx, registrar.Goal{Op: g.Op, Subject: g.Name, Rules: g.Rules})
	if err != nil {
		return r, e.nameError(err)
	}
	r.Price, r.Steps, r.Rate, r.Fees, r.Total = list.Burnt, list.Steps, list.Rate, list.Fees, list.Total
	return r, nil
}

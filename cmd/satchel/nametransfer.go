package main

import (
	"context"
	"fmt"

	"satchel/chain/ops"
)

func (a *app) nameTransferCommand() *command {
	c := newCommand("name transfer", "NAME ADDRESS", 2, 2, "give the name of this home to another owner")
	c.long = `Sends the transaction that makes ADDRESS the name's owner, without its zone file,
and waits until it is confirmed. Others stop at the name until they trust the new
owner (satchel trust).`
	c.run = func(ctx context.Context, args []string) error {
		s, err := a.open(ctx, c.name)
		if err != nil {
			return err
		}
		defer s.Close()
		r, err := ask[stepsResult](ctx, s, "transfer", transferArgs{args[0], args[1]})
		if err != nil {
			return err
		}
		printSteps(a.out, r)
		fmt.Fprintf(a.out, "%s belongs to %s now\n", r.Name, r.Address)
		return nil
	}
	return c
}

type transferArgs struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

func (e *engine) transfer(ctx context.Context, args transferArgs, say func(string)) (stepsResult, error) {
	name, key, err := e.own(args.Name)
	if err != nil {
		return stepsResult{}, err
	}
	n, err := e.openNames(ctx)
	if err != nil {
		return stepsResult{}, err
	}
	if _, err := ops.PayTo(args.Address, n.index.Params().Chain); err != nil {
		return stepsResult{}, usagef("address %q: %v", args.Address, err)
	}
	if err := n.Sync(ctx); err != nil {
		return stepsResult{}, err
	}
	if _, err := n.index.Lookup(name); err != nil {
		return stepsResult{}, fmt.Errorf("%s: %w", name, err)
	}
	r := stepsResult{Name: string(name), Address: args.Address}
	err = e.registrar().Transfer(ctx, name, key, args.Address, false, r.add(say))
	return r, e.transferError(err)
}

func (e *engine) transferError(err error) error {
	if err == nil {
		return nil
	}
	return e.nameError(err)
}

package main

import (
	"context"
	"fmt"

	"satchel/chain/registrar"
)

func (a *app) nameTransferCommand() *command {
	c := newCommand("name transfer", "NAME ADDRESS|NAME", 2, 2, "give a name to another owner")
	c.long = `Sends the transaction that makes ADDRESS, or whoever owns the other NAME, the name's
owner, and waits until it is confirmed. Its zone file stays until the new owner
gives it another one; with --drop-value it is gone at once. Others stop at the name
until they trust the new owner (satchel trust).`
	var f nameFlags
	f.add(c.flags)
	f.addBelow(c.flags)
	drop := c.flags.Bool("drop-value", false, "the new owner begins without a zone file")
	c.run = func(ctx context.Context, args []string) error {
		g := goalArgs{Op: registrar.OpTransfer, Name: args[0], To: args[1], Keep: !*drop}
		r, err := a.reach(ctx, c, &f, g, "")
		return done(err, func() { fmt.Fprintf(a.out, "%s belongs to %s now\n", r.Name, r.Address) })
	}
	return c
}

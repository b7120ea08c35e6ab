package main

import (
	"context"
	"fmt"

	"satchel/chain/registrar"
)

func (a *app) nameRevokeCommand() *command {
	c := newCommand("name revoke", "NAME", 1, 1, "end a name for good")
	c.long = `Takes the name's zone file away and makes it useless until it expires: nobody can
update, renew or transfer it any more, its owner neither. That can't be undone. In
a namespace whose names never expire it is for ever.`
	var f nameFlags
	f.add(c.flags)
	c.run = func(ctx context.Context, args []string) error {
		question := fmt.Sprintf("Revoking %s can't be undone. Type the name to go on: ", args[0])
		r, err := a.reach(ctx, c, &f, goalArgs{Op: registrar.OpRevoke, Name: args[0]}, question)
		return done(err, func() { fmt.Fprintf(a.out, "%s is revoked\n", r.Name) })
	}
	return c
}

package main

import (
	"context"
	"fmt"

	"satchel/chain/registrar"
)

func (a *app) nameRegisterCommand() *command {
	c := newCommand("name register", "NAME", 1, 1, "register the name of this home on the chain")
	c.long = `Puts the profile at the write quorum, then sends preorder, register and update and
waits until each is confirmed. Prints their transaction ids, one a line. What was
begun and broken off goes on where it stood, and pays nothing twice: with the same
command, or while the drive is mounted.`
	var f nameFlags
	f.add(c.flags)
	f.addBelow(c.flags)
	c.run = func(ctx context.Context, args []string) error {
		r, err := a.reach(ctx, c, &f, goalArgs{Op: registrar.OpRegister, Name: args[0]}, "")
		return done(err, func() { fmt.Fprintf(a.out, "%s is registered, owned by %s\n", r.Name, r.Address) })
	}
	return c
}

package main

import (
	"context"
	"fmt"

	"satchel/chain"
	"satchel/chain/registrar"
)

func (a *app) nameRenewCommand() *command {
	c := newCommand("name renew", "NAME", 1, 1, "pay for a name's next term")
	c.long = `Pays the price of the name once more. Its term begins anew then: what is left of the
old one is not added to it.`
	var f nameFlags
	f.add(c.flags)
	again := c.flags.Bool("again", false, "renew although that was done a moment ago")
	c.run = func(ctx context.Context, args []string) error {
		g := goalArgs{Op: registrar.OpRenew, Name: args[0], Again: *again}
		r, err := a.reach(ctx, c, &f, g, "")
		return done(err, func() {
			if len(r.Steps) > 0 {
				fmt.Fprintf(a.out, "%s is renewed\n", r.Name)
			}
		})
	}
	return c
}

// renewedBlocks is for how long a renewal counts as one of a moment ago: the
// command that is given again after it was broken off must not pay twice.
const renewedBlocks = 12

// renewedNow says if the last thing that happened to a name is a renewal of a
// moment ago, and no other one is under way.
func (e *engine) renewedNow(q *registrar.Registrar, name string, say func(string)) bool {
	jobs, _ := q.Jobs()
	for _, j := range jobs {
		if j.Subject == name && j.Op == registrar.OpRenew {
			return false
		}
	}
	rec, err := e.names.index.Lookup(chain.Name(name))
	tip, _ := e.names.index.Tip()
	if err != nil || rec.Op != "::" || tip >= rec.LastRenewed+renewedBlocks {
		return false
	}
	say(fmt.Sprintf("%s was renewed in block %d already, %d blocks ago; --again renews it all the same", name, rec.LastRenewed, tip-rec.LastRenewed))
	return true
}

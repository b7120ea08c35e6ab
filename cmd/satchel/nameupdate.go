package main

import (
	"context"
	"fmt"

	"satchel/chain/registrar"
	"satchel/chain/zonefile"
)

func (a *app) nameUpdateCommand() *command {
	c := newCommand("name update", "NAME", 1, 1, "give a name another zone file")
	c.long = `Puts the hash of a zone file on the chain and hands the file over. Without --zonefile
it is the one that the drive makes of its providers and its data key: needed after
the list of providers in config.toml changed.`
	var f nameFlags
	f.add(c.flags)
	f.addBelow(c.flags)
	file := c.flags.String("zonefile", "", "`FILE` with the zone file")
	c.run = func(ctx context.Context, args []string) error {
		g := goalArgs{Op: registrar.OpUpdate, Name: args[0]}
		var err error
		if g.Zonefile, err = readZonefile(*file); err != nil {
			return err
		}
		r, err := a.reach(ctx, c, &f, g, "")
		return done(err, func() { fmt.Fprintf(a.out, "%s has the zone file\n", r.Name) })
	}
	return c
}

// readZonefile reads a zone file and checks that it is one; none if path is empty.
func readZonefile(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	data, err := readInput(path, zonefile.MaxSize)
	if err != nil {
		return nil, coded(exitUsage, err)
	}
	if _, err := zonefile.Parse(data); err != nil {
		return nil, usagef("%s: %v", path, err)
	}
	return data, nil
}

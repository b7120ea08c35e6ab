package main

import (
	"context"
	"fmt"
)

func (a *app) syncCommand() *command {
	c := newCommand("sync", "", 0, 0, "return when the others' newest state is merged")
	c.long = `Reads the chain to its tip, fetches the newest heads of all others and merges them.`
	c.run = func(ctx context.Context, args []string) error {
		s, err := a.open(ctx, c.name)
		if err != nil {
			return err
		}
		defer s.Close()
		_, err = ask[none](ctx, s, "sync", none{})
		return err
	}
	return c
}

func (e *engine) sync(ctx context.Context, _ none, _ func(string)) (none, error) {
	d, err := e.openDrive(ctx)
	if err != nil {
		return none{}, err
	}
	if err := e.names.Sync(ctx); err != nil {
		return none{}, err
	}
	if err := d.Sync(ctx); err != nil {
		return none{}, fmt.Errorf("sync: %w", err)
	}
	return none{}, nil
}

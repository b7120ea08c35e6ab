package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2"

	"satchel/chain"
)

func (a *app) nameRegisterCommand() *command {
	c := newCommand("name register", "NAME", 1, 1, "register the name of this home on the chain")
	c.long = `Puts the profile at the write quorum, then sends preorder, register and update and
waits until each is confirmed. Prints their transaction ids, one a line. What was
begun and broken off goes on where it stood.`
	c.run = func(ctx context.Context, args []string) error {
		s, err := a.open(ctx, c.name)
		if err != nil {
			return err
		}
		defer s.Close()
		r, err := ask[stepsResult](ctx, s, "register", nameArgs{args[0]})
		if err != nil {
			return err
		}
		printSteps(a.out, r)
		fmt.Fprintf(a.out, "%s is registered, owned by %s\n", r.Name, r.Address)
		return nil
	}
	return c
}

// register puts the profile, registers the name and hands over its zone file.
func (e *engine) register(ctx context.Context, args nameArgs, say func(string)) (stepsResult, error) {
	name, key, err := e.own(args.Name)
	if err != nil {
		return stepsResult{}, err
	}
	d, err := e.openDrive(ctx)
	if err != nil {
		return stepsResult{}, err
	}
	if err := e.names.Sync(ctx); err != nil {
		return stepsResult{}, err
	}
	if err := e.mayRegister(name, key); err != nil {
		return stepsResult{}, err
	}
	if err := d.Publish(ctx); err != nil {
		return stepsResult{}, failf(exitStorage, "profile of %s: %w", name, err)
	}
	say("the profile is at the providers")
	zone, err := d.Zonefile()
	if err != nil {
		return stepsResult{}, err
	}
	if err := e.names.keep(zone); err != nil {
		return stepsResult{}, err
	}
	r := stepsResult{Name: string(name), Address: e.names.address(key)}
	err = e.registrar().Register(ctx, name, key, zone, r.add(say))
	if err != nil {
		return stepsResult{}, e.nameError(err)
	}
	return r, e.offerZonefile(ctx, name)
}

// offerZonefile hands the zone file over, as soon as the chain process has read
// the block itself.
func (e *engine) offerZonefile(ctx context.Context, name chain.Name) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := e.names.keepOffering(ctx, name); err != nil {
		return failf(exitChain, "%s is registered, but its zone file isn't served yet: %w; each mount offers it again", name, err)
	}
	return nil
}

// mayRegister refuses early what the chain would refuse.
func (e *engine) mayRegister(name chain.Name, key *btcec.PrivateKey) error {
	rec, err := e.names.index.Lookup(name)
	switch {
	case errors.Is(err, chain.ErrUnknownName) || rec.Expired:
		return nil
	case err != nil:
		return err
	case rec.Revoked:
		return failf(exitName, "%s was revoked by its owner and can't be registered until it expires", name)
	case rec.Address != e.names.address(key):
		return failf(exitName, "%s is registered already, by %s; choose another name", name, rec.Address)
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"satchel/chain"
	"satchel/chain/ops"
	"satchel/chain/registrar"
	"satchel/chain/subdomain"
	"satchel/chain/zonefile"
)

// hasParent says if a name lies below another one, as ada.friends.id lies below
// friends.id. Such a name has no transactions of its own.
func hasParent(name string) bool { return strings.Count(name, ".") == 2 }

// reachBelow is reach for a name that lies below another one: its owner signs a
// record, and a registrar puts it on the chain among others.
func (a *app) reachBelow(ctx context.Context, c *command, f *nameFlags, args goalArgs) (stepsResult, error) {
	switch args.Op {
	case registrar.OpRegister, registrar.OpUpdate, registrar.OpTransfer:
	default:
		return stepsResult{}, failf(exitName, "%s has no transactions of its own and doesn't expire: it can be registered, updated and transferred", args.Name)
	}
	if f.psbt != "" || f.owner != "" {
		return stepsResult{}, usagef("%s has no transactions of its own, so there is nothing to sign elsewhere", args.Name)
	}
	args.Registrar, args.NoWait = f.registrar, f.noWait
	if f.via != "" {
		args.Via = strings.Split(f.via, ",")
	}
	if f.dry {
		fmt.Fprintf(a.out, "%s of %s costs nothing: its registrar pays\n", args.Op, args.Name)
		return stepsResult{}, errDry
	}
	s, err := a.open(ctx, c.name)
	if err != nil {
		return stepsResult{}, err
	}
	defer s.Close()
	return ask[stepsResult](ctx, s, "below", args)
}

func (e *engine) reachBelow(ctx context.Context, args goalArgs, say func(string)) (stepsResult, error) {
	n, err := e.openNames(ctx)
	if err != nil {
		return stepsResult{}, err
	}
	ks, err := e.openKeys()
	if err != nil {
		return stepsResult{}, err
	}
	if ks.Owner == nil {
		return stepsResult{}, failf(exitName, "the keystore holds no owner key of %s, only its words do", ks.Name)
	}
	if err := n.Sync(ctx); err != nil {
		return stepsResult{}, err
	}
	b := &below{e: e, n: n, name: chain.Name(args.Name), mine: n.address(ks.Owner)}
	if err := b.look(ctx); err != nil {
		return stepsResult{}, err
	}
	next, zone, err := b.next(ctx, &args, say)
	if err != nil {
		return stepsResult{}, err
	}
	res := stepsResult{Name: args.Name, Address: next.Owner}
	if b.reached(next) {
		return res, nil
	}
	if next, err = subdomain.Next(n.index.Params(), b.state, *next, ks.Owner); err != nil {
		return res, coded(exitName, err)
	}
	url, err := e.registrarURL(args.Registrar, b.name)
	if err != nil {
		return res, err
	}
	err = subdomain.Submit(ctx, url, next, zone)
	switch {
	case errors.Is(err, subdomain.ErrRecord):
		return res, coded(exitName, err)
	case err != nil:
		return res, coded(exitChain, err)
	}
	say(fmt.Sprintf("the registrar has taken the record of %s", b.name))
	if args.NoWait {
		return res, nil
	}
	return res, b.wait(ctx, next, say)
}

// below is an operation on a name below another one.
type below struct {
	e     *engine
	n     *names
	name  chain.Name
	mine  string           // address of this home's owner key
	state *subdomain.State // nil: nobody has the name
}

func (b *below) look(ctx context.Context) error {
	state, err := b.n.below.Resolve(ctx, b.name)
	if errors.Is(err, chain.ErrUnknownName) {
		return nil
	}
	b.state = state
	return err
}

// next returns the unsigned record that is wanted, and the zone file that it
// names.
func (b *below) next(ctx context.Context, args *goalArgs, say func(string)) (*subdomain.Record, []byte, error) {
	r := &subdomain.Record{Name: b.name, Owner: b.mine}
	parent, _ := b.name.Parent()
	r.Via = []chain.Name{parent}
	switch {
	case args.Op == registrar.OpRegister && b.name != chain.Name(b.e.cfg.Name):
		return nil, nil, failf(exitName, "this home is %s's, so it can't register %s; give --home DIR of its home", b.e.cfg.Name, b.name)
	case args.Op != registrar.OpRegister && b.state == nil:
		return nil, nil, fmt.Errorf("%s: %w", b.name, chain.ErrUnknownName)
	case b.state != nil && b.state.Owner != b.mine:
		return nil, nil, failf(exitName, "%s is owned by %s, and this home signs for %s; only its owner can change it", b.name, b.state.Owner, b.mine)
	}
	if b.state != nil {
		r.Via = b.state.Via
	}
	if len(args.Via) > 0 {
		r.Via = nil
		for _, n := range args.Via {
			if !ops.ValidName(n) {
				return nil, nil, usagef("--via %s: want registered names, such as friends.id", n)
			}
			r.Via = append(r.Via, chain.Name(n))
		}
	}
	if args.Op == registrar.OpTransfer {
		to, err := b.e.payee(args.To)
		if err != nil {
			return nil, nil, err
		}
		r.Owner, r.Value = b.n.scriptAddress(to), b.state.Value
		zone, err := b.n.Zonefile(ctx, r.Value)
		return r, zone, err
	}
	zone, err := b.e.zone(ctx, args, true, say)
	if err != nil {
		return nil, nil, err
	}
	r.Value = zonefile.Hash(zone)
	return r, zone, nil
}

// reached says if the name is as a record wants it.
func (b *below) reached(r *subdomain.Record) bool {
	if b.state == nil || b.state.Owner != r.Owner || b.state.Value != r.Value || len(b.state.Via) != len(r.Via) {
		return false
	}
	for i, n := range r.Via {
		if b.state.Via[i] != n {
			return false
		}
	}
	return true
}

// wait returns when the record is on the chain and everybody can have it.
func (b *below) wait(ctx context.Context, r *subdomain.Record, say func(string)) error {
	said := false
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		changed := b.n.follower.Changed()
		state, err := b.n.below.Resolve(ctx, b.name)
		if err == nil && state.Seq >= r.Seq {
			if state.Seq == r.Seq && state.Sig != r.Sig {
				return failf(exitName, "another record of %s came first; look at `satchel name show %s`", b.name, b.name)
			}
			say(fmt.Sprintf("%s is on the chain since block %d", b.name, state.Operation.Height))
			return nil
		}
		if !said {
			said = true
			say("waiting for the registrar's next batch; Ctrl-C loses nothing")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is with the registrar, which publishes it: %w", b.name, ctx.Err())
		case <-changed:
		case <-time.After(pause):
		}
	}
}

// registrarURL returns the URL that takes records of a name: the one given, which
// is remembered, else the one remembered.
func (e *engine) registrarURL(given string, name chain.Name) (string, error) {
	path := filepath.Join(e.h.data, "registrar-"+string(name)+".url")
	if given != "" {
		return given, replaceFile(path, []byte(given+"\n"))
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", usagef("give --registrar URL: whoever owns the name in which %s lies tells you where that is", name)
	}
	return strings.TrimSpace(string(data)), err
}

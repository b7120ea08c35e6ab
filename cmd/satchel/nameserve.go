package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"

	"satchel/chain"
	"satchel/chain/registrar"
	"satchel/chain/subdomain"
	"satchel/storage/web"
)

func (a *app) nameServeCommand() *command {
	c := newCommand("name serve", "NAME --listen ADDR", 1, 1, "give out names below one's own, such as ada.friends.id below friends.id")
	c.long = `Takes records of names below NAME over HTTP, from whoever asks, and puts those that
wait into one zone file of NAME, by one transaction, as often as --every says. Who
has got a name this way owns it: nobody but him can change it, this registrar
included. Prints "ready ADDR" when it serves, and runs until Ctrl-C. What was taken
is on disk, and goes on with the next start.`
	listen := c.flags.String("listen", "", "`ADDR` to listen on, host:port")
	every := c.flags.Duration("every", 10*time.Second, "publish what waits every `D`")
	c.run = func(ctx context.Context, args []string) error {
		name, err := chain.ParseName(args[0])
		if err != nil {
			return coded(exitName, err)
		}
		if *listen == "" {
			return usagef("name serve wants --listen ADDR, for instance --listen 127.0.0.1:8090")
		}
		if _, below := name.Parent(); below || *every < 100*time.Millisecond {
			return usagef("name serve wants a registered name such as friends.id, and --every a time of 100ms or more")
		}
		s, err := a.open(ctx, c.name)
		if err != nil {
			return err
		}
		defer s.Close()
		if s.e == nil {
			return failf(exitBusy, "%s is mounted; names are given out by a home of their own, or after `satchel %sunmount DIR`", s.h.name(), s.h.hint())
		}
		a.verbose = true
		return a.serveNames(ctx, s.e, name, *listen, *every)
	}
	return c
}

func (a *app) serveNames(ctx context.Context, e *engine, name chain.Name, listen string, every time.Duration) error {
	g, err := e.subRegistrar(ctx, name)
	if err != nil {
		return err
	}
	g.Log = a.logger()
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("%w; is another one running there?", err)
	}
	fmt.Fprintf(a.out, "ready %s\n", ln.Addr())
	run, cancel := context.WithCancel(ctx)
	var loop sync.WaitGroup
	loop.Go(func() { g.Run(run, every) })
	err = serveHTTP(ctx, ln, web.NewServer(g.Handler()))
	cancel()
	loop.Wait()
	return err
}

// subRegistrar makes what gives out names below one of this home's owner key.
func (e *engine) subRegistrar(ctx context.Context, name chain.Name) (*subdomain.Registrar, error) {
	ks, err := e.openKeys()
	if err != nil {
		return nil, err
	}
	q, err := e.queue(ctx)
	if err != nil {
		return nil, err
	}
	n := e.names
	if err := n.Sync(ctx); err != nil {
		return nil, err
	}
	rec, err := n.index.Lookup(name)
	if err != nil {
		return nil, err
	}
	if ks.Owner == nil || rec.Expired || rec.Revoked || rec.Address != n.address(ks.Owner) {
		return nil, failf(exitName, "%s is owned by %s, and this home's owner key is another one: only its owner can give out names below it", name, rec.Address)
	}
	return &subdomain.Registrar{
		Name:     name,
		Params:   n.index.Params(),
		Resolver: n.below,
		Dir:      filepath.Join(e.h.data, "records-"+string(name)),
		Zone: func(ctx context.Context) ([]byte, error) {
			rec, err := n.index.Lookup(name)
			if err != nil {
				return nil, err
			}
			if !rec.HasValue {
				return nil, fmt.Errorf("%s has no zone file yet: satchel name update %s", name, name)
			}
			return n.Zonefile(ctx, rec.ValueHash)
		},
		Update: func(ctx context.Context, zone []byte) error {
			return e.nameError(q.Update(ctx, name, ks.Owner, zone, func(registrar.Step) {}))
		},
		Keep: n.keep,
		Put:  n.put,
	}, nil
}

// put gives a file to where zone files are had from, as soon as that has read the
// block itself.
func (n *names) put(ctx context.Context, data []byte) error {
	if err := n.keep(data); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := n.src.PutZonefile(ctx, data)
		if err == nil || errors.Is(err, errNoPlace) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"satchel/chain/devnet"
	"satchel/fs"
	"satchel/storage/web"
)

func (a *app) demoCommand() *command {
	c := newCommand("demo", "[DIR]", 0, 1, "two people, a private chain, one dragged file")
	c.long = `Runs a private chain in this process and drives for alice.id and bob.id, mounted at
DIR/alice and DIR/bob (default demo). With DEMO_EXIT=1 it ends after the tour.`
	c.hidden = true
	clean := c.flags.Bool("clean", false, "only end what an earlier run left behind")
	c.run = func(ctx context.Context, args []string) error {
		dir := "demo"
		if len(args) > 0 {
			dir = args[0]
		}
		d, err := newDemo(a, dir)
		if err != nil {
			return err
		}
		if err := d.sweep(ctx); err != nil || *clean {
			return err
		}
		return d.run(ctx)
	}
	return c
}

// A demo is a small world under one folder: the mounts alice and bob, and below
// world the chain, the homes and bob's blob server. It stays between runs.
type demo struct {
	a          *app
	dir, world string
	alice, bob person
	stops      []func(ctx context.Context) error // what to stop at the end, last first
	steps      int
}

// A person is one of the two.
type person struct {
	name, home, mount string
}

func newDemo(a *app, dir string) (*demo, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	d := &demo{a: a, dir: dir, world: filepath.Join(dir, "world")}
	d.alice = person{"alice.id", filepath.Join(d.world, "alice"), filepath.Join(dir, "alice")}
	d.bob = person{"bob.id", filepath.Join(d.world, "bob"), filepath.Join(dir, "bob")}
	return d, nil
}

func (d *demo) people() []person { return []person{d.alice, d.bob} }

// say tells what happened, one line a step.
func (d *demo) say(format string, args ...any) {
	d.steps++
	fmt.Fprintf(d.a.out, "%2d  %s\n", d.steps, fmt.Sprintf(format, args...))
}

// run shows the tour and stays until ctx ends, then stops everything.
func (d *demo) run(ctx context.Context) (err error) {
	defer func() {
		if e := d.stop(); err == nil {
			err = e
		}
	}()
	tour, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	err = d.tour(tour)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return failf(exitTimeout, "the tour took too long: %w; logs are %s/*/data/satchel.log", err, d.world)
	case err != nil:
		return fmt.Errorf("%w; logs are %s/*/data/satchel.log, and `make clean` starts afresh", err, d.world)
	}
	if os.Getenv("DEMO_EXIT") == "1" {
		return nil
	}
	d.hints()
	<-ctx.Done()
	fmt.Fprintln(d.a.out)
	return nil
}

func (d *demo) hints() {
	fmt.Fprintf(d.a.out, `
Both drives stay until Ctrl-C. Try:
  1. open %s and %s in a file manager, side by side
  2. drag a file into alice/People/bob.id, and see it come up in bob/People/alice.id
  3. ls alice/Public/bob.id after you put something into bob/Public/bob.id
  4. getfattr -d alice/People/bob.id/*, to see who wrote what and whether it is stored
  5. %s --home %s status, or name show bob.id
`, d.alice.mount, d.bob.mount, os.Args[0], d.alice.home)
}

// tour is the story.
func (d *demo) tour(ctx context.Context) error {
	if err := os.MkdirAll(d.world, 0o700); err != nil {
		return err
	}
	chainAddr, err := d.startChain(ctx)
	if err != nil {
		return err
	}
	blobs, err := d.startBlobServer(ctx)
	if err != nil {
		return err
	}
	alices := []string{"--provider", "file://" + filepath.Join(d.world, "alice-blobs")}
	bobs := []string{"--provider", "http://" + blobs, "--token-file", d.token()}
	if err := d.identity(ctx, d.alice, chainAddr, alices); err != nil {
		return err
	}
	if err := d.identity(ctx, d.bob, chainAddr, bobs); err != nil {
		return err
	}
	for _, p := range d.people() {
		if err := d.register(ctx, p); err != nil {
			return err
		}
	}
	for _, p := range d.people() {
		if err := d.mount(ctx, p); err != nil {
			return err
		}
	}
	if err := d.drag(ctx); err != nil {
		return err
	}
	return d.statuses(ctx)
}

// startChain runs the private chain in this process.
func (d *demo) startChain(ctx context.Context) (string, error) {
	h := &home{data: d.world}
	if err := os.MkdirAll(h.devnet(), 0o700); err != nil {
		return "", err
	}
	ln, err := listenLast(devnetAddressFile(h))
	if err != nil {
		return "", err
	}
	node, err := devnet.Open(filepath.Join(h.devnet(), "chain"), devnet.Options{Log: d.a.logger()})
	if err != nil {
		ln.Close()
		return "", err
	}
	serving, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serveHTTP(serving, ln, web.NewServer(node.Handler())) }()
	d.onStop(func(context.Context) error {
		cancel()
		return errors.Join(<-done, node.Close())
	})
	addr := ln.Addr().String()
	d.say("a private chain with mined coins and the namespace id serves at %s", addr)
	return addr, nil
}

// listenLast listens at the address in a file, or makes one up and writes it
// there: it stands in config and zone files, so it has to stay.
func listenLast(file string) (net.Listener, error) {
	addr, err := lastAddress(file)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, failf(exitBusy, "%w; it was used by the last demo and is still needed: end what has the port, or `make clean`", err)
	}
	return ln, nil
}

// lastAddress returns the address in a file. Without one it takes a free port
// below those that the system hands out by itself, and remembers it.
func lastAddress(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err == nil {
		return strings.TrimSpace(string(data)), nil
	}
	for port := 20000 + os.Getpid()%5000; port < 30000; port++ {
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		if ln, err := net.Listen("tcp", addr); err == nil {
			ln.Close()
			return addr, replaceFile(file, []byte(addr+"\n"))
		}
	}
	return "", errors.New("no free port from 20000 to 29999")
}

func (d *demo) token() string { return filepath.Join(d.world, "bob-token") }

// startBlobServer runs `satchel serve` for bob.
func (d *demo) startBlobServer(ctx context.Context) (string, error) {
	addr, err := lastAddress(filepath.Join(d.world, "blobs-address"))
	if err != nil {
		return "", err
	}
	cmd := d.command(context.Background(), "serve", filepath.Join(d.world, "bob-blobs"), "--listen", addr, "--token-file", d.token())
	p, err := startProcess(ctx, cmd, d.serverFile())
	if err != nil {
		return "", err
	}
	d.onStop(p.stop)
	d.say("a blob server for bob (`satchel serve`) answers at http://%s", addr)
	return addr, nil
}

func (d *demo) serverFile() string { return filepath.Join(d.world, "blobs-process") }

// identity makes the person's keys and config, unless an earlier run did.
func (d *demo) identity(ctx context.Context, p person, chainAddr string, flags []string) error {
	h := &home{data: filepath.Join(p.home, "data")}
	if h.exists() {
		d.say("%s has keys and config from an earlier run, in %s", p.name, p.home)
		return nil
	}
	if err := os.RemoveAll(p.home); err != nil { // of a run that ended halfway through init
		return err
	}
	if err := os.MkdirAll(p.home, 0o700); err != nil {
		return err
	}
	args := append([]string{"init", p.name, "--chain", chainAddr, "--words-file", filepath.Join(p.home, "words")}, flags...)
	if _, err := d.satchel(ctx, p, args...); err != nil {
		return err
	}
	d.say("%s has keys, recovery words and a provider: %s", p.name, flags[1])
	return nil
}

// register registers the person's name, unless it is already.
func (d *demo) register(ctx context.Context, p person) error {
	out, err := d.satchel(ctx, p, "name", "register", p.name)
	if err != nil {
		return err
	}
	var txids []string
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) == 2 && len(f[1]) == 64 {
			txids = append(txids, f[0]+" "+f[1][:8]+"…")
		}
	}
	if len(txids) == 0 {
		d.say("%s is registered, by an earlier run", p.name)
		return nil
	}
	d.say("%s is registered by three mined transactions: %s", p.name, strings.Join(txids, ", "))
	return nil
}

func (d *demo) mount(ctx context.Context, p person) error {
	if err := os.MkdirAll(p.mount, 0o700); err != nil {
		return err
	}
	d.onStop(func(ctx context.Context) error { return d.unmount(ctx, p) })
	if _, err := d.satchel(ctx, p, "mount", p.mount); err != nil {
		return err
	}
	d.say("%s's drive is mounted at %s", p.name, p.mount)
	return nil
}

func (d *demo) unmount(ctx context.Context, p person) error {
	if !isOurMount(p.mount) {
		return nil
	}
	_, err := d.satchel(ctx, p, "unmount", p.mount)
	return err
}

// statuses shows what each drive says about itself.
func (d *demo) statuses(ctx context.Context) error {
	for _, p := range d.people() {
		if _, err := d.satchel(ctx, p, "wait", "--timeout", "60s"); err != nil {
			return err
		}
		out, err := d.satchel(ctx, p, "status")
		if err != nil {
			return err
		}
		d.say("%s's status:", p.name)
		for line := range strings.Lines(out) {
			fmt.Fprintf(d.a.out, "      %s", line)
		}
	}
	return nil
}

func (d *demo) onStop(f func(ctx context.Context) error) { d.stops = append(d.stops, f) }

// stop stops everything that was started, last first.
func (d *demo) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var errs []error
	for i := len(d.stops) - 1; i >= 0; i-- {
		errs = append(errs, d.stops[i](ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	if len(d.stops) > 0 {
		d.say("both drives are unmounted, server and chain are stopped")
	}
	return nil
}

// sweep ends what a killed run left behind: the processes that serve mounts, the
// mounts of dead ones, the blob server.
func (d *demo) sweep(ctx context.Context) error {
	for _, p := range d.people() {
		h := &home{data: filepath.Join(p.home, "data")}
		if who, held := heldBy(h.lockFile()); held && who.PID > 0 {
			if err := endHolder(ctx, h.lockFile(), who.PID); err != nil {
				return fmt.Errorf("process %d of an earlier run: %w", who.PID, err)
			}
			d.say("ended process %d of an earlier run, which served %s", who.PID, p.mount)
		}
		if isOurMount(p.mount) {
			if err := fs.Unmount(p.mount); err != nil {
				return fmt.Errorf("stale mount of an earlier run: %w", err)
			}
			d.say("cleaned up the mount that an earlier run left at %s", p.mount)
		}
	}
	return sweepProcess(ctx, d.serverFile())
}

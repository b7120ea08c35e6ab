package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"satchel/chain/devnet"
	"satchel/storage/web"
)

func (a *app) devnetCommand() *command {
	c := newCommand("devnet", "[--listen 127.0.0.1:PORT] [--detach | --stop]", 0, 0, "run a private chain, for trying things")
	c.long = `Runs a Bitcoin chain in this process, with nobody's money, on which names of the
namespace id cost nothing but mined coins. Prints "ready 127.0.0.1:PORT" when it
serves, and runs until Ctrl-C. A restart continues the chain, at the same port if
that is free. Others use it with ` + "`satchel init NAME --chain 127.0.0.1:PORT`" + `.`
	listen := c.flags.String("listen", "", "loopback `ADDR` to listen on (default: the last one, else a free port)")
	detached := c.flags.Bool("detach", false, "start it in the background and return when it serves")
	stop := c.flags.Bool("stop", false, "stop the one that runs in this home, and return when it is gone")
	child := c.flags.Bool("child", false, "(internal) started by another satchel")
	c.run = func(ctx context.Context, args []string) error {
		h, err := a.home()
		if err != nil {
			return err
		}
		if err := checkLoopback(*listen); err != nil {
			return err
		}
		switch {
		case *detached && *stop:
			return usagef("devnet takes --detach or --stop, not both")
		case *stop:
			return a.stopDevnet(ctx, h)
		case *detached:
			return a.detachDevnet(ctx, h, *listen)
		}
		p := newParent(*child)
		err = a.runDevnet(ctx, h, *listen, p)
		p.ready("", err)
		return err
	}
	return c
}

// checkLoopback refuses an address that others could reach: anybody who reaches
// the private chain can spend its coins and reorganise it.
func checkLoopback(listen string) error {
	if listen == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return usagef("--listen %s: %v; write it like 127.0.0.1:18443", listen, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return usagef("--listen %s: a private chain listens on loopback only, for instance 127.0.0.1:18443", listen)
	}
	return nil
}

func devnetLock(h *home) string { return filepath.Join(h.devnet(), "lock") }

// runDevnet runs the private chain until ctx ends.
func (a *app) runDevnet(ctx context.Context, h *home, listen string, p *parent) error {
	if err := os.MkdirAll(h.devnet(), 0o700); err != nil {
		return err
	}
	l, who, err := tryLock(devnetLock(h), "devnet")
	if errors.Is(err, errHeld) {
		return failf(exitBusy, "a private chain runs in %s already, at %s, process %d; `satchel %sdevnet --stop` ends it",
			h.devnet(), readDevnetAddress(h), who.PID, h.hint())
	}
	if err != nil {
		return err
	}
	defer l.Close()
	ln, err := listenAgain(h, listen)
	if err != nil {
		return err
	}
	defer ln.Close()
	node, err := devnet.Open(filepath.Join(h.devnet(), "chain"), devnet.Options{Log: a.logger()})
	if err != nil {
		return fmt.Errorf("private chain %s: %w", h.devnet(), err)
	}
	addr := ln.Addr().String()
	if err := replaceFile(devnetAddressFile(h), []byte(addr+"\n")); err != nil {
		node.Close()
		return err
	}
	fmt.Fprintf(a.out, "ready %s\n", addr)
	p.ready(addr, nil)
	err = serveHTTP(ctx, ln, web.NewServer(node.Handler()))
	return errors.Join(err, node.Close())
}

// listenAgain listens where the user says, else where the chain was last time,
// else on any free port.
func listenAgain(h *home, listen string) (net.Listener, error) {
	if listen != "" {
		return net.Listen("tcp", listen)
	}
	if last := readDevnetAddress(h); last != "" && checkLoopback(last) == nil {
		if ln, err := net.Listen("tcp", last); err == nil {
			return ln, nil
		}
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

// detachDevnet starts the private chain in the background; one that runs
// already is shown.
func (a *app) detachDevnet(ctx context.Context, h *home, listen string) error {
	addr, err := startDevnet(ctx, h, listen)
	if err != nil {
		return err
	}
	if _, port, _ := net.SplitHostPort(listen); listen != "" && port != "0" && addr != listen {
		return failf(exitBusy, "a private chain runs in %s already, at %s; `satchel %sdevnet --stop` ends it", h.devnet(), addr, h.hint())
	}
	fmt.Fprintf(a.out, "ready %s\n", addr)
	return nil
}

// stopDevnet ends the private chain and returns when it is gone.
func (a *app) stopDevnet(ctx context.Context, h *home) error {
	who, held := heldBy(devnetLock(h))
	if !held {
		fmt.Fprintf(a.out, "no private chain runs in %s\n", h.devnet())
		return nil
	}
	if who.PID == 0 {
		return failf(exitBusy, "the private chain in %s is just starting; try again", h.devnet())
	}
	if err := syscall.Kill(who.PID, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop process %d: %w", who.PID, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := waitFree(ctx, devnetLock(h)); err != nil {
		return fmt.Errorf("process %d doesn't end: %w", who.PID, err)
	}
	fmt.Fprintf(a.out, "stopped %s\n", readDevnetAddress(h))
	return nil
}

// Command satchel is a personal drive that belongs to a name registered on a
// blockchain.
//
// # One home, one owner of it
//
// Everything of one identity lies in three folders, its home: config, data and
// cache. Whatever opens the data holds a lock on it and answers on a unix socket
// inside it, be it the daemon behind a mount or a command that runs for a moment.
// So each operation has one implementation, a method of engine, and two ways to
// reach it: in this process, or by asking the process that holds the home.
//
// Flags, environment and the config file are read here and nowhere else.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	os.Exit(a.main(ctx, os.Args[1:]))
}

// An app is one run of the command.
type app struct {
	in       *os.File
	out, err io.Writer

	homeFlag string // --home
	passFile string // --passphrase-file
	verbose  bool   // log what goes well too: a daemon does
}

// main runs the command that args name and returns the exit code.
func (a *app) main(ctx context.Context, args []string) int {
	err := a.run(ctx, args)
	if err == nil {
		return exitOK
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = failf(exitInterrupt, "interrupted")
	}
	fmt.Fprintf(a.err, "satchel: %v\n", err)
	return exitCode(err)
}

// run finds the command, parses its flags and runs it.
func (a *app) run(ctx context.Context, args []string) error {
	cmds := a.commands()
	c, rest, err := findCommand(cmds, args)
	if err != nil {
		return err
	}
	pos, err := a.parse(c, rest)
	if errors.Is(err, errHelp) {
		return a.help(cmds, c.name)
	}
	if err != nil {
		return err
	}
	if len(pos) < c.min || len(pos) > c.max {
		return usagef("%s wants %s; see `satchel help %s`", c.usage(), c.wants(), c.name)
	}
	return c.run(ctx, pos)
}

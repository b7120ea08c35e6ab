package main

import (
	"context"
	"errors"
	"time"
)

func (a *app) waitCommand() *command {
	c := newCommand("wait", "[--timeout D]", 0, 0, "return when everything is stored at the write quorum")
	timeout := c.flags.Duration("timeout", 0, "give up after `D`, such as 30s (default: never)")
	c.run = func(ctx context.Context, args []string) error {
		if *timeout < 0 {
			return usagef("--timeout %v: want a time from now on, such as 30s", *timeout)
		}
		s, err := a.open(ctx, c.name)
		if err != nil {
			return err
		}
		defer s.Close()
		_, err = ask[none](ctx, s, "wait", waitArgs{*timeout})
		return err
	}
	return c
}

type waitArgs struct {
	Timeout time.Duration `json:"timeout"`
}

func (e *engine) wait(ctx context.Context, args waitArgs, _ func(string)) (none, error) {
	if args.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, args.Timeout)
		defer cancel()
	}
	d, err := e.openDrive(ctx)
	if err != nil {
		return none{}, err
	}
	err = d.Wait(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return none{}, failf(exitTimeout, "not everything is stored after %v: %w; `satchel %sstatus` says what is missing", args.Timeout, err, e.h.hint())
	}
	return none{}, err
}

package main

import (
	"context"
	"errors"
	"fmt"

	"satchel/chain"
	"satchel/crypto"
	"satchel/fs/profile"
)

// The exit codes. Scripts rely on them, so a number never changes its meaning.
const (
	exitOK         = 0
	exitFailed     = 1
	exitUsage      = 2
	exitConfig     = 3
	exitPassphrase = 4
	exitNoHome     = 5
	exitBusy       = 6
	exitChain      = 7
	exitStorage    = 8
	exitTimeout    = 9
	exitMountpoint = 10
	exitNotMounted = 11
	exitName       = 12
	exitStopped    = 13
	exitInterrupt  = 130
)

// exitCodes names and explains each code, for help and README.
var exitCodes = []struct {
	code       int
	name, what string
}{
	{exitOK, "ok", "done"},
	{exitFailed, "failed", "something else went wrong; the message says what"},
	{exitUsage, "usage", "unknown command, flag or argument"},
	{exitConfig, "config", "config.toml is broken, or has a key that Satchel doesn't know"},
	{exitPassphrase, "passphrase", "wrong passphrase, or none was given"},
	{exitNoHome, "no-home", "there is no identity here yet, or there is one already (init)"},
	{exitBusy, "busy", "another process holds this home"},
	{exitChain, "chain", "the chain can't be reached, or refused a transaction"},
	{exitStorage, "storage", "too few providers took or gave what was asked"},
	{exitTimeout, "timeout", "not done within the time given"},
	{exitMountpoint, "mountpoint", "the folder can't be mounted on: missing, not empty, no folder"},
	{exitNotMounted, "not-mounted", "nothing is mounted there"},
	{exitName, "name", "the name isn't registered, is malformed, or belongs to somebody else"},
	{exitStopped, "stopped", "the name changed hands and isn't trusted yet"},
	{exitInterrupt, "interrupted", "stopped by Ctrl-C or SIGTERM before it was done"},
}

// A codedError is an error with the exit code that it ends the program with.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

// coded gives err an exit code; nil stays nil.
func coded(code int, err error) error {
	if err == nil {
		return nil
	}
	return &codedError{code, err}
}

// failf makes an error with an exit code.
func failf(code int, format string, args ...any) error {
	return &codedError{code, fmt.Errorf(format, args...)}
}

func usagef(format string, args ...any) error { return failf(exitUsage, format, args...) }

// exitCode is the one place where an error becomes an exit code.
func exitCode(err error) int {
	var c *codedError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &c):
		return c.code
	case errors.Is(err, crypto.ErrPassphrase):
		return exitPassphrase
	case errors.Is(err, chain.ErrUnknownName):
		return exitName
	case errors.Is(err, profile.ErrChanged):
		return exitStopped
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	case errors.Is(err, context.Canceled):
		return exitInterrupt
	}
	return exitFailed
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"satchel/crypto"
)

// busyWait is how long a command waits for another one that holds the home for
// a moment.
const busyWait = 30 * time.Second

// A session is one command's way to the operations of a home: by itself, or
// through the daemon that holds it.
type session struct {
	h    *home
	say  func(string)
	lock *lock   // nil when a daemon does it
	e    *engine // likewise
}

// open returns a session of the home that the flags name. role says what this
// process does, for others that find the home held.
func (a *app) open(ctx context.Context, role string) (*session, error) {
	h, err := a.home()
	if err != nil {
		return nil, err
	}
	if !h.exists() {
		return nil, failf(exitNoHome, "no identity in %s yet; make one with `satchel %sinit NAME`", h.name(), h.hint())
	}
	cfg, err := readConfig(h.config)
	if err != nil {
		return nil, err
	}
	s := &session{h: h, say: func(line string) { fmt.Fprintln(a.err, line) }}
	l, who, err := holdHome(ctx, h, role)
	switch {
	case errors.Is(err, errHeld) && who.Role == roleDaemon:
		return s, a.checkPassphrase(h)
	case err != nil:
		return nil, err
	}
	s.lock = l
	s.e = newEngine(h, cfg, a.logger(), func() ([]byte, error) { return a.passphrase(false) })
	return s, nil
}

// checkPassphrase opens the keystore with a passphrase that was given, though a
// daemon that has it open does the work: a wrong one must not pass for a right one.
func (a *app) checkPassphrase(h *home) error {
	pass, err := a.givenPassphrase()
	if err != nil || pass == nil {
		return err
	}
	defer clear(pass)
	_, err = crypto.OpenKeystore(h.keystore(), pass)
	return err
}

// roleDaemon is the role of a process that serves a mount and answers others.
const roleDaemon = "mount"

// holdHome takes the home's lock. A command that holds it for a moment is
// waited for, and so is a daemon that is just starting or ending; of one that
// answers the error is errHeld.
func holdHome(ctx context.Context, h *home, role string) (*lock, holder, error) {
	deadline := time.Now().Add(busyWait)
	for {
		l, who, err := tryLock(h.lockFile(), role)
		if !errors.Is(err, errHeld) || who.Role == roleDaemon && answers(ctx, h) {
			return l, who, err
		}
		if time.Now().After(deadline) {
			return nil, who, failf(exitBusy, "%s is in use by `satchel %s`, process %d; wait for it or end it", h.name(), who.Role, who.PID)
		}
		select {
		case <-ctx.Done():
			return nil, who, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// answers reports whether a daemon answers on the home's socket. That somebody
// listens there is not enough: a killed process does until it is quite gone.
func answers(ctx context.Context, h *home) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err := askSocket(ctx, h, "ping", json.RawMessage("{}"), func(string) {})
	return err == nil
}

// Close ends the session.
func (s *session) Close() error {
	var err error
	if s.e != nil {
		err = s.e.Close()
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// ask does an operation, here or at the daemon.
func ask[R any](ctx context.Context, s *session, name string, args any) (R, error) {
	var result R
	raw, err := json.Marshal(args)
	if err != nil {
		return result, err
	}
	var answer json.RawMessage
	if s.e != nil {
		answer, err = askEngine(ctx, s.e, name, raw, s.say)
	} else {
		answer, err = askDaemon(ctx, s.h, name, raw, s.say)
	}
	if err != nil {
		return result, err
	}
	return result, json.Unmarshal(answer, &result)
}

func askEngine(ctx context.Context, e *engine, name string, args json.RawMessage, say func(string)) (json.RawMessage, error) {
	result, err := operations[name](ctx, e, args, say)
	if err != nil {
		return nil, err
	}
	return json.Marshal(result)
}

// askDaemon asks over the socket. A daemon that has just taken the lock may not
// listen yet, and one that is stopping no more.
func askDaemon(ctx context.Context, h *home, name string, args json.RawMessage, say func(string)) (json.RawMessage, error) {
	deadline := time.Now().Add(busyWait)
	for {
		answer, err := askSocket(ctx, h, name, args, say)
		if !errors.Is(err, errNobody) {
			return answer, err
		}
		who, held := heldBy(h.lockFile())
		switch {
		case !held:
			return nil, failf(exitBusy, "the daemon of %s has just ended; try again", h.name())
		case time.Now().After(deadline):
			return nil, failf(exitBusy, "process %d holds %s but doesn't answer; its log is %s", who.PID, h.name(), h.logFile())
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"

	"satchel/chain/registrar"
)

// maxPSBT bounds a PSBT: it travels over the control socket.
const maxPSBT = maxRequest / 2

// readPSBT reads a PSBT if the file is there. One that holds something else is
// not written over.
func readPSBT(path string) ([]byte, error) {
	data, err := readInput(path, maxPSBT)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := registrar.CheckPSBT(data); err != nil {
		return nil, usagef("%s is there already and won't be overwritten: %v", path, err)
	}
	return data, nil
}

// errGivenOut reports a transaction that was handed to the user to be signed.
var errGivenOut = errors.New("it goes on when the transaction is signed")

// writePSBT hands out what has to be signed and says how it goes on.
func (a *app) writePSBT(h *home, path string, r *stepsResult) error {
	where := path
	if path == "-" {
		where = "FILE"
		fmt.Fprintln(a.out, base64.StdEncoding.EncodeToString(r.PSBT))
	} else {
		if err := replaceFile(path, r.PSBT); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		fmt.Fprintf(a.err, "the %s transaction of %s is in %s\n", r.Op, r.Name, path)
	}
	fmt.Fprintf(a.err, "Have it signed by the key of %s, whole and unchanged, then run `satchel %sname send %s`: it is sent, and the next one, if there is one, given out.\n",
		r.Signer, h.hint(), where)
	return errGivenOut
}

func (a *app) nameSendCommand() *command {
	c := newCommand("name send", "FILE", 1, 1, "send a transaction that was signed elsewhere")
	c.long = `Takes the PSBT that --psbt gave out, signed, checks that it is the very transaction
and that its signatures hold, sends it and waits until it is confirmed. If the
operation needs another transaction, that one is written to FILE next.`
	c.run = func(ctx context.Context, args []string) error {
		data, err := readInput(args[0], maxPSBT)
		if err != nil {
			return err
		}
		s, err := a.open(ctx, c.name)
		if err != nil {
			return err
		}
		defer s.Close()
		r, err := ask[stepsResult](ctx, s, "send", sendArgs{data})
		if err != nil {
			return s.interrupted(ctx, err)
		}
		printSteps(a.out, r)
		if len(r.PSBT) > 0 {
			return done(a.writePSBT(s.h, args[0], &r), nil)
		}
		fmt.Fprintf(a.out, "%s is done\n", r.Name)
		return nil
	}
	return c
}

type sendArgs struct {
	Signed []byte `json:"signed"`
}

func (e *engine) send(ctx context.Context, args sendArgs, say func(string)) (stepsResult, error) {
	q, err := e.queue(ctx)
	if err != nil {
		return stepsResult{}, err
	}
	id, err := q.Signed(ctx, args.Signed)
	if err != nil {
		return stepsResult{}, coded(exitUsage, err)
	}
	j, err := q.Job(id)
	if err != nil {
		return stepsResult{}, err
	}
	return e.follow(ctx, q, id, nil, stepsResult{Name: j.Subject, Address: e.names.scriptAddress(j.Owner)}, say)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/btcsuite/btcd/btcec/v2"

	"satchel/chain"
	"satchel/chain/registrar"
)

type nameArgs struct {
	Name string `json:"name"`
}

// A step is one transaction of a name operation.
type step struct {
	Op     string `json:"op"`
	Txid   string `json:"txid"`
	Height int    `json:"height"`
}

type stepsResult struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Steps   []step `json:"steps"`
}

func printSteps(w io.Writer, r stepsResult) {
	for _, s := range r.Steps {
		fmt.Fprintf(w, "%s %s\n", s.Op, s.Txid)
	}
}

// own checks that a name is this home's and returns what signs for it.
func (e *engine) own(name string) (chain.Name, *btcec.PrivateKey, error) {
	n, err := chain.ParseName(name)
	if err != nil {
		return "", nil, coded(exitName, err)
	}
	if string(n) != e.cfg.Name {
		return "", nil, failf(exitName, "this home is %s's, so it can't sign for %s; give --home DIR of its home", e.cfg.Name, n)
	}
	ks, err := e.openKeys()
	if err != nil {
		return "", nil, err
	}
	if ks.Owner == nil {
		return "", nil, failf(exitName, "the keystore holds no owner key of %s, only its words do", n)
	}
	return n, ks.Owner, nil
}

// add records a step and says it.
func (r *stepsResult) add(say func(string)) func(registrar.Step) {
	return func(s registrar.Step) {
		r.Steps = append(r.Steps, step{s.Op, s.Txid.String(), s.Height})
		say(fmt.Sprintf("%s is confirmed in block %d: %s", s.Op, s.Height, s.Txid))
	}
}

func (e *engine) registrar() *registrar.Registrar {
	return &registrar.Registrar{
		Chain:    e.names.src,
		Index:    e.names.index,
		Follower: e.names.follower,
		Dir:      filepath.Join(e.h.data, "registrar"),
	}
}

// nameError gives errors of the registrar their exit codes.
func (e *engine) nameError(err error) error {
	switch {
	case errors.Is(err, registrar.ErrTaken), errors.Is(err, registrar.ErrNotOwner):
		return coded(exitName, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return coded(exitChain, err)
}

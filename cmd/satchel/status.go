package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"satchel/fs/drive"
)

// A status is the output of `status --json`; README describes it.
type status struct {
	Name   string       `json:"name"`
	Home   string       `json:"home"`
	Mount  string       `json:"mount"` // empty: not mounted
	PID    int          `json:"pid"`   // of the process that answers
	Chain  chainStatus  `json:"chain"`
	Drive  drive.Status `json:"drive"`
	Asked  time.Time    `json:"asked"`
	Owner  string       `json:"owner"`
	Device string       `json:"device"`
}

// A chainStatus says how far the chain was followed.
type chainStatus struct {
	Address string    `json:"address"`
	Height  int       `json:"height"`
	Best    int       `json:"best"`
	Reorgs  int       `json:"reorgs"`
	Seen    time.Time `json:"seen"` // when it last answered
	Error   string    `json:"error,omitempty"`
}

func (a *app) statusCommand() *command {
	c := newCommand("status", "", 0, 0, "show how drive, chain and providers are doing")
	asJSON := c.flags.Bool("json", false, "print JSON")
	c.run = func(ctx context.Context, args []string) error {
		s, err := a.open(ctx, c.name)
		if err != nil {
			return err
		}
		defer s.Close()
		st, err := ask[status](ctx, s, "status", none{})
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(a.out, st)
		}
		st.print(a.out)
		return nil
	}
	return c
}

func (e *engine) status(ctx context.Context, _ none, _ func(string)) (status, error) {
	d, err := e.openDrive(ctx)
	if err != nil {
		return status{}, err
	}
	e.mu.Lock()
	dir := e.dir
	e.mu.Unlock()
	look, cancel := context.WithTimeout(ctx, 3*time.Second)
	_ = e.names.follower.Sync(look) // an error shows below
	cancel()
	f := e.names.follower.Status()
	st := status{
		Name:   e.cfg.Name,
		Home:   e.h.name(),
		Mount:  dir,
		PID:    os.Getpid(),
		Device: e.keys.Device().String(),
		Chain:  chainStatus{Address: e.names.src.address(), Height: f.Height, Best: f.Best, Reorgs: f.Reorgs, Seen: f.Time},
		Drive:  d.Status(ctx),
		Asked:  time.Now().UTC(),
	}
	if f.Err != nil {
		st.Chain.Error = f.Err.Error()
	}
	if e.keys.Owner != nil {
		st.Owner = ownerAddress(e.keys.Owner)
	}
	return st, nil
}

func (s *status) print(w io.Writer) {
	fmt.Fprintf(w, "name      %s\nhome      %s\n", s.Name, s.Home)
	if s.Mount != "" {
		fmt.Fprintf(w, "mount     %s (process %d)\n", s.Mount, s.PID)
	} else {
		fmt.Fprintln(w, "mount     none")
	}
	fmt.Fprintf(w, "chain     block %d at %s\n", s.Chain.Height, s.Chain.Address)
	if s.Chain.Error != "" {
		fmt.Fprintf(w, "          %s\n", s.Chain.Error)
	}
}

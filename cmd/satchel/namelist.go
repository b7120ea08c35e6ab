package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"satchel/chain/registrar"
)

func (a *app) nameListCommand() *command {
	c := newCommand("name list", "", 0, 0, "list the names of this home's owner key, and what is under way")
	asJSON := c.flags.Bool("json", false, "print JSON")
	c.run = func(ctx context.Context, args []string) error {
		s, err := a.open(ctx, c.name)
		if err != nil {
			return err
		}
		defer s.Close()
		r, err := ask[nameList](ctx, s, "names", none{})
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(a.out, r)
		}
		r.print(a.out)
		return nil
	}
	return c
}

// A nameList is the output of `name list --json`.
type nameList struct {
	Address string      `json:"address"` // of the owner key
	Height  int         `json:"height"`
	Names   []nameState `json:"names"`
	Jobs    []jobState  `json:"jobs"`
}

// A nameState is a name that the owner key owns.
type nameState struct {
	Name    string `json:"name"`
	Expires int    `json:"expires"` // height; 0 never
	Date    string `json:"date"`    // about when that is; empty: never, or nobody can say
	Value   bool   `json:"value"`   // it has a zone file
}

// A jobState is an operation in the queue.
type jobState struct {
	ID      int              `json:"id"`
	Op      string           `json:"op"`
	Name    string           `json:"name"`
	State   string           `json:"state"`
	Problem string           `json:"problem,omitempty"`
	Steps   []registrar.Step `json:"steps"` // done
	Txid    string           `json:"txid"`  // under way
	Paid    int64            `json:"paid"`  // satoshi, price and fees
}

func (r *nameList) print(w io.Writer) {
	fmt.Fprintf(w, "owner     %s\n", r.Address)
	if len(r.Names) == 0 {
		fmt.Fprintln(w, "name      none")
	}
	for _, n := range r.Names {
		fmt.Fprintf(w, "name      %s, %s", n.Name, expiry(n.Expires, r.Height, n.Date))
		if !n.Value {
			fmt.Fprint(w, ", without a zone file")
		}
		fmt.Fprintln(w)
	}
	for _, j := range r.Jobs {
		fmt.Fprintf(w, "queue     %d: %s of %s: %s\n", j.ID, j.Op, j.Name, j.State)
		if j.Problem != "" {
			fmt.Fprintf(w, "problem   %s\n", j.Problem)
		}
	}
}

func (e *engine) list(ctx context.Context, _ none, _ func(string)) (nameList, error) {
	n, err := e.openNames(ctx)
	if err != nil {
		return nameList{}, err
	}
	if err := n.Sync(ctx); err != nil {
		e.log.Warn("names are as of the last block seen", "err", err)
	}
	ks, err := e.openKeys()
	if err != nil {
		return nameList{}, err
	}
	r := nameList{Names: []nameState{}, Jobs: []jobState{}}
	r.Height, _ = n.index.Tip()
	if ks.Owner != nil {
		r.Address = n.address(ks.Owner)
		names, err := n.index.NamesOf(registrar.ScriptOf(ks.Owner))
		if err != nil {
			return r, err
		}
		for _, name := range names {
			rec, err := n.index.Lookup(name)
			if err != nil {
				return r, err
			}
			r.Names = append(r.Names, nameState{string(name), rec.Expires, n.date(rec.Expires, r.Height), rec.HasValue})
		}
	}
	q, err := e.queue(ctx)
	if err != nil {
		return r, err
	}
	jobs, err := q.Jobs()
	for _, j := range jobs {
		r.Jobs = append(r.Jobs, jobShown(&j))
	}
	return r, err
}

// jobShown says how a job stands, from what is kept of it.
func jobShown(j *registrar.Job) jobState {
	s := jobState{ID: j.ID, Op: j.Op, Name: j.Subject, State: j.State, Problem: j.Problem, Steps: j.Steps}
	if s.Steps == nil {
		s.Steps = []registrar.Step{}
	}
	for i := range j.Txs {
		switch t := &j.Txs[i]; {
		case t.Done || t.Spent:
			s.Paid += t.Fee + t.Burnt
		case !t.Void && t.Signed:
			s.Txid = t.Txid().String()
			if s.State == "" {
				s.State = fmt.Sprintf("%s was sent: %s", t.Op, s.Txid)
			}
		case !t.Void && s.State == "":
			s.State = t.Op + " waits to be signed"
		}
	}
	if s.State == "" && len(j.Steps) > 0 {
		s.State = j.Steps[len(j.Steps)-1].Op + " is done"
	}
	if s.State == "" {
		s.State = "nothing was sent yet"
	}
	return s
}

func (a *app) nameCancelCommand() *command {
	c := newCommand("name cancel", "NUMBER|NAME", 1, 1, "take an operation out of the queue")
	c.long = `Takes what is in the queue under that number, or for that name, out of it, as long as
no transaction of it is under way. What was confirmed stays: a preorder can be
followed up by ` + "`satchel name register`" + ` later, as long as it counts.`
	c.run = func(ctx context.Context, args []string) error {
		s, err := a.open(ctx, c.name)
		if err != nil {
			return err
		}
		defer s.Close()
		r, err := ask[[]jobState](ctx, s, "cancel", nameArgs{args[0]})
		for _, j := range r {
			fmt.Fprintf(a.out, "%s of %s is out of the queue\n", j.Op, j.Name)
		}
		return err
	}
	return c
}

func (e *engine) cancel(ctx context.Context, args nameArgs, _ func(string)) ([]jobState, error) {
	q, err := e.queue(ctx)
	if err != nil {
		return nil, err
	}
	jobs, err := q.Jobs()
	if err != nil {
		return nil, err
	}
	var out []jobState
	for _, j := range jobs {
		if strconv.Itoa(j.ID) != args.Name && j.Subject != args.Name {
			continue
		}
		if err := q.Cancel(ctx, j.ID); err != nil {
			return nil, e.nameError(err)
		}
		out = append(out, jobShown(&j))
	}
	if len(out) == 0 {
		return nil, failf(exitName, "nothing in the queue has the number or name %q; `satchel %sname list` shows it", args.Name, e.h.hint())
	}
	return out, nil
}

// expiry says when a name expires.
func expiry(expires, height int, date string) string {
	switch {
	case expires == 0:
		return "never expires"
	case expires <= height:
		return fmt.Sprintf("expired in block %d", expires)
	case date == "":
		return fmt.Sprintf("expires in block %d, in %d blocks", expires, expires-height)
	}
	return fmt.Sprintf("expires in block %d, in %d blocks, about %s", expires, expires-height, date)
}

package subdomain

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"satchel/chain"
)

// resolveTime bounds how long a name is looked for.
const resolveTime = 10 * time.Second

var (
	// errFull reports a queue that takes no more.
	errFull = errors.New("too many records wait: come again later")
	// errSent reports a record in whose place none can come any more.
	errSent = errors.New("another record of the name is being published: come again later")
)

// queue keeps a record that can be published next. One waits for each name: one
// that follows the same state takes its place only if its owner signed it.
//
// What asks others for zone files comes without the lock, and behind the signature
// of a record 0. A later one's holds the hash of the state before.
func (g *Registrar) queue(ctx context.Context, s *submission) error {
	if err := g.first(s.r); err != nil {
		return err
	}
	for {
		last, err := g.lastOperation(0)
		if err != nil {
			return err
		}
		state, err := g.carried(ctx, s.r, nil)
		if err != nil {
			return err
		}
		if state != nil && state.Line() == s.Record {
			return nil // it is on the chain already
		}
		if err := Follows(g.Params, state, s.r); err != nil {
			return err
		}
		if done, err := g.enqueue(s, last); err != nil || done {
			return err
		}
	}
}

// first checks what can be checked of a record 0 without the chain.
func (g *Registrar) first(r *Record) error {
	if r.Seq > 0 {
		return nil
	}
	if parent, _ := r.Name.Parent(); parent != g.Name {
		return fmt.Errorf("%w: only %s gives out %s", ErrRecord, parent, r.Name)
	}
	return Follows(g.Params, nil, r)
}

// lastOperation returns the newest one of the registrar's name, from a height on.
func (g *Registrar) lastOperation(from int) (last chain.Operation, err error) {
	list, err := g.Resolver.Table.History(string(g.Name), from, 0)
	if err != nil {
		return last, fmt.Errorf("history of %s: %w", g.Name, err)
	}
	if len(list) > 0 {
		last = list[len(list)-1]
	}
	return last, nil
}

// enqueue keeps a record that follows the state of its name as it was at an
// operation. If there is a newer one it is not done: the record that waited may be
// on the chain, and gone from the queue.
func (g *Registrar) enqueue(s *submission, at chain.Operation) (done bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	last, err := g.lastOperation(at.Height)
	if err != nil || place(&last, &at) != 0 || last.Txid != at.Txid {
		return false, err
	}
	return true, g.replace(s)
}

// replace puts a record into the queue, in the place of another one of its name.
func (g *Registrar) replace(s *submission) error {
	old, err := g.read(s.r.Name)
	switch {
	case err == nil && old.Record == s.Record:
		return nil
	case err == nil && old.r.Seq == 0 && old.r.Owner != s.r.Owner:
		return fmt.Errorf("%w: somebody else has asked for %s already", ErrRecord, s.r.Name)
	case err == nil:
		if sent, err := g.isSent(old.Record); err != nil || sent {
			return cmp.Or(err, errSent)
		}
	case errors.As(err, new(*fs.PathError)) && !errors.Is(err, fs.ErrNotExist):
		return err // what can be read, but not understood, holds no name
	}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	had, all, err := g.size(s.r.Name)
	if err != nil {
		return err
	}
	more := int64(len(b)) - had
	if all+more > maxQueue {
		return errFull
	}
	if err := g.write(g.path(s.r.Name), b); err != nil {
		g.count = false // it may be there
		return err
	}
	g.bytes += more
	return nil
}

// carried returns the state of a record's name, nil if it has none, and refuses
// what this name may not carry. Late files are not looked for.
func (g *Registrar) carried(ctx context.Context, r *Record, late map[[20]byte]bool) (*State, error) {
	state, err := g.resolve(ctx, r.Name, late)
	parent, _ := r.Name.Parent()
	switch {
	case errors.Is(err, chain.ErrUnknownName) && parent != g.Name:
		return nil, fmt.Errorf("%w: only %s gives out %s", ErrRecord, parent, r.Name)
	case errors.Is(err, chain.ErrUnknownName):
		return nil, nil
	case err == nil && !slices.Contains(state.Via, g.Name):
		return state, fmt.Errorf("%w: the records of %s are carried by %s", ErrRecord, r.Name, state.via())
	}
	return state, err
}

// resolve asks for a name, but not for ever: zone files of others may be anywhere.
func (g *Registrar) resolve(ctx context.Context, name chain.Name, late map[[20]byte]bool) (*State, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	return g.Resolver.resolve(ctx, name, late)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/ops"
	"satchel/chain/registrar"
	"satchel/chain/zonefile"
)

// queue returns the queue of this home's name operations.
func (e *engine) queue(ctx context.Context) (*registrar.Registrar, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n, err := e.lockedNames(ctx)
	if err != nil {
		return nil, err
	}
	if e.registrar == nil {
		e.registrar = &registrar.Registrar{
			Chain:    n.src,
			Index:    n.index,
			Follower: n.follower,
			Dir:      filepath.Join(e.h.data, "registrar"),
		}
	}
	return e.registrar, nil
}

// owner returns the script that owns, and its key; with an address in args that
// is nil unless it is the keystore's.
func (e *engine) owner(p *chain.Params, args *goalArgs) ([]byte, *btcec.PrivateKey, error) {
	ks, err := e.openKeys()
	if err != nil {
		return nil, nil, err
	}
	switch {
	case args.Owner != "":
		script, err := ops.PayTo(args.Owner, p.Chain)
		if err != nil {
			return nil, nil, usagef("--owner: %v", err)
		}
		return script, ks.Owner, nil
	case ks.Owner == nil:
		return nil, nil, failf(exitName, "the keystore holds no owner key of %s, only its words do; give --owner ADDRESS --psbt FILE", ks.Name)
	}
	return registrar.ScriptOf(ks.Owner), ks.Owner, nil
}

// goal makes of what is wanted a goal of the registrar's. With publish the profile
// is put at the providers, if the drive's own zone file is in it.
func (e *engine) goal(ctx context.Context, args *goalArgs, publish bool, say func(string)) (g registrar.Goal, key *btcec.PrivateKey, err error) {
	g = registrar.Goal{Op: args.Op, Subject: args.Name, Keep: args.Keep, Rules: args.Rules, Hold: args.Hold}
	if err := e.checkSubject(args); err != nil {
		return g, nil, err
	}
	n, err := e.openNames(ctx)
	if err != nil {
		return g, nil, err
	}
	script, key, err := e.owner(n.index.Params(), args)
	if err != nil {
		return g, nil, err
	}
	g.Owner = script
	if args.Op == registrar.OpRegister || args.Op == registrar.OpUpdate && args.Zonefile == nil {
		if _, err := e.openDrive(ctx); err != nil { // checks that it is on this chain
			return g, nil, err
		}
	}
	if err := n.Sync(ctx); err != nil {
		return g, nil, err
	}
	if err := e.checkOwned(args, script); err != nil {
		return g, nil, err
	}
	switch {
	case args.To != "":
		if g.To, err = e.payee(args.To); err != nil {
			return g, nil, err
		}
	case args.Op == registrar.OpImport:
		g.To = script
	}
	switch args.Op {
	case registrar.OpRegister, registrar.OpUpdate, registrar.OpImport:
		zone, err := e.zone(ctx, args, publish, say)
		if err != nil {
			return g, nil, err
		}
		value := zonefile.Hash(zone)
		g.Value = value[:]
	}
	return g, key, nil
}

// checkSubject refuses what can't be a name, and registrations of another name
// than the home's: its drive couldn't use it.
func (e *engine) checkSubject(args *goalArgs) error {
	if err := e.checkWord(args); err != nil {
		return err
	}
	if args.Op == registrar.OpRegister && args.Name != e.cfg.Name {
		return failf(exitName, "this home is %s's, so it can't register %s; give --home DIR of its home", e.cfg.Name, args.Name)
	}
	return nil
}

// checkWord refuses what can't be a name.
func (e *engine) checkWord(args *goalArgs) error {
	if args.Op == registrar.OpNamespace || args.Op == registrar.OpReady {
		if !ops.ValidNamespace(args.Name) {
			return failf(exitName, "%q is no namespace id: want a-z, 0-9, - and _, at most %d of them", args.Name, ops.MaxNamespace)
		}
		return nil
	}
	_, err := chain.ParseName(args.Name)
	return coded(exitName, err)
}

// checkOwned says early, and in more words than the registrar, who owns a name
// that this home doesn't.
func (e *engine) checkOwned(args *goalArgs, script []byte) error {
	n := e.names
	rec, err := n.index.Lookup(chain.Name(args.Name))
	mine := err == nil && string(rec.Owner) == string(script)
	switch args.Op {
	case registrar.OpRegister:
		if errors.Is(err, chain.ErrUnknownName) || rec.Expired || mine && !rec.Revoked {
			return nil
		}
		return e.notFree(&rec, err)
	case registrar.OpUpdate, registrar.OpRenew, registrar.OpRevoke:
		switch {
		case err != nil:
			return err
		case !mine:
			return failf(exitName, "%s is owned by %s now, and this home signs for %s; only its owner can change it", args.Name, rec.Address, n.scriptAddress(script))
		}
	}
	return nil
}

func (e *engine) notFree(rec *chain.Record, err error) error {
	switch {
	case err != nil:
		return err
	case rec.Revoked && rec.Expires > 0:
		return failf(exitName, "%s was revoked by its owner and can't be registered until it expires, in block %d", rec.Name, rec.Expires)
	case rec.Revoked:
		return failf(exitName, "%s was revoked by its owner and can't be registered until it expires; in its namespace names never do", rec.Name)
	}
	return failf(exitName, "%s is registered already, by %s; choose another name", rec.Name, rec.Address)
}

// payee returns the script of an address, or of a name's owner.
func (e *engine) payee(to string) ([]byte, error) {
	if !ops.ValidName(to) {
		script, err := ops.PayTo(to, e.names.index.Params().Chain)
		if err != nil {
			return nil, usagef("%v", err)
		}
		return script, nil
	}
	rec, err := e.names.index.Lookup(chain.Name(to))
	if err != nil {
		return nil, err
	}
	if rec.Expired || rec.Revoked {
		return nil, failf(exitName, "%s has expired or was revoked, so it has no owner", to)
	}
	return rec.Owner, nil
}

// zone returns the zone file that a name is to have, and keeps it.
func (e *engine) zone(ctx context.Context, args *goalArgs, publish bool, say func(string)) ([]byte, error) {
	zone := args.Zonefile
	if zone == nil {
		if args.Name != e.cfg.Name {
			return nil, usagef("this home is %s's and makes no zone file for %s: give --zonefile FILE", e.cfg.Name, args.Name)
		}
		d, err := e.openDrive(ctx)
		if err != nil {
			return nil, err
		}
		if publish {
			if err := d.Publish(ctx); err != nil {
				return nil, failf(exitStorage, "profile of %s: %w", args.Name, err)
			}
			say("the profile is at the providers")
		}
		if zone, err = d.Zonefile(); err != nil {
			return nil, err
		}
	}
	if err := registrar.CheckZone(zone); err != nil {
		return nil, coded(exitUsage, err)
	}
	return zone, e.names.keep(zone)
}

// A quoteResult is what a goal costs.
type quoteResult struct {
	registrar.Quote
	Name  string `json:"name"`
	Op    string `json:"op"`
	Real  bool   `json:"real"`  // real money
	Gives bool   `json:"gives"` // the chain gives what is missing
	Begun bool   `json:"begun"` // it was agreed to earlier
}

func (e *engine) quote(ctx context.Context, args goalArgs, say func(string)) (quoteResult, error) {
	q := quoteResult{Name: args.Name, Op: args.Op}
	g, _, err := e.goal(ctx, &args, false, say)
	if err != nil {
		return q, err
	}
	r, err := e.queue(ctx)
	if err != nil {
		return q, err
	}
	jobs, err := r.Jobs()
	if err != nil {
		return q, err
	}
	queued := false
	for _, j := range jobs {
		queued = queued || j.Subject == g.Subject
		q.Begun = q.Begun || j.Subject == g.Subject && j.Op == g.Op && len(j.Txs) > 0
	}
	_, q.Gives = e.names.src.(registrar.Funder)
	q.Real = r.Index.Params().Chain.Net == wire.MainNet
	if g.Op == registrar.OpRenew && !args.Again && e.renewedNow(r, g.Subject, func(string) {}) {
		return q, nil
	}
	q.Quote, err = r.Quote(ctx, g)
	if err != nil && queued { // what it lacks may be under way
		return q, nil
	}
	return q, e.nameError(err)
}

// reach puts a goal into the queue and walks it to its end.
func (e *engine) reach(ctx context.Context, args goalArgs, say func(string)) (stepsResult, error) {
	g, key, err := e.goal(ctx, &args, true, say)
	if err != nil {
		return stepsResult{}, err
	}
	q, err := e.queue(ctx)
	if err != nil {
		return stepsResult{}, err
	}
	res := stepsResult{Name: args.Name, Address: e.names.scriptAddress(g.Owner)}
	if g.Op == registrar.OpTransfer {
		res.Address = e.names.scriptAddress(g.To)
	}
	if g.Op == registrar.OpRenew && !args.Again && e.renewedNow(q, g.Subject, say) {
		return res, nil
	}
	if args.Signed != nil {
		if _, err := q.Signed(ctx, args.Signed); err != nil && !errors.Is(err, registrar.ErrNotSigned) {
			return res, coded(exitUsage, err)
		}
	}
	id, err := q.Add(ctx, g, args.Terms)
	if err != nil {
		return res, e.nameError(err)
	}
	return e.follow(ctx, q, id, key, res, say)
}

// follow walks a job to its end, or to where something has to be signed.
func (e *engine) follow(ctx context.Context, q *registrar.Registrar, id int, key *btcec.PrivateKey, res stepsResult, say func(string)) (stepsResult, error) {
	err := q.Run(ctx, id, key, registrar.Watch{
		Step: func(s registrar.Step) {
			res.Steps = append(res.Steps, step{s.Op, s.Txid.String(), s.Height})
			say(fmt.Sprintf("%s is confirmed in block %d: %s", s.Op, s.Height, s.Txid))
		},
		State: func(state string) {
			if state != "" {
				say(state)
			}
		},
	})
	if errors.Is(err, registrar.ErrUnsigned) {
		res.Op, res.Signer, res.PSBT, err = q.Unsigned(ctx, id)
		return res, e.nameError(err)
	}
	if err != nil {
		return res, e.nameError(err)
	}
	j, err := q.Job(id)
	if err != nil {
		return res, err
	}
	return res, e.offerFor(ctx, j)
}

// offerFor hands over the zone file of a job that gave a name one, as soon as the
// chain process has read the block itself.
func (e *engine) offerFor(ctx context.Context, j registrar.Job) error {
	if len(j.Value) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := e.names.keepOffering(ctx, chain.Name(j.Subject)); err != nil {
		return failf(exitChain, "%s is registered, but its zone file isn't served yet: %w; each mount offers it again", j.Subject, err)
	}
	return nil
}

// workQueue walks what is in the queue until ctx ends: a daemon does.
func (e *engine) workQueue(ctx context.Context) {
	ks, err := e.openKeys()
	if err != nil {
		return
	}
	q, err := e.queue(ctx)
	if err != nil {
		return
	}
	_ = q.Work(ctx, ks.Owner, func(j registrar.Job) {
		e.log.Info("name operation is done", "op", j.Op, "name", j.Subject)
		if err := e.offerFor(ctx, j); err != nil && ctx.Err() == nil {
			e.log.Warn("zone file", "name", j.Subject, "err", err)
		}
	})
}

// nameError gives errors of the registrar their exit codes.
func (e *engine) nameError(err error) error {
	var has *codedError
	switch {
	case err == nil || errors.As(err, &has):
		return err
	case errors.Is(err, registrar.ErrTaken), errors.Is(err, registrar.ErrNotOwner), errors.Is(err, registrar.ErrNotOpen), errors.Is(err, chain.ErrUnknownName):
		return coded(exitName, err)
	case errors.Is(err, registrar.ErrBusy):
		return coded(exitBusy, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return coded(exitChain, err)
}

func (n *names) scriptAddress(script []byte) string {
	return ops.Address(script, n.index.Params().Chain)
}

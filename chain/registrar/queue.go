package registrar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"

	"satchel/chain"
)

// An entry is a job in the queue of this process. Whoever has the turn changes
// it; others see the last snapshot.
type entry struct {
	Job
	ended   bool // its goal is reached, or it was cancelled
	saved   bool // it is in a file
	refused bool // by the index: as it is now, the goal can't be reached
	lost    int  // height at which the coins of its last transaction were found gone; 0: they are not
	voided  int  // transactions in a row that did nothing
	funded  int  // how often coins were asked for
	agreed  bool // to pay a second time

	kept Job // as it was saved last
	snap atomic.Pointer[Job]
}

// copy returns the job with lists of its own.
func (j *Job) copy() Job {
	c := *j
	c.Txs, c.Steps = slices.Clone(j.Txs), slices.Clone(j.Steps)
	return c
}

// publish shows the entry to others.
func (e *entry) publish() {
	j := e.copy()
	e.snap.Store(&j)
}

// take waits for the turn; the caller calls give.
func (r *Registrar) take(ctx context.Context) (give func(), err error) {
	r.once.Do(func() {
		r.turn = make(chan struct{}, 1)
		r.turn <- struct{}{}
	})
	select {
	case <-r.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	give = func() { r.turn <- struct{}{} }
	if err := r.load(); err != nil {
		give()
		return nil, err
	}
	return give, nil
}

// open returns the jobs that have not ended.
func (r *Registrar) open() []*entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.jobs), func(e *entry) bool { return e.ended })
}

func (r *Registrar) entry(id int) *entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.jobs {
		if e.ID == id {
			return e
		}
	}
	return nil
}

// Jobs returns the queue.
func (r *Registrar) Jobs() ([]Job, error) {
	if err := r.load(); err != nil {
		return nil, err
	}
	var jobs []Job
	for _, e := range r.open() {
		jobs = append(jobs, *e.snap.Load())
	}
	return jobs, nil
}

// Job returns a job, one that ended in this process too.
func (r *Registrar) Job(id int) (Job, error) {
	if err := r.load(); err != nil {
		return Job{}, err
	}
	e := r.entry(id)
	if e == nil {
		return Job{}, fmt.Errorf("job %d is not in the queue", id)
	}
	return *e.snap.Load(), nil
}

// Add puts a goal into the queue and returns the number of its job. One that is
// there already for the same thing is taken instead, with the goal and the terms
// of now. What the index says can't be done is refused.
func (r *Registrar) Add(ctx context.Context, g Goal, t Terms) (id int, err error) {
	if err := g.check(r.Index.Params()); err != nil {
		return 0, err
	}
	if err := r.Follower.Sync(ctx); err != nil {
		return 0, err
	}
	give, err := r.take(ctx)
	if err != nil {
		return 0, err
	}
	defer give()
	for _, e := range r.open() {
		if e.Op == g.Op && e.Subject == g.Subject && bytes.Equal(e.Owner, g.Owner) {
			return e.ID, r.amend(e, g, t)
		}
	}
	r.mu.Lock()
	e := &entry{Job: Job{ID: r.last + 1, Goal: g, Terms: t, Made: time.Now().UTC().Truncate(time.Second)}}
	r.mu.Unlock()
	r.since(&e.Goal)
	if r.ahead(e) == nil {
		plan, err := r.plan(&e.Goal)
		if err != nil {
			return 0, err
		}
		e.ended = len(plan) == 0
	}
	if e.ended {
		e.State = stateDone
	} else if err := r.add(e); err != nil {
		return 0, err
	}
	e.publish()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = e.ID
	r.jobs = append(r.jobs, e)
	return e.ID, nil
}

// add saves a new job, or leaves nothing of it.
func (r *Registrar) add(e *entry) error {
	e.kept = e.copy()
	err := r.save(e)
	if err != nil && e.saved {
		_ = r.drop(e)
	}
	return err
}

// since sets from which block on a renewal counts for the goal.
func (r *Registrar) since(g *Goal) {
	if g.Op != OpRenew || g.Since > 0 {
		return
	}
	if rec, err := r.Index.Lookup(chain.Name(g.Subject)); err == nil {
		g.Since = rec.LastRenewed
	}
}

// amend gives a job that is in the queue a new goal of its kind. What was built
// for another value is not sent any more; what takes its place spends its coins.
func (r *Registrar) amend(e *entry, g Goal, t Terms) error {
	if g.Op == OpRenew {
		g.Since = e.Since
	}
	same := bytes.Equal(e.Value, g.Value) && bytes.Equal(e.To, g.To) && e.Keep == g.Keep && e.Hold == g.Hold &&
		(e.Rules == nil || *e.Rules == *g.Rules)
	if !same && len(e.Txs) > 0 && g.Op != OpRegister && g.Op != OpUpdate {
		return fmt.Errorf("%s of %s (job %d) has begun with something else: %w", g.Op, g.Subject, e.ID, ErrBusy)
	}
	for i := range e.Txs {
		if tx := &e.Txs[i]; !same && tx.Op == "update" && !tx.Done {
			tx.Void = true
		}
	}
	e.Goal, e.Terms = g, t
	if err := r.save(e); err != nil {
		return err
	}
	e.agreed = slices.ContainsFunc(e.Txs, func(t Tx) bool { return t.Spent })
	return nil
}

// ahead returns the first job that an entry has to wait for, nil if there is none.
func (r *Registrar) ahead(e *entry) *entry {
	for _, other := range r.open() {
		if other.ID < e.ID && e.follows(&other.Goal) {
			return other
		}
	}
	return nil
}

// Cancel takes a job out of the queue. One with a transaction under way stays,
// unless it can't reach its goal any more.
func (r *Registrar) Cancel(ctx context.Context, id int) error {
	give, err := r.take(ctx)
	if err != nil {
		return err
	}
	defer give()
	e := r.entry(id)
	if e == nil || e.ended {
		return fmt.Errorf("job %d is not in the queue", id)
	}
	tx := e.underWay()
	if tx == nil {
		if tx, err = r.waiting(ctx, e); err != nil {
			return err
		}
	}
	if tx != nil && !e.refused {
		return fmt.Errorf("%s of %s was sent in transaction %v, which can't be called back: %w", tx.Op, e.Subject, tx.Txid(), ErrBusy)
	}
	return r.end(e, stateOut)
}

// underWay returns the transaction that was sent last and is not known to have
// taken effect, nil if there is none. What is to take its place and waits to be
// signed changes nothing about that.
func (j *Job) underWay() *Tx {
	for i := len(j.Txs) - 1; i >= 0; i-- {
		if tx := &j.Txs[i]; tx.Signed && !tx.Done && !tx.Void {
			return tx
		}
	}
	return nil
}

// waiting returns a transaction that was given up but may be mined yet, nil if
// there is none.
func (r *Registrar) waiting(ctx context.Context, e *entry) (*Tx, error) {
	gone := func(t Tx) bool { return !t.Signed || t.Done || t.Spent }
	if !slices.ContainsFunc(e.Txs, func(t Tx) bool { return !gone(t) }) {
		return nil, nil
	}
	coins, err := r.Chain.Unspent(ctx, e.Owner)
	if err != nil {
		return nil, r.coinsError(e, err)
	}
	for i := range e.Txs {
		t := &e.Txs[i]
		if gone(*t) {
			continue
		}
		if at, _, err := r.where(ctx, e, t, coins); err != nil || at == unseen || at == pooled {
			return t, err
		}
	}
	return nil, nil
}

// end takes an entry out of the queue.
func (r *Registrar) end(e *entry, state string) error {
	if err := r.drop(e); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e.ended, e.Problem, e.State = true, "", state
	e.publish()
	return nil
}

// States of jobs that have ended.
const (
	stateDone = "done"             // the goal is reached
	stateOut  = "out of the queue" // it is not, and nobody tries any more
)

// A Watch hears how a job goes on. Both may be nil.
type Watch struct {
	Step  func(Step)   // each that took effect, from the first one on
	State func(string) // what the job waits for, when that changes
}

// Pauses between looks at the chain while nothing moves.
const (
	minPause  = 250 * time.Millisecond
	maxPause  = 30 * time.Second
	rarePause = 5 * time.Minute // where blocks come by the hour, and finding coins is work
)

func (r *Registrar) maxPause() time.Duration {
	if r.Index.Params().Confirmations > 0 {
		return rarePause
	}
	return maxPause
}

// Run walks a job to its end, together with whoever else does. The key signs; it
// may be nil for a job that is signed elsewhere. If Run returns early the job
// stays in the queue, but for one that the index refuses before anything was
// built for it.
func (r *Registrar) Run(ctx context.Context, id int, key *btcec.PrivateKey, w Watch) error {
	if err := r.load(); err != nil {
		return err
	}
	e := r.entry(id)
	if e == nil {
		return fmt.Errorf("job %d is not in the queue", id)
	}
	steps, state := 0, ""
	for pause := minPause; ; {
		changed := r.Follower.Changed()
		moved, err := r.advance(ctx, e, key)
		j := e.snap.Load()
		for ; w.Step != nil && steps < len(j.Steps); steps++ {
			w.Step(j.Steps[steps])
		}
		switch {
		case err != nil:
			return r.stopped(ctx, e, err)
		case j.State == stateDone:
			return nil
		case j.State == stateOut:
			return fmt.Errorf("%s of %s was taken out of the queue", j.Op, j.Subject)
		case moved:
			pause = minPause
			continue
		}
		if w.State != nil && j.State != state {
			state = j.State
			w.State(state)
		}
		select {
		case <-changed:
		case <-time.After(pause):
		case <-ctx.Done():
			return r.stopped(ctx, e, ctx.Err())
		}
		pause = min(2*pause, r.maxPause())
	}
}

// stopped says of which job an error is. One that is refused before anything was
// built for it doesn't stay: whoever asked for it hears why.
func (r *Registrar) stopped(ctx context.Context, e *entry, err error) error {
	j := e.snap.Load()
	tx := j.underWay()
	switch {
	case ctx.Err() != nil && tx != nil:
		return fmt.Errorf("transaction %v (%s of %s) is sent and not confirmed yet: %w", tx.Txid(), tx.Op, j.Subject, err)
	case ctx.Err() != nil, errors.Is(err, ErrUnsigned):
		return err
	case len(j.Txs) == 0 && refusal(err):
		return errors.Join(err, r.Cancel(ctx, j.ID))
	case tx != nil:
		return fmt.Errorf("%s of %s: %w", tx.Op, j.Subject, err)
	}
	return fmt.Errorf("%s of %s: %w", j.Op, j.Subject, err)
}

// Work walks all jobs, those that come later too, until ctx ends, and returns
// its error. What fails is tried again later; ended, if not nil, hears of each
// job that reaches its goal.
func (r *Registrar) Work(ctx context.Context, key *btcec.PrivateKey, ended func(Job)) error {
	for pause := minPause; ; {
		changed := r.Follower.Changed()
		moved := false
		if err := r.load(); err == nil {
			for _, e := range r.open() {
				m, err := r.advance(ctx, e, key)
				moved = moved || m && err == nil
				if j := e.snap.Load(); j.State == stateDone && ended != nil {
					ended(*j)
				}
			}
		}
		if moved {
			pause = minPause
			continue
		}
		select {
		case <-changed:
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
		pause = min(2*pause, r.maxPause())
	}
}

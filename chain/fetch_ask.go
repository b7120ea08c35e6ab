package chain

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrNoAnswer reports a source that was asked for something and did not answer
// in time.
var ErrNoAnswer = errors.New("no answer")

// An asker asks the source for one thing after the other. It waits until the
// source has not too much to do, and must be stopped.
type asker struct {
	f           *Follower
	parent, ctx context.Context
	cancel      context.CancelFunc
	timer       *time.Timer // cancels ctx
}

func (f *Follower) asker(ctx context.Context) (*asker, error) {
	if err := f.asking.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	a := &asker{f: f, parent: ctx}
	a.ctx, a.cancel = context.WithCancel(ctx)
	a.timer = time.AfterFunc(f.o.Timeout, a.cancel)
	return a, nil
}

func (a *asker) stop() {
	a.timer.Stop()
	a.cancel()
	a.f.asking.Release(1)
}

// answer waits for the answer to a question, but not for ever.
func answer[T any](a *asker, question func(context.Context) (T, error)) (T, error) {
	a.timer.Reset(a.f.o.Timeout)
	t, err := question(a.ctx)
	if err != nil && a.ctx.Err() != nil && a.parent.Err() == nil {
		err = fmt.Errorf("%w in %v: %v", ErrNoAnswer, a.f.o.Timeout.Round(time.Millisecond), err)
	}
	return t, err
}

// ask asks one thing.
func ask[T any](ctx context.Context, f *Follower, question func(context.Context) (T, error)) (t T, err error) {
	a, err := f.asker(ctx)
	if err != nil {
		return t, err
	}
	defer a.stop()
	return answer(a, question)
}

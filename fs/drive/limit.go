package drive

import (
	"context"
	"sync"
	"time"
)

// opTimeout bounds every call that may have to fetch: a dead network gives an
// error, never a hung file manager.
const opTimeout = 30 * time.Second

// limit returns a context that ends opTimeout from now. Most calls wait for
// nothing, and a timer for each would cost more than they do, so there is one
// only once somebody asks for the context's end.
func limit(ctx context.Context) (context.Context, context.CancelFunc) {
	l := &limited{Context: ctx, until: time.Now().Add(opTimeout)}
	return l, l.end
}

// limited is safe for concurrent use, as any context.
type limited struct {
	context.Context
	until time.Time

	mu     sync.Mutex
	timed  context.Context // made when needed, nil before
	cancel context.CancelFunc
	ended  bool
}

// get returns the context with the timer.
func (l *limited) get() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timed == nil {
		l.timed, l.cancel = context.WithDeadline(l.Context, l.until)
		if l.ended {
			l.cancel()
		}
	}
	return l.timed
}

// end cancels the context.
func (l *limited) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.cancel != nil {
		l.cancel()
	}
}

func (l *limited) Deadline() (time.Time, bool) { return l.get().Deadline() }
func (l *limited) Done() <-chan struct{}       { return l.get().Done() }
func (l *limited) Value(key any) any           { return l.get().Value(key) }

func (l *limited) Err() error {
	l.mu.Lock()
	timed, ended := l.timed, l.ended
	l.mu.Unlock()
	switch {
	case timed != nil:
		return timed.Err()
	case ended:
		return context.Canceled
	case !time.Now().Before(l.until):
		return context.DeadlineExceeded
	}
	return l.Context.Err()
}

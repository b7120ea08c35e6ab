package storage

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Limits bounds how often and how long a provider is asked for one thing.
type Limits struct {
	Tries   int           // at most so many, the first included
	Pause   time.Duration // before the second try; doubled before each later one
	Timeout time.Duration // of one try of something small
	Rate    int64         // bytes a second, below which a transfer is given up
	Grace   time.Duration // for the slow ones when enough others have answered; 0: all the time
}

// DefaultLimits are what NewSet gives a Set: three tries within some seconds.
// The caller's own queue comes again later.
var DefaultLimits = Limits{Tries: 3, Pause: 250 * time.Millisecond, Timeout: 20 * time.Second, Rate: 64 << 10, Grace: 2 * time.Second}

// maxPause bounds the pause between two tries.
const maxPause = 10 * time.Second

// timeout returns how long one try with size bytes may take.
func (l Limits) timeout(size int64) time.Duration {
	d := l.Timeout
	if l.Rate > 0 {
		d += time.Duration(size/l.Rate) * time.Second
	}
	return d
}

// retry calls try until it succeeds, fails with what can't pass, was tried
// often enough, or ctx ends.
func (l Limits) retry(ctx context.Context, size int64, try func(context.Context) error) error {
	for n := 1; ; n++ {
		err := l.once(ctx, size, try)
		if err == nil || ctx.Err() != nil || n >= l.Tries || !CanPass(err) {
			return err
		}
		if Pause(ctx, l.Pause, n) != nil {
			return err
		}
	}
}

// once calls try within the time that it may take.
func (l Limits) once(ctx context.Context, size int64, try func(context.Context) error) error {
	if l.Timeout <= 0 {
		return try(ctx)
	}
	d := l.timeout(size)
	tctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	err := try(tctx)
	if err != nil && tctx.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("no answer within %v: %w", d.Round(time.Second), err)
	}
	return err
}

// Pause waits before the try that follows the nth: base doubled n-1 times, at
// most 10 seconds, less up to half of it by chance so that many clients don't
// come back together. It returns ctx's error if that ends first.
func Pause(ctx context.Context, base time.Duration, n int) error {
	d := base << min(n-1, 16)
	if d <= 0 || d > maxPause {
		d = maxPause
	}
	d -= rand.N(d/2 + 1)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

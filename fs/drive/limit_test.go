package drive

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestLimit(t *testing.T) {
	past := func(ctx context.Context) { ctx.(*limited).until = time.Now().Add(-time.Second) }
	for _, c := range []struct {
		name string
		end  func(ctx context.Context, own, above context.CancelFunc)
		want error
	}{
		{"goes on", func(context.Context, context.CancelFunc, context.CancelFunc) {}, nil},
		{"ended", func(_ context.Context, own, _ context.CancelFunc) { own() }, context.Canceled},
		{"ended above", func(_ context.Context, _, above context.CancelFunc) { above() }, context.Canceled},
		{"took too long", func(ctx context.Context, _, _ context.CancelFunc) { past(ctx) }, context.DeadlineExceeded},
	} {
		for _, early := range []bool{false, true} { // whether somebody waits before
			above, cancel := context.WithCancel(t.Context())
			ctx, own := limit(above)
			if early && c.want == context.Canceled {
				child, stop := context.WithCancel(ctx)
				c.end(ctx, own, cancel)
				<-child.Done()
				stop()
			}
			c.end(ctx, own, cancel)
			if err := ctx.Err(); !errors.Is(err, c.want) {
				t.Errorf("%s: got %v, want %v", c.name, err, c.want)
			}
			select {
			case <-ctx.Done():
				if c.want == nil {
					t.Errorf("%s: is done", c.name)
				}
			default:
				if c.want != nil {
					t.Errorf("%s: is not done", c.name)
				}
			}
			own()
			cancel()
		}
	}
}

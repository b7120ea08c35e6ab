package p2p

import (
	"time"
)

// keep calls nodes so that as many as wanted are connected.
func (s *Source) keep() {
	tick := time.NewTicker(s.t.tick)
	defer tick.Stop()
	for {
		for s.book.busy() < s.want {
			a := s.book.take()
			if a == nil {
				break
			}
			s.loops.Go(func() {
				begun := time.Now()
				err := s.visit(a)
				s.book.left(a, err, time.Since(begun) > s.t.good)
				signal(s.poked)
			})
		}
		if s.book.busy() < s.want && s.book.needsSeeds(s.want) {
			s.loops.Go(func() {
				s.book.seed(s.ctx)
				signal(s.poked)
			})
		}
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		case <-s.poked:
		}
	}
}

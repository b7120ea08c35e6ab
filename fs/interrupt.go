package fs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"bazil.org/fuse"
)

// A call is a request that is being answered.
type call struct {
	ctx    context.Context // ends with the call
	cancel context.CancelFunc
	pid    uint32 // the thread that waits for the answer, 0 if none
}

type calls struct {
	mu sync.Mutex
	m  map[fuse.RequestID]*call
}

func (c *calls) add(id fuse.RequestID, k *call) {
	c.mu.Lock()
	c.m[id] = k
	c.mu.Unlock()
}

func (c *calls) remove(id fuse.RequestID) {
	c.mu.Lock()
	delete(c.m, id)
	c.mu.Unlock()
}

func (c *calls) get(id fuse.RequestID) *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m[id]
}

// killPoll is how often an interrupted caller is looked at.
const killPoll = 50 * time.Millisecond

// ending are the signals by which somebody wants a program to end.
const ending = 1<<(syscall.SIGHUP-1) | 1<<(syscall.SIGINT-1) | 1<<(syscall.SIGQUIT-1) |
	1<<(syscall.SIGKILL-1) | 1<<(syscall.SIGTERM-1)

// interrupt is told when a signal reached the caller of a request, whatever the
// signal, and once. The request ends only if its caller is to end: a program
// whose window was resized while it opens a file should not see EINTR.
func (s *server) interrupt(r *fuse.InterruptRequest) {
	k := s.calls.get(r.IntrID)
	if k == nil {
		// Answered already, or still with the reader that took it: then the
		// kernel asks again.
		r.RespondError(syscall.EAGAIN)
		return
	}
	r.Respond()
	if k.pid != 0 {
		s.watching.Go(k.watch)
	}
}

// watch cancels the call when its caller is to end.
func (k *call) watch() {
	tick := time.NewTicker(killPoll)
	defer tick.Stop()
	for {
		if toEnd(k.pid) {
			k.cancel()
			return
		}
		select {
		case <-k.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// toEnd tells whether a thread is gone or has to deal with a signal that ends
// programs. While it waits for an answer it can't, so the signal is pending; one
// that kills at once shows as SIGKILL.
func toEnd(pid uint32) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	return endingPending(string(b))
}

// endingPending reads a thread's status as in /proc.
func endingPending(status string) bool {
	set := make(map[string]uint64)
	for line := range strings.Lines(status) {
		name, v, _ := strings.Cut(line, ":")
		switch name {
		case "SigPnd", "ShdPnd", "SigBlk":
			n, err := strconv.ParseUint(strings.TrimSpace(v), 16, 64)
			if err != nil {
				return false
			}
			set[name] = n
		}
	}
	return (set["SigPnd"]|set["ShdPnd"])&^set["SigBlk"]&ending != 0
}

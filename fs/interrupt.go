package fs

import (
	"bufio"
	"bytes"
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

// interrupt is told when a signal reached the caller of a request, whatever the
// signal, and once. The request ends only if its caller is being killed: a
// program whose window was resized while it reads a file should not see EINTR.
func (m *Mount) interrupt(r *fuse.InterruptRequest) {
	k := m.calls.get(r.IntrID)
	if k == nil {
		// Answered already, or still with the reader that took it: then the
		// kernel asks again.
		r.RespondError(syscall.EAGAIN)
		return
	}
	r.Respond()
	if k.pid != 0 {
		m.watching.Go(k.watch)
	}
}

// watch cancels the call when its caller is being killed.
func (k *call) watch() {
	tick := time.NewTicker(killPoll)
	defer tick.Stop()
	for {
		if killed(k.pid) {
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

// killed tells whether a thread has SIGKILL pending, as each has whose process is
// ended by any signal, or is gone.
func killed(pid uint32) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), "SigPnd:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(v), 16, 64)
			return err == nil && set&(1<<(syscall.SIGKILL-1)) != 0
		}
	}
	return false
}

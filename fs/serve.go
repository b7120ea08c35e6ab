package fs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"bazil.org/fuse"
)

// maxReaders bounds the requests that are under way. Each holds a buffer of 128
// KiB; when so many wait, the next one waits in the kernel.
const maxReaders = 256

// readers counts the goroutines that read requests, free ones being those that
// are at the kernel's queue or on their way there.
type readers struct {
	mu          sync.Mutex
	free, total int
	keep, max   int
}

// newReaders keeps one free reader more than there are processors to answer on.
func newReaders() *readers {
	return &readers{keep: min(runtime.GOMAXPROCS(0), 8) + 1, max: maxReaders}
}

// busy notes that a reader has a request. If it was the last free one another
// has to be started.
func (r *readers) busy() (start bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free--
	if r.free > 0 || r.total >= r.max {
		return false
	}
	r.free++
	r.total++
	return true
}

// done notes that a reader has answered. It stays unless there are enough.
func (r *readers) done() (stay bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.free >= r.keep {
		r.total--
		return false
	}
	r.free++
	return true
}

// A server takes the kernel's requests from a connection and has them answered.
type server struct {
	conn *fuse.Conn
	to   handler
	log  *slog.Logger

	calls      calls
	complaints complaints
	readers    *readers

	ctx      context.Context // ends when the kernel has gone
	cancel   context.CancelFunc
	reading  sync.WaitGroup
	watching sync.WaitGroup // interrupts, and what else of a mount goes on beside the readers
	failed   atomic.Pointer[error]
}

// A handler answers requests.
type handler interface {
	// dispatch answers a request and returns nil, or the error to answer.
	dispatch(ctx context.Context, r fuse.Request) error
	// quick answers a request that never waits, and tells whether it was one.
	quick(r fuse.Request) bool
}

// init readies a server without a connection.
func (s *server) init(to handler, log *slog.Logger) {
	s.to, s.log = to, log
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.calls.m, s.readers = make(map[fuse.RequestID]*call), newReaders()
	s.ctx, s.cancel = context.WithCancel(context.Background())
}

// start starts the first readers.
func (s *server) start() {
	s.readers.free, s.readers.total = s.readers.keep, s.readers.keep
	for range s.readers.keep {
		s.reading.Go(s.read)
	}
}

// read answers requests until the kernel has no more, or there are readers enough.
func (s *server) read() {
	for {
		r, err := s.conn.ReadRequest()
		switch {
		case err == nil:
		case errors.Is(err, syscall.EINTR), errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.EAGAIN):
			continue // its caller gave the request up
		case errors.Is(err, io.EOF), errors.As(err, new(syscall.Errno)):
			s.lost(err)
			return
		default:
			s.log.Error("a request from the kernel makes no sense", "err", err)
			continue
		}
		if i, ok := r.(*fuse.InterruptRequest); ok {
			s.interrupt(i)
			continue
		}
		if s.to.quick(r) {
			continue
		}
		if s.readers.busy() {
			s.reading.Go(s.read)
		}
		s.serve(r)
		if !s.readers.done() {
			return
		}
	}
}

// lost notes that the kernel has gone: whoever waits need not any more.
func (s *server) lost(err error) {
	if !errors.Is(err, io.EOF) {
		s.failed.CompareAndSwap(nil, &err)
	}
	s.cancel()
}

// serve answers a request.
func (s *server) serve(r fuse.Request) {
	h := r.Hdr()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	s.calls.add(h.ID, &call{ctx: ctx, cancel: cancel, pid: h.Pid})
	defer s.calls.remove(h.ID)
	err := s.try(ctx, r)
	if err == nil {
		return
	}
	n := errno(err)
	if n == syscall.EIO {
		s.complaints.log(s.log, opName(r), err)
	}
	r.RespondError(n)
}

// try makes an error of a handler's panic. Handlers answer last, so one that
// panics has not answered.
func (s *server) try(ctx context.Context, r fuse.Request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("a bug: request failed", "op", opName(r), "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return s.to.dispatch(ctx, r)
}

// opName is what a log line calls a request.
func opName(r fuse.Request) string {
	if u, ok := r.(*fuse.UnrecognizedRequest); ok {
		return fmt.Sprintf("operation %d", u.Opcode)
	}
	return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%T", r), "*fuse."), "Request"))
}

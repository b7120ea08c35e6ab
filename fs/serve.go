package fs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
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

// start starts the first readers.
func (m *Mount) start() {
	m.readers.free, m.readers.total = m.readers.keep, m.readers.keep
	for range m.readers.keep {
		m.reading.Go(m.read)
	}
}

// read answers requests until the kernel has no more, or there are readers enough.
func (m *Mount) read() {
	for {
		r, err := m.conn.ReadRequest()
		switch {
		case err == nil:
		case errors.Is(err, syscall.EINTR), errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.EAGAIN):
			continue // its caller gave the request up
		case errors.Is(err, io.EOF), errors.As(err, new(syscall.Errno)):
			m.lost(err)
			return
		default:
			m.log.Error("a request from the kernel makes no sense", "err", err)
			continue
		}
		if m.quick(r) {
			continue
		}
		if m.readers.busy() {
			m.reading.Go(m.read)
		}
		m.serve(r)
		if !m.readers.done() {
			return
		}
	}
}

// lost notes that the kernel has gone: whoever waits need not any more.
func (m *Mount) lost(err error) {
	if !errors.Is(err, io.EOF) {
		m.failed.CompareAndSwap(nil, &err)
	}
	m.cancel()
}

// quick answers a request that never waits, and tells whether it was one.
func (m *Mount) quick(r fuse.Request) bool {
	switch r := r.(type) {
	case *fuse.ForgetRequest:
		m.forget(r)
	case *fuse.BatchForgetRequest:
		m.batchForget(r)
	case *fuse.InterruptRequest:
		m.interrupt(r)
	default:
		return false
	}
	return true
}

// serve answers a request.
func (m *Mount) serve(r fuse.Request) {
	h := r.Hdr()
	ctx, cancel := context.WithCancel(m.ctx)
	defer cancel()
	m.calls.add(h.ID, &call{ctx: ctx, cancel: cancel, pid: h.Pid})
	defer m.calls.remove(h.ID)
	err := m.try(ctx, r)
	if err == nil {
		return
	}
	n := errno(err)
	if n == syscall.EIO {
		m.complaints.log(m.log, opName(r), err)
	}
	r.RespondError(n)
}

// try makes an error of a handler's panic. Handlers answer last, so one that
// panics has not answered.
func (m *Mount) try(ctx context.Context, r fuse.Request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			m.log.Error("a bug: request failed", "op", opName(r), "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return m.dispatch(ctx, r)
}

// dispatch has a request answered by its handler, which returns nil if it
// answered.
func (m *Mount) dispatch(ctx context.Context, r fuse.Request) error {
	switch r := r.(type) {
	case *fuse.LookupRequest:
		return m.lookup(ctx, r)
	case *fuse.GetattrRequest:
		return m.getattr(ctx, r)
	case *fuse.SetattrRequest:
		return m.setattr(ctx, r)
	case *fuse.CreateRequest:
		return m.create(ctx, r)
	case *fuse.OpenRequest:
		return m.open(ctx, r)
	case *fuse.ReadRequest:
		if r.Dir {
			return m.readdir(ctx, r)
		}
		return m.readFile(ctx, r)
	case *fuse.WriteRequest:
		return m.write(ctx, r)
	case *fuse.FlushRequest:
		return m.flush(ctx, r)
	case *fuse.FsyncRequest:
		return m.fsync(ctx, r)
	case *fuse.ReleaseRequest:
		m.release(r)
	case *fuse.MkdirRequest:
		return m.mkdir(ctx, r)
	case *fuse.MknodRequest:
		return m.mknod(ctx, r)
	case *fuse.SymlinkRequest:
		return m.symlink(ctx, r)
	case *fuse.ReadlinkRequest:
		return m.readlink(ctx, r)
	case *fuse.LinkRequest:
		return m.link(ctx, r)
	case *fuse.RemoveRequest:
		return m.remove(ctx, r)
	case *fuse.RenameRequest:
		return m.rename(ctx, r)
	case *fuse.GetxattrRequest:
		return m.getxattr(ctx, r)
	case *fuse.ListxattrRequest:
		return m.listxattr(ctx, r)
	case *fuse.SetxattrRequest:
		return m.setxattr(ctx, r)
	case *fuse.RemovexattrRequest:
		return m.removexattr(ctx, r)
	case *fuse.FAllocateRequest:
		return m.fallocate(ctx, r)
	case *fuse.StatfsRequest:
		return m.statfs(ctx, r)
	case *fuse.DestroyRequest:
		r.Respond()
	case *fuse.UnrecognizedRequest:
		return m.unrecognized(ctx, r)
	default:
		return syscall.ENOSYS // the kernel then does without
	}
	return nil
}

// unrecognized answers what the library doesn't know.
func (m *Mount) unrecognized(ctx context.Context, r *fuse.UnrecognizedRequest) error {
	switch r.Opcode {
	case opReaddirplus:
		return m.readdirplus(ctx, r)
	case opRename2:
		return m.rename2(ctx, r)
	case opLseek:
		return m.lseek(ctx, r)
	case opCopyFileRange:
		return m.copyRange(ctx, r)
	case opStatx:
		return m.statx(ctx, r)
	case opTmpfile:
		return m.tmpfile(ctx, r)
	}
	return syscall.ENOSYS
}

// opName is what a log line calls a request.
func opName(r fuse.Request) string {
	if u, ok := r.(*fuse.UnrecognizedRequest); ok {
		return fmt.Sprintf("operation %d", u.Opcode)
	}
	return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%T", r), "*fuse."), "Request"))
}

package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"satchel/storage"
)

const (
	// stall is how long a transfer may stand still.
	stall = 30 * time.Second
	// slowest is how many bytes a second a transfer must have on the whole.
	slowest = 16 << 10
)

// transferTime bounds a request with n bytes, or a whole blob if n < 0.
func transferTime(n int64) time.Duration {
	if n < 0 || n > storage.MaxBlob {
		n = storage.MaxBlob
	}
	return time.Minute + time.Duration(n/slowest)*time.Second
}

// errStalled is why a request was given up.
var errStalled = fmt.Errorf("no data for %v: %w", stall, context.DeadlineExceeded)

// A watchdog ends a request that stands still or takes too long.
type watchdog struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	free   context.CancelFunc
}

// watch starts a watchdog for a request that may take the time limit.
func watch(ctx context.Context, limit time.Duration) *watchdog {
	w := new(watchdog)
	ctx, w.free = context.WithTimeout(ctx, limit)
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(stall, func() { w.cancel(errStalled) })
	return w
}

// moved says that some bytes went through.
func (w *watchdog) moved() { w.timer.Reset(stall) }

// stop ends the watch, and the request if it still runs.
func (w *watchdog) stop() {
	w.timer.Stop()
	w.cancel(nil)
	w.free()
}

// A source is a body on its way to the server.
type source struct {
	w    *watchdog
	mu   sync.Mutex // the transport may read on after it gave its answer
	r    io.Reader
	over bool
}

func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return 0, os.ErrClosed
	}
	n, err := s.r.Read(p)
	s.w.moved()
	return n, err
}

// Close makes sure that the caller's reader is not touched any more.
func (s *source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	return nil
}

// A body is a blob, or a part of it, on its way from the server.
type body struct {
	d     *Driver
	w     *watchdog
	key   string
	resp  io.ReadCloser
	left  int64 // to be given to the caller; < 0: all
	whole int64 // the blob's length as the server says, or -1
	taken int64 // from the server
	empty bool
}

// start checks what was answered to a request for bytes from off.
func (b *body) start(resp *http.Response, off int64) error {
	switch resp.StatusCode {
	case http.StatusOK: // all of it, whatever was asked for
		b.whole = resp.ContentLength
		if _, err := io.CopyN(io.Discard, rawBody{b}, off); err == io.EOF {
			b.empty = true
		} else if err != nil {
			return err
		}
		return nil
	case http.StatusPartialContent:
		first, last, whole, ok := contentRange(resp.Header.Get("Content-Range"))
		if !ok || first != off || b.left > 0 && last-first >= b.left {
			return fmt.Errorf("the server answered another range than bytes from %d: %.60q", off, resp.Header.Get("Content-Range"))
		}
		b.whole = whole
		return nil
	case http.StatusRequestedRangeNotSatisfiable:
		b.empty = true // the blob ends before off
		return nil
	}
	return status(resp)
}

// rawBody reads what the server sends, watched and limited.
type rawBody struct{ b *body }

func (r rawBody) Read(p []byte) (int, error) {
	n, err := r.b.resp.Read(p)
	r.b.w.moved()
	if r.b.taken += int64(n); r.b.taken > storage.MaxBlob {
		return 0, storage.ErrTooLarge
	}
	return n, err
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.empty || b.left == 0 {
		return 0, io.EOF
	}
	if b.left > 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := rawBody{b}.Read(p)
	if b.left > 0 {
		b.left -= int64(n)
	}
	if err != nil && err != io.EOF {
		err = b.d.fault(b.w, "get", b.key, err)
	}
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error {
	_, _ = io.CopyN(io.Discard, b.resp, 4<<10) // so that the connection is used again
	err := b.resp.Close()
	b.w.stop()
	return err
}

// Size implements storage.Sizer.
func (b *body) Size() int64 { return b.whole }

// fault says which request failed at which provider, and why.
func (d *Driver) fault(w *watchdog, what, key string, err error) error {
	if context.Cause(w.ctx) == errStalled {
		err = errStalled
	}
	return fmt.Errorf("%s: %s %s: %w", d.base, what, key, inner(err))
}

// status turns an answer that isn't a success into an error.
func status(resp *http.Response) error {
	said := excerpt(resp)
	switch code := resp.StatusCode; code {
	case http.StatusNotFound, http.StatusGone:
		return os.ErrNotExist
	case http.StatusUnauthorized:
		return fmt.Errorf("the server wants a token (HTTP 401%s): put it into the provider's config: %w", said, os.ErrPermission)
	case http.StatusForbidden:
		return fmt.Errorf("the server refused (HTTP 403%s): check the provider's token: %w", said, os.ErrPermission)
	case http.StatusRequestEntityTooLarge:
		return fmt.Errorf("the server takes no blob of this size (HTTP 413%s): %w", said, storage.ErrTooLarge)
	case http.StatusInsufficientStorage:
		return fmt.Errorf("the server's disk is full (HTTP 507%s): free some space there: %w", said, syscall.ENOSPC)
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return fmt.Errorf("the server is busy (HTTP %d%s)", code, said)
	default:
		switch {
		case code >= 500:
			return fmt.Errorf("the server failed (HTTP %d%s)", code, said)
		case code >= 300 && code < 400:
			return fmt.Errorf("the server redirects to %s (HTTP %d): use the URL where it really is: %w",
				storage.Redact(resp.Header.Get("Location")), code, os.ErrInvalid)
		}
		return fmt.Errorf("the server answered HTTP %d%s: %w", code, said, os.ErrInvalid)
	}
}

// excerpt returns the begin of a plain text answer, made harmless, with a
// comma before it.
func excerpt(resp *http.Response) string {
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		return ""
	}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 150))
	clean := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(b), ""))
	if clean = strings.TrimSpace(clean); clean == "" {
		return ""
	}
	return ", " + clean
}

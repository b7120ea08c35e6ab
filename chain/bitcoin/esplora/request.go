package esplora

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Limits of answers, in bytes.
const (
	maxText = 4 << 10
	maxList = 2 << 20
)

const (
	// timeout bounds one try.
	timeout = 45 * time.Second
	// maxTries is how often something is asked for when what hinders it may pass.
	maxTries = 4
	// maxWait is the longest that a request waits for a server that wants to be
	// left alone.
	maxWait = time.Minute
)

// get asks for what is at a path.
func (c *Client) get(ctx context.Context, path string, limit int) ([]byte, error) {
	if err := c.check(ctx); err != nil {
		return nil, err
	}
	return c.fetch(ctx, http.MethodGet, path, nil, limit)
}

// getJSON asks for what is at a path and puts it into v.
func (c *Client) getJSON(ctx context.Context, path string, v any) error {
	b, err := c.get(ctx, path, maxList)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s from %s: %w", path, c.shown, err)
	}
	return nil
}

// A refusal is an answer that is none.
type refusal struct {
	code int
	said string
	wait time.Duration // that the server asks for
}

func (e *refusal) Error() string {
	return strings.TrimSpace(fmt.Sprintf("%d %s %s", e.code, http.StatusText(e.code), e.said))
}

// Is makes "not found" os.ErrNotExist and "too many requests" ErrBusy.
func (e *refusal) Is(target error) bool {
	return target == os.ErrNotExist && e.code == http.StatusNotFound || target == ErrBusy && e.busy()
}

func (e *refusal) busy() bool {
	return e.code == http.StatusTooManyRequests || e.code == http.StatusServiceUnavailable
}

// fetch sends a request, and again if what kept it from being answered may pass
// soon.
func (c *Client) fetch(ctx context.Context, method, path string, body []byte, limit int) ([]byte, error) {
	for try := 1; ; try++ {
		if err := c.leaveAlone(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", c.shown, err)
		}
		b, err := c.once(ctx, method, path, body, limit)
		if err == nil {
			return b, nil
		}
		err = fmt.Errorf("%s from %s: %w", path, c.shown, err)
		if try == maxTries || !c.passing(err, try) {
			return nil, err
		}
	}
}

// passing says if it is worth sending a request again, and has all requests wait
// as long as that needs.
func (c *Client) passing(err error, try int) bool {
	wait := c.pause << (2 * try)
	wait += rand.N(wait)
	r := (*refusal)(nil)
	switch {
	case errors.As(err, &r) && r.busy():
		wait = max(wait, r.wait)
	case errors.As(err, &r):
		return r.code == http.StatusBadGateway || r.code == http.StatusGatewayTimeout
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET):
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := time.Now().Add(wait); t.After(c.until) {
		c.until = t
	}
	return true
}

// leaveAlone waits until the server may be asked.
func (c *Client) leaveAlone(ctx context.Context) error {
	for {
		c.mu.Lock()
		wait := time.Until(c.until)
		c.mu.Unlock()
		if wait <= 0 {
			return nil
		}
		if wait > maxWait {
			return fmt.Errorf("%w: it wants to be left alone for %v", ErrBusy, wait.Round(time.Second))
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// once sends a request once.
func (c *Client) once(ctx context.Context, method, path string, body []byte, limit int) ([]byte, error) {
	if err := take(ctx, c.turns); err != nil {
		return nil, err
	}
	defer func() { <-c.turns }()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, reason(err)
	}
	req.Header.Set("User-Agent", "satchel")
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, reason(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, maxText)) // it says more, or not
		return nil, &refusal{resp.StatusCode, excerpt(said), retryAfter(resp.Header.Get("Retry-After"))}
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	if err == nil && len(b) > limit {
		err = errors.New("answer too long")
	}
	return b, err
}

// reason takes the URL out of an error.
func reason(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// excerpt is as much of what a server says as an error can bear.
func excerpt(said []byte) string {
	const most = 300
	s := strings.Join(strings.Fields(strings.ToValidUTF8(string(said), "?")), " ")
	if strings.HasPrefix(s, "<") {
		return "" // a page
	}
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// retryAfter reads seconds or a date; 0 if it is neither.
func retryAfter(s string) time.Duration {
	const most = 24 * time.Hour
	if n, err := strconv.Atoi(s); err == nil {
		return min(time.Duration(min(max(n, 0), int(most/time.Second)))*time.Second, most)
	}
	if t, err := http.ParseTime(s); err == nil {
		return min(max(time.Until(t), 0), most)
	}
	return 0
}

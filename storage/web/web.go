// Package web keeps blobs at a web server, and is such a server.
//
// The blob of a key is at the provider's URL, a slash and the key. The driver
// speaks plain HTTP, so any server that stores what is PUT will do:
//
//	GET     the blob; Range: bytes=A-B for a part. 404 and 410: no such blob
//	HEAD    its length
//	PUT     stores the body, whose Content-Length is given; 200, 201 or 204
//	DELETE  removes it; 200, 202, 204, 404 or 410
//
// A secret goes along as Authorization: Bearer. Blobs that change (all but
// those below p/) are asked for with Cache-Control: no-cache. Answers are
// limited in size and time; a redirect is followed only for reading, and with
// one's own provider only within the same host, so that the secret and the
// request stay where they were sent.
//
// Server is the other side, for "satchel serve".
package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"satchel/storage"
)

// A Driver keeps blobs at one web server.
type Driver struct {
	base   string // without a slash at its end
	secret string
	client *http.Client
}

// Open is the storage.Opener for http: and https: URLs. It connects to nothing
// yet.
func Open(_ context.Context, rawURL string, o storage.Options) (storage.Driver, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, fmt.Errorf("provider %s: not a web server's URL such as https://host/path: %w", storage.Redact(rawURL), os.ErrInvalid)
	case u.User != nil:
		return nil, fmt.Errorf("provider %s: a password doesn't belong into the URL: put the secret into the config: %w", storage.Redact(rawURL), os.ErrInvalid)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("provider %s: a URL with ? or # is not supported: %w", storage.Redact(rawURL), os.ErrInvalid)
	}
	return &Driver{
		base:   strings.TrimRight(u.String(), "/"),
		secret: o.Secret,
		client: newClient(u, o.Foreign),
	}, nil
}

// request returns the request for key, or an error about what can't be asked.
func (d *Driver) request(ctx context.Context, method, key string) (*http.Request, error) {
	if err := storage.CheckKey(key); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", d.base, strings.ToLower(method), err)
	}
	req, err := http.NewRequestWithContext(ctx, method, d.base+"/"+key, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "satchel")
	if d.secret != "" {
		req.Header.Set("Authorization", "Bearer "+d.secret)
	}
	if (method == http.MethodGet || method == http.MethodHead) && !storage.Immutable(key) {
		req.Header.Set("Cache-Control", "no-cache")
	}
	return req, nil
}

// Get implements storage.Driver.
func (d *Driver) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if off < 0 {
		return nil, fmt.Errorf("%s: get %s: offset %d: %w", d.base, key, off, os.ErrInvalid)
	}
	w := watch(ctx, transferTime(n))
	req, err := d.request(w.ctx, http.MethodGet, key)
	if err != nil {
		w.stop()
		return nil, err
	}
	setRange(req, off, n)
	resp, err := d.client.Do(req)
	if err != nil {
		w.stop()
		return nil, d.fault(w, "get", key, err)
	}
	b := &body{d: d, w: w, key: key, resp: resp.Body, left: n, whole: -1}
	if err := b.start(resp, off); err != nil {
		_ = b.Close()
		return nil, d.fault(w, "get", key, err)
	}
	return b, nil
}

// setRange asks for n bytes from off. There is no range of no bytes: one is
// asked for then.
func setRange(req *http.Request, off, n int64) {
	switch {
	case n >= 0:
		n = min(max(n, 1), storage.MaxBlob)
		off = min(off, 1<<50)
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	case off > 0:
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", off))
	}
}

// Stat implements storage.Stater.
func (d *Driver) Stat(ctx context.Context, key string) (int64, error) {
	w := watch(ctx, transferTime(0))
	defer w.stop()
	req, err := d.request(w.ctx, http.MethodHead, key)
	if err != nil {
		return 0, err
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return 0, d.fault(w, "head", key, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, d.fault(w, "head", key, status(resp))
	}
	return resp.ContentLength, nil
}

// Put implements storage.Driver.
func (d *Driver) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	if size < 0 {
		return fmt.Errorf("%s: put %s: %d bytes: %w", d.base, key, size, os.ErrInvalid)
	}
	if size > storage.MaxBlob {
		return fmt.Errorf("%s: put %s: %d bytes: %w", d.base, key, size, storage.ErrTooLarge)
	}
	w := watch(ctx, transferTime(size))
	defer w.stop()
	req, err := d.request(w.ctx, http.MethodPut, key)
	if err != nil {
		return err
	}
	req.ContentLength = size
	req.Header.Set("Content-Type", "application/octet-stream")
	if size > 0 {
		src := &source{w: w, r: io.LimitReader(r, size)}
		defer src.Close()
		req.Body = src
	}
	if size > expectSize {
		req.Header.Set("Expect", "100-continue")
	}
	resp, err := d.client.Do(req)
	return d.finish(w, "put", key, resp, err)
}

// Delete implements storage.Driver.
func (d *Driver) Delete(ctx context.Context, key string) error {
	w := watch(ctx, transferTime(0))
	defer w.stop()
	req, err := d.request(w.ctx, http.MethodDelete, key)
	if err != nil {
		return err
	}
	resp, err := d.client.Do(req)
	if err == nil && (resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone) {
		resp.StatusCode = http.StatusNoContent
	}
	return d.finish(w, "delete", key, resp, err)
}

// finish ends a request that has an answer without a body to speak of.
func (d *Driver) finish(w *watchdog, what, key string, resp *http.Response, err error) error {
	if err != nil {
		return d.fault(w, what, key, err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusOK, resp.StatusCode == http.StatusCreated, resp.StatusCode == http.StatusNoContent,
		what == "delete" && resp.StatusCode == http.StatusAccepted:
		_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection is used again
		return nil
	}
	return d.fault(w, what, key, status(resp))
}

// contentRange reads "bytes FIRST-LAST/WHOLE"; WHOLE may be * and is -1 then.
func contentRange(s string) (first, last, whole int64, ok bool) {
	s, ok = strings.CutPrefix(s, "bytes ")
	span, size, ok2 := strings.Cut(s, "/")
	a, b, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, 0, false
	}
	whole = -1
	var err error
	if size != "*" {
		if whole, err = natural(size); err != nil {
			return 0, 0, 0, false
		}
	}
	first, err1 := natural(a)
	last, err2 := natural(b)
	ok = err1 == nil && err2 == nil && first <= last && (whole < 0 || last < whole)
	return first, last, whole, ok
}

// natural parses a number without a sign.
func natural(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err
}

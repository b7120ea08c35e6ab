package web_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"satchel/storage"
	"satchel/storage/storagetest"
	"satchel/storage/web"
)

const token = "a token for tests"

// serve starts a blob server over a new folder.
func serve(t *testing.T) (url, dir string) {
	t.Helper()
	dir = t.TempDir()
	h, err := web.Handler(dir, token)
	if err != nil {
		t.Fatal(err)
	}
	return start(t, h), dir
}

func start(t *testing.T, h http.Handler) (url string) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config = web.NewServer(h)
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

func open(t *testing.T, url string, o storage.Options) storage.Driver {
	t.Helper()
	d, err := storage.Mux{"http": web.Open, "https": web.Open}.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func put(d storage.Driver, key, s string) error {
	return d.Put(context.Background(), key, strings.NewReader(s), int64(len(s)))
}

func get(d storage.Driver, key string, off, n int64) (string, error) {
	b, err := storage.ReadBlob(context.Background(), d, key, off, n, storage.MaxBlob)
	return string(b), err
}

func TestDriver(t *testing.T) {
	storagetest.Test(t, func(t *testing.T) storage.Driver {
		url, _ := serve(t)
		return open(t, url, storage.Options{Secret: token})
	})
}

// TestBelowPath: a provider may be a part of a server.
func TestBelowPath(t *testing.T) {
	h, err := web.Handler(t.TempDir(), token)
	if err != nil {
		t.Fatal(err)
	}
	url := start(t, http.StripPrefix("/some/path", h))
	d := open(t, url+"/some/path/", storage.Options{Secret: token})
	if err := put(d, "h/ab", "x"); err != nil {
		t.Fatal(err)
	}
	if s, err := get(d, "h/ab", 0, -1); s != "x" || err != nil {
		t.Errorf("got %q, %v", s, err)
	}
}

func TestToken(t *testing.T) {
	url, dir := serve(t)
	if err := put(open(t, url, storage.Options{Secret: token}), "profile", "mine"); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"", "nothing-like-it", token + "x", token[:len(token)-1]} {
		d := open(t, url, storage.Options{Secret: secret})
		err := put(d, "profile", "evil")
		if !errors.Is(err, os.ErrPermission) || storage.CanPass(err) {
			t.Errorf("put with %q: got %v, want permission denied", secret, err)
		}
		if err != nil && (!strings.Contains(err.Error(), url) || !strings.Contains(err.Error(), "token") ||
			secret != "" && strings.Contains(err.Error(), secret)) {
			t.Errorf("the error must name the provider and what to do: %v", err)
		}
		if err := d.Delete(t.Context(), "profile"); !errors.Is(err, os.ErrPermission) {
			t.Errorf("delete with %q: got %v", secret, err)
		}
		if s, err := get(d, "profile", 0, -1); s != "mine" || err != nil {
			t.Errorf("get with %q: got %q, %v; everybody may read", secret, s, err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "profile")); string(b) != "mine" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
	if _, err := web.Handler(dir, ""); err == nil {
		t.Error("a server without a token was made")
	}
}

// raw sends a request as it stands.
func raw(t *testing.T, method, url string, header http.Header, body io.Reader) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func TestServer(t *testing.T) {
	url, dir := serve(t)
	auth := http.Header{"Authorization": {"bearer " + token}} // the scheme in any case
	if r := raw(t, "PUT", url+"/p/ab/ab", auth, strings.NewReader("0123456789")); r.StatusCode != http.StatusNoContent {
		t.Fatalf("put: got %s", r.Status)
	}
	outside := filepath.Join(filepath.Dir(dir), "outside")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, path string
		header       http.Header
		body         io.Reader
		want         int
		text         string
	}{
		{"GET", "/p/ab/ab", nil, nil, 200, "0123456789"},
		{"GET", "/p/ab/ab", http.Header{"Range": {"bytes=2-4"}}, nil, 206, "234"},
		{"GET", "/p/ab/ab", http.Header{"Range": {"bytes=7-"}}, nil, 206, "789"},
		{"GET", "/p/ab/ab", http.Header{"Range": {"bytes=8-99"}}, nil, 206, "89"},
		{"GET", "/p/ab/ab", http.Header{"Range": {"bytes=10-"}}, nil, 416, ""},
		{"HEAD", "/p/ab/ab", nil, nil, 200, ""},
		{"GET", "/p/ab/ac", nil, nil, 404, "no such blob\n"},
		{"HEAD", "/p/ab/ac", nil, nil, 404, ""},
		{"GET", "/p/ab", nil, nil, 404, ""},
		{"GET", "/", nil, nil, 400, ""},
		{"GET", "/../outside", nil, nil, 400, ""},
		{"GET", "/..%2foutside", nil, nil, 400, ""},
		{"GET", "/%2e%2e/outside", nil, nil, 400, ""},
		{"GET", "//etc/passwd", nil, nil, 400, ""},
		{"GET", "/.tmp/x", nil, nil, 400, ""},
		{"PUT", "/..%2foutside", auth, strings.NewReader("x"), 400, ""},
		{"DELETE", "/..%2foutside", auth, nil, 400, ""},
		{"PUT", "/profile", nil, strings.NewReader("x"), 401, ""},
		{"PUT", "/profile", http.Header{"Authorization": {"Basic " + token}}, strings.NewReader("x"), 401, ""},
		{"PUT", "/profile", http.Header{"Authorization": {"Bearer x"}}, strings.NewReader("x"), 403, ""},
		{"PUT", "/profile", auth, io.MultiReader(strings.NewReader("x")), 411, ""}, // chunked
		{"PUT", "/profile", auth, bytes.NewReader(make([]byte, storage.MaxBlob+1)), 413, ""},
		{"POST", "/profile", auth, strings.NewReader("x"), 405, ""},
		{"GET", "/profile", nil, nil, 404, ""}, // none of these has stored anything
	} {
		r := raw(t, c.method, url+c.path, c.header, c.body)
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if r.StatusCode != c.want || c.text != "" && string(b) != c.text {
			t.Errorf("%s %s %v: got %s %q, want %d %q", c.method, c.path, c.header, r.Status, b, c.want, c.text)
		}
		if strings.Contains(string(b), dir) {
			t.Errorf("%s %s: the answer %q tells where the folder is", c.method, c.path, b)
		}
	}
	if b, err := os.ReadFile(outside); string(b) != "secret" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
	for key, want := range map[string]string{"p/ab/ab": "public, max-age=31536000, immutable", "h/ab": "no-cache"} {
		raw(t, "PUT", url+"/"+key, auth, strings.NewReader("x"))
		if got := raw(t, "GET", url+"/"+key, nil, nil).Header.Get("Cache-Control"); got != want {
			t.Errorf("%s: got Cache-Control %q, want %q", key, got, want)
		}
	}
}

// TestServerBrokenUpload: a client that goes away in the middle stores nothing.
func TestServerBrokenUpload(t *testing.T) {
	url, dir := serve(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "PUT /profile HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 100\r\n\r\nhalf", token)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(conn)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 400") {
		t.Errorf("got %q", answer)
	}
	if _, err := os.Stat(filepath.Join(dir, "profile")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half a blob was stored: %v", err)
	}
	left, err := os.ReadDir(filepath.Join(dir, ".tmp"))
	if err != nil || len(left) != 0 {
		t.Errorf("got leftovers %v, %v", left, err)
	}
}

func TestServerReports(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x")
	h, err := web.Handler(dir, token)
	if err != nil {
		t.Fatal(err)
	}
	var got atomic.Value
	h.Report = func(_ *http.Request, err error) { got.Store(err) }
	d := open(t, start(t, h), storage.Options{Secret: token})
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	_, err = get(d, "profile", 0, -1)
	if err == nil || errors.Is(err, os.ErrNotExist) || !storage.CanPass(err) {
		t.Errorf("a folder that is gone: got %v, want a fault that can pass", err)
	}
	if e, ok := got.Load().(error); !ok || !strings.Contains(e.Error(), dir) {
		t.Errorf("got report %v, want one with the folder", e)
	}
}

func TestServerFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	defer func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }()
	h, err := web.Handler(dir, token)
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, start(t, h), storage.Options{Secret: token})
	err = put(d, "profile", strings.Repeat("x", 1<<20))
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want no space left", err)
	}
}

var badURLs = []string{
	"http://", "https:///path", "http:host", "http://u:p@host/", "https://host/?token=x", "https://host/#x", "http://[bad/", "http://ho st/",
}

func TestURL(t *testing.T) {
	for _, u := range badURLs {
		if _, err := web.Open(t.Context(), u, storage.Options{}); !errors.Is(err, os.ErrInvalid) || strings.Contains(err.Error(), "p@") {
			t.Errorf("%s: got %v, want invalid", u, err)
		}
	}
}

// TestStatus: what a strange server answers is told as what it is.
func TestStatus(t *testing.T) {
	var code atomic.Int32
	url := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://elsewhere.example/?secret")
		http.Error(w, "said\x1b[31m\nthis "+strings.Repeat("x", 1000), int(code.Load()))
	}))
	d := open(t, url, storage.Options{})
	for _, c := range []struct {
		code  int
		is    error // of all three
		again bool
	}{
		{400, os.ErrInvalid, false},
		{401, os.ErrPermission, false},
		{403, os.ErrPermission, false},
		{405, os.ErrInvalid, false},
		{408, nil, true},
		{413, storage.ErrTooLarge, false},
		{429, nil, true},
		{500, nil, true},
		{502, nil, true},
		{503, nil, true},
		{507, syscall.ENOSPC, false},
		{204 + 1, os.ErrInvalid, false}, // 205: no known way to say that it is stored
	} {
		code.Store(int32(c.code))
		_, getErr := get(d, "profile", 0, -1)
		for _, err := range []error{getErr, put(d, "profile", "x"), d.Delete(t.Context(), "profile")} {
			if err == nil || c.is != nil && !errors.Is(err, c.is) || storage.CanPass(err) != c.again {
				t.Errorf("%d: got %v (again: %v), want %v (again: %v)", c.code, err, storage.CanPass(err), c.is, c.again)
				continue
			}
			if s := err.Error(); !strings.HasPrefix(s, url+": ") || strings.ContainsAny(s, "\x1b\n") || len(s) > 500 {
				t.Errorf("%d: got message %q", c.code, s)
			}
		}
	}
	code.Store(404)
	if _, err := get(d, "profile", 0, -1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want os.ErrNotExist", err)
	}
	if err := put(d, "profile", "x"); err == nil {
		t.Error("a put that met 404 was taken for a success")
	}
	if err := d.Delete(t.Context(), "profile"); err != nil {
		t.Errorf("delete of what isn't there: %v", err)
	}
}

// TestRedirectedPut: a PUT that becomes a GET elsewhere has stored nothing.
func TestRedirectedPut(t *testing.T) {
	other := start(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, code := range []int{301, 302, 303, 307, 308} {
		url := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other, code) }))
		if err := put(open(t, url, storage.Options{}), "profile", "x"); err == nil {
			t.Errorf("%d: taken for a success", code)
		}
	}
}

// TestRedirectKeepsSecret: one's own provider sends us nowhere else.
func TestRedirectKeepsSecret(t *testing.T) {
	var hits atomic.Int32
	other := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		if r.Header.Get("Authorization") != "" {
			t.Error("the secret went to another host")
		}
		_, _ = io.WriteString(w, "x")
	}))
	url := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/here" {
			_, _ = io.WriteString(w, r.Header.Get("Authorization"))
			return
		}
		if strings.HasSuffix(r.URL.Path, "h/a") {
			http.Redirect(w, r, "/here", http.StatusFound)
			return
		}
		http.Redirect(w, r, other, http.StatusFound)
	}))
	d := open(t, url, storage.Options{Secret: "s"})
	if _, err := get(d, "profile", 0, -1); !errors.Is(err, storage.ErrRefused) || hits.Load() != 0 {
		t.Errorf("got %v, want a refusal", err)
	}
	if s, err := get(d, "h/a", 0, -1); s != "Bearer s" || err != nil {
		t.Errorf("within the host: got %q, %v", s, err)
	}
	// Somebody else's may redirect, but the secret stays.
	d = open(t, url, storage.Options{Secret: "s", Foreign: &storage.Policy{AllowLoopback: true}})
	if s, err := get(d, "profile", 0, -1); s != "x" || err != nil {
		t.Errorf("got %q, %v", s, err)
	}
}

// TestPolicy: somebody else's URL reaches nothing of this machine, not by its
// address, not by a name for it, not by a redirect.
func TestPolicy(t *testing.T) {
	url, _ := serve(t)
	if err := put(open(t, url, storage.Options{Secret: token}), "profile", "x"); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(url, "http://"))
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.1.2.3", "0.0.0.0", "[::]"} {
		d := open(t, "http://"+host+":"+port, storage.Options{Foreign: &storage.Policy{}})
		if s, err := get(d, "profile", 0, -1); !errors.Is(err, storage.ErrRefused) || storage.CanPass(err) {
			t.Errorf("%s: got %q, %v, want a refusal", host, s, err)
		}
	}
	for name, p := range map[string]*storage.Policy{
		"loopback":  {AllowLoopback: true},
		"host":      {AllowHosts: []string{"127.0.0.1"}},
		"host:port": {AllowHosts: []string{"127.0.0.1:" + port}},
	} {
		if s, err := get(open(t, url, storage.Options{Foreign: p}), "profile", 0, -1); s != "x" || err != nil {
			t.Errorf("%s allowed: got %q, %v", name, s, err)
		}
	}
	// A host that is allowed redirects to one that isn't.
	to := url
	front := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to+r.URL.Path, http.StatusFound) }))
	p := &storage.Policy{AllowHosts: []string{strings.TrimPrefix(front, "http://")}}
	for _, u := range []string{url, "file:///etc/passwd", "gopher://x", "http://u:p@127.0.0.1:" + port} {
		to = u
		if s, err := get(open(t, front, storage.Options{Foreign: p}), "profile", 0, -1); err == nil {
			t.Errorf("redirected to %s: got %q, want a refusal", u, s)
		}
	}
	to = front // round and round
	if _, err := get(open(t, front, storage.Options{Foreign: p}), "profile", 0, -1); !errors.Is(err, storage.ErrRefused) {
		t.Errorf("got %v, want too many redirects", err)
	}
}

// TestNoRange: a server that knows no ranges still serves them.
func TestNoRange(t *testing.T) {
	url := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "0123456789") }))
	d := open(t, url, storage.Options{})
	for _, c := range []struct {
		off, n int64
		want   string
	}{{2, 3, "234"}, {0, -1, "0123456789"}, {8, 10, "89"}, {10, 1, ""}, {50, 1, ""}, {5, 0, ""}, {7, -1, "789"}} {
		if got, err := get(d, "profile", c.off, c.n); got != c.want || err != nil {
			t.Errorf("[%d, +%d]: got %q, %v, want %q", c.off, c.n, got, err, c.want)
		}
	}
}

// TestWrongRange: another range than the one asked for is a fault.
func TestWrongRange(t *testing.T) {
	var cr atomic.Value
	url := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Range", cr.Load().(string))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = io.WriteString(w, "01234")
	}))
	d := open(t, url, storage.Options{})
	for _, s := range []string{
		"bytes 0-4/10", "bytes 4-8/10", "", "bytes", "bytes 5-", "bytes 5-9", "bytes 9-5/10", "bytes 5-9/7", "bytes -5-9/10",
		"bytes 5-10/20", "bytes +5-9/10", "lines 5-9/10", "bytes 5-99999999999999999999/*",
	} {
		cr.Store(s)
		if got, err := get(d, "profile", 5, 5); err == nil {
			t.Errorf("%q: got %q, want an error", s, got)
		}
	}
	for _, s := range []string{"bytes 5-9/10", "bytes 5-9/*"} {
		cr.Store(s)
		if got, err := get(d, "profile", 5, 5); got != "01234" || err != nil {
			t.Errorf("%q: got %q, %v", s, got, err)
		}
	}
}

// TestTruncated: a connection that breaks is an error, not a short blob.
func TestTruncated(t *testing.T) {
	url := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	if s, err := get(open(t, url, storage.Options{}), "profile", 0, -1); err == nil {
		t.Errorf("got %q, want an error", s)
	} else if !strings.Contains(err.Error(), url) {
		t.Errorf("got %v, want the provider's URL in it", err)
	}
}

// TestEndless: a server that never stops sending is stopped.
func TestEndless(t *testing.T) {
	url := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 1<<20)
		for {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	}))
	d := open(t, url, storage.Options{})
	for _, off := range []int64{0, 1 << 40} {
		r, err := d.Get(t.Context(), "profile", off, -1)
		if err == nil {
			_, err = io.Copy(io.Discard, r)
			_ = r.Close()
		}
		if !errors.Is(err, storage.ErrTooLarge) {
			t.Errorf("from %d: got %v, want too large", off, err)
		}
	}
}

func TestNoCache(t *testing.T) {
	var seen sync.Map
	url := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Method+r.URL.Path, r.Header.Get("Cache-Control"))
	}))
	d := open(t, url, storage.Options{})
	for _, key := range []string{"profile", "h/ab", "d/ab", "p/ab/ab"} {
		if _, err := get(d, key, 0, -1); err != nil {
			t.Error(err)
		}
		want := "no-cache"
		if key == "p/ab/ab" {
			want = ""
		}
		if got, _ := seen.Load("GET/" + key); got != want {
			t.Errorf("%s: got Cache-Control %q, want %q", key, got, want)
		}
	}
}

// TestConnectionsAreReused: many small requests need few connections.
func TestConnectionsAreReused(t *testing.T) {
	h, err := web.Handler(t.TempDir(), token)
	if err != nil {
		t.Fatal(err)
	}
	var conns atomic.Int32
	s := httptest.NewUnstartedServer(h)
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	d := open(t, s.URL, storage.Options{Secret: token})
	for i := range 50 {
		key := fmt.Sprintf("h/%d", i)
		if err := put(d, key, strings.Repeat("x", 1000)); err != nil {
			t.Fatal(err)
		}
		if _, err := get(d, key, 10, 100); err != nil {
			t.Fatal(err)
		}
		if _, err := get(d, "h/none", 0, -1); !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if _, err := storage.Stat(t.Context(), d, key); err != nil {
			t.Fatal(err)
		}
		if err := d.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	if n := conns.Load(); n > 2 {
		t.Errorf("250 requests one after another took %d connections", n)
	}
}

// TestHang: a server that doesn't answer ends with the caller's context.
func TestHang(t *testing.T) {
	free := make(chan struct{})
	url := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-free }))
	defer close(free)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := open(t, url, storage.Options{}).Get(ctx, "profile", 0, -1)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), url) {
		t.Errorf("got %v, want the deadline and the URL", err)
	}
}

func TestDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	_ = l.Close()
	_, err = get(open(t, url, storage.Options{}), "profile", 0, -1)
	if !errors.Is(err, syscall.ECONNREFUSED) || !storage.CanPass(err) || strings.Count(err.Error(), url) != 1 {
		t.Errorf("got %v, want that the connection was refused, and the URL once", err)
	}
}

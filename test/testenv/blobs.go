package testenv

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"satchel/storage/web"
)

// Blobs is a storage provider that keeps what it is given and shows what it is
// told to.
type Blobs struct {
	URL   string
	token string // file

	dir string
	srv *httptest.Server

	mu   sync.Mutex
	lie  func(key string, stored []byte) ([]byte, int)
	down bool
}

// Blobs starts a provider that ends with the test.
func (w *World) Blobs(name string) *Blobs {
	w.t.Helper()
	b := &Blobs{dir: w.Path("blobs-" + name), token: w.Path("token-" + name)}
	if err := os.WriteFile(b.token, []byte("secret-"+name+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	honest, err := web.Handler(b.dir, "secret-"+name)
	if err != nil {
		w.t.Fatal(err)
	}
	b.srv = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { b.serve(honest, rw, r) }))
	w.t.Cleanup(b.srv.Close)
	b.URL = b.srv.URL
	return b
}

// Flags are init's flags for this provider.
func (b *Blobs) Flags() []string { return []string{"--provider", b.URL, "--token-file", b.token} }

// Lie has the provider answer each GET with what f makes of the stored blob, nil
// if there is none: the bytes and an HTTP status. Nil f makes it honest again.
func (b *Blobs) Lie(f func(key string, stored []byte) ([]byte, int)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lie = f
}

// SetDown has the provider break off every connection.
func (b *Blobs) SetDown(down bool) {
	b.mu.Lock()
	b.down = down
	b.mu.Unlock()
	if down {
		b.srv.CloseClientConnections()
	}
}

// Snapshot returns all blobs as they are now, by key.
func (b *Blobs) Snapshot() map[string][]byte {
	all := make(map[string][]byte)
	_ = filepath.WalkDir(b.dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil
		}
		rel, _ := filepath.Rel(b.dir, path)
		if data, err := os.ReadFile(path); err == nil {
			all[filepath.ToSlash(rel)] = data
		}
		return nil
	})
	return all
}

func (b *Blobs) serve(honest http.Handler, w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	lie, down := b.lie, b.down
	b.mu.Unlock()
	switch {
	case down:
		panic(http.ErrAbortHandler)
	case lie == nil || r.Method != http.MethodGet && r.Method != http.MethodHead:
		honest.ServeHTTP(w, r)
		return
	}
	whole := r.Clone(r.Context())
	whole.Method = http.MethodGet
	whole.Header.Del("Range")
	rec := httptest.NewRecorder()
	honest.ServeHTTP(rec, whole)
	var stored []byte
	if rec.Code == http.StatusOK {
		stored, _ = io.ReadAll(rec.Body)
	}
	data, code := lie(strings.TrimPrefix(r.URL.Path, "/"), stored)
	if code != http.StatusOK {
		http.Error(w, "no", code)
		return
	}
	answer(w, r, data)
}

// answer serves data, or the range of it that was asked for.
func answer(w http.ResponseWriter, r *http.Request, data []byte) {
	var first, last int
	spec := r.Header.Get("Range")
	n, _ := fmt.Sscanf(spec, "bytes=%d-%d", &first, &last)
	switch {
	case n == 0:
		first, last = 0, len(data)-1
	case n == 1 || last >= len(data):
		last = len(data) - 1
	}
	if first >= len(data) {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", len(data)))
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(last-first+1))
	if spec != "" {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, len(data)))
		w.WriteHeader(http.StatusPartialContent)
	}
	if r.Method == http.MethodGet {
		_, _ = io.Copy(w, bytes.NewReader(data[first:last+1]))
	}
}

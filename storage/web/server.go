package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"satchel/storage"
	"satchel/storage/disk"
)

// A Server is the blob server of "satchel serve". Everybody may read a blob
// whose key he knows; who writes must know the token. There is no listing.
type Server struct {
	// Report, if set, is told what went wrong inside, which clients are not.
	Report func(r *http.Request, err error)

	blobs *disk.Driver
	token [32]byte // its hash: equally long whatever a client sends
}

// Handler returns a blob server over the folder dir, which it makes if need
// be. Whoever writes must know token.
func Handler(dir, token string) (*Server, error) {
	if token == "" {
		return nil, fmt.Errorf("a blob server needs a token for those who write: %w", os.ErrInvalid)
	}
	blobs, err := disk.New(dir)
	if err != nil {
		return nil, err
	}
	return &Server{blobs: blobs, token: sha256.Sum256([]byte(token))}, nil
}

// NewServer returns an HTTP server for h that no client can hold up for ever.
func NewServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := http.NewResponseController(w)
	_ = c.SetWriteDeadline(time.Now().Add(transferTime(-1)))
	key := strings.TrimPrefix(r.URL.Path, "/")
	if err := storage.CheckKey(key); err != nil {
		http.Error(w, "no such key can be", http.StatusBadRequest)
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		s.get(w, r, key)
	case http.MethodPut:
		if s.mayWrite(w, r) {
			s.put(w, r, c, key)
		}
	case http.MethodDelete:
		if s.mayWrite(w, r) {
			s.delete(w, r, key)
		}
	default:
		w.Header().Set("Allow", "GET, HEAD, PUT, DELETE")
		http.Error(w, "GET, HEAD, PUT and DELETE only", http.StatusMethodNotAllowed)
	}
}

// mayWrite answers a request without the token.
func (s *Server) mayWrite(w http.ResponseWriter, r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	switch {
	case !strings.EqualFold(scheme, "Bearer"):
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "writing wants a token", http.StatusUnauthorized)
	case subtle.ConstantTimeCompare(sum[:], s.token[:]) != 1:
		http.Error(w, "wrong token", http.StatusForbidden)
	default:
		return true
	}
	return false
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, key string) {
	f, _, err := s.blobs.File(r.Context(), key)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer f.Close()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-Content-Type-Options", "nosniff")
	if storage.Immutable(key) {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	http.ServeContent(w, r, "", time.Time{}, f)
}

func (s *Server) put(w http.ResponseWriter, r *http.Request, c *http.ResponseController, key string) {
	switch {
	case r.ContentLength < 0:
		http.Error(w, "a PUT must tell its Content-Length", http.StatusLengthRequired)
		return
	case r.ContentLength > storage.MaxBlob:
		w.Header().Set("Connection", "close")
		http.Error(w, fmt.Sprintf("a blob has at most %d bytes", storage.MaxBlob), http.StatusRequestEntityTooLarge)
		return
	}
	if err := s.blobs.Put(r.Context(), key, &upload{r.Body, c}, r.ContentLength); err != nil {
		s.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) delete(w http.ResponseWriter, r *http.Request, key string) {
	if err := s.blobs.Delete(r.Context(), key); err != nil {
		s.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// An upload is a request's body that must not stand still.
type upload struct {
	r io.Reader
	c *http.ResponseController
}

func (u *upload) Read(p []byte) (int, error) {
	_ = u.c.SetReadDeadline(time.Now().Add(stall))
	return u.r.Read(p)
}

// fail answers err; what is inside the server stays there.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, os.ErrNotExist):
		http.Error(w, "no such blob", http.StatusNotFound)
		return
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		http.Error(w, "no space left", http.StatusInsufficientStorage)
	case errors.Is(err, io.ErrUnexpectedEOF):
		http.Error(w, "the body ended early", http.StatusBadRequest)
	case errors.Is(err, os.ErrDeadlineExceeded):
		http.Error(w, "the body stood still", http.StatusRequestTimeout)
	default:
		http.Error(w, "the server cannot reach its folder", http.StatusInternalServerError)
	}
	if s.Report != nil {
		s.Report(r, err)
	}
}

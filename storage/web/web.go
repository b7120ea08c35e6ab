// Package web keeps blobs at a web server.
package web

import (
	"context"
	"errors"
	"net/http"

	"satchel/storage"
)

// Open is the storage.Opener for http: and https: URLs.
func Open(ctx context.Context, rawURL string, o storage.Options) (storage.Driver, error) {
	return nil, errors.ErrUnsupported
}

// A Server is the blob server of "satchel serve".
type Server struct{}

// Handler returns a blob server over the folder dir, which it makes if need
// be. Whoever writes must know token.
func Handler(dir, token string) (*Server, error) {
	return nil, errors.ErrUnsupported
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {}

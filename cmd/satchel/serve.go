package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"satchel/storage/web"
)

func (a *app) serveCommand() *command {
	c := newCommand("serve", "DIR --listen ADDR --token-file F", 1, 1, "serve a folder as a storage provider over HTTP")
	c.long = `Answers GET (with Range), HEAD, PUT and DELETE below http://ADDR/, keeping blobs in
DIR. Anybody may read; writing wants the bearer token that stands in F, which is
made with a random one (0600) if it isn't there. Prints "ready ADDR" when it
serves, with the real port where ADDR ends in :0, and runs until Ctrl-C.`
	listen := c.flags.String("listen", "", "`ADDR` to listen on, host:port")
	tokenFile := c.flags.String("token-file", "", "`F`ile that holds the token for writing")
	c.run = func(ctx context.Context, args []string) error {
		if *listen == "" {
			return usagef("serve wants --listen ADDR, for instance --listen 127.0.0.1:8080")
		}
		if *tokenFile == "" {
			return usagef("serve wants --token-file F; F is made if it isn't there")
		}
		return a.serve(ctx, args[0], *listen, *tokenFile)
	}
	return c
}

func (a *app) serve(ctx context.Context, dir, listen, tokenFile string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if inside(tokenFile, dir) {
		return usagef("--token-file %s stands in the folder that is served, so everybody could read it; put it elsewhere", tokenFile)
	}
	token, err := makeToken(tokenFile)
	if err != nil {
		return err
	}
	handler, err := web.Handler(dir, token)
	if err != nil {
		return err
	}
	log := a.logger()
	handler.Report = func(r *http.Request, err error) {
		log.Warn("blob server", "request", r.Method+" "+r.URL.Path, "err", err)
	}
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("%w; is another one running there?", err)
	}
	fmt.Fprintf(a.out, "ready %s\n", ln.Addr())
	return serveHTTP(ctx, ln, web.NewServer(handler))
}

// inside tells whether a file stands, or would stand, below a folder, whatever
// symlinks lead there.
func inside(file, dir string) bool {
	real := func(p string) string {
		if abs, err := filepath.Abs(p); err == nil {
			p = abs
		}
		if r, err := filepath.EvalSymlinks(p); err == nil {
			return r
		}
		if r, err := filepath.EvalSymlinks(filepath.Dir(p)); err == nil {
			return filepath.Join(r, filepath.Base(p))
		}
		return p
	}
	rel, err := filepath.Rel(real(dir), real(file))
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// serveHTTP serves until ctx ends, then lets what runs finish for a moment.
func serveHTTP(ctx context.Context, ln net.Listener, server *http.Server) error {
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(ln) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if server.Shutdown(grace) != nil {
		server.Close()
	}
	return nil
}

// makeToken returns the token in a file, and makes both if there is no file.
func makeToken(path string) (string, error) {
	token, err := readToken(path)
	if !errors.Is(err, os.ErrNotExist) {
		return token, err
	}
	var random [32]byte
	rand.Read(random[:])
	token = hex.EncodeToString(random[:])
	if err := writeNew(path, []byte(token+"\n")); err != nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	return token, nil
}

// readToken returns the first line of a token file.
func readToken(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	token, _, _ := strings.Cut(string(data), "\n")
	token = strings.TrimSpace(token)
	if token == "" {
		return "", usagef("token file %s is empty; remove it to have one made by `satchel serve`", path)
	}
	return token, nil
}

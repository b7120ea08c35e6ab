package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// An operation is what a command asks the holder of a home to do. Arguments and
// result travel as JSON; say takes a line that tells how far it is.
//
// Over the socket it is POST /NAME with the arguments as body. The answer is a
// stream of JSON objects, one a line: {"say": "..."} any number of times, then one
// of {"result": ...} and {"error": {"code": N, "message": "..."}}, where code is
// the exit code.
type operation func(ctx context.Context, e *engine, args json.RawMessage, say func(string)) (any, error)

// operations is the table of all of them.
var operations = map[string]operation{
	"quote":      op((*engine).quote),
	"reach":      op((*engine).reach),
	"below":      op((*engine).reachBelow),
	"send":       op((*engine).send),
	"cancel":     op((*engine).cancel),
	"names":      op((*engine).list),
	"price":      op((*engine).price),
	"history":    op((*engine).history),
	"namespace":  op((*engine).namespace),
	"namespaces": op((*engine).namespaces),
	"show":       op((*engine).show),
	"trust":      op((*engine).trust),
	"wait":       op((*engine).wait),
	"sync":       op((*engine).sync),
	"status":     op((*engine).status),
	"pin":        op((*engine).pin),
	"unpin":      op((*engine).unpin),
	"cache":      op((*engine).cache),
	"unmount":    op((*engine).unmount),
	"ping":       op((*engine).ping),
}

// op makes an operation of a method with typed arguments and result.
func op[A, R any](f func(e *engine, ctx context.Context, args A, say func(string)) (R, error)) operation {
	return func(ctx context.Context, e *engine, raw json.RawMessage, say func(string)) (any, error) {
		var args A
		if err := json.Unmarshal(raw, &args); err != nil {
			return nil, usagef("malformed request: %v", err)
		}
		return f(e, ctx, args, say)
	}
}

// ping does nothing but answer.
func (e *engine) ping(context.Context, none, func(string)) (none, error) { return none{}, nil }

// A none is for an operation without arguments or without a result.
type none struct{}

type reply struct {
	Say    string          `json:"say,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *replyError     `json:"error,omitempty"`
}

type replyError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// maxRequest bounds what a client may send.
const maxRequest = 1 << 20

// A controller answers the control socket of a home.
type controller struct {
	e      *engine
	server *http.Server
	done   chan struct{}
}

// serveControl answers on the home's socket until Close. The caller holds the
// home's lock, so a socket that is there is a dead process's.
func serveControl(h *home, e *engine) (*controller, error) {
	if err := os.Remove(h.socket()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	ln, err := listenUnix(h.socket())
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	c := &controller{e: e, done: make(chan struct{})}
	c.server = &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(c.done)
		_ = c.server.Serve(ln)
	}()
	return c, nil
}

// Close stops listening, gives running requests a moment and then cancels them.
func (c *controller) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if c.server.Shutdown(ctx) != nil {
		_ = c.server.Close()
	}
	<-c.done
}

func (c *controller) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	run, ok := operations[strings.TrimPrefix(r.URL.Path, "/")]
	if !ok || r.Method != http.MethodPost {
		http.NotFound(w, r)
		return
	}
	args, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
	if err != nil {
		return
	}
	s := &replyStream{w: w}
	result, err := run(r.Context(), c.e, args, func(line string) { s.send(reply{Say: line}) })
	s.end(result, err)
}

// A replyStream writes an answer line by line; progress may come from several
// goroutines.
type replyStream struct {
	mu sync.Mutex
	w  http.ResponseWriter
}

func (s *replyStream) send(r reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = json.NewEncoder(s.w).Encode(r)
	_ = http.NewResponseController(s.w).Flush()
}

func (s *replyStream) end(result any, err error) {
	var raw json.RawMessage
	if err == nil {
		raw, err = json.Marshal(result)
	}
	if err != nil {
		s.send(reply{Error: &replyError{exitCode(err), err.Error()}})
		return
	}
	s.send(reply{Result: raw})
}

// errNobody reports that nobody answers on a socket.
var errNobody = errors.New("nobody answers on the control socket")

// askSocket has the holder of the home do an operation.
func askSocket(ctx context.Context, h *home, name string, args json.RawMessage, say func(string)) (json.RawMessage, error) {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := dialUnix(ctx, h.socket())
			if err != nil {
				return nil, fmt.Errorf("%w: %v", errNobody, err)
			}
			return conn, nil
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://satchel/"+name, bytes.NewReader(args))
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the running daemon doesn't know %q: it is of another version; unmount and mount again", name)
	}
	dec := json.NewDecoder(resp.Body)
	for {
		var r reply
		if err := dec.Decode(&r); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, fmt.Errorf("the daemon ended before it answered: see %s", h.logFile())
		}
		switch {
		case r.Error != nil:
			return nil, coded(r.Error.Code, errors.New(r.Error.Message))
		case r.Result != nil:
			return r.Result, nil
		default:
			say(r.Say)
		}
	}
}

// A socket's address holds at most 107 bytes. A longer path is reached through
// a descriptor of its folder, in /proc/self/fd.
const maxSocketPath = 107

func shortSocketPath(path string) (short string, done func(), err error) {
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { dir.Close() }, nil
}

// listenUnix listens on path, for the user alone. The folder is 0700, so nobody
// can come between making the socket and its mode.
func listenUnix(path string) (net.Listener, error) {
	short, done, err := shortSocketPath(path)
	if err != nil {
		return nil, err
	}
	defer done()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false) // by the short path it could hit another's file
	if err := os.Chmod(path, 0o600); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	short, done, err := shortSocketPath(path)
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	return d.DialContext(ctx, "unix", short)
}

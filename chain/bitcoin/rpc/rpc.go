// Package rpc is a source of blocks over JSON-RPC, as bitcoind and btcd offer it,
// and the private chain in bitcoind's way. Nothing that it returns is checked here.
//
// The two differ where they say that something is missing, in how headers are had
// (btcd answers a whole locator, bitcoind is asked in batches), how coins are found
// (bitcoind scans its table of coins, btcd has an index of addresses if it was
// started with --addrindex) and how fees are guessed. Which of them a node is it
// says itself: bitcoind has no method "version".
//
// No error of this package holds a password, or more of a URL than the host.
package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
)

const (
	// maxAnswer bounds an answer: a block of 4 MB in hex, and what stands around it.
	maxAnswer = 9 << 20
	// timeout bounds one request but a scan.
	timeout = 30 * time.Second
	// maxConns is how many requests are sent at a time. A node has few threads
	// for them, and btcd refuses the eleventh connection.
	maxConns = 6
)

// A Client asks one node. It is safe for concurrent use.
type Client struct {
	HTTP           *http.Client
	URL            string // of the node, without credentials
	User, Password string // empty: none

	cookie  cookie
	chain   *chaincfg.Params // nil: any
	greeted greeted
	scans   scans
}

// New returns a client of the node at url, which speaks bitcoind's dialect. The
// node's network is not checked.
func New(url string) *Client {
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		MaxConnsPerHost:     maxConns,
		MaxIdleConnsPerHost: maxConns,
		IdleConnTimeout:     time.Minute,
	}
	h := &http.Client{
		Transport: t,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // the password is for this node alone
		},
	}
	c := &Client{HTTP: h, URL: url}
	c.greeted.done.Store(true)
	return c
}

// Close drops idle connections.
func (c *Client) Close() error {
	c.HTTP.CloseIdleConnections()
	return nil
}

// shown is what errors tell of the node: some services have a key in the path.
func (c *Client) shown() string {
	u, err := url.Parse(c.URL)
	if err != nil {
		return "the node"
	}
	return u.Scheme + "://" + u.Host
}

type request struct {
	Version string `json:"jsonrpc"`
	ID      int    `json:"id"`
	Method  string `json:"method"`
	Params  []any  `json:"params"`
}

type response struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *Error          `json:"error"`
}

// Call sends one request and puts its result into v, if v is not nil.
func (c *Client) Call(ctx context.Context, v any, method string, params ...any) error {
	if err := c.greet(ctx); err != nil {
		return err
	}
	return c.call(ctx, timeout, v, method, params...)
}

// call is Call before the node was greeted, or with more time.
func (c *Client) call(ctx context.Context, limit time.Duration, v any, method string, params ...any) error {
	if params == nil {
		params = []any{}
	}
	b, err := c.post(ctx, limit, request{"1.0", 0, method, params})
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	var r response
	if err := json.Unmarshal(b, &r); err != nil {
		return fmt.Errorf("%s from %s: %w", method, c.shown(), err)
	}
	return r.into(v, method)
}

func (r *response) into(v any, method string) error {
	if r.Error != nil {
		return fmt.Errorf("%s: %w", method, r.Error)
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(r.Result, v); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	return nil
}

// maxBatch is how many requests are sent in one.
const maxBatch = 500

// batchCall sends one request for each list of parameters; results come in
// their order.
func batchCall[T any](ctx context.Context, c *Client, method string, params [][]any) ([]T, error) {
	if err := c.greet(ctx); err != nil {
		return nil, err
	}
	out := make([]T, len(params))
	for from := 0; from < len(params); from += maxBatch {
		to := min(from+maxBatch, len(params))
		if err := oneBatch(ctx, c, method, params[from:to], out[from:to]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func oneBatch[T any](ctx context.Context, c *Client, method string, params [][]any, out []T) error {
	reqs := make([]request, len(params))
	for i, p := range params {
		reqs[i] = request{"1.0", i, method, p}
	}
	b, err := c.post(ctx, timeout, reqs)
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	var one response
	if json.Unmarshal(b, &one) == nil && one.Error != nil {
		return one.into(nil, method) // the batch as a whole
	}
	var list []response
	if err := json.Unmarshal(b, &list); err != nil || len(list) != len(reqs) {
		return fmt.Errorf("%s from %s: not an answer to each of %d requests", method, c.shown(), len(reqs))
	}
	answered := make([]bool, len(reqs))
	for _, r := range list {
		if r.ID < 0 || r.ID >= len(out) || answered[r.ID] {
			return fmt.Errorf("%s from %s: answer to nothing", method, c.shown())
		}
		answered[r.ID] = true
		if err := r.into(&out[r.ID], method); err != nil {
			return err
		}
	}
	return nil
}

// Pauses before a request is sent again.
var pauses = []time.Duration{200 * time.Millisecond, 800 * time.Millisecond}

// post sends a request, and again if what kept it from being answered may pass
// in a moment. All that is asked of a node may be asked twice. limit is how long
// each try may take.
func (c *Client) post(ctx context.Context, limit time.Duration, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		b, err := c.send(ctx, limit, body)
		if err == nil || try == len(pauses) || !passing(err) {
			return b, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pauses[try] + rand.N(pauses[try])):
		}
	}
}

// errBusy reports a node that has too many requests to answer.
var errBusy = errors.New("the node is busy")

func passing(err error) bool {
	return errors.Is(err, errBusy) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

// send sends a request; if the node refuses the cookie, once more with the one
// that is in the file now.
func (c *Client) send(ctx context.Context, limit time.Duration, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	user, password, err := c.credentials("")
	if err != nil {
		return nil, err
	}
	b, err := c.sendAs(ctx, body, user, password)
	if c.cookie.file == "" || !errors.Is(err, os.ErrPermission) {
		return b, err
	}
	user, again, e := c.credentials(password)
	if e != nil || again == password {
		return b, errors.Join(err, e)
	}
	return c.sendAs(ctx, body, user, again)
}

func (c *Client) sendAs(ctx context.Context, body []byte, user, password string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("the node's URL: %w", reason(err))
	}
	req.Header.Set("Content-Type", "application/json")
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.shown(), reason(err))
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.shown(), err)
	}
	return b, c.status(resp.StatusCode, b)
}

// reason takes the URL out of an error.
func reason(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

func (c *Client) status(code int, b []byte) error {
	switch {
	case len(b) > maxAnswer:
		return fmt.Errorf("%s: %w", c.shown(), errTooLong)
	case code == http.StatusUnauthorized:
		return fmt.Errorf("%s refuses the user and password: %w", c.shown(), os.ErrPermission)
	case code == http.StatusForbidden:
		return fmt.Errorf("%s refuses this machine or method (bitcoind: rpcallowip, rpcwhitelist): %w", c.shown(), os.ErrPermission)
	case code == http.StatusServiceUnavailable:
		return fmt.Errorf("%s: %w", c.shown(), errBusy)
	case code != http.StatusOK && !json.Valid(b):
		return fmt.Errorf("%s answers %d %s", c.shown(), code, http.StatusText(code))
	}
	return nil
}

// errTooLong reports an answer of more than maxAnswer bytes.
var errTooLong = errors.New("answer too long")

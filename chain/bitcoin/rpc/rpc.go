// Package rpc is a source of blocks over JSON-RPC, as bitcoind and what speaks its
// dialect offer it. Nothing that it returns is checked here.
package rpc

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
	"time"
)

const (
	// maxAnswer bounds an answer: a block of 4 MB in hex, and what stands around it.
	maxAnswer = 9 << 20
	// timeout bounds one request.
	timeout = 30 * time.Second
)

// bitcoind's numbers.
const (
	codeNotFound = -5  // no such block or transaction
	codeMissing  = -25 // a transaction whose inputs are not there
	codeRejected = -26 // a transaction that the rules refuse
	codeKnown    = -27 // a transaction that is in the chain or about to be
)

// A Client asks one node. It is safe for concurrent use.
type Client struct {
	HTTP           *http.Client
	URL            string // of the node, without credentials
	User, Password string // or those of a cookie; empty: none
}

// New returns a client of the node at url.
func New(url string) *Client {
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 4,
		IdleConnTimeout:     time.Minute,
	}
	h := &http.Client{
		Transport: t,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // the password is for this node alone
		},
	}
	return &Client{HTTP: h, URL: url}
}

// An Error is what a node answered instead of a result.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Message }

// Is makes bitcoind's "not found" os.ErrNotExist.
func (e *Error) Is(target error) bool { return target == os.ErrNotExist && e.Code == codeNotFound }

// Rejected tells apart a transaction that was refused from a node that failed.
func (e *Error) Rejected() bool { return e.Code == codeMissing || e.Code == codeRejected }

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
	if params == nil {
		params = []any{}
	}
	b, err := c.post(ctx, request{"1.0", 0, method, params})
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	var r response
	if err := json.Unmarshal(b, &r); err != nil {
		return fmt.Errorf("%s from %s: %w", method, c.URL, err)
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

// batchCall sends one request for each list of parameters; results come in
// their order.
func (c *Client) batchCall(ctx context.Context, method string, params [][]any) ([]string, error) {
	reqs := make([]request, len(params))
	for i, p := range params {
		reqs[i] = request{"1.0", i, method, p}
	}
	b, err := c.post(ctx, reqs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	var list []response
	if err := json.Unmarshal(b, &list); err != nil || len(list) != len(reqs) {
		return nil, fmt.Errorf("%s from %s: not an answer to each of %d requests", method, c.URL, len(reqs))
	}
	out := make([]string, len(reqs))
	for _, r := range list {
		if r.ID < 0 || r.ID >= len(out) {
			return nil, fmt.Errorf("%s from %s: answer to nothing", method, c.URL)
		}
		if err := r.into(&out[r.ID], method); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (c *Client) post(ctx context.Context, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if c.User != "" {
		req.SetBasicAuth(c.User, c.Password)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) > maxAnswer:
		return nil, errors.New("answer too long")
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return nil, fmt.Errorf("%s refuses the user and password: %w", c.URL, os.ErrPermission)
	case resp.StatusCode != http.StatusOK && !json.Valid(b):
		return nil, fmt.Errorf("%s answers %s", c.URL, resp.Status)
	}
	return b, nil
}

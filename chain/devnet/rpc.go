package devnet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// A call is one JSON-RPC request in bitcoind's dialect.
type call struct {
	ID     json.RawMessage   `json:"id"`
	Method string            `json:"method"`
	Params []json.RawMessage `json:"params"`
}

type result struct {
	ID     json.RawMessage `json:"id"`
	Result any             `json:"result"`
	Error  *rpcError       `json:"error"`
}

// An rpcError is an error with bitcoind's number.
type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (e *rpcError) Error() string { return e.Message }

// bitcoind's numbers.
const (
	codeNoMethod  = -32601
	codeBadParams = -32602
	codeParse     = -32700
	codeNotFound  = -5
	codeRange     = -8
	codeDecode    = -22
	codeRejected  = -26
	codeOther     = -1
)

// maxBatch bounds the requests in one.
const maxBatch = 4100

func (n *Node) serveRPC(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		refuse(w, err)
		return
	}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		var calls []call
		if err := json.Unmarshal(body, &calls); err != nil || len(calls) > maxBatch {
			reply(w, result{Error: &rpcError{codeParse, "not a batch of requests"}})
			return
		}
		n.answerAll(w, r, calls)
		return
	}
	var c call
	if err := json.Unmarshal(body, &c); err != nil {
		reply(w, result{Error: &rpcError{codeParse, "not a request"}})
		return
	}
	reply(w, n.answer(r.Context(), c))
}

// answerAll answers one by one, so that only one answer is in memory.
func (n *Node) answerAll(w http.ResponseWriter, r *http.Request, calls []call) {
	w.Header().Set("Content-Type", "application/json")
	enc, sep := json.NewEncoder(w), "["
	for _, c := range calls {
		_, err := io.WriteString(w, sep)
		if err == nil {
			err = enc.Encode(n.answer(r.Context(), c))
		}
		if err != nil || r.Context().Err() != nil {
			return // the client is gone
		}
		sep = ","
	}
	_, _ = io.WriteString(w, strings.TrimPrefix(sep, ",")+"]")
}

func (n *Node) answer(ctx context.Context, c call) result {
	out := result{ID: c.ID}
	f, ok := methods[c.Method]
	if !ok {
		out.Error = &rpcError{codeNoMethod, fmt.Sprintf("no method %q", c.Method)}
		return out
	}
	v, err := f(n, ctx, c.Params)
	var re *rpcError
	switch {
	case errors.As(err, &re):
		out.Error = re
	case err != nil:
		out.Error = &rpcError{codeOther, err.Error()}
	default:
		out.Result = v
	}
	return out
}

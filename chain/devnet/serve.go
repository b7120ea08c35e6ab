package devnet

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"satchel/chain/proof"
)

const (
	maxRequest  = 1 << 20 // bytes of a JSON-RPC request
	wakeTimeout = 25 * time.Second
)

// Info is what a client has to know of the chain before it follows it.
type Info struct {
	FirstBlock int `json:"first_block"`
	Height     int `json:"height"`
	// Chain tells private chains apart: the hash of the first block that this
	// one mined, which has random bytes in it.
	Chain string `json:"chain"`
}

// Handler returns the chain's HTTP endpoint. Serve it on a loopback address: it
// hands out coins to whoever asks.
func (n *Node) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", n.serveRPC)
	mux.HandleFunc("GET /info", n.serveInfo)
	mux.HandleFunc("GET /wake", n.serveWake)
	mux.HandleFunc("POST /fund", n.serveFund)
	mux.HandleFunc("POST /mine", n.serveMine)
	mux.HandleFunc("POST /reorg", n.serveReorg)
	mux.HandleFunc("GET /zonefile/{hash}", n.serveZonefile)
	mux.HandleFunc("PUT /zonefile/{hash}", n.takeZonefile)
	mux.Handle("GET /v1/", proof.Handler(n.names, n))
	return loopbackOnly(n.calls.count(mux))
}

// Serve answers requests until Close, which closes l. Only a loopback listener
// is taken.
func (n *Node) Serve(l net.Listener) error {
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		return fmt.Errorf("listen on %v: a private chain listens on loopback only", l.Addr())
	}
	s := &http.Server{Handler: n.Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}
	stop := context.AfterFunc(n.ctx, func() { s.Close() })
	defer stop()
	err := s.Serve(l)
	if n.ctx.Err() != nil {
		return nil
	}
	return err
}

// calls counts the requests that are being answered.
type calls struct {
	mu     sync.Mutex
	closed bool
	open   sync.WaitGroup
}

func (c *calls) count(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		closed := c.closed
		if !closed {
			c.open.Add(1)
		}
		c.mu.Unlock()
		if closed {
			http.Error(w, errClosed.Error(), http.StatusServiceUnavailable)
			return
		}
		defer c.open.Done()
		h.ServeHTTP(w, r)
	})
}

// close has requests refused from now on, and waits for the others.
func (c *calls) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.open.Wait()
}

// loopbackOnly refuses requests that a web page had its reader's browser send:
// those name the page's host, or say where they come from.
func loopbackOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(r.Host) || r.Header.Get("Origin") != "" {
			http.Error(w, "the private chain answers to programs on this machine only", http.StatusForbidden)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
		h.ServeHTTP(w, r)
	})
}

func isLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client is gone if that fails
}

func refuse(w http.ResponseWriter, err error) { http.Error(w, err.Error(), http.StatusBadRequest) }

func done(w http.ResponseWriter, v any, err error) {
	if err != nil {
		refuse(w, err)
		return
	}
	reply(w, v)
}

// number reads a parameter of the request.
func number(r *http.Request, name string) (int64, error) {
	v, err := strconv.ParseInt(r.FormValue(name), 10, 64)
	if err != nil || int64(int(v)) != v {
		return 0, fmt.Errorf("%s must be a number", name)
	}
	return v, nil
}

func (n *Node) serveInfo(w http.ResponseWriter, r *http.Request) {
	first, err := n.chain.BlockHashByHeight(1)
	if err != nil {
		http.Error(w, "the chain is still beginning", http.StatusServiceUnavailable)
		return
	}
	reply(w, Info{FirstBlock: FirstBlock, Height: n.Height(), Chain: first.String()})
}

func (n *Node) serveFund(w http.ResponseWriter, r *http.Request) {
	sat, err := number(r, "satoshi")
	if err != nil {
		refuse(w, err)
		return
	}
	txid, err := n.Fund(r.Context(), r.FormValue("address"), sat)
	done(w, txid.String(), err)
}

func (n *Node) serveMine(w http.ResponseWriter, r *http.Request) {
	count, err := number(r, "n")
	if err == nil {
		err = n.Mine(int(count))
	}
	done(w, n.Height(), err)
}

func (n *Node) serveReorg(w http.ResponseWriter, r *http.Request) {
	depth, err := number(r, "depth")
	if err == nil {
		err = n.Reorg(int(depth))
	}
	done(w, n.Height(), err)
}

// serveWake answers as soon as the tip is not the one that the client knows.
func (n *Node) serveWake(w http.ResponseWriter, r *http.Request) {
	known := r.FormValue("tip")
	ctx, cancel := context.WithTimeout(r.Context(), wakeTimeout)
	defer cancel()
	for {
		tip, moved := n.tip()
		if tip.String() != known {
			reply(w, tip.String())
			return
		}
		select {
		case <-moved:
		case <-ctx.Done():
			reply(w, known)
			return
		case <-n.ctx.Done():
			http.Error(w, "the private chain is stopping", http.StatusServiceUnavailable)
			return
		}
	}
}

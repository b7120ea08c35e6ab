package devnet

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"satchel/chain/zonefile"
)

const (
	maxRequest  = 1 << 20 // bytes of a JSON-RPC request
	wakeTimeout = 25 * time.Second
)

// Info is what a client has to know of the chain before it follows it.
type Info struct {
	FirstBlock int `json:"first_block"`
	Height     int `json:"height"`
}

// Handler returns the chain's HTTP endpoint. Serve it on a loopback address: it
// hands out coins to whoever asks.
func (n *Node) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", n.serveRPC)
	mux.HandleFunc("GET /info", func(w http.ResponseWriter, r *http.Request) {
		reply(w, Info{FirstBlock: FirstBlock, Height: n.Height()})
	})
	mux.HandleFunc("GET /wake", n.serveWake)
	mux.HandleFunc("POST /fund", func(w http.ResponseWriter, r *http.Request) {
		sat, err := strconv.ParseInt(r.FormValue("satoshi"), 10, 64)
		if err != nil {
			refuse(w, fmt.Errorf("satoshi: %w", err))
			return
		}
		txid, err := n.Fund(r.Context(), r.FormValue("address"), sat)
		done(w, txid.String(), err)
	})
	mux.HandleFunc("POST /mine", func(w http.ResponseWriter, r *http.Request) {
		count, err := strconv.Atoi(r.FormValue("n"))
		if err == nil && (count < 1 || count > 1000) {
			err = errors.New("n: from 1 to 1000 blocks")
		}
		if err == nil {
			err = n.Mine(count)
		}
		done(w, n.Height(), err)
	})
	mux.HandleFunc("POST /reorg", func(w http.ResponseWriter, r *http.Request) {
		depth, err := strconv.Atoi(r.FormValue("depth"))
		if err == nil {
			err = n.Reorg(depth)
		}
		done(w, n.Height(), err)
	})
	mux.HandleFunc("GET /zonefile/{hash}", n.serveZonefile)
	mux.HandleFunc("PUT /zonefile/{hash}", n.takeZonefile)
	return loopbackOnly(mux)
}

// loopbackOnly refuses requests that a web page had its reader's browser send:
// those name the page's host, or say where they come from.
func loopbackOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) || r.Header.Get("Origin") != "" {
			http.Error(w, "the private chain answers to programs on this machine only", http.StatusForbidden)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
		h.ServeHTTP(w, r)
	})
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

// serveWake answers as soon as the tip is not at the height that the client knows.
func (n *Node) serveWake(w http.ResponseWriter, r *http.Request) {
	known := r.FormValue("tip")
	ctx, cancel := context.WithTimeout(r.Context(), wakeTimeout)
	defer cancel()
	for {
		n.mu.Lock()
		moved := n.tip
		n.mu.Unlock()
		if tip := n.chain.BestSnapshot().Hash.String(); tip != known {
			reply(w, tip)
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

func (n *Node) zonePath(hash [20]byte) string {
	return filepath.Join(n.dir, "zonefiles", hex.EncodeToString(hash[:]))
}

func parseHash(s string) (h [20]byte, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(h) {
		return h, errors.New("a zone file's hash is 40 hex digits")
	}
	return [20]byte(b), nil
}

func (n *Node) serveZonefile(w http.ResponseWriter, r *http.Request) {
	hash, err := parseHash(r.PathValue("hash"))
	if err != nil {
		refuse(w, err)
		return
	}
	b, err := os.ReadFile(n.zonePath(hash))
	if errors.Is(err, fs.ErrNotExist) {
		http.Error(w, "no such zone file here", http.StatusNotFound)
		return
	}
	if err != nil {
		http.Error(w, "zone file can't be read", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(b)
}

// takeZonefile keeps a zone file if its hash is the current value of a name.
func (n *Node) takeZonefile(w http.ResponseWriter, r *http.Request) {
	hash, err := parseHash(r.PathValue("hash"))
	if err != nil {
		refuse(w, err)
		return
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, zonefile.MaxSize+1))
	switch {
	case err != nil:
		refuse(w, err)
		return
	case len(b) > zonefile.MaxSize:
		http.Error(w, fmt.Sprintf("a zone file has at most %d bytes", zonefile.MaxSize), http.StatusRequestEntityTooLarge)
		return
	case zonefile.Hash(b) != hash:
		refuse(w, errors.New("the file's hash is another one"))
		return
	}
	if err := n.fol.Sync(r.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	if !n.names.HasValue(hash) {
		http.Error(w, "no name has that value", http.StatusConflict)
		return
	}
	if err := writeFile(n.zonePath(hash), b); err != nil {
		n.log.Error("zone file", "err", err)
		http.Error(w, "zone file can't be kept", http.StatusInsufficientStorage)
		return
	}
	reply(w, "kept")
}

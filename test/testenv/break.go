package testenv

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"satchel/chain/devnet"
	"satchel/chain/ops"
)

// A Gate is a way to the private chain that stops at a transaction.
type Gate struct {
	w    *World
	addr string

	mu      sync.Mutex
	left    int  // transactions until it stops; negative: it doesn't
	after   bool // the chain gets that one, and the answer is held back
	reached chan struct{}
	open    chan struct{}
}

// Gate makes a gate that is open.
func (w *World) Gate() *Gate {
	w.t.Helper()
	g := &Gate{w: w, left: -1}
	chain := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: w.Chain})
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		wait := g.pass(body)
		if wait == nil {
			chain.ServeHTTP(rw, r)
			return
		}
		if g.after {
			chain.ServeHTTP(httptest.NewRecorder(), r)
		}
		close(g.reached)
		<-wait
	}))
	w.t.Cleanup(s.Close)
	g.addr = strings.TrimPrefix(s.URL, "http://")
	return g
}

// Person makes an identity, not yet registered, whose way to the chain this is.
func (g *Gate) Person(name string) *Person {
	g.w.t.Helper()
	chain := g.w.Chain
	defer func() { g.w.Chain = chain }()
	g.w.Chain = g.addr
	return g.w.Person(name)
}

// pass returns what a request has to wait for, if it is the one to stop.
func (g *Gate) pass(body []byte) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.left < 0 || !bytes.Contains(body, []byte("sendrawtransaction")) {
		return nil
	}
	if g.left--; g.left >= 0 {
		return nil
	}
	return g.open
}

// KillAt runs a command in a person's home and kills it, as closing the lid would,
// while it sends its transaction number n, from 0: before the chain has it, or after.
func (g *Gate) KillAt(n int, after bool, p *Person, args ...string) {
	g.w.t.Helper()
	g.mu.Lock()
	g.left, g.after, g.reached, g.open = n, after, make(chan struct{}), make(chan struct{})
	g.mu.Unlock()
	cmd := exec.Command(g.w.bin, append([]string{"--home", p.Home}, args...)...)
	cmd.Env = append(os.Environ(), "SATCHEL_PASSPHRASE="+Passphrase)
	if err := cmd.Start(); err != nil {
		g.w.t.Fatal(err)
	}
	select {
	case <-g.reached:
	case <-time.After(Patience):
		g.w.t.Errorf("satchel %s never sent transaction %d", strings.Join(args, " "), n)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	close(g.open)
}

// Burnt returns how many payments for names and namespaces the chain has seen.
func (w *World) Burnt() int {
	w.t.Helper()
	c := devnet.Dial(w.Chain)
	defer c.Close()
	coins, err := c.Unspent(w.t.Context(), ops.BurnScript())
	if err != nil {
		w.t.Fatal(err)
	}
	return len(coins)
}

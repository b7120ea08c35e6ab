package rpc

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/btcsuite/btcd/chaincfg/v2"
)

// Options say which node to ask, and how.
type Options struct {
	// URL is http://HOST:PORT/ or https://HOST:PORT/. A user and password in
	// it are taken out and used.
	URL string
	// User and Password are those of the node's config.
	User, Password string
	// Cookie is bitcoind's file .cookie, in which it leaves a user and password
	// at each start. It is read when the node is first asked, and again when the
	// node refuses what it said.
	Cookie string
	// CA is a PEM file with the certificate that an https node shows or that
	// signed it, such as btcd's rpc.cert. Empty: the system's.
	CA string
	// Chain is the network that the node must be on; nil: any.
	Chain *chaincfg.Params
}

// Dial returns a client of a node that answers and is on the network.
func Dial(ctx context.Context, o Options) (*Client, error) {
	c, err := Open(o)
	if err != nil {
		return nil, err
	}
	if err := c.greet(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Open is Dial for a node that may not run yet: what Dial checks is checked
// before the first request that reaches it.
func Open(o Options) (*Client, error) {
	u, err := url.Parse(strings.TrimSpace(o.URL))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("the URL of a node is http://HOST:PORT or https://HOST:PORT") // it may hold a password
	}
	if u.User != nil {
		o.User = u.User.Username()
		o.Password, _ = u.User.Password()
		u.User = nil
	}
	if o.Cookie != "" && o.User != "" {
		return nil, fmt.Errorf("%s: a cookie file or a user and password, not both", u.Host)
	}
	c := New(u.String())
	c.User, c.Password, c.cookie.file, c.chain = o.User, o.Password, o.Cookie, o.Chain
	c.greeted.done.Store(false)
	c.greeted.turn = make(chan struct{}, 1)
	if o.CA != "" {
		if err := c.trust(o.CA); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// trust has the client believe the certificates in a file, and no others.
func (c *Client) trust(file string) error {
	pem, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("certificate of the node: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("certificate of the node: there is none in %s", file)
	}
	c.HTTP.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return nil
}

// A cookie is what the cookie file said last.
type cookie struct {
	file           string // empty: there is none
	mu             sync.Mutex
	user, password string
}

// maxCookie bounds the cookie file.
const maxCookie = 4 << 10

// credentials returns user and password. Of a cookie whose password is the one
// that was refused the file is read again.
func (c *Client) credentials(refused string) (user, password string, err error) {
	k := &c.cookie
	if k.file == "" {
		return c.User, c.Password, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.user == "" || k.password == refused {
		b, err := os.ReadFile(k.file)
		if err != nil {
			return "", "", fmt.Errorf("cookie of the node, which is there while bitcoind runs: %w", err)
		}
		user, password, ok := strings.Cut(string(bytes.TrimSpace(b)), ":")
		if !ok || user == "" || len(b) > maxCookie {
			return "", "", fmt.Errorf("%s is no cookie file of bitcoind", k.file)
		}
		k.user, k.password = user, password
	}
	return k.user, k.password, nil
}

// greeted is what was found out about the node in the first request to it.
type greeted struct {
	turn chan struct{} // holds a value while somebody asks
	done atomic.Bool
	btcd atomic.Bool
}

// greet checks, once, that the node is on the right network, and finds out
// which dialect it speaks.
func (c *Client) greet(ctx context.Context) error {
	if c.greeted.done.Load() {
		return nil
	}
	select {
	case c.greeted.turn <- struct{}{}:
		defer func() { <-c.greeted.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if c.greeted.done.Load() {
		return nil
	}
	if err := c.checkNetwork(ctx); err != nil {
		return err
	}
	var version map[string]json.RawMessage
	err := c.call(ctx, timeout, &version, "version")
	if err != nil && code(err) != codeNoMethod && !errors.Is(err, os.ErrPermission) { // bitcoind's rpcwhitelist
		return err
	}
	_, btcd := version["btcdjsonrpcapi"]
	c.greeted.btcd.Store(btcd)
	c.greeted.done.Store(true)
	return nil
}

func (c *Client) checkNetwork(ctx context.Context) error {
	if c.chain == nil {
		return nil
	}
	var genesis string
	if err := c.call(ctx, timeout, &genesis, "getblockhash", 0); err != nil {
		return err
	}
	if genesis != c.chain.GenesisHash.String() {
		return fmt.Errorf("%s: %w: its first block is %s, that of %s is %v", c.shown(), ErrNetwork, limit(genesis), c.chain.Name, c.chain.GenesisHash)
	}
	return nil
}

// isBtcd says if the node is a btcd.
func (c *Client) isBtcd(ctx context.Context) (bool, error) {
	err := c.greet(ctx)
	return c.greeted.btcd.Load(), err
}

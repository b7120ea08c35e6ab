package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"satchel/storage"
)

const (
	// expectSize is the size above which the server is asked first whether
	// it wants the body.
	expectSize = 256 << 10
	// maxRedirects is how many redirects are followed.
	maxRedirects = 5
)

// newClient returns the client for a provider at u. With a policy it is
// somebody else's: each address is checked just before it is connected to.
func newClient(u *url.URL, policy *storage.Policy) *http.Client {
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer(nil).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  stall,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    16,
		MaxConnsPerHost:        64,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}
	if policy != nil {
		t.Proxy = nil // it would connect in our place, unchecked
		t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			return dialer(policy, addr).DialContext(ctx, network, addr)
		}
	}
	return &http.Client{Transport: t, CheckRedirect: redirects(u, policy)}
}

// dialer returns a dialer that connects to hosts only as policy allows.
func dialer(policy *storage.Policy, hosts ...string) *net.Dialer {
	d := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	for _, h := range hosts {
		if !policy.CheckHost(h) {
			d.Control = policy.Control
		}
	}
	return d
}

// redirects says which redirects are followed: for reading only, never from
// https to http, from one's own provider only within its host, and with the
// secret only there.
func redirects(u *url.URL, policy *storage.Policy) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		first := via[0]
		if first.Method != http.MethodGet && first.Method != http.MethodHead {
			return http.ErrUseLastResponse // it would become a GET that seems to have stored something
		}
		if len(via) > maxRedirects {
			return fmt.Errorf("more than %d redirects: %w", maxRedirects, storage.ErrRefused)
		}
		scheme := req.URL.Scheme
		if scheme != "https" && (scheme != "http" || u.Scheme == "https") || req.URL.User != nil {
			return fmt.Errorf("redirect to %s: %w", storage.Redact(req.URL.String()), storage.ErrRefused)
		}
		same := strings.EqualFold(req.URL.Host, u.Host)
		if !same && policy == nil {
			return fmt.Errorf("redirect to %s: %w: use the URL where it really is", storage.Redact(req.URL.String()), storage.ErrRefused)
		}
		if !same {
			req.Header.Del("Authorization")
		}
		return nil
	}
}

// inner returns what a client's error is about, without the URL around it.
func inner(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

package rpc

import (
	"context"
	"errors"

	"github.com/btcsuite/btcd/chaincfg/v2"
)

// ErrNetwork reports a node of another network than the one that is followed.
var ErrNetwork = errors.New("the node is on another network")

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
	return c, nil
}

// Open is Dial for a node that may not run yet: what Dial checks is checked
// before the first request that reaches it.
func Open(o Options) (*Client, error) {
	c := New(o.URL)
	c.User, c.Password = o.User, o.Password
	return c, nil
}

// Close drops idle connections.
func (c *Client) Close() error {
	c.HTTP.CloseIdleConnections()
	return nil
}

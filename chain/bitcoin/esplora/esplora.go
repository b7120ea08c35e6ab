// Package esplora is a source of blocks over the REST interface of Esplora, as
// blockstream.info, mempool.space and nodes with electrs beside them offer it. It
// is for following the tip without a node: headers come ten at a time. What it
// returns is not checked here, but for coins: their transactions are fetched, as
// a signature does not cover what an old kind of coin is worth.
//
// What is asked for, below the server's URL:
//
//	GET  /block-height/0            hash of the first block: the network
//	GET  /blocks/tip/height         a number
//	GET  /block/HASH/status         {"in_best_chain": bool, "height": number}; if that has no
//	                                height, /block/HASH has
//	GET  /blocks/HEIGHT             [{"id", "height", "version", "timestamp", "bits", "nonce",
//	                                "merkle_root", "previousblockhash"}, ...] from there downwards
//	GET  /block/HASH/raw            a block's bytes
//	GET  /tx/TXID/raw               a transaction's bytes
//	POST /tx                        hex in, transaction id out
//	GET  /address/A/utxo            [{"txid", "vout", "value", "status": {"confirmed", "block_height"}}, ...];
//	                                /scripthash/SHA256/utxo for a script without an address
//	GET  /fee-estimates             {"blocks": satoshi per virtual byte, ...}
//
// At most four requests go on at a time. A server that says it is asked too often
// is left alone for as long as it wants.
package esplora

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
)

// ErrNetwork reports a server of another network than the one that is followed.
var ErrNetwork = errors.New("the server is on another network")

// ErrBusy reports a server that wants to be left alone for longer than a request
// can wait.
var ErrBusy = errors.New("the server is asked too often")

// parallel is how many requests go on at a time.
const parallel = 4

// Options say which server to ask.
type Options struct {
	URL   string           // such as https://blockstream.info/api
	Chain *chaincfg.Params // the network that the server must be on
}

// A Client asks one server. It is safe for concurrent use, and a bitcoin.Source,
// PrevTxer, Broadcaster, Unspenter and FeeEstimator.
type Client struct {
	HTTP *http.Client

	base  string // without a slash at its end
	shown string // of base, for errors: a path may have a key in it
	chain *chaincfg.Params
	turns chan struct{} // holds a value for each request that goes on

	pause time.Duration // a quarter of the first one between tries

	checking chan struct{} // holds a value while somebody checks the network
	checked  atomic.Bool

	mu    sync.Mutex
	until time.Time // the server wants to be left alone
}

// Dial returns a client of a server that answers and is on the network.
func Dial(ctx context.Context, o Options) (*Client, error) {
	c, err := Open(o)
	if err != nil {
		return nil, err
	}
	if err := c.check(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Open is Dial for a server that may not be there yet: what Dial checks is
// checked before the first request that reaches it.
func Open(o Options) (*Client, error) {
	u, err := url.Parse(strings.TrimSpace(o.URL))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" {
		return nil, errors.New("the URL of an Esplora server is one such as https://blockstream.info/api")
	}
	if o.Chain == nil {
		return nil, fmt.Errorf("%s: which network is it to be on?", u.Host)
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxConnsPerHost, t.MaxIdleConnsPerHost = parallel, parallel
	return &Client{
		HTTP: &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // who asks names the server
		}},
		base: strings.TrimRight(u.String(), "/"), shown: u.Scheme + "://" + u.Host, chain: o.Chain, pause: 250 * time.Millisecond,
		turns: make(chan struct{}, parallel), checking: make(chan struct{}, 1),
	}, nil
}

// Close drops idle connections.
func (c *Client) Close() error {
	c.HTTP.CloseIdleConnections()
	return nil
}

// check makes sure, once, that the server is on the right network.
func (c *Client) check(ctx context.Context) error {
	if c.checked.Load() {
		return nil
	}
	if err := take(ctx, c.checking); err != nil {
		return err
	}
	defer func() { <-c.checking }()
	if c.checked.Load() {
		return nil
	}
	b, err := c.fetch(ctx, http.MethodGet, "/block-height/0", nil, maxText)
	if err != nil {
		return err
	}
	if got, want := strings.TrimSpace(string(b)), c.chain.GenesisHash.String(); got != want {
		return fmt.Errorf("%s: %w: its first block is %.64q, that of %s is %s", c.shown, ErrNetwork, got, c.chain.Name, want)
	}
	c.checked.Store(true)
	return nil
}

// take puts a value into a channel that limits how many go on at a time.
func take(ctx context.Context, turns chan struct{}) error {
	select {
	case turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

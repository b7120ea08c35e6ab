package devnet

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"satchel/chain/bitcoin/rpc"
	"satchel/chain/subdomain"
	"satchel/chain/zonefile"
)

// A Client reaches a private chain over its endpoint. Besides what the endpoint
// offers it is a bitcoin.Source with all extra abilities.
type Client struct {
	*rpc.Client
	base string

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	once   sync.Once // starts waiting for the tip
	loop   sync.WaitGroup
	wake   chan struct{}
}

// Dial returns a client of the chain at addr, a host and port. It asks nothing yet.
func Dial(addr string) *Client {
	c := &Client{Client: rpc.New("http://" + addr + "/"), base: "http://" + addr, wake: make(chan struct{}, 1)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Close ends what Wake began and drops idle connections.
func (c *Client) Close() error {
	c.cancel()
	c.once.Do(func() {})
	c.loop.Wait()
	c.HTTP.CloseIdleConnections()
	return nil
}

// Wake implements bitcoin.Waker: from the first call until Close a request waits
// at the chain for its tip to change.
func (c *Client) Wake() <-chan struct{} {
	c.once.Do(func() { c.loop.Go(c.watch) })
	return c.wake
}

// watch keeps asking for a tip other than the last.
func (c *Client) watch() {
	tip, pause := "", minPause
	for c.ctx.Err() == nil {
		var now string
		ctx, cancel := context.WithTimeout(c.ctx, wakeTimeout+requestTimeout)
		b, err := c.do(ctx, http.MethodGet, "/wake?tip="+tip, nil)
		cancel()
		if err == nil {
			err = json.Unmarshal(b, &now)
		}
		if err == nil && len(now) == 2*chainhash.HashSize {
			pause = minPause
			if now != tip {
				tip = url.QueryEscape(now)
				select {
				case c.wake <- struct{}{}:
				default:
				}
				continue
			}
		}
		select {
		case <-c.ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, maxPause)
	}
}

const (
	// requestTimeout bounds what is not meant to wait.
	requestTimeout = 30 * time.Second

	minPause = 100 * time.Millisecond
	maxPause = 5 * time.Second
)

// Info tells where the registry begins on this chain, and its height.
func (c *Client) Info(ctx context.Context) (info Info, err error) {
	b, err := c.ask(ctx, http.MethodGet, "/info", nil)
	if err != nil {
		return info, err
	}
	if err := json.Unmarshal(b, &info); err != nil || info.FirstBlock < 1 {
		return info, fmt.Errorf("%s is no private chain", c.base)
	}
	return info, nil
}

// Fund has the chain pay an address; the payment is mined at once.
func (c *Client) Fund(ctx context.Context, address string, satoshi int64) (chainhash.Hash, error) {
	q := url.Values{"address": {address}, "satoshi": {fmt.Sprint(satoshi)}}
	b, err := c.ask(ctx, http.MethodPost, "/fund?"+q.Encode(), nil)
	if err != nil {
		return chainhash.Hash{}, err
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return chainhash.Hash{}, err
	}
	h, err := chainhash.NewHashFromStr(s)
	if err != nil {
		return chainhash.Hash{}, err
	}
	return *h, nil
}

// Mine has the chain mine blocks.
func (c *Client) Mine(ctx context.Context, count int) error {
	_, err := c.ask(ctx, http.MethodPost, fmt.Sprintf("/mine?n=%d", count), nil)
	return err
}

// Reorg has the chain replace its newest blocks by one more, empty ones.
func (c *Client) Reorg(ctx context.Context, depth int) error {
	_, err := c.ask(ctx, http.MethodPost, fmt.Sprintf("/reorg?depth=%d", depth), nil)
	return err
}

// Zonefile returns the zone file with that hash; os.ErrNotExist if the chain
// process doesn't have it. The hash is checked.
func (c *Client) Zonefile(ctx context.Context, hash [20]byte) ([]byte, error) {
	b, err := c.ask(ctx, http.MethodGet, "/zonefile/"+hex.EncodeToString(hash[:]), nil)
	if err != nil {
		return nil, err
	}
	if zonefile.Hash(b) != hash {
		return nil, fmt.Errorf("zone file %x from %s: not the one whose hash that is", hash, c.base)
	}
	return b, nil
}

// PutZonefile offers a zone file, or a file of records, to the chain process,
// which keeps it if its hash is the current value of a name, or stands in a file
// that it has.
func (c *Client) PutZonefile(ctx context.Context, data []byte) error {
	hash := zonefile.Hash(data)
	_, err := c.ask(ctx, http.MethodPut, "/zonefile/"+hex.EncodeToString(hash[:]), data)
	return err
}

// maxAnswer bounds what the endpoint answers outside of JSON-RPC.
const maxAnswer = subdomain.MaxBatch

// ask is do with a limit to its time.
func (c *Client) ask(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return c.do(ctx, method, path, body)
}

func (c *Client) do(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("private chain: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("private chain at %s: %w", c.base, err)
	}
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("private chain at %s: %w", c.base, os.ErrNotExist)
	case resp.StatusCode/100 != 2:
		return nil, fmt.Errorf("private chain at %s: %w", c.base, errors.New(strings.TrimSpace(string(b))))
	}
	return b, nil
}

package proof

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
)

const (
	// maxAnswer bounds one answer, and maxRecords what a block's operations
	// are together: more can't be in a block.
	maxAnswer  = 9 << 20
	maxRecords = 64 << 20
	maxPages   = 64

	requestTime = 30 * time.Second
)

// A Client asks a server that nobody trusts. It is for one goroutine.
type Client struct {
	base     string
	http     *http.Client
	requests int
}

// NewClient returns a client of the server at url, http or https.
func NewClient(url string) *Client {
	return &Client{
		base: strings.TrimSuffix(url, "/"),
		http: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
}

// get asks for a path and decodes the answer.
func (c *Client) get(ctx context.Context, into any, format string, args ...any) error {
	path := fmt.Sprintf(format, args...)
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return err
	}
	c.requests++
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return fmt.Errorf("%s%s: %w", c.base, path, os.ErrNotExist)
	default:
		return fmt.Errorf("%s%s answers %s", c.base, path, resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("%s%s: %w", c.base, path, err)
	}
	if len(b) > maxAnswer {
		return fmt.Errorf("%w: %s%s doesn't end", ErrForged, c.base, path)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%w: %s%s: %w", ErrForged, c.base, path, err)
	}
	return nil
}

func (c *Client) height(ctx context.Context, h Hash) (int, error) {
	var v struct {
		Height int `json:"height"`
	}
	err := c.get(ctx, &v, "/v1/consensus/%x", h[:])
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("the server knows no consensus hash %x: %w", h, os.ErrNotExist)
	}
	if err == nil && (v.Height < 0 || v.Height > maxHeight) {
		err = fmt.Errorf("%w: block %d", ErrForged, v.Height)
	}
	return v.Height, err
}

// maxHeight is more than any chain has in a thousand years.
const maxHeight = 1 << 28

func (c *Client) step(ctx context.Context, height int) (*step, error) {
	s := new(step)
	return s, c.get(ctx, s, "/v1/proof/%d", height)
}

func (c *Client) tx(ctx context.Context, txid chainhash.Hash) ([]byte, error) {
	var v struct {
		Raw string `json:"raw"`
	}
	if err := c.get(ctx, &v, "/v1/tx/%v", txid); err != nil {
		return nil, err
	}
	raw, err := hex.DecodeString(v.Raw)
	if err != nil || len(raw) > wire.MaxBlockPayload {
		return nil, fmt.Errorf("%w: transaction %v", ErrForged, txid)
	}
	return raw, nil
}

// page is one answer about a block's operations.
type page struct {
	Total   int      `json:"total"`
	Records []string `json:"records"`
}

// records returns the operations of a block, as many pages as that takes.
func (c *Client) records(ctx context.Context, height int) (records []string, err error) {
	for size, pages := 0, 0; ; pages++ {
		var p page
		if err := c.get(ctx, &p, "/v1/operations/%d?from=%d", height, len(records)); err != nil {
			return nil, err
		}
		for _, rec := range p.Records {
			size += len(rec)
		}
		records = append(records, p.Records...)
		switch {
		case size > maxRecords || pages >= maxPages || len(records) > p.Total:
			return nil, fmt.Errorf("%w: block %d has too many operations", ErrForged, height)
		case len(records) == p.Total:
			return records, nil
		case len(p.Records) == 0:
			return nil, fmt.Errorf("%w: block %d: %d of %d operations", ErrForged, height, len(records), p.Total)
		}
	}
}

// Tip returns the height that the server has reached, and its consensus hash.
func (c *Client) Tip(ctx context.Context) (height int, h Hash, err error) {
	var v tip
	err = c.get(ctx, &v, "/v1/tip")
	return v.Height, v.Consensus, err
}

type tip struct {
	Height    int  `json:"height"`
	Consensus Hash `json:"consensus"`
}

// Heights returns at which heights something happened to a name, by the word of
// the server alone.
func (c *Client) Heights(ctx context.Context, n chain.Name) ([]int, error) {
	var v heights
	err := c.get(ctx, &v, "/v1/names/%s", n)
	return v.Heights, err
}

type heights struct {
	Heights []int `json:"heights"`
}

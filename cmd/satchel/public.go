package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"satchel/chain"
	"satchel/chain/bitcoin"
	"satchel/chain/bitcoin/esplora"
	"satchel/chain/bitcoin/multi"
	"satchel/chain/bitcoin/p2p"
	"satchel/chain/bitcoin/rpc"
	"satchel/chain/zonefile"
)

// public is a chain of Bitcoin, read from the sources that the config names.
type public struct {
	*multi.Source
	cfg  *chainConfig
	p    *chain.Params
	http *http.Client
}

func newPublic(cfg *chainConfig) (*public, error) {
	p, err := cfg.params()
	if err != nil {
		return nil, coded(exitConfig, err)
	}
	list, err := cfg.sources()
	if err != nil {
		return nil, coded(exitConfig, err)
	}
	var members []multi.Member
	for _, b := range list {
		m, err := b.open(p)
		if err != nil {
			_ = multi.New(members...).Close()
			return nil, failf(exitConfig, "chain.sources: %s: %w", b.url.Redacted(), err)
		}
		members = append(members, m)
	}
	return &public{multi.New(members...), cfg, p, &http.Client{Timeout: zonefileTime}}, nil
}

// open opens a source. What it names need not answer yet.
func (b *blockSource) open(p *chain.Params) (multi.Member, error) {
	u := *b.url
	name := u.Scheme + "://" + u.Host + u.Path
	q := u.Query()
	u.RawQuery = ""
	var src bitcoin.Source
	var err error
	switch b.kind {
	case "rpc":
		o := rpc.Options{User: u.User.Username(), Cookie: q.Get("cookie"), CA: q.Get("ca"), Chain: p.Chain}
		if o.Cookie == "" {
			if o.Password, err = b.password(); err != nil {
				return multi.Member{}, err
			}
		}
		u.User = nil
		o.URL = u.String()
		src, err = rpc.Open(o)
	case "esplora":
		src, err = esplora.Open(esplora.Options{URL: u.String(), Chain: p.Chain})
	default:
		o := p2p.Options{Params: p.Chain}
		if u.Host != "" {
			o.Peers = []string{u.Host}
		}
		name = "p2p:" + strings.TrimPrefix(u.Redacted(), "p2p:")
		src, err = p2p.Open(o)
	}
	return multi.Member{Name: name, Source: src}, err
}

func (s *public) connect(ctx context.Context) (chainInfo, error) {
	return chainInfo{FirstBlock: s.p.FirstBlock, Chain: s.cfg.Network + " " + s.p.Rules}, nil
}

func (s *public) rules(chainInfo) (*chain.Params, error) { return s.p, nil }

func (s *public) address() string {
	var names []string
	for _, m := range s.Status() {
		names = append(names, m.Name)
	}
	return strings.Join(names, ", ")
}

func (s *public) unreachable(err error) error {
	return failf(exitChain, "%s can't be followed: %w; look at chain.sources in the config", s.cfg.Network, err)
}

// zonefileTime bounds a question for a zone file.
const zonefileTime = 30 * time.Second

// Zonefile asks each place of the config for a zone file.
func (s *public) Zonefile(ctx context.Context, hash [20]byte) ([]byte, error) {
	err := fmt.Errorf("zone file %x: no place in chain.zonefiles has it: %w", hash, os.ErrNotExist)
	for _, base := range s.cfg.Zonefiles {
		b, e := s.zonefile(ctx, http.MethodGet, base, hash, nil)
		if e == nil && zonefile.Hash(b) == hash {
			return b, nil
		}
		if e != nil && !os.IsNotExist(e) {
			err = e
		}
	}
	return nil, err
}

// errNoPlace reports a config without a place for zone files.
var errNoPlace = errors.New("no place for zone files is given as chain.zonefiles in the config")

// PutZonefile offers a zone file to each place of the config; one has to take it.
func (s *public) PutZonefile(ctx context.Context, data []byte) error {
	err := errNoPlace
	taken := false
	for _, base := range s.cfg.Zonefiles {
		if _, e := s.zonefile(ctx, http.MethodPut, base, zonefile.Hash(data), data); e != nil {
			err = e
		} else {
			taken = true
		}
	}
	if taken {
		return nil
	}
	return err
}

func (s *public) zonefile(ctx context.Context, method, base string, hash [20]byte, body []byte) ([]byte, error) {
	url := strings.TrimSuffix(base, "/") + "/zonefile/" + hex.EncodeToString(hash[:])
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound && method == http.MethodGet:
		return nil, os.ErrNotExist
	case resp.StatusCode/100 != 2:
		return nil, fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxZonefileAnswer))
}

// maxZonefileAnswer is longer than any zone file or batch.
const maxZonefileAnswer = 2 << 20

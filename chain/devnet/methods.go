package devnet

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"

	"satchel/chain/ops"
)

type method = func(n *Node, ctx context.Context, p []json.RawMessage) (any, error)

// methods are those of bitcoind that followers and wallets need.
var methods = map[string]method{
	"getblockchaininfo": func(n *Node, ctx context.Context, p []json.RawMessage) (any, error) {
		n.mu.RLock()
		defer n.mu.RUnlock()
		s := n.chain.BestSnapshot()
		return map[string]any{
			"chain": "regtest", "blocks": s.Height, "headers": s.Height, "bestblockhash": s.Hash.String(),
			"mediantime": s.MedianTime.Unix(), "initialblockdownload": false, "pruned": false,
		}, nil
	},
	"getblockcount": func(n *Node, ctx context.Context, p []json.RawMessage) (any, error) { return n.Height(), nil },
	"getbestblockhash": func(n *Node, ctx context.Context, p []json.RawMessage) (any, error) {
		tip, _ := n.tip()
		return tip.String(), nil
	},
	"getblockhash": func(n *Node, ctx context.Context, p []json.RawMessage) (any, error) {
		height, err := param[int32](p, 0)
		if err != nil {
			return nil, err
		}
		n.mu.RLock()
		defer n.mu.RUnlock()
		h, err := n.chain.BlockHashByHeight(height)
		if err != nil {
			return nil, &rpcError{codeRange, "Block height out of range"}
		}
		return h.String(), nil
	},
	"getblockheader":     (*Node).rpcHeader,
	"getblock":           (*Node).rpcBlock,
	"getrawtransaction":  (*Node).rpcTx,
	"sendrawtransaction": (*Node).rpcSend,
	"scantxoutset":       (*Node).rpcScan,
	"generatetoaddress":  (*Node).rpcGenerate,
	"invalidateblock": func(n *Node, ctx context.Context, p []json.RawMessage) (any, error) {
		h, err := hashParam(p, 0)
		if err != nil {
			return nil, err
		}
		return nil, n.Invalidate(h, 0)
	},
	"reconsiderblock": func(n *Node, ctx context.Context, p []json.RawMessage) (any, error) {
		h, err := hashParam(p, 0)
		if err != nil {
			return nil, err
		}
		return nil, n.Reconsider(h)
	},
}

func param[T any](p []json.RawMessage, i int) (v T, err error) {
	if i >= len(p) || json.Unmarshal(p[i], &v) != nil {
		return v, &rpcError{codeBadParams, fmt.Sprintf("parameter %d is missing or of another kind", i+1)}
	}
	return v, nil
}

func hashParam(p []json.RawMessage, i int) (chainhash.Hash, error) {
	s, err := param[string](p, i)
	if err != nil {
		return chainhash.Hash{}, err
	}
	h, err := chainhash.NewHashFromStr(s)
	if err != nil || len(s) != 64 {
		return chainhash.Hash{}, &rpcError{codeRange, "a hash is 64 hex digits"}
	}
	return *h, nil
}

// verbosity reads a parameter that is false, true or a number; absent is def.
func verbosity(p []json.RawMessage, i, def int) int {
	if i >= len(p) {
		return def
	}
	if b, err := param[bool](p, i); err == nil {
		if b {
			return 1
		}
		return 0
	}
	v, _ := param[int](p, i)
	return v
}

func (n *Node) rpcHeader(ctx context.Context, p []json.RawMessage) (any, error) {
	hash, err := hashParam(p, 0)
	if err != nil {
		return nil, err
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	h, err := n.chain.HeaderByHash(&hash)
	if err != nil {
		return nil, &rpcError{codeNotFound, "Block not found"}
	}
	if verbosity(p, 1, 1) == 0 {
		var b bytes.Buffer
		_ = h.Serialize(&b) // a bytes.Buffer takes everything
		return hex.EncodeToString(b.Bytes()), nil
	}
	v := map[string]any{
		"hash": hash.String(), "confirmations": -1, "version": h.Version, "previousblockhash": h.PrevBlock.String(),
		"merkleroot": h.MerkleRoot.String(), "time": h.Timestamp.Unix(), "nonce": h.Nonce, "bits": fmt.Sprintf("%08x", h.Bits),
	}
	if height, err := n.chain.BlockHeightByHash(&hash); err == nil {
		v["height"], v["confirmations"] = height, n.chain.BestSnapshot().Height-height+1
		if next, err := n.chain.BlockHashByHeight(height + 1); err == nil {
			v["nextblockhash"] = next.String()
		}
	}
	return v, nil
}

func (n *Node) rpcBlock(ctx context.Context, p []json.RawMessage) (any, error) {
	hash, err := hashParam(p, 0)
	if err != nil {
		return nil, err
	}
	if verbosity(p, 1, 1) != 0 {
		return nil, &rpcError{codeBadParams, "only verbosity 0 is offered here"}
	}
	raw, err := n.Block(ctx, hash)
	if err != nil {
		return nil, &rpcError{codeNotFound, "Block not found"}
	}
	return hex.EncodeToString(raw), nil
}

func (n *Node) rpcTx(ctx context.Context, p []json.RawMessage) (any, error) {
	hash, err := hashParam(p, 0)
	if err != nil {
		return nil, err
	}
	if verbosity(p, 1, 0) != 0 {
		return nil, &rpcError{codeBadParams, "only verbosity 0 is offered here"}
	}
	raw, err := n.PrevTx(ctx, hash)
	if err != nil {
		return nil, &rpcError{codeNotFound, "No such mempool or blockchain transaction"}
	}
	return hex.EncodeToString(raw), nil
}

func (n *Node) rpcSend(ctx context.Context, p []json.RawMessage) (any, error) {
	s, err := param[string](p, 0)
	if err != nil {
		return nil, err
	}
	raw, err := hex.DecodeString(s)
	if err != nil {
		return nil, &rpcError{codeDecode, "TX decode failed"}
	}
	hash, err := n.Broadcast(ctx, raw)
	if r := (rejection{}); errors.As(err, &r) {
		return nil, &rpcError{codeRejected, err.Error()}
	}
	if err != nil {
		return nil, err
	}
	return hash.String(), nil
}

// rpcScan answers scantxoutset "start" for descriptors raw(SCRIPT) and addr(ADDRESS).
func (n *Node) rpcScan(ctx context.Context, p []json.RawMessage) (any, error) {
	action, err := param[string](p, 0)
	if err != nil || action != "start" {
		return nil, &rpcError{codeBadParams, `only "start" is offered here`}
	}
	list, err := param[[]string](p, 1)
	if err != nil {
		return nil, err
	}
	type unspent struct {
		Txid   string      `json:"txid"`
		Vout   uint32      `json:"vout"`
		Script string      `json:"scriptPubKey"`
		Amount json.Number `json:"amount"`
		Height int         `json:"height"`
	}
	found := []unspent{}
	for _, d := range list {
		script, err := n.descriptor(d)
		if err != nil {
			return nil, &rpcError{codeNotFound, err.Error()}
		}
		outs, err := n.Unspent(ctx, script)
		if err != nil {
			return nil, err
		}
		for _, o := range outs {
			amount := json.Number(fmt.Sprintf("%d.%08d", o.Value/1e8, o.Value%1e8))
			found = append(found, unspent{o.OutPoint.Hash.String(), o.OutPoint.Index, hex.EncodeToString(script), amount, o.Height})
		}
	}
	return map[string]any{"success": true, "height": n.Height(), "unspents": found}, nil
}

func (n *Node) descriptor(d string) ([]byte, error) {
	d, _, _ = strings.Cut(d, "#") // a checksum
	if s, ok := strings.CutPrefix(d, "raw("); ok {
		return hex.DecodeString(strings.TrimSuffix(s, ")"))
	}
	if s, ok := strings.CutPrefix(d, "addr("); ok {
		return ops.PayTo(strings.TrimSuffix(s, ")"), n.params)
	}
	return nil, fmt.Errorf("descriptor %q: raw(SCRIPT) and addr(ADDRESS) are known", d)
}

func (n *Node) rpcGenerate(ctx context.Context, p []json.RawMessage) (any, error) {
	count, err := param[int](p, 0)
	if err != nil {
		return nil, err
	}
	addr, err := param[string](p, 1)
	if err != nil {
		return nil, err
	}
	script, err := ops.PayTo(addr, n.params)
	if err != nil {
		return nil, &rpcError{codeNotFound, err.Error()}
	}
	hashes, err := n.mineTo(script, count)
	if err != nil {
		return nil, &rpcError{codeRange, err.Error()}
	}
	list := make([]string, len(hashes))
	for i, h := range hashes {
		list[i] = h.String()
	}
	return list, nil
}

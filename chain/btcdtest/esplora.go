package btcdtest

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
	"satchel/chain/ops"
)

// An Esplora serves what a source has in the way of an Esplora server.
type Esplora struct {
	URL  string
	Fees map[string]float64 // what it says of fees

	chain *chaincfg.Params
	src   bitcoin.Source
}

// StartEsplora starts an Esplora server over a source, such as a node's RPC. It
// stops when the test ends.
func StartEsplora(t testing.TB, p *chaincfg.Params, src bitcoin.Source) *Esplora {
	e := &Esplora{chain: p, src: src, Fees: map[string]float64{"1": 20, "6": 12.5, "144": 1.1}}
	s := httptest.NewServer(e.handler())
	t.Cleanup(s.Close)
	e.URL = s.URL + "/api"
	return e
}

type answer func(r *http.Request) (any, error)

func (e *Esplora) handler() http.Handler {
	mux := http.NewServeMux()
	for path, f := range map[string]answer{
		"GET /api/blocks/tip/height":   e.tip,
		"GET /api/block-height/{h}":    e.hashAt,
		"GET /api/blocks/{h}":          e.blocks,
		"GET /api/block/{hash}/status": e.status,
		"GET /api/block/{hash}/raw":    e.block,
		"GET /api/tx/{hash}/raw":       e.tx,
		"POST /api/tx":                 e.send,
		"GET /api/address/{a}/utxo":    e.coins,
		"GET /api/fee-estimates":       func(*http.Request) (any, error) { return e.Fees, nil },
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			v, err := f(r)
			switch v := v.(type) {
			case []byte:
				w.Write(v)
			case string:
				io.WriteString(w, v)
			case nil:
				status := http.StatusBadRequest
				if errors.Is(err, os.ErrNotExist) {
					status = http.StatusNotFound
				}
				http.Error(w, err.Error(), status)
			default:
				json.NewEncoder(w).Encode(v)
			}
		})
	}
	return mux
}

// best returns the headers of the source's best chain, by height.
func (e *Esplora) best(r *http.Request) ([]wire.BlockHeader, error) {
	list := []wire.BlockHeader{e.chain.GenesisBlock.Header}
	for {
		more, err := e.src.Headers(r.Context(), []chainhash.Hash{list[len(list)-1].BlockHash()})
		if err != nil || len(more) == 0 {
			return list, err
		}
		list = append(list, more...)
	}
}

// at returns the headers up to the height that is asked for.
func (e *Esplora) at(r *http.Request) ([]wire.BlockHeader, error) {
	list, err := e.best(r)
	if err != nil {
		return nil, err
	}
	h, err := strconv.Atoi(r.PathValue("h"))
	if err != nil || h < 0 || h >= len(list) {
		return nil, fmt.Errorf("block not found: %w", os.ErrNotExist)
	}
	return list[:h+1], nil
}

func (e *Esplora) tip(r *http.Request) (any, error) {
	list, err := e.best(r)
	if err != nil {
		return nil, err
	}
	return strconv.Itoa(len(list) - 1), nil
}

func (e *Esplora) hashAt(r *http.Request) (any, error) {
	list, err := e.at(r)
	if err != nil {
		return nil, err
	}
	return list[len(list)-1].BlockHash().String(), nil
}

func (e *Esplora) blocks(r *http.Request) (any, error) {
	list, err := e.at(r)
	if err != nil {
		return nil, err
	}
	var out []map[string]any
	for i := len(list) - 1; i >= 0 && len(out) < 10; i-- {
		h := list[i]
		b := map[string]any{
			"id": h.BlockHash().String(), "height": i, "version": h.Version, "timestamp": h.Timestamp.Unix(), "bits": h.Bits,
			"nonce": h.Nonce, "merkle_root": h.MerkleRoot.String(), "previousblockhash": nil, "tx_count": 1,
		}
		if i > 0 {
			b["previousblockhash"] = h.PrevBlock.String()
		}
		out = append(out, b)
	}
	return out, nil
}

func (e *Esplora) status(r *http.Request) (any, error) {
	list, err := e.best(r)
	if err != nil {
		return nil, err
	}
	for i, h := range list {
		if h.BlockHash().String() == r.PathValue("hash") {
			return map[string]any{"in_best_chain": true, "height": i}, nil
		}
	}
	return map[string]any{"in_best_chain": false}, nil
}

func (e *Esplora) hash(r *http.Request) (chainhash.Hash, error) {
	h, err := chainhash.NewHashFromStr(r.PathValue("hash"))
	if err != nil {
		return chainhash.Hash{}, err
	}
	return *h, nil
}

func (e *Esplora) block(r *http.Request) (any, error) {
	h, err := e.hash(r)
	if err != nil {
		return nil, err
	}
	return found(e.src.Block(r.Context(), h))
}

func (e *Esplora) tx(r *http.Request) (any, error) {
	h, err := e.hash(r)
	if err != nil {
		return nil, err
	}
	return found(e.src.(bitcoin.PrevTxer).PrevTx(r.Context(), h))
}

func found(b []byte, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return b, nil
}

// send refuses in electrs' words.
func (e *Esplora) send(r *http.Request) (any, error) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil {
		return nil, err
	}
	txid, err := e.src.(bitcoin.Broadcaster).Broadcast(r.Context(), raw)
	if err != nil {
		return nil, fmt.Errorf(`sendrawtransaction RPC error: {"code":-26,"message":%q}`, err)
	}
	return txid.String(), nil
}

func (e *Esplora) coins(r *http.Request) (any, error) {
	script, err := ops.PayTo(r.PathValue("a"), e.chain)
	if err != nil {
		return nil, err
	}
	coins, err := e.src.(bitcoin.Unspenter).Unspent(r.Context(), script)
	if err != nil {
		return nil, err
	}
	out := []map[string]any{}
	for _, c := range coins {
		status := map[string]any{"confirmed": c.Height > 0}
		if c.Height > 0 {
			status["block_height"] = c.Height
		}
		out = append(out, map[string]any{"txid": c.OutPoint.Hash.String(), "vout": c.OutPoint.Index, "value": c.Value, "status": status})
	}
	return out, nil
}

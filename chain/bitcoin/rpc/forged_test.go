package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
)

// TestForgedCoin: a node that says of a coin what its transaction doesn't is not
// believed.
func TestForgedCoin(t *testing.T) {
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(&wire.TxIn{})
	tx.AddTxOut(&wire.TxOut{Value: 10_000, PkScript: []byte{0x51}})
	for amount, want := range map[string]error{"0.0001": nil, "0.00009": bitcoin.ErrBadTx, "1": bitcoin.ErrBadTx} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var q struct {
				Method string `json:"method"`
			}
			if json.NewDecoder(r.Body).Decode(&q) != nil { // a batch
				fmt.Fprint(w, `[{"id":0,"result":{"confirmations":5,"coinbase":false}}]`)
				return
			}
			switch q.Method {
			case "scantxoutset":
				fmt.Fprintf(w, `{"id":0,"result":{"bestblock":"%064d","unspents":[{"txid":"%v","vout":0,"amount":%s,"height":7}]}}`, 1, tx.TxHash(), amount)
			case "getrawtransaction":
				var raw bytes.Buffer
				_ = tx.Serialize(&raw)
				fmt.Fprintf(w, `{"id":0,"result":"%x"}`, raw.Bytes())
			default:
				fmt.Fprintf(w, `{"id":0,"result":"%064d"}`, 1)
			}
		}))
		if _, err := New(srv.URL).Unspent(t.Context(), []byte{0x51}); !errors.Is(err, want) {
			t.Errorf("%s bitcoin: %v, want %v", amount, err, want)
		}
		srv.Close()
	}
}

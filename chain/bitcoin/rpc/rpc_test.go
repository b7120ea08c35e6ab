package rpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
	"satchel/chain/bitcoin/rpc"
	"satchel/chain/devnet"
	"satchel/chain/ops"
	"satchel/chain/registrar"
)

var (
	_ bitcoin.Source      = (*rpc.Client)(nil)
	_ bitcoin.PrevTxer    = (*rpc.Client)(nil)
	_ bitcoin.Broadcaster = (*rpc.Client)(nil)
	_ bitcoin.Unspenter   = (*rpc.Client)(nil)
)

// newNode returns a private chain, what handles its requests, and a client of it.
func newNode(t *testing.T) (*devnet.Node, *rpc.Client) {
	t.Helper()
	n, err := devnet.Open(t.TempDir(), devnet.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	s := httptest.NewServer(n.Handler())
	t.Cleanup(s.Close)
	return n, rpc.New(s.URL)
}

// sync adds to hs what the client has.
func sync(t *testing.T, c *rpc.Client, hs *bitcoin.Headers) {
	t.Helper()
	for {
		list, err := c.Headers(t.Context(), hs.Locator())
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			return
		}
		if len(list) > bitcoin.MaxHeaders {
			t.Fatalf("%d headers at once", len(list))
		}
		if _, err := hs.Add(list); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSource(t *testing.T) {
	ctx := t.Context()
	n, c := newNode(t)
	for range 3 { // more than one answer, and one batch, hold
		if err := n.Mine(devnet.MaxMine); err != nil {
			t.Fatal(err)
		}
	}
	hs := bitcoin.NewHeaders(&chaincfg.RegressionNetParams)
	sync(t, c, hs)
	if got, want := hs.Best().Height, n.Height(); got != want {
		t.Fatalf("headers up to %d, want %d", got, want)
	}
	if err := n.Reorg(7); err != nil {
		t.Fatal(err)
	}
	sync(t, c, hs)
	if got, want := hs.Best().Height, n.Height(); got != want {
		t.Errorf("headers up to %d after a reorganisation, want %d", got, want)
	}
	raw, err := c.Block(ctx, hs.Best().Hash)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bitcoin.Verify(hs.Best(), raw); err != nil {
		t.Error(err)
	}
	if _, err := c.Block(ctx, chainhash.Hash{1}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a block that isn't there: %v", err)
	}
	if _, err := c.PrevTx(ctx, chainhash.Hash{1}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a transaction that isn't there: %v", err)
	}
}

func TestCoins(t *testing.T) {
	ctx := t.Context()
	n, c := newNode(t)
	key := mustKey(t)
	script := registrar.ScriptOf(key)
	if coins, err := c.Unspent(ctx, script); err != nil || len(coins) != 0 {
		t.Errorf("coins %v, %v", coins, err)
	}
	const sat = 123_456_789
	fund, err := n.Fund(ctx, ops.Address(script, &chaincfg.RegressionNetParams), sat)
	if err != nil {
		t.Fatal(err)
	}
	coins, err := c.Unspent(ctx, script)
	if err != nil || len(coins) != 1 || coins[0].Value != sat || coins[0].OutPoint.Hash != fund || coins[0].Height != n.Height() || string(coins[0].Script) != string(script) {
		t.Fatalf("coins %+v, %v", coins, err)
	}
	tx, err := registrar.Build(key, coins, []*wire.TxOut{wire.NewTxOut(1e8, script)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	var raw strings.Builder
	if err := tx.Serialize(&raw); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is known
		if got, err := c.Broadcast(ctx, []byte(raw.String())); err != nil || got != tx.TxHash() {
			t.Fatalf("broadcast: %v, %v", got, err)
		}
	}
	if got, err := c.PrevTx(ctx, tx.TxHash()); err != nil || string(got) != raw.String() {
		t.Errorf("previous transaction %x, %v", got, err)
	}
	again, err := registrar.Build(key, coins, []*wire.TxOut{wire.NewTxOut(1e7, script)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	raw.Reset()
	if err := again.Serialize(&raw); err != nil {
		t.Fatal(err)
	}
	var refused interface{ Rejected() bool }
	if _, err := c.Broadcast(ctx, []byte(raw.String())); !errors.As(err, &refused) || !refused.Rejected() {
		t.Errorf("coins spent twice: %v", err)
	}
}

// bad answers; a part of the error that is wanted.
var bad = []struct{ what, body, want string }{
	{"nothing", ``, "getblockcount"},
	{"no JSON", `<html>`, "getblockcount"},
	{"another kind", `{"id":0,"result":"x","error":null}`, "getblockcount"},
	{"an error", `{"id":0,"result":null,"error":{"code":-28,"message":"Loading block index"}}`, "Loading block index"},
	{"too long", `{"result":"` + strings.Repeat("0", 10<<20) + `"}`, "too long"},
}

func TestBadAnswers(t *testing.T) {
	for _, b := range bad {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, b.body) }))
		var v int
		if err := rpc.New(s.URL).Call(t.Context(), &v, "getblockcount"); err == nil || !strings.Contains(err.Error(), b.want) {
			t.Errorf("%s: %.200v; want %q", b.what, err, b.want)
		}
		s.Close()
	}
}

// liar answers each method with one result, in batches too.
func liar(t *testing.T, results map[string]string) *rpc.Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		type call struct {
			ID     int
			Method string
		}
		var list []call
		if json.Unmarshal(body, &list) == nil {
			var out []string
			for _, c := range list {
				out = append(out, fmt.Sprintf(`{"id":%d,"result":%s,"error":null}`, c.ID, results[c.Method]))
			}
			fmt.Fprintf(w, "[%s]", strings.Join(out, ","))
			return
		}
		var c call
		_ = json.Unmarshal(body, &c)
		fmt.Fprintf(w, `{"id":0,"result":%s,"error":null}`, results[c.Method])
	}))
	t.Cleanup(s.Close)
	return rpc.New(s.URL)
}

func TestLiars(t *testing.T) {
	ctx := context.Background()
	hash := `"` + strings.Repeat("ab", 32) + `"`
	locator := []chainhash.Hash{*chaincfg.RegressionNetParams.GenesisHash}
	known := `{"height":0,"confirmations":1}`
	for _, results := range []map[string]string{
		{"getblockheader": known, "getblockcount": `"many"`},
		{"getblockheader": known, "getblockcount": `1e99`},
		{"getblockheader": known, "getblockcount": `3`, "getblockhash": `7`},
		{"getblockheader": known, "getblockcount": `3`, "getblockhash": hash}, // an object for a header
		{"getblockheader": `"zz"`, "getblockcount": `3`, "getblockhash": hash},
		{"getblockheader": `null`, "getblockcount": `3`, "getblockhash": hash},
	} {
		if list, err := liar(t, results).Headers(ctx, locator); err == nil {
			t.Errorf("%v: %d headers", results, len(list))
		}
	}
	if _, err := liar(t, map[string]string{"getblock": `"xyz"`}).Block(ctx, chainhash.Hash{}); err == nil {
		t.Error("a block that is no hex")
	}
	for _, amount := range []string{`-1`, `1e30`, `0.000000001`, `"x"`, `21000001`, `1e-9999999`, `1e999999999`, `1e+10`} {
		c := liar(t, map[string]string{
			"getbestblockhash": hash,
			"scantxoutset":     `{"unspents":[{"txid":` + hash + `,"vout":0,"amount":` + amount + `,"height":1}]}`,
		})
		if coins, err := c.Unspent(ctx, []byte{1}); err == nil || !strings.Contains(err.Error(), "scantxoutset") {
			t.Errorf("amount %s: %v", amount, coins)
		}
	}
	c := liar(t, map[string]string{
		"getbestblockhash": hash,
		"scantxoutset":     `{"unspents":[{"txid":` + hash + `,"vout":4294967295,"amount":2.099999997690000E+07,"height":1}]}`,
		"gettxout":         `{"confirmations":1}`,
	})
	if _, err := c.Unspent(ctx, []byte{1}); err == nil || strings.Contains(err.Error(), "scantxoutset") { // the amount can be; the transaction isn't there
		t.Errorf("all the money there is: %v", err)
	}
}

func TestPassword(t *testing.T) {
	var elsewhere string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		elsewhere = r.Header.Get("Authorization") + r.URL.Path
	}))
	defer other.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch user, pass, _ := r.BasicAuth(); {
		case user == "redirect":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case user != "ada" || pass != "secret":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			io.WriteString(w, `{"id":0,"result":7,"error":null}`)
		}
	}))
	defer s.Close()
	var v int
	c := rpc.New(s.URL)
	c.User, c.Password = "ada", "secret"
	if err := c.Call(t.Context(), &v, "getblockcount"); err != nil || v != 7 {
		t.Errorf("%d, %v", v, err)
	}
	c.Password = "hidden"
	err := c.Call(t.Context(), &v, "getblockcount")
	if !errors.Is(err, os.ErrPermission) || strings.Contains(err.Error(), "hidden") {
		t.Errorf("wrong password: %v", err)
	}
	c.User = "redirect"
	if err := c.Call(t.Context(), &v, "getblockcount"); err == nil || elsewhere != "" {
		t.Errorf("sent elsewhere: %v, %q", err, elsewhere)
	}
}

// FuzzAnswer hands whatever comes to all that reads answers, as a bitcoind's and
// as a btcd's.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"id":0,"result":3,"error":null}`))
	f.Add([]byte(`[{"id":0,"result":"00","error":null}]`))
	f.Add([]byte(`{"result":{"unspents":[{"txid":"00","vout":1,"amount":0.5}]}}`))
	f.Add([]byte(`{"result":{"height":-1,"confirmations":5}}`))
	f.Add([]byte(`{"result":["0100000000000000000000000000000000000000000000"]}`))
	f.Add([]byte(`{"result":{"feerate":1e-5}}`))
	f.Add([]byte(`{"result":"","error":{"code":-5,"message":"--addrindex"}}`))
	var body []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ask, _ := io.ReadAll(r.Body)
		switch {
		case strings.Contains(string(ask), `"getblockhash","params":[0]`):
			fmt.Fprintf(w, `{"result":"%v"}`, chaincfg.RegressionNetParams.GenesisHash)
		case strings.Contains(string(ask), `"version"`):
			io.WriteString(w, `{"result":{"btcdjsonrpcapi":{}}}`)
		default:
			w.Write(body)
		}
	}))
	f.Cleanup(s.Close)
	btcd, err := rpc.Dial(context.Background(), rpc.Options{URL: s.URL, Chain: &chaincfg.RegressionNetParams})
	if err != nil {
		f.Fatal(err)
	}
	script := registrar.ScriptOf(mustKey(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		body = b
		for _, c := range []*rpc.Client{btcd, rpc.New(s.URL)} {
			ctx := t.Context()
			if list, err := c.Headers(ctx, []chainhash.Hash{{1}}); err == nil && len(list) > bitcoin.MaxHeaders {
				t.Errorf("%d headers", len(list))
			}
			_, _ = c.Block(ctx, chainhash.Hash{})
			coins, err := c.Unspent(ctx, script)
			for _, o := range coins {
				if err == nil && (o.Value < 0 || o.Value > 21e14) {
					t.Errorf("coin of %d satoshi", o.Value)
				}
			}
			if rate, err := c.FeeRate(ctx, 6); err == nil && (rate < 1000 || rate > 1e7) {
				t.Errorf("fee rate %d", rate)
			}
			c.Close()
		}
	})
}

func mustKey(t testing.TB) *btcec.PrivateKey {
	t.Helper()
	key, err := btcec.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

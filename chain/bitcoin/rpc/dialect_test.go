package rpc_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
	"satchel/chain/bitcoin/rpc"
	"satchel/chain/registrar"
)

// A node answers as bitcoind does, each method by a function of how often it
// was called.
type node struct {
	methods map[string]func(n int) string // result, or "error CODE MESSAGE"
	calls   map[string]int
	user    string
	pass    string
	busy    int // times yet
}

func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if user, pass, _ := r.BasicAuth(); user != n.user || pass != n.pass {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if n.busy > 0 {
		n.busy--
		http.Error(w, "Work queue depth exceeded", http.StatusServiceUnavailable)
		return
	}
	body, _ := io.ReadAll(r.Body)
	type call struct {
		ID     int
		Method string
	}
	var list []call
	if json.Unmarshal(body, &list) == nil {
		var out []string
		for _, c := range list {
			out = append(out, n.answer(c.ID, c.Method))
		}
		fmt.Fprintf(w, "[%s]", strings.Join(out, ","))
		return
	}
	var c call
	_ = json.Unmarshal(body, &c)
	s := n.answer(c.ID, c.Method)
	if strings.Contains(s, `"result":null,"error":{`) {
		w.WriteHeader(http.StatusInternalServerError) // as bitcoind does
	}
	io.WriteString(w, s)
}

func (n *node) answer(id int, method string) string {
	n.calls[method]++
	f := n.methods[method]
	s := `error -32601 Method not found`
	if f != nil {
		s = f(n.calls[method])
	}
	if e, ok := strings.CutPrefix(s, "error "); ok {
		code, message, _ := strings.Cut(e, " ")
		return fmt.Sprintf(`{"id":%d,"result":null,"error":{"code":%s,"message":%q}}`, id, code, message)
	}
	return fmt.Sprintf(`{"id":%d,"result":%s,"error":null}`, id, s)
}

// always answers the same.
func always(s string) func(int) string { return func(int) string { return s } }

// serve returns a node and options to ask it.
func serve(t *testing.T, methods map[string]func(int) string) (*node, rpc.Options) {
	t.Helper()
	n := &node{methods: methods, calls: make(map[string]int)}
	s := httptest.NewServer(n)
	t.Cleanup(s.Close)
	methods["getblockhash"] = always(fmt.Sprintf("%q", chaincfg.RegressionNetParams.GenesisHash))
	return n, rpc.Options{URL: s.URL, Chain: &chaincfg.RegressionNetParams}
}

func open(t *testing.T, o rpc.Options) *rpc.Client {
	t.Helper()
	c, err := rpc.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestCookie(t *testing.T) {
	n, o := serve(t, map[string]func(int) string{"getblockcount": always("7")})
	n.user, n.pass = "__cookie__", "first"
	o.Cookie = filepath.Join(t.TempDir(), ".cookie")
	c := open(t, o)
	ask := func() error { var v int; return c.Call(t.Context(), &v, "getblockcount") }
	if err := ask(); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), o.Cookie) {
		t.Errorf("no cookie: %v", err)
	}
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(o.Cookie, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("__cookie__:first\n")
	if err := ask(); err != nil {
		t.Error(err)
	}
	n.pass = "second" // it was started again
	if err := ask(); !errors.Is(err, os.ErrPermission) || strings.Contains(err.Error(), "first") {
		t.Errorf("an old cookie: %v", err)
	}
	write("__cookie__:second")
	if err := ask(); err != nil {
		t.Error(err)
	}
	n.pass = "third"
	for _, s := range []string{"", "nonsense", ":x", strings.Repeat("x", 10_000) + ":x"} {
		write(s)
		if err := ask(); err == nil || !strings.Contains(err.Error(), "no cookie file") {
			t.Errorf("cookie %.20q: %v", s, err)
		}
	}
}

func TestBusy(t *testing.T) {
	n, o := serve(t, map[string]func(int) string{"getblockcount": always("7")})
	c := open(t, o)
	n.busy = 1
	if err := c.Call(t.Context(), nil, "getblockcount"); err != nil {
		t.Errorf("busy once: %v", err)
	}
	n.busy = 100
	if err := c.Call(t.Context(), nil, "getblockcount"); err == nil || !strings.Contains(err.Error(), "busy") || n.busy != 97 {
		t.Errorf("busy: %v, asked %d times", err, 100-n.busy)
	}
}

// TestLate finds the network out when the node comes.
func TestLate(t *testing.T) {
	n, o := serve(t, map[string]func(int) string{"getblockcount": always("7")})
	good := n.methods["getblockhash"]
	n.methods["getblockhash"] = always(`error -28 Loading block index`)
	c := open(t, o)
	if err := c.Call(t.Context(), nil, "getblockcount"); err == nil || !strings.Contains(err.Error(), "Loading") {
		t.Errorf("starting: %v", err)
	}
	n.methods["getblockhash"] = always(`"00"`)
	if err := c.Call(t.Context(), nil, "getblockcount"); !errors.Is(err, rpc.ErrNetwork) || n.calls["getblockcount"] != 0 {
		t.Errorf("another network: %v", err)
	}
	n.methods["getblockhash"] = good
	for range 2 {
		if err := c.Call(t.Context(), nil, "getblockcount"); err != nil {
			t.Error(err)
		}
	}
	if n.calls["getblockhash"] != 3 {
		t.Errorf("the network was asked for %d times", n.calls["getblockhash"])
	}
}

// coins is the transaction that coin tells of.
func coins() *wire.MsgTx {
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(&wire.TxIn{})
	for range 4 {
		tx.AddTxOut(&wire.TxOut{Value: 5e7, PkScript: []byte{1, 2, 3}})
	}
	return tx
}

// coin is an answer to scantxoutset.
func coin(vout, height int) string {
	return fmt.Sprintf(`{"txid":"%v","vout":%d,"amount":0.50000000,"height":%d}`, coins().TxHash(), vout, height)
}

func TestScan(t *testing.T) {
	best := "aa"
	list := []string{coin(0, 10), coin(1, 11), coin(2, 12), coin(3, 13)}
	n, o := serve(t, map[string]func(int) string{
		"getbestblockhash": func(int) string { return fmt.Sprintf("%q", best) },
		"getrawtransaction": func(int) string {
			var raw bytes.Buffer
			_ = coins().Serialize(&raw)
			return fmt.Sprintf(`"%x"`, raw.Bytes())
		},
		"scantxoutset": func(n int) string {
			if n == 1 {
				return `error -8 Scan already in progress, use action "abort" or "status"`
			}
			return fmt.Sprintf(`{"success":true,"bestblock":%q,"unspents":[%s]}`, best, strings.Join(list, ","))
		},
		"gettxout": func(n int) string {
			return []string{
				`{"confirmations":5,"coinbase":false}`,
				`null`,                                 // spent by what waits
				`{"confirmations":99,"coinbase":true}`, // young
				`{"confirmations":100,"coinbase":true}`,
			}[(n-1)%4]
		},
	})
	c := open(t, o)
	began := time.Now()
	for range 2 {
		coins, err := c.Unspent(t.Context(), []byte{1, 2, 3})
		if err != nil || len(coins) != 2 || coins[0].Height != 10 || coins[1].Height != 13 || coins[1].OutPoint.Index != 3 || coins[0].Value != 5e7 {
			t.Fatalf("coins %+v, %v", coins, err)
		}
	}
	if n.calls["scantxoutset"] != 2 || time.Since(began) < time.Second {
		t.Errorf("scanned %d times", n.calls["scantxoutset"])
	}
	best = "bb"
	if _, err := c.Unspent(t.Context(), []byte{1, 2, 3}); err != nil || n.calls["scantxoutset"] != 3 {
		t.Errorf("scanned %d times after a block, %v", n.calls["scantxoutset"], err)
	}
	// The node has the same answer for another script.
	if _, err := c.Unspent(t.Context(), []byte{1, 2, 4}); !errors.Is(err, bitcoin.ErrBadTx) || n.calls["scantxoutset"] != 4 {
		t.Errorf("scanned %d times for two scripts, %v", n.calls["scantxoutset"], err)
	}
}

func TestMissing(t *testing.T) {
	_, o := serve(t, map[string]func(int) string{
		"getrawtransaction": always("error -5 No such mempool transaction. Use -txindex or provide a block hash to enable blockchain transaction queries. Use gettransaction for wallet transactions."),
		"getblock":          always("error -1 Block not available (pruned data)"),
	})
	c := open(t, o)
	if _, err := c.PrevTx(t.Context(), chainhash.Hash{}); !errors.Is(err, rpc.ErrNoTxIndex) {
		t.Errorf("no index: %v", err)
	}
	if _, err := c.Block(t.Context(), chainhash.Hash{}); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "pruned") {
		t.Errorf("pruned: %v", err)
	}
}

func TestFeeRate(t *testing.T) {
	for _, b := range []struct {
		smart, btcd string // answers of bitcoind and btcd
		want        int64  // -1: can't tell, -2: another error
	}{
		{smart: `{"feerate":0.00012345,"blocks":6}`, want: 12345},
		{smart: `{"feerate":1.2e-05,"blocks":6}`, want: 1200},
		{smart: `{"feerate":0.000123455,"blocks":6}`, want: 12346},
		{smart: `{"feerate":0.00000100,"blocks":6}`, want: 1000}, // the least that is relayed
		{smart: `{"errors":["Insufficient data or no feerate found"],"blocks":2}`, want: -1},
		{smart: `error -32601 Method not found`, want: -1},
		{smart: `error -8 Invalid conf_target`, want: -2},
		{smart: `{"feerate":1.0,"blocks":6}`, want: -2},
		{smart: `{"feerate":-1,"blocks":6}`, want: -2},
		{smart: `{"feerate":1e999,"blocks":6}`, want: -2},
		{smart: `{"feerate":"x","blocks":6}`, want: -2},
		{btcd: `0.00002`, want: 2000},
		{btcd: `-1`, want: -1},
		{btcd: `error -32600 Invalid request: malformed`, want: -1},
		{btcd: `0`, want: -1},
		{btcd: `5`, want: -2},
	} {
		methods := map[string]func(int) string{"estimatesmartfee": always(b.smart)}
		if b.btcd != "" {
			methods = map[string]func(int) string{"estimatefee": always(b.btcd), "version": always(`{"btcd":{},"btcdjsonrpcapi":{}}`)}
		}
		_, o := serve(t, methods)
		got, err := open(t, o).FeeRate(t.Context(), 6)
		switch {
		case b.want == -1 && errors.Is(err, os.ErrNotExist):
		case b.want == -2 && err != nil && !errors.Is(err, os.ErrNotExist):
		case b.want > 0 && err == nil && got == b.want:
		default:
			t.Errorf("%+v: %d, %v", b, got, err)
		}
	}
}

// TestSearchAgain has blocks come while coins are looked for: what was found
// before and after one doesn't fit together.
func TestSearchAgain(t *testing.T) {
	for _, b := range []struct {
		tips     string
		searches int
		fails    bool
	}{{"aaaaaa", 1, false}, {"abbbbb", 2, false}, {"abcdef", 3, true}} {
		n, o := serve(t, map[string]func(int) string{
			"version":               always(`{"btcdjsonrpcapi":{}}`),
			"getblockcount":         always("7"),
			"getbestblockhash":      func(n int) string { return fmt.Sprintf("%q", b.tips[n-1:n]) },
			"searchrawtransactions": always("error -5 No information available about address"),
		})
		_, err := open(t, o).Unspent(t.Context(), registrar.ScriptOf(mustKey(t)))
		if (err != nil) != b.fails || n.calls["searchrawtransactions"] != b.searches {
			t.Errorf("tips %s: searched %d times, %v", b.tips, n.calls["searchrawtransactions"], err)
		}
	}
}

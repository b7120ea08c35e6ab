package esplora

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
)

var regtest = &chaincfg.RegressionNetParams

// A canned server answers each path with one text, others with 404.
type canned map[string]string

func (c canned) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s, ok := c[r.URL.Path]
	if !ok {
		if r.URL.Path == "/block-height/0" {
			fmt.Fprint(w, regtest.GenesisHash)
			return
		}
		http.NotFound(w, r)
		return
	}
	if status := 0; strings.HasPrefix(s, "!") {
		fmt.Sscanf(s, "!%d", &status)
		w.WriteHeader(status)
	}
	fmt.Fprint(w, s)
}

// client returns a client of a server, impatient.
func client(t testing.TB, h http.Handler) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := Open(Options{URL: s.URL, Chain: regtest})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.pause = time.Millisecond
	return c
}

// block1 is what a server tells of the genesis block, as if it were the block
// at height 1.
func block1(change ...string) string {
	h := regtest.GenesisBlock.Header
	s := fmt.Sprintf(`[{"id":"%v","height":1,"version":%d,"timestamp":%d,"bits":%d,"nonce":%d,"merkle_root":"%v","previousblockhash":null}]`,
		regtest.GenesisHash, h.Version, h.Timestamp.Unix(), h.Bits, h.Nonce, h.MerkleRoot)
	return strings.NewReplacer(change...).Replace(s)
}

func TestWrongHeaders(t *testing.T) {
	status := "/block/" + regtest.GenesisHash.String() + "/status"
	ask := func(c canned) error {
		_, err := client(t, c).Headers(t.Context(), []chainhash.Hash{*regtest.GenesisHash})
		return err
	}
	best := `{"in_best_chain":true,"height":0}`
	if err := ask(canned{status: best, "/blocks/tip/height": "1", "/blocks/1": block1()}); err != nil {
		t.Fatalf("the answers that are broken below are wrong as they are: %v", err)
	}
	if err := ask(canned{status: `{"in_best_chain":true}`, strings.TrimSuffix(status, "/status"): `{"height":0}`,
		"/blocks/tip/height": "1", "/blocks/1": block1()}); err != nil {
		t.Errorf("a server whose status has no height: %v", err)
	}
	for _, b := range []struct {
		why, want string
		answers   canned
	}{
		{"no height in the status", "there is none", canned{status: `{"in_best_chain":true,"height":-1}`}},
		{"status is no JSON", "status", canned{status: "<html>"}},
		{"no height", "is none", canned{status: best, "/blocks/tip/height": "many"}},
		{"negative", "is none", canned{status: best, "/blocks/tip/height": "-1"}},
		{"too high", "is none", canned{status: best, "/blocks/tip/height": "99999999999"}},
		{"too long", "too long", canned{status: best, "/blocks/tip/height": strings.Repeat("1", maxText+1)}},
		{"list too long", "too long", canned{status: best, "/blocks/tip/height": "1", "/blocks/1": strings.Repeat(" ", maxList+1)}},
		{"no list", "cannot unmarshal", canned{status: best, "/blocks/tip/height": "1", "/blocks/1": "{}"}},
		{"empty list", "shorter", canned{status: best, "/blocks/tip/height": "1", "/blocks/1": "[]"}},
		{"no block", "shorter", canned{status: best, "/blocks/tip/height": "1"}},
		{"another height", "block 2, want 1", canned{status: best, "/blocks/tip/height": "1", "/blocks/1": block1(`"height":1`, `"height":2`)}},
		{"another nonce", "makes", canned{status: best, "/blocks/tip/height": "1", "/blocks/1": block1(`"nonce":2`, `"nonce":3`)}},
		{"another id", "makes", canned{status: best, "/blocks/tip/height": "1", "/blocks/1": block1(`"id":"0f`, `"id":"1f`)}},
		{"merkle root is no hash", "no hash", canned{status: best, "/blocks/tip/height": "1", "/blocks/1": block1(`"merkle_root":"4a`, `"merkle_root":"`)}},
		{"parent is no hash", "no hash", canned{status: best, "/blocks/tip/height": "1", "/blocks/1": block1(`"previousblockhash":null`, `"previousblockhash":"zz"`)}},
		{"time too large", "cannot unmarshal", canned{status: best, "/blocks/tip/height": "1", "/blocks/1": block1(`"timestamp":1`, `"timestamp":99991`)}},
		{"teapot", "418", canned{status: "!418 short and stout"}},
	} {
		if err := ask(b.answers); err == nil || !strings.Contains(err.Error(), b.want) || len(err.Error()) > 600 {
			t.Errorf("%s: %v; want %q", b.why, err, b.want)
		}
	}
}

func TestWrongNetwork(t *testing.T) {
	for _, b := range []struct{ answer, want string }{
		{chaincfg.MainNetParams.GenesisHash.String(), "another network"},
		{"<html>", "another network"},
		{"!404", "404"},
	} {
		c := client(t, canned{"/block-height/0": b.answer, "/blocks/tip/height": "0"})
		_, err := c.Headers(t.Context(), nil)
		if err == nil || !strings.Contains(err.Error(), b.want) || errors.Is(err, ErrNetwork) != (b.answer[0] != '!') {
			t.Errorf("%s: %v", b.answer, err)
		}
	}
}

func TestOpen(t *testing.T) {
	for _, u := range []string{"", "blockstream.info", "ftp://blockstream.info/api", "https://", "https://a b", "https://x/api?y=z"} {
		if _, err := Open(Options{URL: u, Chain: regtest}); err == nil {
			t.Errorf("%q is taken", u)
		}
	}
	if _, err := Open(Options{URL: "https://blockstream.info/api"}); err == nil {
		t.Error("any network is taken")
	}
}

// coinTx pays one coin to script 51.
func coinTx() *wire.MsgTx {
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Hash: chainhash.Hash{1}}, SignatureScript: make([]byte, 20)})
	tx.AddTxOut(wire.NewTxOut(5000, []byte{0x51}))
	tx.AddTxOut(wire.NewTxOut(6000, []byte{0x52}))
	return tx
}

func raw(tx *wire.MsgTx) string {
	var b strings.Builder
	_ = tx.Serialize(&b)
	return b.String()
}

func TestWrongCoins(t *testing.T) {
	tx := coinTx()
	path := fmt.Sprintf("/scripthash/%x/utxo", sha256.Sum256([]byte{0x51}))
	prev := fmt.Sprintf("/tx/%v/raw", tx.TxHash())
	list := func(txid string, vout, value int64, status string) string {
		return fmt.Sprintf(`[{"txid":"%s","vout":%d,"value":%d,"status":%s}]`, txid, vout, value, status)
	}
	id, confirmed := tx.TxHash().String(), `{"confirmed":true,"block_height":3}`
	for _, b := range []struct {
		why, want string // want empty: good
		list, tx  string
	}{
		{"good", "", list(id, 0, 5000, confirmed), raw(tx)},
		{"worth more", "another coin", list(id, 0, 5001, confirmed), raw(tx)},
		{"worth less", "another coin", list(id, 0, 4999, confirmed), raw(tx)},
		{"of somebody else", "another coin", list(id, 1, 6000, confirmed), raw(tx)},
		{"not there", "no output 2", list(id, 2, 5000, confirmed), raw(tx)},
		{"of another transaction", "bad transaction", list(id, 0, 5000, confirmed), raw(wire.NewMsgTx(1)) + "x"},
		{"no hash", "no hash", list("00", 0, 5000, confirmed), raw(tx)},
		{"block 0", "height 0", list(id, 0, 5000, `{"confirmed":true}`), raw(tx)},
		{"too many", "more than", "[" + strings.Repeat("{},", maxCoins) + "{}]", raw(tx)},
		{"no list", "unmarshal", `{}`, raw(tx)},
	} {
		c := client(t, canned{path: b.list, prev: b.tx, "/blocks/tip/height": "5"})
		coins, err := c.Unspent(t.Context(), []byte{0x51})
		if b.want == "" && (err != nil || len(coins) != 1 || coins[0].Value != 5000 || coins[0].Height != 3) {
			t.Errorf("%s: %+v, %v", b.why, coins, err)
		}
		if b.want != "" && (err == nil || !strings.Contains(err.Error(), b.want)) {
			t.Errorf("%s: %v; want %q", b.why, err, b.want)
		}
		if strings.Contains(b.want, "another") && !errors.Is(err, bitcoin.ErrBadTx) {
			t.Errorf("%s: not ErrBadTx: %v", b.why, err)
		}
	}
}

// TestYoung leaves out a coinbase until it can be spent in the next block.
func TestYoung(t *testing.T) {
	tx := coinTx()
	tx.TxIn[0].PreviousOutPoint = wire.OutPoint{Index: 1<<32 - 1}
	for tip, want := range map[string]int{"101": 0, "102": 1} {
		c := client(t, canned{
			fmt.Sprintf("/scripthash/%x/utxo", sha256.Sum256([]byte{0x51})): fmt.Sprintf(
				`[{"txid":"%v","vout":0,"value":5000,"status":{"confirmed":true,"block_height":3}}]`, tx.TxHash()),
			fmt.Sprintf("/tx/%v/raw", tx.TxHash()): raw(tx),
			"/blocks/tip/height":                   tip,
		})
		if coins, err := c.Unspent(t.Context(), []byte{0x51}); err != nil || len(coins) != want {
			t.Errorf("at %s: %d coins, want %d, %v", tip, len(coins), want, err)
		}
	}
}

func TestBroadcastAnswers(t *testing.T) {
	tx := coinTx()
	prev := fmt.Sprintf("/tx/%v/raw", tx.TxHash())
	for _, b := range []struct {
		said         string
		has          bool // the server has the transaction
		ok, rejected bool
	}{
		{"!400 sendrawtransaction RPC error: {\"code\":-27,\"message\":\"Transaction already in block chain\"}", false, true, false},
		{"!400 sendrawtransaction RPC error -26: txn-already-in-mempool", false, true, false},
		{"!400 sendrawtransaction RPC error: {\"code\":-26,\"message\":\"dust\"}", false, false, true},
		{"!400 sendrawtransaction RPC error -25: bad-txns-inputs-missingorspent", false, false, true},
		{"!400 sendrawtransaction RPC error -25: bad-txns-inputs-missingorspent", true, true, false},
		{"!400 sendrawtransaction RPC error -260: what", false, false, false},
		{"!500 oops", false, false, false},
		{"!404 no such path", false, false, false},
		{tx.TxHash().String(), false, true, false},
	} {
		c := canned{"/tx": b.said}
		if b.has {
			c[prev] = raw(tx)
		}
		_, err := client(t, c).Broadcast(t.Context(), []byte(raw(tx)))
		var r interface{ Rejected() bool }
		if (err == nil) != b.ok || (errors.As(err, &r) && r.Rejected()) != b.rejected {
			t.Errorf("%s: %v", b.said, err)
		}
	}
}

// TestAskedTooOften has a server that wants to be left alone.
func TestAskedTooOften(t *testing.T) {
	var asked, refuse atomic.Int32
	header := "1"
	c := client(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if refuse.Add(-1) >= 0 {
			w.Header().Set("Retry-After", header)
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		canned{"/blocks/tip/height": "7"}.ServeHTTP(w, r)
	}))
	refuse.Store(1)
	began := time.Now()
	if n, err := c.tip(t.Context()); err != nil || n != 7 || time.Since(began) < time.Second {
		t.Errorf("height %d after %v, %v", n, time.Since(began), err)
	}
	header = "3600"
	asked.Store(0)
	refuse.Store(1)
	for range 3 {
		if _, err := c.tip(t.Context()); !errors.Is(err, ErrBusy) {
			t.Errorf("asked too often: %v", err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("it was asked %d times and wanted to be left alone", asked.Load())
	}
	c.until = time.Time{}
	header = ""
	refuse.Store(100)
	asked.Store(0)
	if _, err := c.tip(t.Context()); !errors.Is(err, ErrBusy) || asked.Load() != maxTries {
		t.Errorf("always refused: %v after %d", err, asked.Load())
	}
}

func TestRetryAfter(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"": 0, "x": 0, "-5": 0, "7": 7 * time.Second, "99999999999999": 24 * time.Hour, "999999": 24 * time.Hour,
		time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat): 0,
	} {
		if got := retryAfter(s); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	}
	if got := retryAfter(time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)); got < 59*time.Minute || got > time.Hour {
		t.Errorf("in an hour: %v", got)
	}
}

// TestBusyTime keeps to the number of requests that may go on.
func TestBusyTime(t *testing.T) {
	var now, most atomic.Int32
	c := client(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer now.Add(-1)
		time.Sleep(5 * time.Millisecond)
		canned{}.ServeHTTP(w, r)
	}))
	done := make(chan error)
	for range 30 {
		go func() {
			_, err := c.PrevTx(t.Context(), chainhash.Hash{})
			done <- err
		}()
	}
	for range 30 {
		if err := <-done; !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	}
	if most.Load() > parallel {
		t.Errorf("%d requests at a time", most.Load())
	}
}

// FuzzAnswer hands whatever comes to all that reads answers.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(block1()))
	f.Add([]byte(`[{"txid":"00","vout":4294967295,"value":-1,"status":{"confirmed":true,"block_height":1}}]`))
	f.Add([]byte(`{"in_best_chain":true,"height":1}`))
	f.Add([]byte(`{"1":1e308,"x":2}`))
	f.Add([]byte(`7`))
	f.Add([]byte(raw(coinTx())))
	var body []byte
	c := client(f, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(body) }))
	c.checked.Store(true)
	f.Fuzz(func(t *testing.T, b []byte) {
		body = b
		ctx := t.Context()
		if list, err := c.Headers(ctx, []chainhash.Hash{{1}}); err == nil && len(list) > bitcoin.MaxHeaders {
			t.Errorf("%d headers", len(list))
		}
		if rate, err := c.FeeRate(ctx, 6); err == nil && (rate < leastRate || rate > mostRate) {
			t.Errorf("fee rate %d", rate)
		}
		coins, err := c.Unspent(ctx, []byte{0x51})
		if err == nil && len(coins) > maxCoins {
			t.Errorf("%d coins", len(coins))
		}
		list := make([]wire.BlockHeader, 2)
		if err := c.fill(ctx, list, 1); err == nil && list[1].BlockHash() == (chainhash.Hash{}) {
			t.Error("no header")
		}
	})
}

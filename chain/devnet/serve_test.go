package devnet

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"satchel/chain/registrar"
	"satchel/chain/zonefile"
)

// serve serves a chain on loopback until it is closed.
func serve(t *testing.T, n *Node) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- n.Serve(l) }()
	t.Cleanup(func() {
		n.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func readOnly(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestServeOnLoopbackOnly(t *testing.T) {
	n := open(t, t.TempDir())
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := n.Serve(l); err == nil {
		t.Error("served to everybody")
	}
}

// TestStrangers sends what a web page could have its reader's browser send.
func TestStrangers(t *testing.T) {
	n := open(t, t.TempDir())
	addr := serve(t, n)
	cases := []struct {
		host, origin string
		want         int
	}{
		{addr, "", 200},
		{"localhost", "", 200},
		{"[::1]:80", "", 200},
		{"[::1]", "", 200},
		{"evil.example", "", 403},
		{"localhost.evil.example:80", "", 403},
		{"127.0.0.1.evil.example", "", 403},
		{"10.0.0.1", "", 403},
		{addr, "https://evil.example", 403},
		{addr, "null", 403},
	}
	for _, c := range cases {
		req, err := http.NewRequest(http.MethodGet, "http://"+addr+"/info", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = c.host
		if c.origin != "" {
			req.Header.Set("Origin", c.origin)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("host %q, origin %q: %s, want %d", c.host, c.origin, resp.Status, c.want)
		}
	}
}

// TestRPC sends requests as they come on the wire; want is a part of the answer.
func TestRPC(t *testing.T) {
	n := open(t, t.TempDir())
	addr := serve(t, n)
	tip, _ := n.tip()
	to := address(key(t))
	block, err := n.Block(t.Context(), tip)
	if err != nil {
		t.Fatal(err)
	}
	call := func(method, params string) string {
		return fmt.Sprintf(`{"jsonrpc":"1.0","id":"x","method":%q,"params":[%s]}`, method, params)
	}
	quoted := `"` + tip.String() + `"`
	cases := []struct{ body, want string }{
		{call("getblockcount", ""), `"result":103,"error":null`},
		{call("getblockcount", ""), `"id":"x"`},
		{call("getblockchaininfo", ""), `"chain":"regtest"`},
		{call("getbestblockhash", ""), quoted},
		{call("getblockhash", "103"), quoted},
		{call("getblockhash", "0"), `"0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"`},
		{call("getblockhash", "104"), `"code":-8`},
		{call("getblockhash", "-1"), `"code":-8`},
		{call("getblockhash", `"x"`), `"code":-32602`},
		{call("getblockhash", ""), `"code":-32602`},
		{call("getblockheader", quoted), `"confirmations":1,`},
		{call("getblockheader", quoted+",true"), `"height":103,`},
		{call("getblockheader", quoted+",false"), `"` + hex.EncodeToString(block[:80]) + `"`},
		{call("getblockheader", `"00"`), `"code":-8`},
		{call("getblockheader", `"`+strings.Repeat("00", 32)+`"`), `"code":-5`},
		{call("getblock", quoted+",0"), `"` + hex.EncodeToString(block) + `"`},
		{call("getblock", quoted), `"code":-32602`},
		{call("getblock", `"`+strings.Repeat("00", 32)+`",0`), `"code":-5`},
		{call("getrawtransaction", `"`+strings.Repeat("00", 32)+`"`), `"code":-5`},
		{call("sendrawtransaction", `"zz"`), `"code":-22`},
		{call("sendrawtransaction", `"00"`), `"code":-26`},
		{call("scantxoutset", `"start",["addr(`+to+`)"]`), `"unspents":[]`},
		{call("scantxoutset", `"start",["pkh(`+to+`)"]`), `"code":-5`},
		{call("scantxoutset", `"abort"`), `"code":-32602`},
		{call("generatetoaddress", `1,"nobody"`), `"code":-5`},
		{call("generatetoaddress", `5000,"`+to+`"`), `"code":-8`},
		{call("invalidateblock", quoted), `"code":-1`},
		{call("stop", ""), `"code":-32601`},
		{`[]`, `[]`},
		{`[` + call("getblockcount", "") + `,` + call("stop", "") + `]`, `-32601`},
		{`{"method":`, `"code":-32700`},
		{`[{"method":1}]`, `"code":-32700`},
		{`[` + strings.Repeat(`{},`, maxBatch) + `{}]`, `"code":-32700`},
		{`{"method":"` + strings.Repeat("a", maxRequest) + `"}`, `too large`},
	}
	for _, c := range cases {
		resp, err := http.Post("http://"+addr+"/", "application/json", strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(got), c.want) {
			t.Errorf("%.100s: %.300s, %v; want %s", c.body, got, err, c.want)
		}
	}
}

func TestGenerateToAddress(t *testing.T) {
	n := open(t, t.TempDir())
	c := Dial(serve(t, n))
	k := key(t)
	var list []string
	if err := c.Call(t.Context(), &list, "generatetoaddress", 101, address(k)); err != nil || len(list) != 101 {
		t.Fatalf("%d blocks, %v", len(list), err)
	}
	// Of those the first two can be spent in the next block.
	coins, err := c.Unspent(t.Context(), registrar.ScriptOf(k))
	if err != nil || len(coins) != 2 || coins[0].Value != 50*1e8 || coins[0].Height != bootBlocks+1 {
		t.Errorf("coins %+v, %v", coins, err)
	}
}

// TestWake waits for blocks, through a reorganisation and the end of the chain.
func TestWake(t *testing.T) {
	n := open(t, t.TempDir())
	c := Dial(serve(t, n))
	defer c.Close()
	woken := func(after string) {
		t.Helper()
		select {
		case <-c.Wake():
		case <-time.After(10 * time.Second):
			t.Fatalf("not woken %s", after)
		}
	}
	woken("at first")
	select {
	case <-c.Wake():
		t.Error("woken by nothing")
	case <-time.After(50 * time.Millisecond):
	}
	if err := n.Mine(3); err != nil {
		t.Fatal(err)
	}
	woken("by new blocks")
	if err := n.Reorg(1); err != nil {
		t.Fatal(err)
	}
	woken("by a reorganisation")
	start := time.Now()
	if err := errors.Join(n.Close(), c.Close()); err != nil {
		t.Error(err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("closing took %v: a request that waits held it up", d)
	}
}

func TestZonefiles(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	n := open(t, dir)
	addr := serve(t, n)
	c, ix, f := follower(t, addr)
	r := &registrar.Registrar{Chain: c, Index: ix, Follower: f}
	alice := key(t)
	one, two := []byte("one"), bytes.Repeat([]byte("2"), zonefile.MaxSize)
	put := func(path string, data []byte) int {
		t.Helper()
		req, err := http.NewRequest(http.MethodPut, "http://"+addr+"/zonefile/"+path, bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	path := func(data []byte) string { h := zonefile.Hash(data); return hex.EncodeToString(h[:]) }
	if got := put(path(one), one); got != http.StatusConflict {
		t.Errorf("before any name has it: %d", got)
	}
	if err := r.Register(ctx, "alice.id", alice, one, nil); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct {
		what, path string
		data       []byte
		want       int
	}{
		{"another file's hash", path(one), two, 400},
		{"no hash", "..%2fminer", one, 400},
		{"a short hash", "00", one, 400},
		{"too long", path(append(bytes.Clone(two), '2')), append(bytes.Clone(two), '2'), 413},
		{"nobody's", path(two), two, 409},
	} {
		if got := put(bad.path, bad.data); got != bad.want {
			t.Errorf("%s: %d, want %d", bad.what, got, bad.want)
		}
	}
	if err := c.PutZonefile(ctx, one); err != nil {
		t.Fatal(err)
	}
	if err := r.Update(ctx, "alice.id", alice, two, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.PutZonefile(ctx, two); err != nil {
		t.Errorf("of the greatest length: %v", err)
	}
	if err := c.PutZonefile(ctx, one); err == nil {
		t.Error("an old value was kept anew")
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	c = Dial(serve(t, open(t, dir)))
	for _, want := range [][]byte{one, two} {
		if got, err := c.Zonefile(ctx, zonefile.Hash(want)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("zone file %.10q, %v; want %.10q", got, err, want)
		}
	}
	if err := os.WriteFile(n.zonePath(zonefile.Hash(one)), []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Zonefile(ctx, zonefile.Hash(one)); err == nil {
		t.Errorf("a zone file that was changed on the disk: %q", got)
	}
}

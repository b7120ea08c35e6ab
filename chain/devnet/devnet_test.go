package devnet

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"

	"satchel/chain"
	"satchel/chain/ops"
	"satchel/chain/registrar"
	"satchel/chain/zonefile"
)

func testParams() *chaincfg.Params { p := chaincfg.RegressionNetParams; return &p }

var quiet = slog.New(slog.DiscardHandler)

func open(t *testing.T, dir string) *Node {
	t.Helper()
	n, err := Open(dir, Options{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// follower follows the chain over its endpoint, as another process does.
func follower(t *testing.T, addr string) (*Client, *chain.Index, *chain.Follower) {
	t.Helper()
	c := Dial(addr)
	info, err := c.Info(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	ix, err := chain.OpenIndex(t.TempDir(), chain.Satchel(testParams(), info.FirstBlock))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ix.Close() })
	f := chain.NewFollower(c, ix, chain.FollowerOptions{Log: quiet})
	if err := f.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	return c, ix, f
}

func key(t *testing.T) *btcec.PrivateKey {
	t.Helper()
	k, err := btcec.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func address(k *btcec.PrivateKey) string { return ops.Address(registrar.ScriptOf(k), testParams()) }

func TestRegisterUpdateTransferReorgRestart(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	n := open(t, dir)
	srv := httptest.NewServer(n.Handler())
	defer srv.Close()
	addr := strings.TrimPrefix(srv.URL, "http://")
	c, ix, f := follower(t, addr)
	r := &registrar.Registrar{Chain: c, Index: ix, Follower: f, Dir: t.TempDir()}

	alice, bob := key(t), key(t)
	zone := zonefile.Format(&zonefile.File{Origin: "alice.id", TTL: 3600, URIs: []zonefile.URI{{Priority: 10, Weight: 1, Target: "file:///x"}}})
	if err := c.PutZonefile(ctx, zone); err == nil {
		t.Fatal("a zone file of nobody was kept")
	}
	var steps []string
	if err := r.Register(ctx, "alice.id", alice, zone, func(s registrar.Step) { steps = append(steps, s.Op) }); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(steps, " "); got != "preorder register update" {
		t.Fatalf("steps: %s", got)
	}
	if err := r.Register(ctx, "alice.id", alice, zone, func(registrar.Step) { t.Error("registered twice") }); err != nil {
		t.Fatal(err)
	}
	if err := r.Register(ctx, "alice.id", bob, zone, nil); !errors.Is(err, registrar.ErrTaken) {
		t.Fatalf("a name of somebody else's: %v", err)
	}
	rec, err := ix.Lookup("alice.id")
	if err != nil || rec.Address != address(alice) || rec.ValueHash != zonefile.Hash(zone) {
		t.Fatalf("record %+v, %v", rec, err)
	}
	if err := c.PutZonefile(ctx, zone); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Zonefile(ctx, zonefile.Hash(zone)); err != nil || !bytes.Equal(got, zone) {
		t.Fatalf("zone file %q, %v", got, err)
	}
	if _, err := c.Zonefile(ctx, [20]byte{1}); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a zone file that isn't there: %v", err)
	}

	if err := r.Register(ctx, "bob.id", bob, zone, nil); err != nil {
		t.Fatal(err)
	}
	// Three blocks, bob's registration among them, are replaced.
	if err := c.Reorg(ctx, 3); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := ix.Lookup("bob.id"); !errors.Is(err, chain.ErrUnknownName) {
		t.Fatalf("bob.id after the reorganisation: %v", err)
	}
	if err := r.Register(ctx, "bob.id", bob, zone, nil); err != nil {
		t.Fatalf("again: %v", err)
	}

	if err := r.Transfer(ctx, "alice.id", alice, address(bob), false, nil); err != nil {
		t.Fatal(err)
	}
	if rec, err := ix.Lookup("alice.id"); err != nil || rec.Address != address(bob) || rec.HasValue {
		t.Fatalf("after the transfer: %+v, %v", rec, err)
	}
	h, _ := ix.Tip()
	want, err := ix.ConsensusHash(h)
	if err != nil {
		t.Fatal(err)
	}

	srv.Close()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = open(t, dir)
	if got, err := n.Index().ConsensusHash(h); err != nil || got != want {
		t.Fatalf("consensus hash after a restart: %x, %v; want %x", got, err, want)
	}
	if n.Height() != h {
		t.Fatalf("height %d after a restart, want %d", n.Height(), h)
	}
}

func TestRefusals(t *testing.T) {
	n := open(t, t.TempDir())
	srv := httptest.NewServer(n.Handler())
	defer srv.Close()
	req, err := http.NewRequest(http.MethodPost, srv.URL+"/fund?satoshi=1&address=x", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Fatalf("a page's request: %s", resp.Status)
	}
	c := Dial(strings.TrimPrefix(srv.URL, "http://"))
	if _, err := c.Broadcast(context.Background(), []byte("no transaction")); err == nil {
		t.Fatal("garbage was sent")
	}
	if err := c.Reorg(context.Background(), 50); err == nil {
		t.Fatal("the namespace was undone")
	}
	if _, err := c.Fund(context.Background(), "1BoatSLRHtKNngkdXEeobR76b53LETtpyT", 1000); err == nil {
		t.Fatal("an address of another network was paid")
	}
}

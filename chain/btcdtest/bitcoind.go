package btcdtest

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

func bitcoindPath(t testing.TB) string {
	path := os.Getenv("BITCOIND")
	if path == "" {
		t.Skip("set BITCOIND to the path of bitcoind for this test")
	}
	return path
}

type bitcoind struct{}

func (bitcoind) args(n *Node, p2p, rpc string) []string {
	n.User, n.Password = "", ""
	n.Cookie = filepath.Join(n.dir, "regtest", ".cookie")
	_, port, _ := net.SplitHostPort(rpc)
	args := []string{
		"-regtest", "-datadir=" + n.dir, "-server", "-listen=1", "-bind=" + p2p, "-rpcport=" + port,
		"-rpcbind=127.0.0.1", "-rpcallowip=127.0.0.1", "-dnsseed=0", "-discover=0", "-listenonion=0",
		"-printtoconsole=1", "-disablewallet=1",
	}
	if !n.o.NoIndex {
		args = append(args, "-txindex=1")
	}
	return append(args, n.o.Args...)
}

func (bitcoind) generate(n *Node, count int) error {
	for ; count > 0; count -= maxGenerate {
		if err := n.RPC.Call(n.T.Context(), nil, "generatetoaddress", min(count, maxGenerate), n.MinerAddress()); err != nil {
			return err
		}
	}
	return nil
}

func (bitcoind) connect(n *Node, addr string) error {
	return n.RPC.Call(n.T.Context(), nil, "addnode", addr, "onetry")
}

func (bitcoind) disconnect(n *Node, addr string) error {
	return n.RPC.Call(n.T.Context(), nil, "disconnectnode", addr)
}

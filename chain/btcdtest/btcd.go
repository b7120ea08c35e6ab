package btcdtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
)

const btcdModule = "github.com/btcsuite/btcd"

// build returns the path of a btcd of the version that go.mod names. It is built
// once and kept in the user's cache folder.
func build(t testing.TB) string {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no Go tool to build btcd with")
	}
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var built = sync.OnceValues(func() (string, error) {
	version, err := output("go", "list", "-m", "-f", "{{.Version}}", btcdModule)
	if err != nil {
		return "", err
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = filepath.Join(os.TempDir(), "satchel-tests-of-"+os.Getenv("USER"))
	}
	dir = filepath.Join(dir, "satchel-tests")
	path := filepath.Join(dir, "btcd-"+version)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(dir, "build-") // tests of several packages build at once
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if _, err := output("go", "build", "-o", filepath.Join(tmp, "btcd"), btcdModule); err != nil {
		return "", err
	}
	return path, os.Rename(filepath.Join(tmp, "btcd"), path)
})

func output(program string, args ...string) (string, error) {
	cmd := exec.Command(program, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", &buildError{strings.Join(cmd.Args, " "), stderr.String(), err}
	}
	return strings.TrimSpace(string(out)), nil
}

// A buildError is why there is no btcd.
type buildError struct {
	what, said string
	error
}

func (e *buildError) Error() string { return e.what + ": " + e.error.Error() + "\n" + e.said }

type btcd struct{}

func (btcd) args(n *Node, p2p, rpc string) []string {
	args := []string{
		"--regtest", "--datadir=" + filepath.Join(n.dir, "data"), "--logdir=" + filepath.Join(n.dir, "logs"),
		"--listen=" + p2p, "--rpclisten=" + rpc, "--rpcuser=" + n.User, "--rpcpass=" + n.Password,
		"--miningaddr=" + n.MinerAddress(), "--nodnsseed", "--nobanning", "--nostalldetect", "--trickleinterval=100ms",
		"--rpcmaxclients=100",
	}
	if n.Net.Name == chaincfg.SimNetParams.Name {
		args[0] = "--simnet"
	}
	if n.o.TLS {
		args = append(args, "--rpccert="+n.CA, "--rpckey="+filepath.Join(n.dir, "rpc.key"))
	} else {
		args = append(args, "--notls")
	}
	if !n.o.NoIndex {
		args = append(args, "--txindex", "--addrindex")
	}
	return append(args, n.o.Args...)
}

// maxGenerate is how many blocks are mined in one request, so that it is
// answered in time.
const maxGenerate = 500

func (btcd) generate(n *Node, count int) error {
	for ; count > 0; count -= maxGenerate {
		if err := n.RPC.Call(n.T.Context(), nil, "generate", min(count, maxGenerate)); err != nil {
			return err
		}
	}
	return nil
}

func (btcd) connect(n *Node, addr string) error {
	return n.RPC.Call(n.T.Context(), nil, "node", "connect", addr, "temp")
}

func (btcd) disconnect(n *Node, addr string) error {
	return n.RPC.Call(n.T.Context(), nil, "node", "disconnect", addr)
}

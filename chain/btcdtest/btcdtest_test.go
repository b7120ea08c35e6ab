package btcdtest

import (
	"os"
	"syscall"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
)

func TestNodes(t *testing.T) {
	a := Start(t, Options{})
	b := Start(t, Options{Connect: []*Node{a}})
	a.Generate(3)
	a.Sync(b)
	a.Disconnect(b)
	if a.Peers() != 0 || b.Peers() != 0 {
		t.Errorf("%d and %d connections", a.Peers(), b.Peers())
	}
	a.Generate(2)
	b.Generate(3)
	a.Connect(b)
	b.Sync(a)
	old := b.Tip()
	b.Reorg(2)
	if b.Height() != 7 || b.Hash(6) == old {
		t.Errorf("height %d after a reorganisation", b.Height())
	}
	b.Sync(a)
	tip := b.Tip()
	b.Invalidate(tip)
	if b.Height() != 6 {
		t.Errorf("height %d after the newest block was forbidden", b.Height())
	}
	b.Reconsider(tip)
	b.WaitTip(tip)
}

func TestRestart(t *testing.T) {
	n := Start(t, Options{Net: &chaincfg.SimNetParams})
	n.Generate(2)
	tip, pid := n.Tip(), n.proc.cmd.Process.Pid
	n.Stop()
	if p, err := os.FindProcess(pid); err == nil && p.Signal(syscall.Signal(0)) == nil {
		t.Errorf("process %d goes on", pid)
	}
	n.Restart()
	n.WaitTip(tip)
}

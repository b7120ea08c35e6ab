package testenv

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"time"

	"satchel/chain/devnet"
	"satchel/chain/ops"
)

// KillAt runs a command in the person's home and kills it, as closing the lid
// would, as soon as it says something with a word in it.
func (p *Person) KillAt(word string, args ...string) {
	p.w.t.Helper()
	cmd := exec.Command(p.w.bin, append([]string{"--home", p.Home}, args...)...)
	cmd.Env = append(os.Environ(), "SATCHEL_PASSPHRASE="+Passphrase)
	out, err := cmd.StderrPipe()
	if err != nil {
		p.w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.w.t.Fatal(err)
	}
	late := time.AfterFunc(Patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	said, found := "", false
	for lines := bufio.NewScanner(out); !found && lines.Scan(); {
		said += lines.Text() + "\n"
		found = strings.Contains(lines.Text(), word)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if !found {
		p.w.t.Fatalf("satchel %s never said %q: %s", strings.Join(args, " "), word, said)
	}
}

// Burnt returns how many payments for names and namespaces the chain has seen.
func (w *World) Burnt() int {
	w.t.Helper()
	c := devnet.Dial(w.Chain)
	defer c.Close()
	coins, err := c.Unspent(w.t.Context(), ops.BurnScript())
	if err != nil {
		w.t.Fatal(err)
	}
	return len(coins)
}

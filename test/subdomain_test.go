package test

import (
	"bufio"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"satchel/test/testenv"
)

// serveNames has a person give out names below his own until the test ends, or
// the returned function is called.
func serveNames(t *testing.T, w *testenv.World, p *testenv.Person) (url string, stop func()) {
	t.Helper()
	cmd := w.Command("name", "serve", p.Name, "--listen", "127.0.0.1:0", "--every", "200ms", "--home", p.Home)
	cmd.Env = append(cmd.Env, "SATCHEL_PASSPHRASE="+testenv.Passphrase)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() { end(cmd) }
	t.Cleanup(stop)
	line, _ := bufio.NewReader(out).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if !ok {
		t.Fatalf("name serve: %q", line)
	}
	return "http://" + addr, stop
}

func end(cmd *exec.Cmd) {
	if cmd.ProcessState == nil {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}
}

// A newcomer gets a name below somebody's, without a transaction of her own, and
// shares files by it; she changes it by her signature alone, and takes it to
// another registrar when the first is gone.
func TestFastName(t *testing.T) {
	w := testenv.New(t)
	friends := w.Person("friends.id")
	friends.Register()
	other := w.Person("other.id")
	other.Register()
	url, stop := serveNames(t, w, friends)
	url2, _ := serveNames(t, w, other)

	bob := w.Citizen("bob.id")
	ada := w.Person("ada.friends.id")
	ada.Satchel("name", "show", "ada.friends.id").Want(t, 12, "unknown name")
	ada.Satchel("name", "register", "ada.friends.id").Want(t, 2, "--registrar")
	ada.Satchel("name", "register", "ada.friends.id", "--registrar", url, "--via", "friends.id,other.id").Want(t, 0, "is registered", "on the chain")
	ada.Satchel("name", "renew", "ada.friends.id").Want(t, 12, "no transactions")
	bob.Satchel("name", "show", "ada.friends.id").Want(t, 0, ada.Owner(), "TXT")

	ada.MountDrive()
	ada.Write("People/bob.id/letter", "from a newcomer")
	bob.WantRead("People/ada.friends.id/letter", "from a newcomer")
	bob.Write("People/ada.friends.id/answer", "welcome")
	ada.WantRead("People/bob.id/answer", "welcome")
	ada.Satchel("status").Want(t, 0, "ada.friends.id")

	// Nobody else gets it, and nobody else changes it.
	eve := w.PersonIn("eve", "ada.friends.id")
	eve.Satchel("name", "register", "ada.friends.id", "--registrar", url).Want(t, 12, ada.Owner())
	w.Person("carol.friends.id").Satchel("name", "register", "carol.friends.id", "--registrar", url2).Want(t, 12, "only friends.id")

	// The first registrar goes away. The second one carries on.
	stop()
	ada.Satchel("name", "update", "ada.friends.id", "--registrar", url, "--via", "other.id").Want(t, 7, "registrar")
	ada.Satchel("name", "update", "ada.friends.id", "--registrar", url2, "--via", "other.id").Want(t, 0)
	ada.Satchel("name", "transfer", "ada.friends.id", eve.Owner()).Want(t, 0, eve.Owner())
	bob.Satchel("name", "show", "ada.friends.id").Want(t, 0, eve.Owner())
	ada.Satchel("name", "update", "ada.friends.id").Want(t, 12, eve.Owner())
	eve.Satchel("name", "register", "ada.friends.id", "--registrar", url2).Want(t, 0, "is registered")
	bob.Satchel("sync")
	bob.Satchel("trust", "ada.friends.id").Want(t, 13, "known", "now")
}

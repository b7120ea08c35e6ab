package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"satchel/test/testenv"
)

// Wrong input is refused with a code and a message that says what to do.
func TestWrongInput(t *testing.T) {
	w := testenv.New(t)
	alice := w.Person("alice.id")

	w.Satchel("--home", w.Path("nowhere"), "mount", alice.Mount).Want(t, 5, "satchel --home", "init NAME")
	alice.Satchel("init", "alice.id").Want(t, 5, "holds alice.id already")
	w.Satchel("--home", w.Path("x"), "init", "alice", "--chain", w.Chain).Want(t, 12)
	w.Satchel("--home", w.Path("x"), "init", "x.id", "--chain", w.Chain).Want(t, 4, "--passphrase-file")
	alice.Satchel("name", "show", "nobody.id").Want(t, 12, "unknown name")
	alice.Satchel("name", "register", "bob.id").Want(t, 12, "alice.id's")

	alice.Satchel("mount", w.Path("missing")).Want(t, 10, "missing")
	full := w.Path("full")
	if err := os.MkdirAll(filepath.Join(full, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	alice.Satchel("mount", full).Want(t, 10, "empty")
	alice.Satchel("unmount", alice.Mount).Want(t, 11)

	wrong := w.Path("wrong-passphrase")
	if err := os.WriteFile(wrong, []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	alice.Satchel("mount", alice.Mount, "--passphrase-file", wrong).Want(t, 4, "wrong passphrase")
	alice.Satchel("status", "--passphrase-file="+wrong).Want(t, 4, "wrong passphrase")

	alice.Register()
	alice.MountDrive()
	alice.Satchel("mount", full).Want(t, 6, "process", "unmount")
	alice.Try(`ls People/nobody.id`).Want(t, 2, "No such file")
	alice.Try(`mkdir People/nobody.id`).Want(t, 1, "No such file")
	alice.Try(`ls People/Not,a.name`).Want(t, 2, "No such file")
	alice.Unmount()

	config := filepath.Join(alice.Home, "config.toml")
	f, err := os.OpenFile(config, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("\n[forein]\nallow_files = []\n")
	f.Close()
	alice.Satchel("mount", alice.Mount).Want(t, 3, "forein", config, "foreign.allow_files")
}

// A chain that can't be reached is said so, with the way out.
func TestUnreachableChain(t *testing.T) {
	w := testenv.New(t)
	pass := w.Path("pass")
	if err := os.WriteFile(pass, []byte("p\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	home := w.Path("home")
	w.Satchel("--home", home, "init", "alice.id", "--chain", "127.0.0.1:1", "--passphrase-file", pass).Want(t, 7, "127.0.0.1:1", "satchel devnet")
	// Nothing was made, so the next try is a first one.
	w.Satchel("--home", home, "init", "alice.id", "--chain", w.Chain, "--passphrase-file", pass).Want(t, 0)
	w.StopChain()
	w.Satchel("--home", home, "name", "register", "alice.id", "--passphrase-file", pass).Want(t, 7, w.Chain)
	w.Satchel("--home", home, "name", "show", "alice.id").Want(t, 7, w.Chain)
	w.StartChain()
}

// `init`, `name register`, `mount` is all that a newcomer types.
func TestNewcomer(t *testing.T) {
	w := testenv.New(t)
	home, mount := w.Path("new"), w.Path("mount")
	if err := os.Mkdir(mount, 0o700); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) testenv.Result {
		t.Helper()
		return w.With([]string{"SATCHEL_HOME=" + home, "SATCHEL_PASSPHRASE=p"}, args...)
	}
	t.Cleanup(func() {
		run("unmount", mount)
		run("devnet", "--stop")
	})
	out := run("init", "newcomer.id").Want(t, 0, "file://").Out
	if n := strings.Count(out, "\n"); n < 6 || !strings.Contains(out, "24 ") {
		t.Errorf("init should show 24 numbered words:\n%s", out)
	}
	run("name", "register", "newcomer.id").Want(t, 0, "update ")
	run("mount", mount).Want(t, 0)
	if out, err := exec.Command("sh", "-c", `echo hi > "$1"/Private/x && cat "$1"/Private/x`, "sh", mount).CombinedOutput(); err != nil || string(out) != "hi\n" {
		t.Errorf("%s, %v", out, err)
	}
	run("wait").Want(t, 0)
	run("unmount", mount).Want(t, 0)

	for _, private := range []string{"", "config.toml", "data", "data/keystore", "cache", "data/satchel.log"} {
		st, err := os.Stat(filepath.Join(home, private))
		if err != nil || st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%q should be the user's alone: %v, %v", private, st, err)
		}
	}
}

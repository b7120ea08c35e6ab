package test

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"satchel/test/testenv"
)

type pinned struct {
	Path        string
	Files       int
	Bytes, Here int64
	Error       string
}

type cached struct{ Used, Cap, Pinned, Unstored int64 }

// What is pinned can be read without a network when the rest has left the cache.
func TestPinAndCache(t *testing.T) {
	w := testenv.New(t)
	blobs := w.Blobs("alice")
	alice := w.Citizen("alice.id", blobs.Flags()...)
	big := strings.Repeat("pinned ", 10_000)
	alice.Sh(`mkdir -p Private/d/e && head -c 3000000 /dev/urandom > Private/d/e/random && cp Private/d/e/random "$1"`, w.Path("random"))
	alice.Write("Private/d/text", big)
	alice.Wait()
	alice.Sh(`head -c 2000000 /dev/urandom > Private/other`)
	alice.Wait()

	alice.Satchel("pin", alice.Path("Private/d"), "--wait").Want(t, 0, "Private/d: 2 files", "all here")
	alice.Satchel("pin", "Private/nothing").Want(t, 1, "Private/nothing")
	alice.Satchel("pin", "/tmp").Want(t, 2, alice.Mount)
	alice.Satchel("cache", "lots").Want(t, 2)
	alice.Satchel("cache", "1KiB").Want(t, 0, "of 1.0 KiB used")
	var c cached
	alice.JSON(&c, "cache")
	if c.Used > c.Cap || c.Cap != 1024 || c.Pinned < 3_000_000 || c.Unstored != 0 {
		t.Errorf("got %+v", c)
	}
	if config, _ := os.ReadFile(alice.Home + "/config.toml"); !strings.Contains(string(config), "\ncache_size = \"1KiB\"\n") {
		t.Errorf("the size is not in the config:\n%s", config)
	}

	alice.Unmount()
	blobs.SetDown(true)
	alice.MountDrive()
	alice.WantRead("Private/d/text", big)
	alice.WantEqual("Private/d/e/random", w.Path("random"))
	if r := alice.Try(`cat Private/other`); r.Code == 0 {
		t.Error("what is not pinned was not evicted")
	}
	var list []pinned
	alice.JSON(&list, "pin")
	if len(list) != 1 || list[0].Path != "Private/d" || list[0].Here != list[0].Bytes || list[0].Error != "" {
		t.Errorf("got %+v", list)
	}
	alice.Satchel("status").Want(t, 0, "pinned    Private/d: 2 files", "cache     ", "traffic   ")
	text := alice.Path("Private/d/text")
	for _, step := range []struct {
		do   func() error
		want string
	}{
		{func() error { return nil }, "with Private/d"},
		{func() error { return unix.Setxattr(text, "user.satchel.pin", nil, 0) }, "pinned"},
		{func() error { return unix.Removexattr(text, "user.satchel.pin") }, "with Private/d"},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if got := alice.Xattr("Private/d/text", "user.satchel.pin"); got != step.want {
			t.Errorf("user.satchel.pin is %q, want %q", got, step.want)
		}
	}
	blobs.SetDown(false)
	alice.Satchel("unpin", alice.Path("Private/d")).Want(t, 0)
	alice.Satchel("pin").Want(t, 0, "nothing is pinned")
	alice.Satchel("unpin", "Private/d").Want(t, 1, "not pinned")
	alice.WantRead("Private/d/text", big)
}

// With --sync=remote fsync means that the provider has it, or says that it hasn't.
func TestSyncRemote(t *testing.T) {
	w := testenv.New(t)
	blobs := w.Blobs("alice")
	alice := w.Person("alice.id", blobs.Flags()...)
	alice.Register()
	alice.Satchel("mount", alice.Mount, "--sync=often").Want(t, 2, "local or remote")
	alice.Satchel("mount", alice.Mount, "--sync=remote", "--sync-timeout", "3s").Want(t, 0)
	before := len(blobs.Snapshot())
	alice.Write("Private/f", "one")
	alice.Sh(`sync "$1"`, "Private/f")
	if got := alice.Xattr("Private/f", "user.satchel.state"); !strings.HasPrefix(got, "stored") {
		t.Errorf("after fsync the file is %q", got)
	}
	if after := len(blobs.Snapshot()); after <= before {
		t.Errorf("%d blobs at the provider, as before", after)
	}
	alice.Satchel("status").Want(t, 0, "write quorum")

	blobs.SetDown(true)
	alice.Write("Private/g", "two")
	if r := alice.Try(`sync "$1"`, "Private/g"); r.Code == 0 || !strings.Contains(r.Err, "Input/output error") {
		t.Errorf("fsync without a network: %v", r)
	}
	alice.Satchel("status").Want(t, 0, "problem   fsync in Private: safe on this machine")
	if !strings.Contains(alice.Log(), "safe on this machine") {
		t.Errorf("the log says nothing:\n%s", alice.Log())
	}
	alice.Kill() // local durability is kept
	blobs.SetDown(false)
	alice.MountDrive()
	alice.WantRead("Private/g", "two")
}

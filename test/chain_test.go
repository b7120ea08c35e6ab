package test

import (
	"strings"
	"testing"

	"satchel/test/testenv"
)

// A reorganisation of three blocks unregisters a name, and the drive says so.
func TestReorgUnregistersName(t *testing.T) {
	w := testenv.New(t)
	alice := w.Citizen("alice.id")
	bob := w.Citizen("bob.id")
	alice.Write("People/bob.id/file", "text")
	bob.WantRead("People/alice.id/file", "text")

	w.Reorg(3) // bob's preorder, registration and update
	alice.Satchel("sync").Want(t, 12, "bob.id", "not registered")
	alice.Satchel("name", "show", "bob.id").Want(t, 12, "bob.id", "unknown name")
	alice.Satchel("name", "show", "alice.id").Want(t, 0)
	alice.Satchel("status").Want(t, 0, "bob.id", "not registered")
	if !strings.Contains(alice.Log(), "reorganised") {
		t.Error("the log doesn't tell of the reorganisation")
	}

	// Registered anew it is another registration: it stops until it is trusted.
	bob.Register()
	alice.Satchel("sync")
	alice.Satchel("trust", "bob.id", "--yes").Want(t, 0)
	bob.Write("People/alice.id/again", "here again")
	alice.WantRead("People/bob.id/again", "here again")
}

// A name that changes hands stops its folder until the new owner is trusted.
func TestNameChangesHands(t *testing.T) {
	w := testenv.New(t)
	alice := w.Citizen("alice.id")
	bob := w.Citizen("bob.id")
	alice.Write("People/bob.id/file", "for the first bob")
	bob.WantRead("People/alice.id/file", "for the first bob")

	heir := w.PersonIn("heir", "bob.id")
	var before, after nameInfo
	alice.JSON(&before, "name", "show", "bob.id")
	bob.Satchel("name", "transfer", "bob.id", heir.Owner()).Want(t, 0, "transfer")
	heir.Register()
	heir.MountDrive()
	alice.JSON(&after, "name", "show", "bob.id")
	if before.Owner == after.Owner || after.Owner != heir.Owner() || after.ZonefileHash == before.ZonefileHash {
		t.Fatalf("before %+v, after %+v", before, after)
	}

	alice.Satchel("sync")
	w.Eventually(func() error { return errOf(alice.Satchel("status").Has("bob.id", "trust")) })
	alice.Try(`echo secret > People/bob.id/after`).Want(t, 2)
	heir.Try(`cat People/alice.id/file`).Want(t, 1, "No such file")
	alice.Satchel("trust", "bob.id").Want(t, 13, "known", "now")
	alice.Satchel("trust", "bob.id", "--yes").Want(t, 0, "known", "now")

	alice.Write("People/bob.id/after", "for the second bob")
	heir.WantRead("People/alice.id/after", "for the second bob")
}

type nameInfo struct {
	Name, Owner  string
	ZonefileHash string `json:"zonefile_hash"`
	Zonefile     string
	Height       int
}

// What `name show` says is what `name register` printed and what stands on the chain.
func TestNameShow(t *testing.T) {
	w := testenv.New(t)
	alice := w.Person("alice.id")
	out := alice.Satchel("name", "register", "alice.id").Want(t, 0).Out
	for _, op := range []string{"preorder ", "register ", "update "} {
		if !strings.Contains(out, op) {
			t.Errorf("register doesn't print its %stransaction: %s", op, out)
		}
	}
	var n nameInfo
	alice.JSON(&n, "name", "show", "alice.id")
	if n.Name != "alice.id" || n.Owner != alice.Owner() || len(n.ZonefileHash) != 40 || n.Height == 0 || !strings.Contains(n.Zonefile, "pubkey:data:") {
		t.Errorf("got %+v", n)
	}
	alice.Satchel("name", "register", "alice.id").Want(t, 0) // once more changes nothing
	var again nameInfo
	alice.JSON(&again, "name", "show", "alice.id")
	again.Height = n.Height
	if again != n {
		t.Errorf("got %+v, want %+v", again, n)
	}
	thief := w.PersonIn("thief", "alice.id")
	thief.Satchel("name", "register", "alice.id").Want(t, 12, "alice.id", alice.Owner())
}

package test

import (
	"fmt"
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

// Somebody who has read no chain has an untrusted server prove what happened to a
// name, by one hash that he trusts.
func TestNameVerify(t *testing.T) {
	w := testenv.New(t)
	alice := w.Person("alice.id")
	steps := strings.Fields(alice.Satchel("name", "register", "alice.id").Want(t, 0).Out)
	preorder := steps[1]
	var st struct {
		Chain struct {
			Height    int
			Consensus string
		}
	}
	alice.JSON(&st, "status")
	ask := func(args ...string) testenv.Result {
		t.Helper()
		rules := []string{"--network", "regtest", "--rules", "satchel", "--first-block", "101"}
		return w.Satchel(append(append([]string{"name", "verify", "--server", "http://" + w.Chain, "--home", w.Path("nobody")}, rules...), args...)...)
	}
	at := fmt.Sprint(st.Chain.Height)
	ask("alice.id", "--at", at, "--trust", st.Chain.Consensus).Want(t, 0, "update", alice.Owner())
	ask("alice.id", "--trust", st.Chain.Consensus).Want(t, 0, "newest", "update")
	ask("bob.id", "--at", at, "--trust", st.Chain.Consensus).Want(t, 0, "nothing happened to bob.id")
	ask("alice.id", "--at", fmt.Sprint(st.Chain.Height-3), "--trust", preorder).Want(t, 0, "nothing happened to alice.id")
	ask("alice.id", "--at", at, "--trust", preorder).Want(t, 7, "says nothing about a later one")
	ask("alice.id", "--at", at, "--trust", strings.Repeat("0", 32)).Want(t, 7, "knows no consensus hash")
	ask("alice.id", "--at", at, "--trust", "garbage").Want(t, 2, "--trust HASH")
	alice.Satchel("name", "verify", "alice.id", "--server", "http://"+w.Chain, "--trust", st.Chain.Consensus).Want(t, 0, "update")
}

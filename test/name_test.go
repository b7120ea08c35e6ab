package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/psbt/v2"
	"github.com/btcsuite/btcd/txscript/v2"

	"satchel/chain/registrar"
	"satchel/crypto"
	"satchel/test/testenv"
)

// The laptop is closed while a name is registered, before or after each of its
// transactions reached the chain. What was begun goes on, with the same command or
// with the next mount, and the name is paid once.
func TestLaptopClosed(t *testing.T) {
	w := testenv.New(t)
	gate := w.Gate()
	for i := range 6 {
		n, after := i/2, i%2 == 1
		name := fmt.Sprintf("alice%d.id", i)
		alice := gate.Person(name)
		before := w.Burnt()
		gate.KillAt(n, after, alice, "name", "register", name)
		alice.Satchel("name", "list").Want(t, 0, "register of "+name, []string{"preorder", "register", "update"}[n]+" was sent")
		if i == 1 || i == 2 {
			alice.MountDrive()
		} else {
			alice.Satchel("name", "register", name).Want(t, 0, name+" is registered", "preorder ", "register ", "update ")
		}
		w.Eventually(func() error { return errOf(alice.Satchel("name", "show", name).Has("pubkey:data:")) })
		if got := w.Burnt() - before; got != 1 {
			t.Errorf("%s: paid %d times", name, got)
		}
		w.Eventually(func() error { // a mount looks at its queue by and by
			left, err := filepath.Glob(filepath.Join(alice.Home, "data", "registrar", "*"))
			if err == nil && len(left) > 0 {
				err = fmt.Errorf("%s: left in the queue: %q", name, left)
			}
			return err
		})
		var list struct {
			Names []struct{ Name string }
			Jobs  []any
		}
		alice.JSON(&list, "name", "list")
		if len(list.Names) != 1 || list.Names[0].Name != name || len(list.Jobs) != 0 {
			t.Errorf("list: %+v", list)
		}
	}
}

// All that an owner can do with a name, and what it costs.
func TestOwningAName(t *testing.T) {
	w := testenv.New(t)
	alice := w.Person("alice.id")
	bob := w.Person("bob.id")
	before := w.Burnt()
	alice.Satchel("name", "price", "alice.id").Want(t, 0, "5500 satoshi", "preorder", "register", "update")
	alice.Satchel("name", "register", "alice.id", "--dry-run").Want(t, 0, "preorder", "5500 satoshi burnt", "paid from")
	alice.Satchel("name", "show", "alice.id").Want(t, 12)
	if w.Burnt() != before {
		t.Error("a dry run paid")
	}
	alice.Register()
	bob.Register()
	bob.MountDrive() // from here on a daemon does it

	bob.Satchel("name", "renew", "bob.id").Want(t, 0, "renew ", "bob.id is renewed")
	bob.Satchel("name", "renew", "bob.id").Want(t, 0, "already")
	bob.Satchel("name", "renew", "alice.id").Want(t, 12, alice.Owner())
	if got := w.Burnt() - before; got != 3 {
		t.Errorf("paid %d times, want 3", got)
	}
	zone := w.Path("zone")
	if err := os.WriteFile(zone, []byte("$ORIGIN bob.id\n$TTL 3600\ntxt TXT \"hello\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bob.Satchel("name", "update", "bob.id", "--zonefile", zone).Want(t, 0, "update ")
	bob.Satchel("name", "show", "bob.id").Want(t, 0, "hello", "never expires")
	bob.Satchel("name", "update", "bob.id").Want(t, 0, "update ")
	bob.Satchel("name", "update", "bob.id").Want(t, 0)

	var history []struct {
		Op, Txid, Owner string
		Height          int
	}
	bob.JSON(&history, "name", "history", "bob.id")
	var words []string
	for _, h := range history {
		words = append(words, h.Op)
	}
	if got := strings.Join(words, " "); !strings.HasSuffix(got, ": + :: + +") {
		t.Errorf("history %s", got)
	}

	bob.Satchel("name", "transfer", "bob.id", "alice.id").Want(t, 0, "transfer ", "belongs to "+alice.Owner())
	bob.Satchel("status").Want(t, 0, "owned by another address now", alice.Owner())
	bob.Satchel("name", "update", "bob.id").Want(t, 12, alice.Owner())
	alice.Satchel("name", "list").Want(t, 0, "alice.id", "bob.id")
	alice.Satchel("name", "revoke", "bob.id").Want(t, 2, "can't be undone")
	alice.Satchel("name", "revoke", "bob.id", "--yes").Want(t, 0, "revoke ")
	alice.Satchel("name", "show", "bob.id").Want(t, 0, "revoked")
	alice.Satchel("name", "renew", "bob.id").Want(t, 12, "revoked")
}

// A namespace is opened, with names given out before, and its names expire.
func TestNamespace(t *testing.T) {
	w := testenv.New(t)
	alice := w.Person("alice.id")
	alice.Satchel("namespace", "price", "friends1").Want(t, 0, "0.40000000 BTC")
	alice.Satchel("namespace", "create", "friends1", "--hold", "--lifetime", "200", "--coefficient", "250", "--base", "4",
		"--buckets", "6,5,4,3,2,1,0", "--no-vowel", "4", "--non-alpha", "4").Want(t, 0, "namespace preorder ", "namespace reveal ")
	alice.Satchel("namespace", "import", "ada.friends1", "eve.friends1").Want(t, 0, "ada.friends1 is imported", "eve.friends1 is imported")
	alice.Satchel("name", "price", "joe.friends1").Want(t, 12, "not open")
	alice.Satchel("namespace", "ready", "friends1").Want(t, 0, "namespace ready ")
	alice.Satchel("namespace", "show", "friends1").Want(t, 0, "ready", "200 blocks", "ada.friends1", "eve.friends1")
	alice.Satchel("namespace", "list").Want(t, 0, "friends1", "id ")
	alice.Satchel("name", "price", "joe.friends1").Want(t, 0, "0.06400000 BTC", "200 blocks")
	alice.Satchel("status").Want(t, 0, "renewal", "ada.friends1 expires in block", "name renew ada.friends1")
	alice.Satchel("name", "renew", "ada.friends1").Want(t, 0, "renew ")
	w.Mine("200")
	alice.Satchel("name", "renew", "eve.friends1").Want(t, 12, "expired")
	alice.Satchel("namespace", "create", "Friends").Want(t, 12)
	alice.Satchel("namespace", "create", "id").Want(t, 12, "already")
}

// The owner's key signs elsewhere: all that leaves is a PSBT, and what comes back
// is checked.
func TestSignedElsewhere(t *testing.T) {
	w := testenv.New(t)
	alice := w.Person("alice.id")
	file := w.Path("alice.psbt")
	keys, err := crypto.OpenKeystore(filepath.Join(alice.Home, "data", "keystore"), []byte(testenv.Passphrase))
	if err != nil {
		t.Fatal(err)
	}
	alice.Satchel("name", "register", "alice.id", "--psbt", file).Want(t, 0, "preorder transaction", file, "name send")
	for i, op := range []string{"preorder", "register", "update"} {
		if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
			t.Fatalf("%v, %v", st, err)
		}
		alice.Satchel("name", "send", file).Want(t, 2, "not signed")
		alice.Satchel("name", "list").Want(t, 0, op+" waits to be signed")
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p, err := psbt.NewFromRawBytes(bytes.NewReader(data), false)
		if err != nil {
			t.Fatal(err)
		}
		u, err := psbt.NewUpdater(p)
		if err != nil {
			t.Fatal(err)
		}
		for i := range p.Inputs {
			sig, err := txscript.RawTxInSignature(p.UnsignedTx, i, registrar.ScriptOf(keys.Owner), txscript.SigHashAll, keys.Owner)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := u.Sign(i, sig, keys.Owner.PubKey().SerializeCompressed(), nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		var b bytes.Buffer
		if err := p.Serialize(&b); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			alice.Satchel("name", "register", "alice.id", "--psbt", file).Want(t, 0, op+" ")
		} else {
			alice.Satchel("name", "send", file).Want(t, 0, op+" ")
		}
	}
	alice.Satchel("name", "register", "alice.id").Want(t, 0, "alice.id is registered")
	if err := os.WriteFile(file, []byte("my diary"), 0o600); err != nil {
		t.Fatal(err)
	}
	alice.Satchel("name", "renew", "alice.id", "--psbt", file).Want(t, 2, "won't be overwritten")
	out := alice.Satchel("name", "renew", "alice.id", "--psbt", "-").Want(t, 0).Out
	if strings.Count(out, "\n") != 1 || !strings.HasPrefix(out, "cHNidP8") {
		t.Errorf("on stdout: %q", out)
	}
	alice.Satchel("name", "cancel", "alice.id").Want(t, 0, "renew of alice.id is out of the queue")
	var list json.RawMessage
	alice.JSON(&list, "name", "list")
	if !strings.Contains(string(list), `"jobs": []`) {
		t.Errorf("%s", list)
	}
}

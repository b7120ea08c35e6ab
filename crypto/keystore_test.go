package crypto

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"satchel/crypto/canon"
)

// cheap makes the keystores of a test take next to no time.
func cheap(t testing.TB) {
	was := keystoreCost
	keystoreCost = cost{1, 64, 1}
	t.Cleanup(func() { keystoreCost = was })
}

func testKeystore(t testing.TB) *Keystore {
	return &Keystore{
		Name: "alice.id", Network: Network{'s', 'a', 1},
		Signing: fixedSigning(t, 0x40), Sealing: fixedSeal(t, 0x41), DataKey: fixedSigning(t, 0x42).key, DataGen: 3,
		UserSecrets: map[uint64]UserSecret{1: fixed(0x43), 2: fixed(0x44), 300: fixed(0x45)},
		Owner:       fixedSigning(t, 0x46).key,
		StateKey:    fixed(0x47), LocalSecret: fixed(0x48), Fingerprint: fixed(0x49), Recovery: fixedSeal(t, 0x4a).Public(),
		Extra: canon.Extra{200: {0x01}},
	}
}

func TestKeystore(t *testing.T) {
	cheap(t)
	path := filepath.Join(t.TempDir(), "keystore")
	for name, ks := range map[string]*Keystore{
		"full":  testKeystore(t),
		"least": {Name: "bob.id", Signing: fixedSigning(t, 1), Sealing: fixedSeal(t, 2)},
		"none":  {},
	} {
		if err := SaveKeystore(path, []byte("pass"), ks); err != nil {
			t.Fatal(err)
		}
		got, err := OpenKeystore(path, []byte("pass"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if a, b := encoded(t, got), encoded(t, ks); a != b {
			t.Errorf("%s: got %x, want %x", name, a, b)
		}
		if !reflect.DeepEqual(got.UserSecrets, ks.UserSecrets) {
			t.Errorf("%s: user secrets differ", name)
		}
	}
}

func encoded(t *testing.T, ks *Keystore) string {
	b, err := ks.encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestKeystoreFile(t *testing.T) {
	cheap(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "keystore")
	ks := testKeystore(t)
	if _, err := OpenKeystore(path, nil); !errors.Is(err, os.ErrNotExist) || errors.Is(err, ErrOpen) {
		t.Errorf("none there: %v", err)
	}
	if err := CreateKeystore(path, []byte("one"), ks); err != nil {
		t.Fatal(err)
	}
	if err := CreateKeystore(path, []byte("two"), &Keystore{}); !errors.Is(err, os.ErrExist) {
		t.Errorf("created over another: %v", err)
	}
	if _, err := OpenKeystore(path, []byte("one")); err != nil {
		t.Errorf("after a refused creation: %v", err)
	}
	before, _ := os.ReadFile(path)
	if err := SaveKeystore(path, []byte("two"), ks); err != nil {
		t.Fatal(err)
	}
	after, _ := os.ReadFile(path)
	if string(before[29:45]) == string(after[29:45]) {
		t.Error("salt used twice")
	}
	if string(before[45:keystoreHead]) == string(after[45:keystoreHead]) {
		t.Error("nonce used twice")
	}
	if _, err := OpenKeystore(path, []byte("one")); !errors.Is(err, ErrPassphrase) {
		t.Errorf("the old passphrase: %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("files left behind: %v", list)
	}
	if err := SaveKeystore(filepath.Join(dir, "no", "keystore"), nil, ks); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such folder: %v", err)
	}
}

func TestKeystoreOneError(t *testing.T) {
	cheap(t)
	path := filepath.Join(t.TempDir(), "keystore")
	if err := CreateKeystore(path, []byte("pass"), testKeystore(t)); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, want := OpenKeystore(path, []byte("Pass"))
	if !errors.Is(want, ErrPassphrase) || !errors.Is(want, ErrOpen) {
		t.Fatalf("wrong passphrase: %v", want)
	}
	flips(raw, keystoreHead, func(what string, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenKeystore(path, []byte("pass")); err == nil || err.Error() != want.Error() {
			t.Errorf("%s: got %v, want %v", what, err, want)
		}
	})
}

// TestKeystoreCost: a planted file can't make opening take for ever.
func TestKeystoreCost(t *testing.T) {
	for _, c := range []cost{{0, 64, 1}, {17, 64, 1}, {1, 7, 1}, {1, 64, 0}, {1, 64, 9}, {1, 1<<20 + 1, 1}, {1 << 31, 1 << 31, 255}} {
		if c.valid() {
			t.Errorf("%+v is valid", c)
		}
	}
	if !keystoreCost.valid() || keystoreCost.memory < 64<<10 {
		t.Errorf("%+v is what new keystores get", keystoreCost)
	}
}

func TestKeystoreKnownAnswer(t *testing.T) {
	cheap(t)
	ks := testKeystore(t)
	plain := []byte(encoded(t, ks))
	wantKnown(t, "keystore-secrets.hex", plain)
	sealed := known(t, "keystore.hex", sealKeystore([]byte("correct horse"), plain, keystoreCost))
	got, err := openKeystore([]byte("correct horse"), sealed)
	if err != nil {
		t.Fatal(err)
	}
	if encoded(t, got) != string(plain) {
		t.Error("other secrets")
	}
	if gen, u, ok := got.NewestUserSecret(); !ok || gen != 300 || u != fixed(0x45) {
		t.Errorf("newest user secret: generation %d", gen)
	}
	if got.Device() != ks.Device() {
		t.Error("another device")
	}
}

func FuzzKeystore(f *testing.F) {
	cheap(f)
	plain, err := testKeystore(f).encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealKeystore(nil, plain, keystoreCost), plain)
	f.Add([]byte(keystoreMagic), []byte{})
	f.Fuzz(func(t *testing.T, file, plain []byte) {
		if c, err := parseCost(file); err == nil && c.memory <= 64 && c.time == 1 {
			openKeystore(nil, file)
		}
		ks, err := decodeKeystore(plain)
		if err != nil {
			return
		}
		if again, err := ks.encode(); err != nil || string(again) != string(plain) {
			t.Fatalf("%x encodes to %x, %v", plain, again, err)
		}
	})
}

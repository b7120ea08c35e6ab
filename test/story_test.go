package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"satchel/test/testenv"
)

// The story of `make demo`: a dragged file, and a change that comes back.
func TestDraggedFile(t *testing.T) {
	w := testenv.New(t)
	alice := w.Citizen("alice.id")
	bob := w.Citizen("bob.id", w.Blobs("bob").Flags()...)

	alice.Write("People/bob.id/letter.txt", "hello bob")
	bob.WantRead("People/alice.id/letter.txt", "hello bob")
	bob.Sh(`printf %s ", hello alice" >> People/alice.id/letter.txt`)
	alice.WantRead("People/bob.id/letter.txt", "hello bob, hello alice")

	alice.Wait()
	for name, want := range map[string]string{"user.satchel.state": "stored", "user.satchel.by": "bob.id", "user.satchel.fresh": "20"} {
		if got := alice.Xattr("People/bob.id/letter.txt", name); !strings.HasPrefix(got, want) {
			t.Errorf("%s is %q, want it to begin with %q", name, got, want)
		}
	}
	if got := alice.Sh(`ls People`); got != "bob.id\n" {
		t.Errorf("ls People: got %q", got)
	}
	alice.Satchel("status").Want(t, 0, "alice.id", alice.Mount)
	bob.Satchel("status", "--json").Want(t, 0, `"name": "bob.id"`)
}

// What is in Private stays there, what is in Public is everybody's to read.
func TestPrivateAndPublic(t *testing.T) {
	w := testenv.New(t)
	alice := w.Citizen("alice.id")
	bob := w.Citizen("bob.id")
	alice.Write("Private/diary", "dear diary")
	alice.Write("Public/alice.id/poem", "roses")
	bob.WantRead("Public/alice.id/poem", "roses")
	bob.Try(`echo x > Public/alice.id/graffito`).Want(t, 2, "Read-only")
	bob.Try(`cat Public/alice.id/diary`).Want(t, 1, "No such file")
	alice.Try(`touch x`).Want(t, 1, "ermission denied")
	alice.Try(`touch People/x.txt`).Want(t, 1)
	alice.Sh(`mkdir -p People/bob.id`)
	alice.Try(`mkdir People/bob.id`).Want(t, 1, "exists")

	// A move between volumes is a rename, and takes the file away where it was.
	alice.Sh(`mv Private/diary People/bob.id/diary`)
	bob.WantRead("People/alice.id/diary", "dear diary")
	alice.Try(`cat Private/diary`).Want(t, 1, "No such file")
	alice.Sh(`rm People/bob.id/diary`)
	bob.Sync()
	alice.Wait()
	bob.Sync()
	bob.Try(`cat People/alice.id/diary`).Want(t, 1, "No such file")
}

// 300 MiB through both mounts, byte for byte.
func TestLargeFile(t *testing.T) {
	if testing.Short() {
		t.Skip("moves 300 MiB")
	}
	w := testenv.New(t)
	alice := w.Citizen("alice.id")
	bob := w.Citizen("bob.id")
	big := w.Path("big")
	if out, err := exec.Command("sh", "-c", `head -c 314572800 /dev/urandom > "$1"`, "sh", big).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	alice.Sh(`cp "$1" People/bob.id/big`, big)
	alice.Sh(`cmp "$1" People/bob.id/big`, big)
	alice.Wait()
	bob.Sync()
	bob.Sh(`cmp "$1" People/alice.id/big`, big)
	bob.Sh(`dd if=/dev/zero of=People/alice.id/big bs=1 seek=200000000 count=3 conv=notrunc 2>/dev/null; sync -f People/alice.id/big || true`)
	if out, err := exec.Command("sh", "-c", `dd if=/dev/zero of="$1" bs=1 seek=200000000 count=3 conv=notrunc`, "sh", big).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	bob.Wait()
	alice.Sync()
	alice.Sh(`cmp "$1" People/bob.id/big`, big)
}

// makeFiles fills a folder with n small files in dirs folders.
func makeFiles(t *testing.T, dir string, n, dirs int) {
	t.Helper()
	for i := range n {
		sub := filepath.Join(dir, "d"+string(rune('a'+i%dirs/26))+string(rune('a'+i%dirs%26)))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		data := make([]byte, i*7%5000)
		for j := range data {
			data[j] = byte(i + j*j)
		}
		name := filepath.Join(sub, "file with spaces ü "+string(rune('0'+i%10))+"-"+itoa(i))
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func itoa(i int) string {
	if i < 10 {
		return string(rune('0' + i))
	}
	return itoa(i/10) + string(rune('0'+i%10))
}

// 3,000 files in 40 folders through both mounts.
func TestManyFiles(t *testing.T) {
	w := testenv.New(t)
	alice := w.Citizen("alice.id")
	bob := w.Citizen("bob.id")
	src := w.Path("src")
	makeFiles(t, src, 3000, 40)
	alice.Sh(`cp -r "$1" People/bob.id/tree`, src)
	alice.Sh(`diff -r "$1" People/bob.id/tree`, src)
	alice.Wait()
	bob.Sync()
	bob.Sh(`diff -r "$1" People/alice.id/tree`, src)
	bob.Sh(`rm -r People/alice.id/tree`)
	bob.Wait()
	alice.Sync()
	w.Eventually(func() error { return errOf(alice.Try(`test ! -e People/bob.id/tree`)) })
}

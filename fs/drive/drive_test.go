package drive_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"satchel/chain"
	"satchel/fs/drive"
	. "satchel/fs/drive/drivetest"
	"satchel/storage"
	"satchel/storage/storagetest"
)

// two returns the drives of alice.id and bob.id.
func two(t *testing.T) (w *World, alice, bob Actor, pa, pb *Person) {
	t.Helper()
	w = New(t)
	pa, pb = w.Person("alice.id", "a"), w.Person("bob.id", "b")
	return w, As(t, pa.Join()), As(t, pb.Join()), pa, pb
}

func TestDraggedFileArrivesAndComesBack(t *testing.T) {
	_, alice, bob, _, _ := two(t)
	alice.Write("People/bob.id/a.txt", "hello")
	alice.Wait()
	bob.Want("People/alice.id/a.txt", "hello") // the first look-up fetches
	bob.Write("People/alice.id/a.txt", "hello, alice")
	bob.Wait()
	alice.Sync()
	alice.Want("People/bob.id/a.txt", "hello, alice")
	alice.WantList("People", "bob.id")
	bob.WantList("", "People", "Private", "Public")
}

func TestNothingIsShownToStrangers(t *testing.T) {
	w, alice, bob, _, _ := two(t)
	carol := As(t, w.Person("carol.id", "c").Join())
	alice.Write("People/bob.id/a.txt", "hello")
	alice.Write("Private/p.txt", "mine")
	alice.Wait()
	bob.WantList("People/alice.id", "a.txt")
	carol.WantList("People/alice.id")
	carol.WantErr("People/alice.id/a.txt", os.ErrNotExist)
}

func TestPublicIsReadByEverybody(t *testing.T) {
	_, alice, bob, _, _ := two(t)
	alice.Write("Public/alice.id/index.html", "<p>")
	alice.Wait()
	bob.Want("Public/alice.id/index.html", "<p>")
	_, err := bob.Node("Public/alice.id").Create(context.Background(), "x", drive.CreateOptions{Mode: 0o644})
	if !errors.Is(err, syscall.EROFS) {
		t.Fatalf("writing in another's Public: got %v, want EROFS", err)
	}
}

// A pulse tells of each volume once, however many there are.
func TestPrivateAndPublicTogether(t *testing.T) {
	_, alice, bob, _, _ := two(t)
	alice.Write("Private/diary", "dear diary")
	alice.Write("Public/alice.id/poem", "roses")
	bob.WantErr("Public/alice.id/poem", os.ErrNotExist)
	alice.Wait()
	if s, err := alice.D.Status(context.Background()); err != nil || s.Upload != "" {
		t.Fatalf("upload: %s, %v", s.Upload, err)
	}
	bob.Sync()
	bob.Want("Public/alice.id/poem", "roses")
}

func TestGroupOfThree(t *testing.T) {
	w, alice, bob, _, _ := two(t)
	carol := As(t, w.Person("carol.id", "c").Join())
	alice.Write("People/bob.id,carol.id/plan.txt", "plan")
	alice.Wait()
	for _, other := range []Actor{bob, carol} {
		other.WantList("People/alice.id") // the pair volume tells the group's place
	}
	bob.Want("People/alice.id,carol.id/plan.txt", "plan")
	bob.Write("People/alice.id,carol.id/answer.txt", "yes")
	bob.Wait()
	carol.WantList("People/bob.id")
	carol.WantList("People/alice.id,bob.id", "answer.txt", "plan.txt")
	carol.WantErr("People/bob.id,alice.id", os.ErrNotExist) // members are sorted
}

func TestUnknownNames(t *testing.T) {
	w, alice, _, _, _ := two(t)
	alice.WantErr("People/nobody.id", os.ErrNotExist)
	alice.WantErr("People/Not A Name", os.ErrNotExist)
	alice.WantErr("Other", os.ErrNotExist)
	w.Register("bare.id", "somebody", nil)
	alice.WantErr("People/bare.id", os.ErrPermission)
	_, err := alice.D.Root().Create(context.Background(), "x", drive.CreateOptions{Mode: 0o644})
	if !errors.Is(err, os.ErrPermission) {
		t.Fatalf("file in the root: %v", err)
	}
	if _, err := alice.Node("People").Create(context.Background(), "bob.id", drive.CreateOptions{Mode: os.ModeDir | 0o755}); !errors.Is(err, os.ErrExist) {
		t.Fatalf("mkdir of a person: %v", err)
	}
}

// TestRandomWrites compares a file with a plain slice of bytes over writes,
// truncations, appends, commits and reopening.
func TestRandomWrites(t *testing.T) {
	w := New(t)
	p := w.Person("alice.id", "a")
	d := p.Open()
	p.Register(d)
	a := As(t, d)
	a.Write("Private/f", "")
	rnd := rand.New(rand.NewSource(1))
	var want []byte
	h := a.Open("Private/f", syscall.O_RDWR)
	ctx := context.Background()
	for step := range 400 {
		switch k := rnd.Intn(20); {
		case k < 9:
			off, n := rnd.Intn(5<<20), rnd.Intn(300<<10)
			if k < 3 { // around the edges of chunks
				off = (1+rnd.Intn(4))<<20 - rnd.Intn(3000)
				n = rnd.Intn(6000)
			}
			b := make([]byte, n)
			rnd.Read(b)
			if _, err := h.WriteAt(ctx, b, int64(off)); err != nil {
				t.Fatal(err)
			}
			if end := off + n; n > 0 && end > len(want) {
				want = append(want, make([]byte, end-len(want))...)
			}
			copy(want[min(off, len(want)):], b)
		case k < 13:
			size := uint64(rnd.Intn(5 << 20))
			if k == 12 {
				size = uint64(rnd.Intn(600))
			}
			if _, err := a.Node("Private/f").SetAttr(ctx, drive.SetAttr{Size: &size}); err != nil {
				t.Fatal(err)
			}
			if int(size) <= len(want) {
				want = want[:size:size]
			} else {
				want = append(want, make([]byte, int(size)-len(want))...)
			}
		case k < 17:
			off, n := 0, 1+rnd.Intn(200<<10)
			if len(want) > 0 {
				off = rnd.Intn(len(want))
			}
			b := make([]byte, n)
			m, _ := h.ReadAt(ctx, b, int64(off))
			if exp := want[off:min(len(want), off+n)]; string(b[:m]) != string(exp) {
				t.Fatalf("step %d: read %d at %d of %d differs", step, n, off, len(want))
			}
		case k < 19:
			if err := h.Fsync(ctx); err != nil {
				t.Fatal(err)
			}
		default:
			h.Release()
			if rnd.Intn(2) == 0 {
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				d = p.Open()
				a.D = d
			}
			h = a.Open("Private/f", syscall.O_RDWR)
		}
	}
	h.Release()
	a.Want("Private/f", string(want))
	a.Wait()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = p.Open()
	defer d.Close()
	As(t, d).Want("Private/f", string(want))
}

func TestWriteTemporaryAndRenameOver(t *testing.T) {
	_, alice, bob, pa, _ := two(t)
	alice.Write("People/bob.id/doc", "one")
	alice.Wait()
	old := bob.Open("People/alice.id/doc", os.O_RDONLY)
	defer old.Release()
	alice.Write("People/bob.id/doc.tmp", "two")
	alice.Rename("People/bob.id/doc.tmp", "People/bob.id/doc")
	alice.Wait()
	bob.Sync()
	bob.Want("People/alice.id/doc", "two")
	if got, err := ReadAll(old); err != nil || got != "one" {
		t.Fatalf("the open old version: %q, %v", got, err)
	}
	_ = pa
}

func TestUnlinkedWhileOpen(t *testing.T) {
	_, alice, _, _, _ := two(t)
	alice.Write("Private/f", "abc")
	h := alice.Open("Private/f", syscall.O_RDWR)
	alice.Remove("Private/f", false)
	if _, err := h.WriteAt(context.Background(), []byte("X"), 1); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadAll(h); err != nil || got != "aXc" {
		t.Fatalf("got %q, %v", got, err)
	}
	h.Release()
	alice.WantList("Private")
}

func TestConcurrentEditsKeepBoth(t *testing.T) {
	_, alice, bob, _, _ := two(t)
	alice.Write("People/bob.id/f.txt", "base")
	alice.Wait()
	bob.Want("People/alice.id/f.txt", "base")
	bob.Write("People/alice.id/f.txt", "bob's")
	alice.Write("People/bob.id/f.txt", "alice's")
	bob.Wait()
	alice.Wait()
	alice.Sync()
	bob.Sync()
	a, b := alice.List("People/bob.id"), bob.List("People/alice.id")
	if len(a) != 2 || strings.Join(a, "|") != strings.Join(b, "|") {
		t.Fatalf("alice sees %q, bob %q", a, b)
	}
	seen := map[string]bool{}
	for _, n := range a {
		s, err := alice.Read("People/bob.id/" + n)
		if err != nil {
			t.Fatal(err)
		}
		seen[s] = true
	}
	if !seen["bob's"] || !seen["alice's"] {
		t.Fatalf("contents: %v", seen)
	}
}

func TestMoveBetweenVolumesCopiesNoData(t *testing.T) {
	w, alice, bob, _, _ := two(t)
	big := strings.Repeat("0123456789abcdef", 3<<16) // 3 MiB
	alice.Mkdir("Private/dir")
	alice.Write("Private/dir/big", big)
	alice.Write("Private/dir/small", "s")
	alice.Wait()
	var counter *storagetest.Counter
	w.Swap("a", func(d storage.Driver) storage.Driver { counter = storagetest.Count(d); return counter })
	alice.Rename("Private/dir", "People/bob.id/dir")
	alice.WantErr("Private/dir", os.ErrNotExist)
	alice.Want("People/bob.id/dir/big", big)
	alice.Wait()
	bob.Want("People/alice.id/dir/big", big)
	bob.Want("People/alice.id/dir/small", "s")
	if n := counter.Written.Load(); n > 200<<10 {
		t.Fatalf("moving 3 MiB put %d bytes", n)
	}
	// What alice wrote can't be moved on to a folder of others by reference.
	if err := bob.TryRename("People/alice.id/dir/big", "Private/big"); !errors.Is(err, syscall.EXDEV) {
		t.Fatalf("got %v, want EXDEV", err)
	}
}

func TestRestartLosesNothing(t *testing.T) {
	w := New(t)
	pa, pb := w.Person("alice.id", "a"), w.Person("bob.id", "b")
	da, db := pa.Open(), pb.Open()
	pa.Register(da)
	pb.Register(db)
	alice, bob := As(t, da), As(t, db)
	for i := range 50 {
		alice.Write(fmt.Sprintf("People/bob.id/%02d", i), fmt.Sprint(i))
	}
	alice.Wait()
	bob.Want("People/alice.id/07", "7")
	bob.Write("People/alice.id/mine", "b")
	for _, d := range []*drive.Drive{da, db} {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// With every provider gone, what was seen is still shown.
	for _, h := range []string{"a", "b"} {
		w.Swap(h, func(d storage.Driver) storage.Driver { return storagetest.Failing(d, errors.New("down"), nil) })
	}
	da, db = pa.Open(), pb.Open()
	defer da.Close()
	defer db.Close()
	As(t, db).Want("People/alice.id/07", "7")
	As(t, db).Want("People/alice.id/mine", "b")
	As(t, da).Want("People/bob.id/49", "49")
	for _, h := range []string{"a", "b"} {
		w.Swap(h, nil)
	}
	As(t, db).Wait()
	As(t, da).Sync()
	As(t, da).Want("People/bob.id/mine", "b")
}

func TestRemovedNameStopsItsFolder(t *testing.T) {
	w, alice, bob, _, _ := two(t)
	alice.Write("People/bob.id/a", "1")
	alice.Wait()
	bob.Want("People/alice.id/a", "1")
	w.Register("alice.id", "a thief", nil)
	if err := bob.D.Sync(context.Background()); err == nil {
		t.Fatal("sync with a name that changed hands went well")
	}
	bob.Want("People/alice.id/a", "1") // what is here stays readable
	_, err := bob.Node("People/alice.id").Create(context.Background(), "x", drive.CreateOptions{Mode: 0o644})
	if !errors.Is(err, os.ErrPermission) {
		t.Fatalf("write to a stopped name: %v", err)
	}
	s, err := bob.D.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if p := fmt.Sprint(s.Volumes[0].Problems["alice.id"]); !strings.Contains(p, "satchel trust alice.id") {
		t.Fatalf("status says %q", p)
	}
	// A new alice, with keys of her own.
	p2 := w.Person("alice.id", "a2")
	d2 := As(t, p2.Join())
	old, now, err := bob.D.Trust(context.Background(), "alice.id")
	if err != nil || old == nil || old.Fingerprint == now.Fingerprint {
		t.Fatalf("trust: %v, %v, %v", old, now, err)
	}
	if err := bob.D.AcceptTrust(context.Background(), "alice.id", now); err != nil {
		t.Fatal(err)
	}
	bob.Write("People/alice.id/b", "2")
	bob.Wait()
	d2.Want("People/bob.id/b", "2")
}

// What was written before a folder stopped is neither lost nor published.
func TestStoppedFolderKeepsWhatWasWritten(t *testing.T) {
	w := New(t)
	pa, pb := w.Person("alice.id", "a"), w.Person("bob.id", "b")
	As(t, pa.Join())
	d := pb.Open()
	pb.Register(d)
	bob := As(t, d)
	bob.Write("People/alice.id/a", "1")
	bob.Wait()
	bob.Write("People/alice.id/b", "2")
	w.Register("alice.id", "a thief", nil)
	d.Sync(context.Background())
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := d.Wait(ctx); err == nil || !strings.Contains(err.Error(), "on this machine only") {
		t.Fatalf("wait in a stopped folder: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = pb.Open()
	defer d.Close()
	bob.D = d
	bob.Want("People/alice.id/a", "1")
	bob.Want("People/alice.id/b", "2")
	p2 := w.Person("alice.id", "a2")
	alice := As(t, p2.Join())
	if _, err := alice.Read("People/bob.id/b"); err == nil {
		t.Fatal("the new owner reads before she is trusted")
	}
	_, now, err := d.Trust(context.Background(), "alice.id")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.AcceptTrust(context.Background(), "alice.id", now); err != nil {
		t.Fatal(err)
	}
	bob.Wait()
	alice.Sync()
	alice.Want("People/bob.id/b", "2")
}

// A drive that was never registered keeps what is written.
func TestBeforeRegistration(t *testing.T) {
	w := New(t)
	p := w.Person("alice.id", "a")
	d := p.Open()
	As(t, d).Write("Private/a", "1")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = p.Open()
	defer d.Close()
	alice := As(t, d)
	alice.Want("Private/a", "1")
	p.Register(d)
	alice.Wait()
	alice.Want("Private/a", "1")
}

func TestUnregisteredNameIsSaid(t *testing.T) {
	w, alice, bob, _, _ := two(t)
	alice.Write("People/bob.id/a", "1")
	alice.Wait()
	bob.Want("People/alice.id/a", "1")
	w.Forget("alice.id")
	w.Forget("bob.id")
	bob.D.Sync(context.Background())
	s, err := bob.D.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if s.Registered || !strings.Contains(s.Problem, "not registered") {
		t.Fatalf("own name: %v %q", s.Registered, s.Problem)
	}
	if p := s.Volumes[0].Problems["alice.id"]; !strings.Contains(p, "not registered any more") {
		t.Fatalf("alice: %q", p)
	}
}

func TestBadProviders(t *testing.T) {
	for lie := storagetest.Garbage; lie <= storagetest.Old; lie++ {
		t.Run(fmt.Sprint(int(lie)), func(t *testing.T) {
			w := New(t)
			w.Swap("bad", func(d storage.Driver) storage.Driver { return storagetest.Lying(d, lie, nil) })
			pa := w.Person("alice.id", "bad", "good")
			pb := w.Person("bob.id", "b")
			alice, bob := As(t, pa.Join()), As(t, pb.Join())
			alice.Write("People/bob.id/a", "one")
			alice.Mkdir("People/bob.id/d")
			alice.Write("People/bob.id/d/b", strings.Repeat("x", 3000))
			alice.Wait()
			bob.Want("People/alice.id/a", "one")
			alice.Write("People/bob.id/a", "two")
			alice.Wait()
			bob.Sync()
			bob.Want("People/alice.id/a", "two")
			bob.Want("People/alice.id/d/b", strings.Repeat("x", 3000))
		})
	}
}

// A provider that says "not there" of what was there, or gives an old head beside
// a new pulse, freezes nobody unnoticed.
func TestWithholdingIsSaid(t *testing.T) {
	for name, match := range map[string]storagetest.Match{
		"everything": nil,
		"heads":      func(key string) bool { return strings.HasPrefix(key, "h/") },
	} {
		t.Run(name, func(t *testing.T) {
			w, alice, bob, _, _ := two(t)
			var old storage.Driver
			w.Swap("a", func(d storage.Driver) storage.Driver {
				old = storagetest.Lying(d, storagetest.Old, match)
				return old
			})
			alice.Write("People/bob.id/a", "1")
			alice.Wait()
			bob.Want("People/alice.id/a", "1")
			alice.Write("People/bob.id/b", "2")
			alice.Wait()
			err := bob.D.Sync(context.Background())
			if match != nil && err == nil {
				t.Error("sync with an old head beside a new pulse went well")
			}
			w.Swap("a", func(d storage.Driver) storage.Driver {
				return storagetest.Failing(d, os.ErrNotExist, match)
			})
			if err := bob.D.Sync(context.Background()); err == nil {
				t.Error("sync with a provider that has nothing any more went well")
			}
			s, err := bob.D.Status(context.Background())
			if err != nil || !strings.Contains(fmt.Sprint(s.Faults), "mem://a") {
				t.Errorf("faults: %v, %v", s.Faults, err)
			}
			bob.Want("People/alice.id/a", "1")
			w.Swap("a", nil)
			bob.Sync()
			bob.Want("People/alice.id/b", "2")
		})
	}
}

func TestOwnStateRestoredSignsNothingMore(t *testing.T) {
	w := New(t)
	p := w.Person("alice.id", "a")
	d := p.Open()
	p.Register(d)
	a := As(t, d)
	a.Write("Private/f", "1")
	a.Wait()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	backup := t.TempDir()
	if err := os.CopyFS(backup, os.DirFS(p.Dir)); err != nil {
		t.Fatal(err)
	}
	d = p.Open()
	a.D = d
	a.Write("Private/f", "2")
	a.Wait()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	p.Dir = backup
	d = p.Open()
	defer d.Close()
	a.D = d
	a.Write("Private/f", "3")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := d.Wait(ctx); err == nil {
		t.Fatal("a restored state was published")
	}
	s, err := d.Status(context.Background())
	if err != nil || !strings.Contains(s.Problem, "restored or copied") {
		t.Fatalf("status: %q, %v", s.Problem, err)
	}
	_ = chain.Name("")
}

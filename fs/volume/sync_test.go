package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"satchel/fs/tree"
)

// shown returns all that a volume shows: names, kinds, sizes, contents.
func shown(t *testing.T, v *Volume) map[string]string {
	t.Helper()
	out := make(map[string]string)
	var walk func(n *Node, above string)
	walk = func(n *Node, above string) {
		for _, e := range must[[]Entry](t)(n.List(ctx)) {
			at := above + "/" + e.Name
			c := must[*Node](t)(n.Lookup(ctx, e.Name))
			info := must[tree.Info](t)(c.Info(ctx))
			if e.Kind == tree.Dir {
				out[at] = fmt.Sprintf("%o", info.Mode)
				walk(c, at)
			} else {
				out[at] = fmt.Sprintf("%o %d names %d %d %x", info.Mode, info.Links, info.Size, info.Mtime, digest(read(t, n, e.Name)))
			}
			c.Forget()
		}
	}
	walk(v.Root(), "")
	return out
}

func digest(b []byte) string {
	// The file's bytes, or their beginning, end and sum: for messages.
	if len(b) <= 8 {
		return string(b)
	}
	sum := 0
	for i, c := range b {
		sum += int(c) * (i + 1)
	}
	return fmt.Sprintf("%x..%x %d", b[:4], b[len(b)-4:], sum)
}

// scribbler changes a volume at random.
type scribbler struct {
	t    *testing.T
	r    *rand.Rand
	v    *Volume
	dirs []*Node
	did  map[string]int
	held []*Handle // files that stay open for writing, the oldest first
}

func (s *scribbler) name() string { return string(rune('a' + s.r.IntN(6))) }

func (s *scribbler) step() {
	s.t.Helper()
	dir := s.dirs[s.r.IntN(len(s.dirs))]
	var err error
	var what string
	switch s.r.IntN(14) {
	case 0, 1:
		what = "create"
		_, err = dir.Create(ctx, s.name(), New{Kind: tree.File, Mode: 0o600})
	case 2:
		what = "mkdir"
		var n *Node
		if n, err = dir.Create(ctx, s.name(), New{Kind: tree.Dir, Mode: 0o700}); err == nil {
			s.dirs = append(s.dirs, n)
		}
	case 3:
		what = "remove"
		err = dir.Remove(ctx, s.name(), s.r.IntN(2) == 0)
	case 4:
		what = "rename"
		err = dir.Rename(ctx, s.name(), s.dirs[s.r.IntN(len(s.dirs))], s.name(), false)
	case 5:
		what = "chmod"
		err = s.on(dir, func(n *Node) error {
			mode := uint32(s.r.IntN(0o1000))
			_, err := n.SetAttr(ctx, Change{Mode: &mode})
			return err
		})
	case 6:
		what = "truncate"
		err = s.on(dir, func(n *Node) error {
			size := uint64(s.size())
			_, err := n.SetAttr(ctx, Change{Size: &size})
			return err
		})
	case 7:
		what = "link"
		to := s.dirs[s.r.IntN(len(s.dirs))]
		err = s.on(dir, func(n *Node) error { return n.Link(ctx, to, s.name()) })
	case 8:
		what = "exchange"
		err = dir.Exchange(ctx, s.name(), s.dirs[s.r.IntN(len(s.dirs))], s.name())
	default:
		what = "write"
		err = s.on(dir, func(n *Node) error {
			h, err := n.Open(ctx, true, false, false)
			if err != nil {
				return err
			}
			if s.held = append(s.held, h); len(s.held) > 3 {
				s.held[0].Close()
				s.held = s.held[1:]
			}
			b := make([]byte, []int{1, 100, 4096, 70_000, 300_000, chunkSize}[s.r.IntN(6)])
			for i := range b {
				b[i] = byte(s.r.Uint32())
			}
			_, err = h.WriteAt(ctx, b, s.size())
			return err
		})
	}
	if err == nil {
		s.did[what]++
	}
}

func (s *scribbler) size() int64 {
	return []int64{0, 1, 200, 300, 5000, 100_000, chunkSize - 1, chunkSize, chunkSize + 1, 2*chunkSize + 7}[s.r.IntN(10)]
}

func (s *scribbler) on(dir *Node, fn func(*Node) error) error {
	n, err := dir.Lookup(ctx, s.name())
	if err != nil {
		return err
	}
	return fn(n)
}

// TestCrash makes changes at random, syncs or commits now and then, crashes at
// random, and finds what there was at the last sync, nothing more or less.
func TestCrash(t *testing.T) {
	did := make(map[string]int)
	for seed := range uint64(24) {
		r := rand.New(rand.NewPCG(seed, 3))
		w := newWorld(t)
		dir := filepath.Join(t.TempDir(), "journal")
		w.journal = dir
		last := Last{}
		budget := int64(4 << 20)
		if seed%3 == 0 {
			budget = 300_000 // chunks are sealed all the time
		}
		w.budget = budget
		v := w.open("Private", last)
		want := shown(t, v)
		for range 3 {
			s := &scribbler{t: t, r: r, v: v, dirs: []*Node{v.Root()}, did: did}
			for range r.IntN(120) {
				s.step()
				switch r.IntN(20) {
				case 0, 1:
					if err := v.Sync(ctx); err != nil {
						t.Fatal(err)
					}
					want = shown(t, v)
					did["sync"]++
				case 2:
					if n := r.IntN(4); n < 2 {
						before := v.Last().Seq
						if err := []func(context.Context) error{v.Commit, v.CommitIdle}[n](ctx); err != nil {
							t.Fatal(err)
						}
						if n == 1 && v.Last().Seq == before {
							continue // there was nothing but files that are open
						}
						want = shown(t, v)
						did["commit"]++
					}
				}
			}
			last = v.Last()
			if v.sync.log.Size() > 0 {
				did["recovery"]++
			}
			w.reopen()
			v = w.open("Private", last)
			if got := shown(t, v); !maps.Equal(got, want) {
				t.Fatalf("seed %d: after the crash\n%s", seed, differ(got, want))
			}
			if err := w.packs.DropLeft(); err != nil {
				t.Fatal(err)
			}
			if r.IntN(2) == 0 {
				if err := v.Commit(ctx); err != nil {
					t.Fatal(err)
				}
				if got := shown(t, v); !maps.Equal(got, want) {
					t.Fatalf("seed %d: committed after the crash\n%s", seed, differ(got, want))
				}
				last = v.Last()
				w.reopen()
				v = w.open("Private", last)
				if got := shown(t, v); !maps.Equal(got, want) {
					t.Fatalf("seed %d: opened after that\n%s", seed, differ(got, want))
				}
			}
		}
	}
	for _, what := range []string{"create", "mkdir", "remove", "rename", "chmod", "truncate", "link", "exchange", "write", "sync", "commit", "recovery"} {
		if did[what] < 10 {
			t.Errorf("%d times %s: that tests nothing", did[what], what)
		}
	}
}

func differ(got, want map[string]string) string {
	var b bytes.Buffer
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if got[k] != want[k] {
			fmt.Fprintf(&b, "%s: %q, want %q\n", k, got[k], want[k])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[k]; !ok {
			fmt.Fprintf(&b, "%s: too much\n", k)
		}
	}
	return b.String()
}

// TestCutAndGrown: what truncating cut off is not there after a crash, though
// the file has its size again.
func TestCutAndGrown(t *testing.T) {
	for name, before := range map[string]func(v *Volume) error{
		"committed": func(v *Volume) error { return v.Commit(ctx) },
		"synced":    func(v *Volume) error { return v.Sync(ctx) },
		"neither":   func(v *Volume) error { return nil },
	} {
		w := newWorld(t)
		w.journal = filepath.Join(t.TempDir(), "journal")
		v := w.open("Private", Last{})
		n := write(t, v.Root(), "f", random(1, 5000))
		if err := before(v); err != nil {
			t.Fatal(err)
		}
		for _, size := range []uint64{10, 5000} {
			must[tree.Info](t)(n.SetAttr(ctx, Change{Size: &size}))
		}
		if err := v.Sync(ctx); err != nil {
			t.Fatal(err)
		}
		last := v.Last()
		w.reopen()
		want := append(random(1, 5000)[:10:10], make([]byte, 4990)...)
		if got := read(t, w.open("Private", last).Root(), "f"); !bytes.Equal(got, want) {
			t.Errorf("%s: got %d bytes, not the ones", name, len(got))
		}
	}
}

// TestSyncIsShared has many wait for batches at once: each finds its file after a
// crash.
func TestSyncIsShared(t *testing.T) {
	w := newWorld(t)
	w.journal = filepath.Join(t.TempDir(), "journal")
	v := w.open("Private", Last{})
	const writers = 20
	errs := make(chan error, writers)
	for i := range writers {
		go func() {
			n, err := v.Root().Create(ctx, fmt.Sprint(i), New{Mode: 0o600})
			if err == nil {
				var h *Handle
				if h, err = n.Open(ctx, true, false, false); err == nil {
					_, err = h.WriteAt(ctx, fmt.Append(nil, "file ", i), 0)
					h.Close()
				}
			}
			errs <- errors.Join(err, v.Sync(ctx))
		}()
	}
	for range writers {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if batches := v.sync.good; batches > writers {
		t.Errorf("%d batches for %d writers", batches, writers)
	}
	w.reopen()
	v = w.open("Private", Last{})
	for i := range writers {
		if got := read(t, v.Root(), fmt.Sprint(i)); string(got) != fmt.Sprint("file ", i) {
			t.Errorf("file %d holds %q", i, got)
		}
	}
}

func FuzzParseBatch(f *testing.F) {
	f.Add([]byte("T\x00"))
	c := fileChange{id: tree.Identity{1}, path: "d/n", size: 5, stored: map[uint64]storedChunk{0: {}, 1: {is: true, edge: 7}}, spans: []span{{0, 3, []byte("ab")}}}
	f.Add(c.append(nil, func(r tree.Ref) tree.Ref { return r }))
	f.Fuzz(func(t *testing.T, b []byte) {
		changes, files, err := parseBatch(b)
		if err != nil {
			return
		}
		var out []byte
		if changes != nil {
			out = record(nil, 'T', changes)
		}
		for _, c := range files {
			out = c.append(out, func(r tree.Ref) tree.Ref { return r })
		}
		again, more, err := parseBatch(out)
		if err != nil || !bytes.Equal(again, changes) || len(more) != len(files) {
			t.Errorf("%x: %v", b, err)
		}
	})
}

package volume

import (
	"bytes"
	"context"
	"encoding/gob"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"bazil.org/fuse"
	fusefs "bazil.org/fuse/fs"
)

// A disk is a file system in memory that keeps in order what was done to it, to
// find out what a power cut at any moment could leave of it: of each file what was
// synced and some of the pages that were written since; of names what was synced in
// their folder and some of what was done to names since, from the first on.
type disk struct {
	mu    sync.Mutex
	done  []diskOp
	files uint64
	root  *diskDir
}

type diskOp struct {
	kind string // write, truncate, sync (of a file); put, drop, syncdir (of names); mark
	file uint64
	off  int64
	data []byte
	path string
	link string // put: target of a symbolic link, or of nothing
	dir  bool
	mark func(s *survivor)
}

func (d *disk) note(o diskOp) { d.done = append(d.done, o) }

type diskDir struct {
	d     *disk
	path  string
	names map[string]fusefs.Node
}

type diskFile struct {
	d    *disk
	id   uint64
	data []byte
}

type diskLink struct{ target string }

func newDisk() *disk {
	d := &disk{}
	d.root = &diskDir{d: d, names: make(map[string]fusefs.Node)}
	return d
}

func (d *disk) Root() (fusefs.Node, error) { return d.root, nil }

func (n *diskDir) Attr(_ context.Context, a *fuse.Attr) error {
	a.Mode = os.ModeDir | 0o700
	return nil
}

func (n *diskFile) Attr(_ context.Context, a *fuse.Attr) error {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	a.Mode, a.Size = 0o600, uint64(len(n.data))
	return nil
}

func (n *diskLink) Attr(_ context.Context, a *fuse.Attr) error {
	a.Mode = os.ModeSymlink | 0o777
	return nil
}

func (n *diskLink) Readlink(context.Context, *fuse.ReadlinkRequest) (string, error) {
	return n.target, nil
}

func (n *diskDir) Lookup(_ context.Context, name string) (fusefs.Node, error) {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	if c := n.names[name]; c != nil {
		return c, nil
	}
	return nil, syscall.ENOENT
}

func (n *diskDir) ReadDirAll(context.Context) (list []fuse.Dirent, err error) {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	for name := range n.names {
		list = append(list, fuse.Dirent{Name: name})
	}
	return list, nil
}

// put notes that a name stands for something, with the lock held.
func (n *diskDir) put(name string, c fusefs.Node) {
	n.names[name] = c
	o := diskOp{kind: "put", path: path.Join(n.path, name)}
	switch c := c.(type) {
	case *diskDir:
		o.dir = true
	case *diskFile:
		o.file = c.id
	case *diskLink:
		o.link = c.target
	}
	n.d.note(o)
}

func (n *diskDir) Create(_ context.Context, r *fuse.CreateRequest, _ *fuse.CreateResponse) (fusefs.Node, fusefs.Handle, error) {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	n.d.files++
	f := &diskFile{d: n.d, id: n.d.files}
	n.put(r.Name, f)
	return f, f, nil
}

func (n *diskDir) Mkdir(_ context.Context, r *fuse.MkdirRequest) (fusefs.Node, error) {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	c := &diskDir{d: n.d, path: path.Join(n.path, r.Name), names: make(map[string]fusefs.Node)}
	n.put(r.Name, c)
	return c, nil
}

func (n *diskDir) Symlink(_ context.Context, r *fuse.SymlinkRequest) (fusefs.Node, error) {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	c := &diskLink{r.Target}
	n.put(r.NewName, c)
	return c, nil
}

func (n *diskDir) Remove(_ context.Context, r *fuse.RemoveRequest) error {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	if n.names[r.Name] == nil {
		return syscall.ENOENT
	}
	delete(n.names, r.Name)
	n.d.note(diskOp{kind: "drop", path: path.Join(n.path, r.Name)})
	return nil
}

func (n *diskDir) Rename(_ context.Context, r *fuse.RenameRequest, to fusefs.Node) error {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	c := n.names[r.OldName]
	delete(n.names, r.OldName)
	to.(*diskDir).put(r.NewName, c)
	n.d.done[len(n.d.done)-1].data = []byte(path.Join(n.path, r.OldName)) // both at once
	return nil
}

func (n *diskDir) Fsync(context.Context, *fuse.FsyncRequest) error {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	n.d.note(diskOp{kind: "syncdir", path: n.path})
	return nil
}

func (n *diskFile) Fsync(context.Context, *fuse.FsyncRequest) error {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	n.d.note(diskOp{kind: "sync", file: n.id})
	return nil
}

func (n *diskFile) Read(_ context.Context, r *fuse.ReadRequest, p *fuse.ReadResponse) error {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	if r.Offset < int64(len(n.data)) {
		p.Data = bytes.Clone(n.data[r.Offset:min(int64(len(n.data)), r.Offset+int64(r.Size))])
	}
	return nil
}

func (n *diskFile) Write(_ context.Context, r *fuse.WriteRequest, p *fuse.WriteResponse) error {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	o := diskOp{kind: "write", file: n.id, off: r.Offset, data: bytes.Clone(r.Data)}
	n.d.note(o)
	n.data = o.on(n.data)
	p.Size = len(r.Data)
	return nil
}

func (n *diskFile) Setattr(_ context.Context, r *fuse.SetattrRequest, _ *fuse.SetattrResponse) error {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	if r.Valid.Size() {
		o := diskOp{kind: "truncate", file: n.id, off: int64(r.Size)}
		n.d.note(o)
		n.data = o.on(n.data)
	}
	return nil
}

// on returns what the operation makes of a file's bytes.
func (o *diskOp) on(b []byte) []byte {
	end := o.off + int64(len(o.data))
	if o.kind == "truncate" && end < int64(len(b)) {
		return b[:end]
	}
	if end > int64(len(b)) {
		b = append(b, make([]byte, end-int64(len(b)))...)
	}
	copy(b[o.off:], o.data)
	return b
}

// A survivor is what is left after a power cut.
type survivor struct {
	last  Last
	named map[string]diskOp
	files map[uint64][]byte

	synced, next map[string]string // what must be shown: one of both
}

// cut returns what may be left if power fails behind the first n operations.
func (d *disk) cut(n int, r *rand.Rand) *survivor {
	s := &survivor{named: make(map[string]diskOp), files: make(map[uint64][]byte)}
	syncedFile, syncedNames := make(map[uint64]int), 0
	for i, o := range d.done[:n] {
		switch o.kind {
		case "sync":
			syncedFile[o.file] = i
		case "syncdir":
			for k := i; k >= syncedNames; k-- { // the last name in that folder
				if p := d.done[k]; (p.kind == "put" || p.kind == "drop") && path.Dir("/"+p.path) == path.Join("/", o.path) {
					syncedNames = k + 1
					break
				}
			}
		}
	}
	names := syncedNames + r.IntN(n-syncedNames+1)
	for i, o := range d.done[:n] {
		switch {
		case o.kind == "mark":
			o.mark(s)
		case o.kind == "put" && i < names:
			s.named[o.path] = o
			if o.data != nil {
				delete(s.named, string(o.data))
			}
		case o.kind == "drop" && i < names:
			delete(s.named, o.path)
		case o.kind == "truncate":
			if i < syncedFile[o.file] || r.IntN(2) == 0 {
				s.files[o.file] = o.on(s.files[o.file])
			}
		case o.kind == "write":
			for at := int64(0); at < int64(len(o.data)); { // by pages
				end := min((o.off+at)/4096*4096+4096-o.off, int64(len(o.data)))
				if i < syncedFile[o.file] || r.IntN(2) == 0 {
					p := diskOp{kind: "write", off: o.off + at, data: o.data[at:end]}
					s.files[o.file] = p.on(s.files[o.file])
				}
				at = end
			}
		}
	}
	return s
}

// restore writes what is left into a folder.
func (s *survivor) restore(t *testing.T, dir string) {
	t.Helper()
	for _, p := range slices.Sorted(maps.Keys(s.named)) {
		to, o := filepath.Join(dir, p), s.named[p]
		var err error
		switch {
		case o.dir:
			err = os.MkdirAll(to, 0o700)
		case o.link != "":
			err = os.Symlink(o.link, to)
		default:
			err = os.WriteFile(to, s.files[o.file], 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// mark notes something beside the operations.
func (d *disk) mark(f func(s *survivor)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.note(diskOp{kind: "mark", mark: f})
}

// TestPowerCut changes a volume whose packs and journal lie on a disk that notes
// everything, and takes the power away at many moments: after each what is shown is
// the last that was synced, or what was being synced.
func TestPowerCut(t *testing.T) {
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("no /dev/fuse")
	}
	seeds, cuts := uint64(4), 25
	if s := os.Getenv("SATCHEL_POWERCUTS"); s != "" {
		fmt.Sscan(s, &seeds)
	}
	between, kept := 0, 0
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 5))
		d := newDisk()
		mounted(t, d, func(dir string) { runOn(t, d, dir, seed) })
		for range cuts {
			n := r.IntN(len(d.done) + 1)
			s := d.cut(n, r)
			if s.synced == nil {
				continue
			}
			left := t.TempDir()
			s.restore(t, left)
			w := &world{t: t, dir: filepath.Join(left, "packs"), journal: filepath.Join(left, "journal")}
			w.reopen()
			v := w.open("Private", s.last)
			got := shown(t, v)
			got["/"] = ""
			switch {
			case maps.Equal(got, s.synced):
				kept++
			case s.next != nil && maps.Equal(got, s.next):
				between++
			default:
				t.Fatalf("seed %d, cut at %d of %d: not what was synced\n%s", seed, n, len(d.done), differ(got, s.synced))
			}
			if err := v.Commit(ctx); err != nil {
				t.Fatal(err)
			}
			again := shown(t, v)
			again["/"] = ""
			if !maps.Equal(got, again) {
				t.Fatalf("seed %d, cut at %d: committed\n%s", seed, n, differ(again, got))
			}
			w.packs.Close()
		}
	}
	t.Logf("%d cuts kept what was synced, %d what was being synced", kept, between)
	if kept < 10 || between < 1 {
		t.Errorf("%d and %d cuts: that tests nothing", kept, between)
	}
}

// mounted mounts the disk for the time of fn.
func mounted(t *testing.T, d *disk, fn func(dir string)) {
	t.Helper()
	dir := t.TempDir()
	conn, err := fuse.Mount(dir, fuse.FSName("disk"))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- fusefs.Serve(conn, d) }()
	defer func() {
		if err := fuse.Unmount(dir); err != nil {
			t.Error(err)
		}
		<-served
		conn.Close()
	}()
	fn(dir)
}

// A told is what the program on the disk says beside what it does to it.
type told struct {
	Last         *Last
	Synced, Next map[string]string
}

// runOn has another process change a volume on the disk: one that waits for a
// file system of its own may wait for ever.
func runOn(t *testing.T, d *disk, dir string, seed uint64) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestPowerCutProgram$")
	cmd.Env = append(os.Environ(), "POWERCUT_DIR="+dir, fmt.Sprint("POWERCUT_SEED=", seed))
	out, tell, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	heard, answer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Close()
	cmd.ExtraFiles = []*os.File{tell, heard}
	var messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &messages, &messages
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tell.Close()
	heard.Close()
	timer := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	for dec := gob.NewDecoder(out); ; {
		var m told
		if dec.Decode(&m) != nil {
			break
		}
		d.mark(func(s *survivor) {
			if m.Last != nil {
				s.last = *m.Last
			} else if m.Next != nil {
				s.next = m.Next
			} else {
				s.synced, s.next = m.Synced, nil
			}
		})
		if _, err := answer.Write([]byte{1}); err != nil {
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, &messages)
	}
}

// TestPowerCutProgram is that process.
func TestPowerCutProgram(t *testing.T) {
	dir := os.Getenv("POWERCUT_DIR")
	if dir == "" {
		t.Skip("run by TestPowerCut")
	}
	var seed uint64
	fmt.Sscan(os.Getenv("POWERCUT_SEED"), &seed)
	enc, heard := gob.NewEncoder(os.NewFile(3, "tell")), os.NewFile(4, "heard")
	tell := func(m told) {
		if err := enc.Encode(m); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(heard, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(seed, 6))
	w := &world{t: t, dir: filepath.Join(dir, "packs"), journal: filepath.Join(dir, "journal")}
	if seed%2 == 0 {
		w.budget = 300_000
	}
	w.published = func(last Last) { tell(told{Last: &last}) }
	w.reopen()
	v := w.open("Private", Last{})
	if seed%3 == 1 {
		v.shrinking.most = 4
	}
	s := &scribbler{t, r, v, []*Node{v.Root()}, make(map[string]int)}
	for range 60 {
		s.step()
		what := r.IntN(8)
		if what > 2 {
			continue
		}
		now := shown(t, v)
		now["/"] = "" // never empty: an empty map is not sent
		tell(told{Next: now})
		sync := v.Sync
		if what == 2 {
			sync = v.Commit
		}
		if err := sync(ctx); err != nil {
			t.Fatal(err)
		}
		tell(told{Synced: now})
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
}

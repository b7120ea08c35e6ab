package volume

import (
	"bytes"
	"cmp"
	"context"
	"encoding/gob"
	"errors"
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

	"satchel/storage/pack"
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
	bad   func(kind string) error // if set, tells whether the next operation fails
}

type diskOp struct {
	kind string // write, truncate, sync, badsync (of a file); put, drop, syncdir (of names); mark
	file uint64
	off  int64
	data []byte
	path string
	link string // put: target of a symbolic link, or of nothing
	dir  bool
	mark func(s *survivor)
}

func (d *disk) note(o diskOp) { d.done = append(d.done, o) }

// fails tells whether an operation fails, with the lock held.
func (d *disk) fails(kind string) error {
	if d.bad == nil {
		return nil
	}
	return d.bad(kind)
}

type diskDir struct {
	d     *disk
	path  string
	names map[string]fusefs.Node
}

type diskFile struct {
	d    *disk
	id   uint64
	data []byte
	bad  int64 // if not 0, a byte that can't be read
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
	if err := n.d.fails("create"); err != nil {
		return nil, nil, err
	}
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

func (n *diskDir) Link(_ context.Context, r *fuse.LinkRequest, old fusefs.Node) (fusefs.Node, error) {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	n.put(r.NewName, old)
	return old, nil
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
	if err := n.d.fails("rename"); err != nil {
		return err
	}
	c := n.names[r.OldName]
	delete(n.names, r.OldName)
	to.(*diskDir).put(r.NewName, c)
	n.d.done[len(n.d.done)-1].data = []byte(path.Join(n.path, r.OldName)) // both at once
	return nil
}

func (n *diskDir) Fsync(context.Context, *fuse.FsyncRequest) error {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	if err := n.d.fails("syncdir"); err != nil {
		return err
	}
	n.d.note(diskOp{kind: "syncdir", path: n.path})
	return nil
}

func (n *diskFile) Fsync(context.Context, *fuse.FsyncRequest) error {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	if err := n.d.fails("sync"); err != nil {
		n.d.note(diskOp{kind: "badsync", file: n.id})
		return err
	}
	n.d.note(diskOp{kind: "sync", file: n.id})
	return nil
}

func (n *diskFile) Read(_ context.Context, r *fuse.ReadRequest, p *fuse.ReadResponse) error {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	if n.bad > 0 && r.Offset <= n.bad && n.bad < r.Offset+int64(r.Size) {
		return syscall.EIO
	}
	if r.Offset < int64(len(n.data)) {
		p.Data = bytes.Clone(n.data[r.Offset:min(int64(len(n.data)), r.Offset+int64(r.Size))])
	}
	return nil
}

func (n *diskFile) Write(_ context.Context, r *fuse.WriteRequest, p *fuse.WriteResponse) error {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	o := diskOp{kind: "write", file: n.id, off: r.Offset, data: bytes.Clone(r.Data)}
	err := n.d.fails("write")
	if err != nil {
		o.data = o.data[:len(o.data)/2]
	}
	n.d.note(o)
	n.data = o.on(n.data)
	p.Size = len(r.Data)
	return err
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

	synced map[string]string   // what must be shown: this
	next   []map[string]string // or one of these
}

// cut returns what may be left if power fails behind the first n operations.
func (d *disk) cut(n int, r *rand.Rand) *survivor {
	s := &survivor{named: make(map[string]diskOp), files: make(map[uint64][]byte)}
	syncedFile, syncedNames := make(map[uint64][]bool), 0 // by operation; false: perhaps
	for i, o := range d.done[:n] {
		switch o.kind {
		case "sync", "badsync": // what a failed sync did not write no later one does
			for len(syncedFile[o.file]) < i {
				syncedFile[o.file] = append(syncedFile[o.file], o.kind == "sync")
			}
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
	kept := func(file uint64, i int) bool {
		return i < len(syncedFile[file]) && syncedFile[file][i] || r.IntN(2) == 0
	}
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
			if kept(o.file, i) {
				s.files[o.file] = o.on(s.files[o.file])
			}
		case o.kind == "write":
			for at := int64(0); at < int64(len(o.data)); { // by pages
				end := min((o.off+at)/4096*4096+4096-o.off, int64(len(o.data)))
				if kept(o.file, i) {
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
func TestPowerCut(t *testing.T) { powerCuts(t, false) }

// TestPowerCutBadDisk does the same on a disk of which writes and syncs fail at
// times, and what a failed sync left may be lost although later ones succeed. Now
// and then the volume is opened again in between.
func TestPowerCutBadDisk(t *testing.T) { powerCuts(t, true) }

func powerCuts(t *testing.T, bad bool) {
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
		mounted(t, d, func(dir string) { runOn(t, d, dir, seed, bad) })
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
			case slices.ContainsFunc(s.next, func(m map[string]string) bool { return maps.Equal(got, m) }):
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
	Bad, Good    bool  // the disk gets
	Sector       int64 // of the journal's first file can't be read any more
}

// badDisk returns what fails on a bad disk.
func badDisk(r *rand.Rand) func(kind string) error {
	share := map[string]int{"sync": 3, "write": 20, "syncdir": 5, "create": 9, "rename": 5} // one in so many
	return func(kind string) error {
		if r.IntN(share[kind]) > 0 {
			return nil
		}
		return []error{syscall.EIO, syscall.ENOSPC, syscall.EROFS}[r.IntN(3)]
	}
}

// runOn has another process change a volume on the disk: one that waits for a
// file system of its own may wait for ever.
func runOn(t *testing.T, d *disk, dir string, seed uint64, bad bool) {
	t.Helper()
	runProgram(t, d, seed, "TestPowerCutProgram", "POWERCUT_DIR="+dir, fmt.Sprint("POWERCUT_SEED=", seed), fmt.Sprint("POWERCUT_BAD=", bad))
}

// runProgram runs a test of this package as another process, and does for it what
// it tells.
func runProgram(t *testing.T, d *disk, seed uint64, name string, env ...string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^"+name+"$")
	cmd.Env = append(os.Environ(), env...)
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
	r := rand.New(rand.NewPCG(seed, 7))
	for dec := gob.NewDecoder(out); ; {
		var m told
		if dec.Decode(&m) != nil {
			break
		}
		if m.Sector > 0 {
			d.mu.Lock()
			d.root.names["journal"].(*diskDir).names["a"].(*diskFile).bad = m.Sector
			d.mu.Unlock()
		} else if m.Bad || m.Good {
			d.mu.Lock()
			if d.bad = nil; m.Bad {
				d.bad = badDisk(r)
			}
			d.mu.Unlock()
		} else {
			d.mark(func(s *survivor) {
				switch {
				case m.Last != nil:
					s.last = *m.Last
				case m.Next != nil:
					s.next = append(s.next, m.Next)
				default:
					s.synced, s.next = m.Synced, nil
				}
			})
		}
		if _, err := answer.Write([]byte{1}); err != nil {
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("seed %d: %v: %s", seed, err, &messages)
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
	tell := teller(t)
	p := &program{t: t, r: rand.New(rand.NewPCG(seed, 6)), tell: tell, bad: os.Getenv("POWERCUT_BAD") == "true"}
	p.w = &world{t: t, dir: filepath.Join(dir, "packs"), journal: filepath.Join(dir, "journal")}
	if seed%2 == 0 {
		p.w.budget = 300_000
	}
	p.w.published = func(last Last) {
		p.last = last
		tell(told{Last: &last})
	}
	p.open(false)
	for range 60 {
		p.s.step()
		switch what := p.r.IntN(8); {
		case what == 0 && p.bad:
			p.open(p.r.IntN(2) == 0)
		case what < 2:
			p.sync(p.v.Sync)
		case what == 2:
			p.sync(p.v.Commit)
		case what == 3:
			p.sync(func(ctx context.Context) error { return cmp.Or(p.v.CommitIdle(ctx), errNoPromise) })
		case what == 4:
			p.sync(func(ctx context.Context) error { return cmp.Or(p.v.CommitIdle(ctx), p.v.Sync(ctx)) })
		}
	}
	if err := p.v.Close(); err != nil {
		t.Fatal(err)
	}
}

// teller returns what tells the process that runs this one as a program.
func teller(t *testing.T) func(told) {
	enc, heard := gob.NewEncoder(os.NewFile(3, "tell")), os.NewFile(4, "heard")
	return func(m told) {
		t.Helper()
		if err := enc.Encode(m); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(heard, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
}

// A program changes a volume and says what must be found.
type program struct {
	t    *testing.T
	r    *rand.Rand
	tell func(told)
	bad  bool // the disk gets bad at times
	w    *world
	last Last
	v    *Volume
	s    *scribbler
	may  []map[string]string // what may be found, once anything was synced
}

var errNoPromise = errors.New("may be durable")

// sync has everything made durable, on a disk that may be bad meanwhile.
func (p *program) sync(sync func(context.Context) error) {
	now := shown(p.t, p.v)
	now["/"] = "" // never empty: an empty map is not sent
	p.tell(told{Next: now})
	if len(p.may) > 0 {
		p.may = append(p.may, now)
	}
	bad := p.bad && p.r.IntN(2) == 0
	if bad {
		p.tell(told{Bad: true})
	}
	err := sync(ctx)
	if bad {
		p.tell(told{Good: true})
	}
	switch {
	case err == nil:
		p.tell(told{Synced: now})
		p.may = []map[string]string{now}
	case !bad && err != errNoPromise:
		p.t.Fatal(err)
	}
}

// open opens the volume, again if it is, on a disk that may be bad at first.
func (p *program) open(bad bool) {
	if p.v != nil {
		_ = p.v.Close()
		p.w.packs.Close()
	}
	if bad {
		p.tell(told{Bad: true})
	}
	v, err := p.tryOpen()
	if bad {
		p.tell(told{Good: true})
	}
	if err != nil && bad {
		v, err = p.tryOpen()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	if p.w.budget != 0 { // little memory
		v.shrinking.most = 4
	}
	p.v, p.s = v, &scribbler{t: p.t, r: p.r, v: v, dirs: []*Node{v.Root()}, did: make(map[string]int)}
	if len(p.may) == 0 {
		return
	}
	now := shown(p.t, v)
	now["/"] = ""
	if !slices.ContainsFunc(p.may, func(m map[string]string) bool { return maps.Equal(m, now) }) {
		p.t.Fatalf("opened again: not what was synced\n%s", differ(now, p.may[0]))
	}
}

func (p *program) tryOpen() (v *Volume, err error) {
	if p.w.packs, err = pack.Open(p.w.dir, 1<<30); err != nil {
		return nil, err
	}
	if v, err = Open(ctx, p.last, p.w.options("Private")); err != nil {
		p.w.packs.Close()
	}
	return v, err
}

package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"
)

// BenchmarkDrive does the same work in Satchel and, if they are installed, in
// gocryptfs, securefs and rclone mount over crypt, all over folders of the same
// disk, in turns, and prints the median times and how many times as long the
// others take. Satchel's daemon uploads to a folder meanwhile. "memory" is a file
// system on the same loop of requests as Satchel's with nothing behind it: the
// limit, which Satchel shall come near to (0.8) but can't pass.
//
// SATCHEL_BENCH_SCALE (0.1 unless told) makes the work larger or smaller: at 1 the
// file has 1 GiB and there are 10,000 small ones. SATCHEL_BENCH_ROUNDS is how often
// it is done (3). SATCHEL_BENCH_ROWS, some words, chooses rows by their names.
func BenchmarkDrive(b *testing.B) {
	scale, rounds := 0.1, 3
	fmt.Sscan(os.Getenv("SATCHEL_BENCH_SCALE"), &scale)
	fmt.Sscan(os.Getenv("SATCHEL_BENCH_ROUNDS"), &rounds)
	dir := b.TempDir()
	var peers []*peer
	for _, p := range allPeers {
		if p.debian && exec.Command("sh", "-c", "command -v "+p.name).Run() != nil {
			fmt.Println(p.name, "is not installed: apt-get install", p.name)
			continue
		}
		p := &peer{peerKind: p, dir: filepath.Join(dir, p.name), at: filepath.Join(dir, p.name, "mount")}
		if err := os.MkdirAll(p.at, 0o700); err != nil {
			b.Fatal(err)
		}
		if err := p.sh(p.setUp); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = p.sh(p.tearDown) })
		peers = append(peers, p)
	}
	times := make(map[string]map[string][]time.Duration)
	for b.Loop() {
		for range rounds {
			for _, p := range peers {
				if err := p.sh(p.mount); err != nil {
					b.Fatal(err)
				}
			}
			for _, r := range rows(scale) {
				if only := strings.Fields(os.Getenv("SATCHEL_BENCH_ROWS")); len(only) > 0 && !r.needed && !slices.ContainsFunc(only, func(w string) bool { return strings.Contains(r.name, w) }) {
					continue
				}
				for _, i := range rand.Perm(len(peers)) {
					p := peers[i]
					if r.cold {
						if err := p.remount(); err != nil {
							b.Fatal(err)
						}
					}
					work := filepath.Join(p.at, p.below)
					start := time.Now()
					if err := r.do(work); err != nil {
						b.Fatalf("%s in %s: %v", r.name, p.name, err)
					}
					if times[r.name] == nil {
						times[r.name] = make(map[string][]time.Duration)
					}
					times[r.name][p.name] = append(times[r.name][p.name], time.Since(start))
				}
			}
			for _, p := range peers {
				if err := errors.Join(empty(filepath.Join(p.at, p.below)), p.sh(p.unmount)); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	fmt.Println(table(rows(scale), peers, times))
	b.ReportMetric(0, "ns/op") // says nothing
}

func table(rows []row, peers []*peer, times map[string]map[string][]time.Duration) string {
	var out bytes.Buffer
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "\t")
	for _, p := range peers {
		fmt.Fprint(w, p.name, "\t")
	}
	fmt.Fprintln(w)
	for _, r := range rows {
		if times[r.name] == nil {
			continue
		}
		fmt.Fprint(w, r.name, "\t")
		own := median(times[r.name]["satchel"])
		for _, p := range peers {
			m := median(times[r.name][p.name])
			if p.name == "satchel" {
				fmt.Fprintf(w, "%.0f ms\t", m.Seconds()*1e3)
			} else {
				fmt.Fprintf(w, "%.0f ms  x%.2f\t", m.Seconds()*1e3, m.Seconds()/own.Seconds())
			}
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	return out.String()
}

// A peerKind is a file system, as shell commands that run in a folder of its own
// with "mount" in it.
type peerKind struct {
	name                            string
	setUp, mount, unmount, tearDown string
	below                           string // where in the mount to work
	debian                          bool   // a package, which may be missing
}

type peer struct {
	peerKind
	dir, at string
}

var allPeers = []peerKind{
	{
		name: "satchel",
		setUp: `satchel devnet --home chain --detach > ready && satchel --home home init alice.id --chain "$(sed 's/ready //' ready)" &&
			satchel --home home name register alice.id`,
		mount:    `satchel --home home mount mount`,
		unmount:  `satchel --home home unmount mount`,
		tearDown: `satchel --home home unmount mount; satchel --home chain devnet --stop`,
		below:    "Private",
	}, {
		name:    "memory", // serves its folder again whenever it was unmounted
		setUp:   `go test -C "$SOURCE" -c -o "$PWD/memory" ./fs && { SATCHEL_FS_MEMORY="$PWD/mount" ./memory 2>log & echo $! >pid; }`,
		mount:   `for i in $(seq 200); do mountpoint -q mount && exit 0; sleep 0.05; done; cat log >&2; exit 1`,
		unmount: `fusermount3 -u mount`, tearDown: `kill $(cat pid); fusermount3 -uz mount`,
	}, {
		name:    "gocryptfs",
		debian:  true,
		setUp:   `echo secret > pass && mkdir store && gocryptfs -q -init -passfile pass -scryptn 10 store`,
		mount:   `gocryptfs -q -passfile pass store mount`,
		unmount: `fusermount3 -u mount`, tearDown: `fusermount3 -uz mount`,
	}, {
		name:    "securefs",
		debian:  true,
		setUp:   `mkdir store && securefs create --pass secret store`,
		mount:   `securefs mount -b --pass secret --log /dev/null store mount`,
		unmount: `fusermount3 -u mount`, tearDown: `fusermount3 -uz mount`,
	}, {
		name:    "rclone",
		debian:  true,
		setUp:   `mkdir store && printf '[c]\ntype = crypt\nremote = %s/store\npassword = %s\n' "$PWD" "$(rclone obscure secret)" > conf`,
		mount:   `rclone --config conf mount c: mount --daemon --vfs-cache-mode full --cache-dir cache --dir-cache-time 1m`,
		unmount: `for i in 1 2 3 4 5 6 7 8 9 10; do fusermount3 -u mount && exit 0; sleep 1; done; exit 1`, tearDown: `fusermount3 -uz mount`,
	},
}

func (p *peer) sh(script string) error {
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "SATCHEL_PASSPHRASE=secret", "SOURCE="+filepath.Dir(binDir), "PATH="+binDir+":"+os.Getenv("PATH"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = nil, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %q: %w: %s", p.name, script, err, &out)
	}
	return nil
}

// binDir is where make build puts the program.
var binDir = func() string {
	dir, _ := filepath.Abs("../../bin")
	return dir
}()

// remount makes sure that nothing is in memory.
func (p *peer) remount() error {
	if err := p.sh(p.unmount); err != nil {
		return err
	}
	syscall.Sync()
	_ = os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0) // as root
	return p.sh(p.mount)
}

// A row is one kind of work in a folder.
type row struct {
	name   string
	cold   bool // nothing of it is in memory before
	needed bool // others stand on it
	do     func(dir string) error
}

func rows(scale float64) []row {
	large, small := int64(scale*(1<<30))&^(1<<20-1), int(scale*10_000)
	few := max(50, small/20)
	return []row{
		{"sequential write, fsync", false, true, func(dir string) error { return writeLarge(filepath.Join(dir, "large"), large) }},
		{"sequential read, cold", true, false, func(dir string) error { return readAll(filepath.Join(dir, "large")) }},
		{"random read of 4 KiB", true, false, func(dir string) error { return randomRead(filepath.Join(dir, "large"), large, small) }},
		{"random write of 4 KiB, fdatasync", false, false, func(dir string) error { return randomWrite(filepath.Join(dir, "large"), large, few) }},
		{"create files of 4 KiB", false, true, func(dir string) error { return create(filepath.Join(dir, "small"), small) }},
		{"stat them, cold", true, false, func(dir string) error { return walk(filepath.Join(dir, "small"), false) }},
		{"read them, cold", true, false, func(dir string) error { return walk(filepath.Join(dir, "small"), true) }},
		{"rename them", false, false, func(dir string) error { return rename(filepath.Join(dir, "small")) }},
		{"remove them", false, false, func(dir string) error { return os.RemoveAll(filepath.Join(dir, "small")) }},
		{"untar Go's sources", false, true, func(dir string) error { return run(dir, `tar -xf `+goTar()) }},
		{"grep them, cold", true, false, func(dir string) error { return run(dir, `grep -r nosuchwordatall `+goPart+` || test $? = 1`) }},
		{"git clone, status, checkout", false, false, func(dir string) error {
			return run(dir, `git clone -q --no-hardlinks "$(git -C "$OLDPWD" rev-parse --show-toplevel)" repo && cd repo && git status -s && git checkout -q HEAD~5 && git checkout -q -`)
		}},
		{"sqlite, inserts one by one", false, false, func(dir string) error { return sqlite(filepath.Join(dir, "one.db"), few, 1) }},
		{"sqlite, a hundred at a time", false, false, func(dir string) error { return sqlite(filepath.Join(dir, "many.db"), small, 100) }},
	}
}

func empty(dir string) error {
	list, err := os.ReadDir(dir)
	for _, e := range list {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

func writeLarge(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	r := rand.NewChaCha8([32]byte{})
	for at := int64(0); at < size; at += int64(len(block)) {
		r.Read(block[:1<<16]) // else they would be the same
		for n := 1 << 16; n < len(block); n *= 2 {
			copy(block[n:], block[:n])
			block[n] ^= byte(at >> 20)
		}
		if _, err := f.Write(block); err != nil {
			return err
		}
	}
	return f.Sync()
}

func readAll(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 1<<17))
	return err
}

func randomRead(path string, size int64, n int) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 4096)
	for range n {
		if _, err := f.ReadAt(b, rand.Int64N(size/4096)*4096); err != nil {
			return err
		}
	}
	return nil
}

func randomWrite(path string, size int64, n int) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 4096)
	for range n {
		if _, err := f.WriteAt(b, rand.Int64N(size/4096)*4096); err != nil {
			return err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return err
		}
	}
	return nil
}

func create(dir string, n int) error {
	b := make([]byte, 4096)
	for i := range n {
		d := filepath.Join(dir, fmt.Sprint(i/100))
		if i%100 == 0 {
			if err := os.MkdirAll(d, 0o700); err != nil {
				return err
			}
		}
		for k := range 64 {
			b[k*64] = byte(rand.Uint32())
		}
		if err := os.WriteFile(filepath.Join(d, fmt.Sprint("file", i)), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func walk(dir string, read bool) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if read {
			_, err = os.ReadFile(path)
		} else {
			_, err = os.Lstat(path)
		}
		return err
	})
}

func rename(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		return os.Rename(path, filepath.Join(filepath.Dir(path), "renamed-"+e.Name()))
	})
}

func run(dir, script string) error {
	cmd := exec.Command("sh", "-c", `cd "$1" && `+script, "sh", dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// goPart is the part of Go's sources that is used.
const goPart = "net"

// goTar returns an archive of it.
func goTar() string {
	path := filepath.Join(os.TempDir(), "satchel-bench-go.tar")
	if _, err := os.Stat(path); err != nil {
		if out, err := exec.Command("sh", "-c", `tar -C "$(go env GOROOT)/src" -cf "$1" `+goPart, "sh", path).CombinedOutput(); err != nil {
			panic(fmt.Sprintf("%v: %s", err, out))
		}
	}
	return path
}

func sqlite(path string, n, each int) error {
	var b strings.Builder
	b.WriteString("create table t(id integer primary key, word text);\n")
	for i := 0; i < n; i += each {
		b.WriteString("begin;\n")
		for k := range each {
			fmt.Fprintf(&b, "insert into t values(%d, 'word %d');\n", i+k, i+k)
		}
		b.WriteString("commit;\n")
	}
	cmd := exec.Command("sqlite3", path)
	cmd.Stdin = strings.NewReader(b.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

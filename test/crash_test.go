package test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"satchel/test/testenv"
)

// TestCrashes kills the drive at random moments while several programs write,
// replace, rename, append and remove, and looks after each mount whether all is
// there that was synced, and nothing that never was. SATCHEL_CRASHES sets the
// number of rounds.
func TestCrashes(t *testing.T) {
	rounds := 15
	if _, err := fmt.Sscan(os.Getenv("SATCHEL_CRASHES"), &rounds); err != nil {
		rounds = 15
	}
	const writers = 3
	w := testenv.New(t)
	alice := w.Citizen("alice.id")
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	var all []*scribbler
	for i := range writers {
		s := &scribbler{dir: alice.Path(fmt.Sprintf("Private/w%d", i)), manifest: w.Path(fmt.Sprintf("manifest%d", i)), state: make(map[string]uint64)}
		alice.Sh("mkdir Private/$1", fmt.Sprintf("w%d", i))
		all = append(all, s)
	}
	alice.Sh("sync Private")
	acked, cut := 0, 0
	for round := range rounds {
		var running []*exec.Cmd
		for _, s := range all {
			running = append(running, s.start(t, r.Uint64()))
		}
		time.Sleep(time.Duration(30+r.IntN(500)) * time.Millisecond)
		alice.Kill()
		for _, cmd := range running {
			_ = cmd.Wait() // its mount was taken away
		}
		alice.MountDrive()
		for _, s := range all {
			n, interrupted := s.check(t)
			acked += n
			if interrupted {
				cut++
			}
		}
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	t.Logf("%d rounds: %d changes were synced, %d of %d programs were interrupted", rounds, acked, cut, rounds*writers)
	if cut < rounds*writers/3 || acked < rounds*writers {
		t.Errorf("%d synced, %d interrupted: that tests nothing", acked, cut)
	}
}

// A scribbler is a program that changes one directory and notes in a manifest
// elsewhere what it is about to do and what is synced.
type scribbler struct {
	dir, manifest string
	state         map[string]uint64 // version of each file; of "log" how many records it has
}

func (s *scribbler) start(t *testing.T, seed uint64) *exec.Cmd {
	t.Helper()
	var b bytes.Buffer
	for _, n := range slices.Sorted(maps.Keys(s.state)) {
		fmt.Fprintln(&b, "is", n, s.state[n])
	}
	if err := os.WriteFile(s.manifest, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestScribbler$")
	cmd.Env = append(os.Environ(), "SCRIBBLER_DIR="+s.dir, "SCRIBBLER_MANIFEST="+s.manifest, fmt.Sprint("SCRIBBLER_SEED=", seed))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// read goes through the manifest: the state that is synced, and the one after
// what was under way.
func (s *scribbler) read(t *testing.T) (synced, next map[string]uint64, count int, open bool) {
	t.Helper()
	f, err := os.Open(s.manifest)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	synced = make(map[string]uint64)
	next = synced
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var n, m string
		var v uint64
		line := lines.Text()
		switch word, _, _ := strings.Cut(line, " "); word {
		case "is":
			fmt.Sscanf(line, "is %s %d", &n, &v)
			synced[n] = v
			continue
		case "done":
			synced, open = next, false
			count++
			continue
		case "put":
			fmt.Sscanf(line, "put %s %d", &n, &v)
			next = maps.Clone(synced)
			next[n] = v
		case "remove":
			fmt.Sscanf(line, "remove %s", &n)
			next = maps.Clone(synced)
			delete(next, n)
		case "rename":
			fmt.Sscanf(line, "rename %s %s", &n, &m)
			next = maps.Clone(synced)
			next[m] = next[n]
			delete(next, n)
		}
		open = true
	}
	return synced, next, count, open
}

// check compares the directory with what may be in it.
func (s *scribbler) check(t *testing.T) (count int, open bool) {
	t.Helper()
	synced, next, count, open := s.read(t)
	got := make(map[string]uint64)
	list, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if e.Name() == "temp" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(s.dir, e.Name()))
		if err != nil {
			t.Errorf("%s: %v", e.Name(), err)
			continue
		}
		v, err := versionOf(e.Name(), b)
		if err != nil {
			t.Errorf("%s in %s: %v", e.Name(), s.dir, err)
		}
		got[e.Name()] = v
	}
	if !maps.Equal(got, synced) && !maps.Equal(got, next) {
		t.Errorf("%s has %v; synced was %v, under way %v", s.dir, got, synced, next)
	}
	s.state = got
	return count, open
}

// Files are named by a letter; "log" is records of 500 bytes. What a file holds
// follows from its version, which stands at its beginning.
func contentOf(version uint64) []byte {
	r := rand.New(rand.NewPCG(version, 9))
	b := make([]byte, 8+[]int{0, 100, 300, 5000, 70_000, 1<<20 + 5000}[r.IntN(6)])
	binary.BigEndian.PutUint64(b, version)
	for i := 8; i < len(b); i++ {
		b[i] = byte(r.Uint32())
	}
	return b
}

func recordOf(n uint64) []byte {
	return bytes.Repeat([]byte{byte(n), byte(n >> 8)}, 250)
}

func versionOf(name string, b []byte) (uint64, error) {
	if name == "log" {
		n := uint64(0)
		for ; len(b) > 0; n++ {
			if len(b) < 500 || !bytes.Equal(b[:500], recordOf(n)) {
				return n, fmt.Errorf("record %d is torn: %d bytes", n, len(b))
			}
			b = b[500:]
		}
		return n, nil
	}
	if len(b) < 8 {
		return 0, fmt.Errorf("%d bytes", len(b))
	}
	v := binary.BigEndian.Uint64(b)
	if !bytes.Equal(b, contentOf(v)) {
		return v, fmt.Errorf("%d bytes are not those of version %d", len(b), v)
	}
	return v, nil
}

// TestScribbler is the program.
func TestScribbler(t *testing.T) {
	dir := os.Getenv("SCRIBBLER_DIR")
	if dir == "" {
		t.Skip("run by TestCrashes")
	}
	var seed uint64
	fmt.Sscan(os.Getenv("SCRIBBLER_SEED"), &seed)
	s := &scribbler{dir: dir, manifest: os.Getenv("SCRIBBLER_MANIFEST")}
	s.state, _, _, _ = s.read(t)
	note, err := os.OpenFile(s.manifest, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(seed, 2))
	for {
		name, other := string(rune('a'+r.IntN(6))), string(rune('a'+r.IntN(6)))
		version := 1 + r.Uint64()>>1
		_, there := s.state[name]
		var line string
		var do func() error
		switch r.IntN(6) {
		case 0, 1: // by another file's name
			line = fmt.Sprintln("put", name, version)
			do = func() error { return s.replace(name, version, r.IntN(2) == 0) }
			s.state[name] = version
		case 2:
			if !there {
				continue
			}
			line = fmt.Sprintln("remove", name)
			do = func() error { return os.Remove(filepath.Join(dir, name)) }
			delete(s.state, name)
		case 3:
			if !there || name == other {
				continue
			}
			line = fmt.Sprintln("rename", name, other)
			do = func() error { return os.Rename(filepath.Join(dir, name), filepath.Join(dir, other)) }
			s.state[other] = s.state[name]
			delete(s.state, name)
		default:
			n := s.state["log"]
			line = fmt.Sprintln("put", "log", n+1)
			do = func() error { return s.append(n) }
			s.state["log"] = n + 1
		}
		if _, err := note.WriteString(line); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(do(), syncPath(dir)); err != nil {
			os.Exit(0) // the mount is gone
		}
		if _, err := note.WriteString("done\n"); err != nil {
			t.Fatal(err)
		}
	}
}

// replace writes a temporary file, syncs it or not, and renames it over the file.
func (s *scribbler) replace(name string, version uint64, sync bool) error {
	temp := filepath.Join(s.dir, "temp")
	if err := os.WriteFile(temp, contentOf(version), 0o600); err != nil {
		return err
	}
	if sync {
		if err := syncPath(temp); err != nil {
			return err
		}
	}
	return os.Rename(temp, filepath.Join(s.dir, name))
}

func (s *scribbler) append(n uint64) error {
	f, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(recordOf(n))
	return errors.Join(err, f.Sync(), f.Close())
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

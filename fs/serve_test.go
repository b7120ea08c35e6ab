package fs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"bazil.org/fuse"

	"satchel/fs/drive"
)

func testLog(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(logTo{t}, nil)) }

type logTo struct{ t *testing.T }

func (l logTo) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func TestReadersAreStartedAndLeave(t *testing.T) {
	r := &readers{keep: 2, max: 4, free: 2, total: 2}
	for i, want := range []bool{false, true, true, false} {
		if got := r.busy(); got != want {
			t.Fatalf("request %d: started %v, want %v", i, got, want)
		}
	}
	if r.total != 4 || r.free != 0 {
		t.Fatalf("all busy: %d readers, %d free", r.total, r.free)
	}
	for i, want := range []bool{true, true, false, false} {
		if got := r.done(); got != want {
			t.Fatalf("answer %d: stays %v, want %v", i, got, want)
		}
	}
	if r.total != 2 || r.free != 2 {
		t.Fatalf("at rest: %d readers, %d free", r.total, r.free)
	}
}

func TestPanicBecomesAnError(t *testing.T) {
	var said strings.Builder
	m := &Mount{} // without a table every look-up panics
	m.init(m, slog.New(slog.NewTextHandler(&said, nil)))
	err := m.try(context.Background(), &fuse.LookupRequest{Name: "secret"})
	if err == nil || errno(err).Error() != "input/output error" {
		t.Fatalf("got %v", err)
	}
	if s := said.String(); !strings.Contains(s, "op=lookup") || strings.Contains(s, "secret") {
		t.Fatalf("the log says %q", s)
	}
}

func TestComplaintsAreNotRepeated(t *testing.T) {
	var c complaints
	now := time.Now()
	for i, s := range []struct {
		text  string
		after time.Duration
		want  bool
	}{
		{"a", 0, true}, {"a", time.Second, false}, {"b", time.Second, true},
		{"a", complainEvery, true}, {"a", complainEvery + 1, false},
	} {
		if got := c.fresh(s.text, now.Add(s.after)); got != s.want {
			t.Errorf("step %d: got %v, want %v", i, got, s.want)
		}
	}
	for i := range 3 * maxComplaints {
		c.fresh(fmt.Sprint(i), now)
	}
	if len(c.said) > maxComplaints {
		t.Errorf("%d texts are kept", len(c.said))
	}
}

func TestNotesCoalesce(t *testing.T) {
	dir, other, n := &drive.Node{}, &drive.Node{}, &drive.Node{}
	q := newNotifier()
	for _, e := range []drive.Event{
		{Kind: drive.EntryDeleted, Parent: dir, Name: "a", Node: n},
		{Kind: drive.AttrChanged, Node: n},
		{Kind: drive.EntryChanged, Parent: other, Name: "a"},
		{Kind: drive.EntryChanged, Parent: dir, Name: "a"}, // it came back: the newer note counts
		{Kind: drive.DataChanged, Node: n},
		{Kind: drive.AttrChanged, Node: n},         // data is more than attributes
		{Kind: drive.EntryChanged, Name: "nobody"}, // in a folder that nobody has looked up
		{Kind: drive.AttrChanged},
	} {
		q.add(e)
	}
	want := []drive.Event{
		{Kind: drive.EntryChanged, Parent: dir, Name: "a"},
		{Kind: drive.DataChanged, Node: n},
		{Kind: drive.EntryChanged, Parent: other, Name: "a"},
	}
	for i, w := range want {
		if got, ok := q.next(); !ok || got != w {
			t.Errorf("note %d: got %+v, %v, want %+v", i, got, ok, w)
		}
	}
	if e, ok := q.next(); ok {
		t.Errorf("one more: %+v", e)
	}
}

func TestNotesAreSentUntilTheEnd(t *testing.T) {
	q := newNotifier()
	ctx, cancel := context.WithCancel(context.Background())
	sent := make(chan string)
	var wg sync.WaitGroup
	wg.Go(func() { q.run(ctx, func(e drive.Event) { sent <- e.Name }) })
	dir := &drive.Node{}
	for _, name := range []string{"a", "b"} {
		q.add(drive.Event{Kind: drive.EntryChanged, Parent: dir, Name: name})
	}
	for _, want := range []string{"a", "b"} {
		if got := <-sent; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	q.add(drive.Event{Kind: drive.EntryChanged, Parent: dir, Name: "c"})
	if got := <-sent; got != "c" {
		t.Errorf("got %s, want c", got)
	}
	cancel()
	wg.Wait()
}

func TestToEnd(t *testing.T) {
	if toEnd(uint32(os.Getpid())) {
		t.Error("this process is said to end")
	}
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Skip(err)
	}
	if !toEnd(uint32(cmd.Process.Pid)) {
		t.Error("a process that has ended is said to live")
	}
	for _, c := range []struct {
		thread, shared, blocked uint64
		want                    bool
	}{
		{0, 0, 0, false},
		{1 << 8, 0, 0, true},         // killed
		{0, 1 << 14, 0, true},        // SIGTERM, for which it has a handler
		{0, 1 << 1, 0, true},         // SIGINT
		{0, 1 << 14, 1 << 14, false}, // blocked: it does not want to know
		{1 << 22, 1 << 27, 0, false}, // SIGURG, SIGWINCH
	} {
		s := fmt.Sprintf("Name:\tx\nSigPnd:\t%016x\nShdPnd:\t%016x\nSigBlk:\t%016x\n", c.thread, c.shared, c.blocked)
		if got := endingPending(s); got != c.want {
			t.Errorf("%q: got %v", s, got)
		}
	}
}

func TestFindMount(t *testing.T) {
	const table = `24 1 0:22 / /proc rw,nosuid shared:5 - proc proc rw
90 24 0:51 / /home/a/My\040Drive rw,nosuid,nodev shared:9 master:2 - fuse.satchel alice.id rw,user_id=0
91 24 0:52 / /mnt rw - ext4 /dev/sda1 rw
92 24 0:53 / /mnt rw - fuse.satchel bob.id rw
broken line
`
	for _, c := range []struct {
		dir  string
		want mounted
		ok   bool
	}{
		{"/home/a/My Drive", mounted{"fuse.satchel", 51}, true},
		{"/mnt", mounted{"fuse.satchel", 53}, true}, // the topmost
		{"/proc", mounted{"proc", 22}, true},
		{"/home", mounted{}, false},
	} {
		got, ok := findMount(strings.NewReader(table), c.dir)
		if got != c.want || ok != c.ok {
			t.Errorf("%s: got %+v, %v, want %+v, %v", c.dir, got, ok, c.want, c.ok)
		}
	}
}

func TestMayAllowOther(t *testing.T) {
	p := t.TempDir() + "/fuse.conf"
	for text, want := range map[string]bool{
		"": false, "# user_allow_other\n": false, "mount_max = 5\n user_allow_other \n": true,
	} {
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := mayAllowOther(p); got != want {
			t.Errorf("%q: got %v", text, got)
		}
	}
	if mayAllowOther(p + "-missing") {
		t.Error("allowed without a configuration")
	}
}

func TestErrorOfTheKernelIsTold(t *testing.T) {
	m := &Mount{dir: "/x", over: make(chan struct{})}
	m.cancel = func() {}
	m.lost(errors.New("bad file descriptor"))
	close(m.over)
	if err := m.Wait(); err == nil || !strings.Contains(err.Error(), "bad file") {
		t.Errorf("got %v", err)
	}
}

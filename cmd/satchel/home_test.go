package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHomePlaces(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("SATCHEL_HOME", "")
	t.Setenv("XDG_CONFIG_HOME", dir+"/c")
	t.Setenv("XDG_DATA_HOME", "relative/is/ignored")
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", dir)
	h, err := (&app{}).home()
	if err != nil {
		t.Fatal(err)
	}
	if h.config != dir+"/c/satchel/config.toml" || h.data != dir+"/.local/share/satchel" || h.cache != dir+"/.cache/satchel" || h.args() != nil {
		t.Errorf("XDG: got %+v", h)
	}
	t.Setenv("SATCHEL_HOME", dir+"/env")
	if h, _ := (&app{}).home(); h.data != dir+"/env/data" {
		t.Errorf("environment: got %+v", h)
	}
	if h, _ := (&app{homeFlag: dir + "/flag"}).home(); h.config != dir+"/flag/config.toml" || h.cache != dir+"/flag/cache" {
		t.Errorf("flag: got %+v", h)
	}
}

func testHome(t *testing.T, dir string) *home {
	h, err := (&app{homeFlag: dir}).home()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.create(); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestLockSaysWhoHasIt(t *testing.T) {
	h := testHome(t, t.TempDir())
	if _, held := heldBy(h.lockFile()); held {
		t.Fatal("held before it was taken")
	}
	l, _, err := tryLock(h.lockFile(), roleDaemon)
	if err != nil {
		t.Fatal(err)
	}
	if _, who, err := tryLock(h.lockFile(), "status"); !errors.Is(err, errHeld) || who.PID != os.Getpid() || who.Role != roleDaemon {
		t.Errorf("got %+v, %v", who, err)
	}
	c, err := serveControl(h, &engine{h: h})
	if err != nil {
		t.Fatal(err)
	}
	if _, who, err := holdHome(context.Background(), h, "status"); !errors.Is(err, errHeld) || who.Role != roleDaemon {
		t.Errorf("a daemon was waited for: %+v, %v", who, err)
	}
	c.Close()
	go func() { // a daemon that doesn't answer is ending
		time.Sleep(100 * time.Millisecond)
		l.Close()
	}()
	l, _, err = holdHome(context.Background(), h, "status")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		time.Sleep(100 * time.Millisecond)
		l.Close()
	}()
	second, _, err := holdHome(context.Background(), h, "wait")
	if err != nil {
		t.Fatalf("a command that holds the home for a moment wasn't waited for: %v", err)
	}
	second.Close()
	if err := waitFree(context.Background(), h.lockFile()); err != nil {
		t.Error(err)
	}
}

// The socket works below a folder whose path is longer than a socket's address.
func TestControlSocket(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), strings.Repeat("long/", 40))} {
		h := testHome(t, dir)
		e := &engine{h: h, cfg: &config{Name: "alice.id"}}
		c, err := serveControl(h, e)
		if err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(h.socket())
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("socket: %v, %v", st, err)
		}
		say := func(string) {}
		raw, err := askSocket(context.Background(), h, "unmount", json.RawMessage(`{"dir":"/x"}`), say)
		if err != nil || string(raw) != `{"dir":""}` {
			t.Errorf("got %s, %v", raw, err)
		}
		_, err = askSocket(context.Background(), h, "reach", json.RawMessage(`{"op":"register","name":"bob.id"}`), say)
		if exitCode(err) != exitName || !strings.Contains(err.Error(), "alice.id's") {
			t.Errorf("an error should keep its code and words, got %v (code %d)", err, exitCode(err))
		}
		if _, err = askSocket(context.Background(), h, "nothing", nil, say); err == nil {
			t.Error("an unknown operation was answered")
		}
		c.Close()
		if _, err := askSocket(context.Background(), h, "unmount", json.RawMessage(`{}`), say); !errors.Is(err, errNobody) {
			t.Errorf("after Close: got %v", err)
		}
	}
}

func TestPassphrase(t *testing.T) {
	f := filepath.Join(t.TempDir(), "pass")
	if err := os.WriteFile(f, []byte("from file\r\nsecond line"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SATCHEL_PASSPHRASE", "from env")
	for _, tt := range []struct {
		a    *app
		want string
	}{{&app{passFile: f}, "from file"}, {&app{}, "from env"}} {
		got, err := tt.a.passphrase(false)
		if err != nil || string(got) != tt.want {
			t.Errorf("got %q, %v, want %q", got, err, tt.want)
		}
	}
	t.Setenv("SATCHEL_PASSPHRASE", "")
	if _, err := (&app{}).passphrase(true); exitCode(err) != exitPassphrase {
		t.Errorf("empty: got %v", err)
	}
	if _, err := (&app{passFile: f + "x"}).passphrase(true); exitCode(err) != exitPassphrase {
		t.Errorf("missing file: got %v", err)
	}
	os.Unsetenv("SATCHEL_PASSPHRASE")
	null, _ := os.Open(os.DevNull)
	defer null.Close()
	if _, err := (&app{in: null}).passphrase(true); exitCode(err) != exitPassphrase || !strings.Contains(err.Error(), "--passphrase-file") {
		t.Errorf("no terminal: got %v", err)
	}
}

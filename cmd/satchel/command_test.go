package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

// try finds and parses a line as main would, without running it.
func try(line ...string) (a *app, c *command, pos []string, err error) {
	a = &app{in: os.Stdin, out: &bytes.Buffer{}, err: &bytes.Buffer{}}
	c, rest, err := findCommand(a.commands(), line)
	if err == nil {
		pos, err = a.parse(c, rest)
	}
	return a, c, pos, err
}

func TestFlagsAnywhere(t *testing.T) {
	for _, line := range []string{
		"--home /h name show alice.id --json",
		"name --home /h show alice.id --json",
		"name show --home=/h --json alice.id",
		"--json --home /h name show alice.id",
		"-json name show alice.id -home /h",
		"name show --json --home /h -- alice.id",
	} {
		a, c, pos, err := try(strings.Fields(line)...)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if got := c.flags.Lookup("json").Value.String(); c.name != "name show" || a.homeFlag != "/h" || got != "true" || !slices.Equal(pos, []string{"alice.id"}) {
			t.Errorf("%s: got %s home %q json %s args %q", line, c.name, a.homeFlag, got, pos)
		}
	}
}

func TestFlagAfterDashesIsAnArgument(t *testing.T) {
	_, _, pos, err := try("unmount", "--", "--home")
	if err != nil || !slices.Equal(pos, []string{"--home"}) {
		t.Errorf("got %q, %v", pos, err)
	}
}

func TestWrongLines(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"", "no command"},
		{"--home /h", "no command"},
		{"frobnicate", `unknown command "frobnicate"`},
		{"name", "want one of cancel, history, list, price, register"},
		{"name frob", "want one of cancel, history, list, price, register"},
		{"status --jsn", "has no flag --jsn; it takes --json, --home"},
		{"wait --timeout", "--timeout wants a value: --timeout D"},
		{"wait --timeout soon", `--timeout "soon"`},
		{"init a.id --token-file f", "belongs after the --provider"},
		{"init a.id --chain http://127.0.0.1:1", "not a host and port"},
		{"serve . --listen 127.0.0.1:0 --token-file ./token-that-is-served", "everybody could read it"},
		{"devnet --listen 0.0.0.0:1", "loopback only"},
		{"mount", "wants one argument"},
		{"status x", "wants no argument"},
		{"help frob", "unknown command"},
	} {
		a := &app{in: os.Stdin, out: &bytes.Buffer{}, err: &bytes.Buffer{}, homeFlag: t.TempDir()}
		err := a.run(context.Background(), strings.Fields(tt.line))
		if err == nil || !strings.Contains(err.Error(), tt.want) || exitCode(err) != exitUsage {
			t.Errorf("%q: got %v (code %d), want %q", tt.line, err, exitCode(err), tt.want)
		}
	}
}

func TestProvidersKeepTheirTokens(t *testing.T) {
	_, c, _, err := try("init", "--provider", "file:///a", "a.id", "--provider=http://b", "--token-file", "t")
	if err != nil {
		t.Fatal(err)
	}
	got := c.flags.Lookup("provider").Value.(providerFlag).p.list
	if len(got) != 2 || got[0].url != "file:///a" || got[0].tokenFile != "" || got[1].url != "http://b" || got[1].tokenFile != "t" {
		t.Errorf("got %q", got)
	}
}

func TestHelp(t *testing.T) {
	for _, line := range []string{"help", "--help", "-h", "name --help", "help name", "mount --help", "help name show", "version", "--version"} {
		out := &bytes.Buffer{}
		a := &app{in: os.Stdin, out: out, err: &bytes.Buffer{}}
		if err := a.run(context.Background(), strings.Fields(line)); err != nil || out.Len() == 0 {
			t.Errorf("%s: %v, %d bytes", line, err, out.Len())
		}
		if strings.Contains(out.String(), "--child") || strings.Contains(out.String(), "  demo") {
			t.Errorf("%s shows what is hidden:\n%s", line, out)
		}
	}
}

// Every code that help lists is told once, and none is missing from the README.
func TestExitCodes(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, e := range exitCodes {
		if seen[e.code] {
			t.Errorf("code %d stands twice", e.code)
		}
		seen[e.code] = true
		if !strings.Contains(string(readme), "| "+e.name+" |") {
			t.Errorf("the README does not name exit code %d, %s", e.code, e.name)
		}
	}
	if got := exitCode(errors.Join(errors.New("a"), failf(exitBusy, "b"))); got != exitBusy {
		t.Errorf("got code %d of a joined error, want %d", got, exitBusy)
	}
}

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"satchel/chain/registrar"
)

// typed returns an app at whose terminal somebody types.
func typed(t *testing.T, text string) (*app, *bytes.Buffer) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	said := new(bytes.Buffer)
	return &app{in: in, out: said, err: said}, said
}

// TestAgreed asks before real money is paid and before what can't be undone, and
// nowhere else.
func TestAgreed(t *testing.T) {
	const revoke = "Type the name: "
	quote := func(change func(q *quoteResult)) quoteResult {
		q := quoteResult{Name: "alice.id", Op: "register"}
		q.Address, q.Balance, q.Burnt, q.Fees, q.Total = "1Someone", 1_000_000, 25_000, 900, 25_900
		q.Steps = []registrar.Cost{{Op: "preorder", Burnt: 25_000, Fee: 500, Size: 250}, {Op: "register", Fee: 400, Size: 200}}
		change(&q)
		return q
	}
	for _, c := range []struct {
		what, typed, question string
		yes                   bool
		q                     quoteResult
		code                  int
		says                  string
	}{
		{"a private chain", "", "", false, quote(func(q *quoteResult) {}), exitOK, "1Someone"},
		{"real money, yes", "yes\n", "", false, quote(func(q *quoteResult) { q.Real = true }), exitOK, "25,900 satoshi (0.00025900 BTC)"},
		{"real money, no", "no\n", "", false, quote(func(q *quoteResult) { q.Real = true }), exitUsage, "Pay this?"},
		{"real money, no terminal", "", "", false, quote(func(q *quoteResult) { q.Real = true }), exitUsage, "Pay this?"},
		{"real money, --yes", "", "", true, quote(func(q *quoteResult) { q.Real = true }), exitOK, "1Someone"},
		{"real money, begun", "", "", false, quote(func(q *quoteResult) { q.Real, q.Begun, q.Missing = true, true, 5 }), exitOK, "preorder"},
		{"too few coins", "yes\n", "", true, quote(func(q *quoteResult) { q.Real, q.Missing = true, 12_345 }), exitChain, "12,345 satoshi"},
		{"given coins", "", "", false, quote(func(q *quoteResult) { q.Gives, q.Missing = true, 5 }), exitOK, "gives what is missing"},
		{"can't be undone", "alice.id\n", revoke, false, quote(func(q *quoteResult) {}), exitOK, revoke},
		{"can't be undone, yes", "yes\n", revoke, false, quote(func(q *quoteResult) {}), exitUsage, revoke},
		{"can't be undone, --yes", "", revoke, true, quote(func(q *quoteResult) {}), exitOK, ""},
	} {
		a, said := typed(t, c.typed)
		err := a.agreed(&c.q, &nameFlags{yes: c.yes}, c.question)
		all := said.String()
		if err != nil {
			all += err.Error()
		}
		if exitCode(err) != c.code || !strings.Contains(all, c.says) {
			t.Errorf("%s: code %d, want %d; %s", c.what, exitCode(err), c.code, all)
		}
		if c.yes && strings.Contains(all, "Type") {
			t.Errorf("%s: asked all the same", c.what)
		}
	}
}

func TestNamespaceRules(t *testing.T) {
	parse := func(line string) (*registrar.Rules, error) {
		c := newCommand("x", "", 0, 0, "")
		var f rulesFlags
		f.add(c.flags)
		if err := c.flags.Parse(strings.Fields(line)); err != nil {
			t.Fatal(err)
		}
		return f.rules()
	}
	r, err := parse("--lifetime 52595 --coefficient 250 --base 4 --buckets 6,5,4,3,2,1,0 --no-vowel 4 --non-alpha 3")
	want := registrar.Rules{Lifetime: 52595, Coefficient: 250, Base: 4, Buckets: [16]byte{6, 5, 4, 3, 2, 1}, NoVowel: 4, NonAlpha: 3}
	if err != nil || *r != want {
		t.Errorf("got %+v, %v", r, err)
	}
	if r, err = parse(""); err != nil || *r != (registrar.Rules{Lifetime: 0xffffffff, Base: 1, NoVowel: 1, NonAlpha: 1}) {
		t.Errorf("by default %+v, %v", r, err)
	}
	if r, err = parse("--buckets 15"); err != nil || r.Buckets[0] != 15 || r.Buckets[15] != 15 {
		t.Errorf("one bucket: %+v, %v", r, err)
	}
	for _, bad := range []string{
		"--lifetime 0", "--lifetime -1", "--lifetime x", "--lifetime 4294967295", "--coefficient 256", "--base 256",
		"--no-vowel 0", "--no-vowel 16", "--non-alpha 0", "--buckets 16", "--buckets 1,,2", "--buckets 1,x", "--buckets 1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1",
	} {
		if r, err := parse(bad); exitCode(err) != exitUsage {
			t.Errorf("%s: %+v, %v", bad, r, err)
		}
	}
}

// TestNameFlags refuses what makes no sense before anything is opened.
func TestNameFlags(t *testing.T) {
	diary := filepath.Join(t.TempDir(), "diary")
	if err := os.WriteFile(diary, []byte("dear diary"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []nameFlags{
		{maxFee: 0},
		{maxFee: -1},
		{maxFee: 1, owner: "1abc"},
		{maxFee: 1, psbt: diary},
	} {
		if err := f.fill(new(goalArgs)); exitCode(err) != exitUsage {
			t.Errorf("%+v: %v", f, err)
		}
	}
	var args goalArgs
	f := nameFlags{maxFee: 7, psbt: filepath.Join(t.TempDir(), "new")}
	if err := f.fill(&args); err != nil || !args.PSBT || args.MaxFee != 7 || args.Signed != nil {
		t.Errorf("%+v, %v", args, err)
	}
}

func TestAmounts(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 satoshi", 9999: "9999 satoshi", 10_000: "10,000 satoshi (0.00010000 BTC)", 123_456_789: "123,456,789 satoshi (1.23456789 BTC)",
	} {
		if got := satoshi(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for blocks, want := range map[int]string{12: "2 hours", 144: "24 hours", 144 * 14: "14 days", 144 * 90: "3 months", 105190: "2 years"} {
		if got := period(blocks); got != want {
			t.Errorf("%d blocks: %s, want %s", blocks, got, want)
		}
	}
}

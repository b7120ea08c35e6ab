package profile

import (
	"bytes"
	"slices"
	"testing"

	"satchel/crypto"
)

func testLines(n int) []Line {
	lines := make([]Line, n)
	for i := range lines {
		lines[i] = Line{crypto.LocatorSecret(seed("secret %d", i)), crypto.Hash(seed("head %d", i))}
	}
	return lines
}

func signPulse(alice *person, seq uint64, lines []Line) *Signed[Pulse] {
	d := alice.devices[0]
	s := must(NewPulse(Mark{1, crypto.Hash{1}}, d.id(), seq, lines).Sign(d.sign, alice.stamp(0, seq)))
	return must(OpenPulse(s.Raw, alice.Whose, d.id(), alice.profile, nil))
}

func TestPulseSays(t *testing.T) {
	alice := newPerson("alice.id", 1, 1)
	lines := testLines(5)
	p := signPulse(alice, 3, lines)
	for i, l := range lines {
		if got := About(p, l.Secret, l.Head); got != Current {
			t.Errorf("line %d: %v", i, got)
		}
		if got := About(p, l.Secret, crypto.Hash{1}); got != Other {
			t.Errorf("line %d, another head: %v", i, got)
		}
	}
	if got := About(p, crypto.LocatorSecret{1}, lines[0].Head); got != Silent {
		t.Errorf("a stranger's secret: %v", got)
	}
	if p.Body.Profile != (Mark{1, crypto.Hash{1}}) {
		t.Errorf("knows profile %v", p.Body.Profile)
	}
}

func TestPulseTagsAreFresh(t *testing.T) {
	alice := newPerson("alice.id", 1, 1)
	a, b := signPulse(alice, 3, testLines(8)), signPulse(alice, 4, testLines(8))
	for pair := range slices.Chunk(a.Body.Tags, tagLen) {
		if bytes.Contains(b.Body.Tags, pair) {
			t.Error("a tag is the same in two pulses: strangers could follow a volume")
		}
	}
}

func TestPulseIsFilled(t *testing.T) {
	for n, want := range map[int]int{0: 8, 1: 8, 8: 8, 9: 16, 16: 16, 17: 32, 1023: 1024, 1024: 1024, 1500: 1024} {
		lines := testLines(n)
		p := NewPulse(Mark{Seq: 1}, crypto.DeviceID{}, 1, lines)
		if got := len(p.Tags) / pairLen; got != want {
			t.Errorf("%d volumes: %d pairs, want %d", n, got, want)
		}
		if _, err := p.Encode(); err != nil {
			t.Errorf("%d volumes: %v", n, err)
		}
	}
	s := signPulse(newPerson("alice.id", 1, 1), 1, testLines(MaxLines))
	if len(s.Raw) > crypto.KindPulse.MaxSize() {
		t.Errorf("the largest pulse has %d bytes", len(s.Raw))
	}
}

func TestPulseRefused(t *testing.T) {
	good := NewPulse(Mark{Seq: 1}, crypto.DeviceID{}, 1, testLines(3))
	swapped := slices.Concat(good.Tags[pairLen:2*pairLen], good.Tags[:pairLen], good.Tags[2*pairLen:])
	for what, p := range map[string]*Pulse{
		"no profile":      {Tags: good.Tags},
		"no tags":         {Profile: Mark{Seq: 1}},
		"four":            {Profile: Mark{Seq: 1}, Tags: good.Tags[:4*pairLen]},
		"nine":            {Profile: Mark{Seq: 1}, Tags: append(bytes.Clone(good.Tags), bytes.Repeat([]byte{255}, pairLen)...)},
		"half a pair":     {Profile: Mark{Seq: 1}, Tags: good.Tags[:len(good.Tags)-1]},
		"out of order":    {Profile: Mark{Seq: 1}, Tags: swapped},
		"one twice":       {Profile: Mark{Seq: 1}, Tags: append(bytes.Clone(good.Tags[:7*pairLen]), good.Tags[6*pairLen:7*pairLen]...)},
		"2048":            {Profile: Mark{Seq: 1}, Tags: make([]byte, 2048*pairLen)},
		"profile too new": {Profile: Mark{Seq: crypto.MaxSeq + 1}, Tags: good.Tags},
	} {
		if _, err := p.Encode(); err == nil {
			t.Errorf("%s: encoded", what)
		}
	}
}

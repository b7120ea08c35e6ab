package profile

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"satchel/chain"
	"satchel/crypto"
	"satchel/fs/tree"
)

func TestAdmit(t *testing.T) {
	self, writer, third, gone, stranger := crypto.DeviceID{1}, crypto.DeviceID{2}, crypto.DeviceID{3}, crypto.DeviceID{4}, crypto.DeviceID{5}
	hash := func(s string) crypto.Hash { return crypto.Sum([]byte(s)) }
	k := &Knowledge{
		Self: self,
		Own:  Writer{"alice.id", Mark{10, hash("own 10")}},
		Verified: map[crypto.DeviceID]Writer{
			writer: {"bob.id", Mark{21, hash("bob 21")}},
			third:  {"carol.id", Mark{15, hash("carol 15")}},
		},
		Merged: tree.Vector{third: {Name: "carol.id", Seq: 12, Head: hash("carol 12")}, writer: {Name: "bob.id", Seq: 18, Head: hash("bob 18")}},
		Removed: func(n chain.Name, d crypto.DeviceID) bool {
			// dave.id claims a device of carol.id's for one that he removed.
			return n == "carol.id" && d == gone || n == "dave.id" && d == third
		},
	}
	entry := func(name string, seq uint64, head string) tree.VectorEntry {
		return tree.VectorEntry{Name: name, Seq: seq, Head: hash(head)}
	}
	cases := []struct {
		what string
		seq  uint64
		vec  tree.Vector
		want tree.Vector
		lie  crypto.DeviceID
	}{
		{"nothing", 1, nil, tree.Vector{}, crypto.DeviceID{}},
		{"all known", 21, tree.Vector{self: entry("alice.id", 10, "own 10"), third: entry("carol.id", 15, "carol 15"), writer: entry("bob.id", 20, "bob 20")},
			tree.Vector{self: entry("alice.id", 10, "own 10"), third: entry("carol.id", 15, "carol 15"), writer: entry("bob.id", 20, "bob 20")}, crypto.DeviceID{}},
		{"older ones", 14, tree.Vector{self: entry("alice.id", 9, "own 9"), third: entry("carol.id", 13, "carol 13")},
			tree.Vector{self: entry("alice.id", 9, "own 9"), third: entry("carol.id", 13, "carol 13")}, crypto.DeviceID{}},
		{"not verified that far", 17, tree.Vector{third: entry("carol.id", 16, "carol 16")}, tree.Vector{third: entry("carol.id", 15, "carol 15")}, crypto.DeviceID{}},
		{"never verified", 17, tree.Vector{stranger: entry("dave.id", 16, "dave 16")}, tree.Vector{}, crypto.DeviceID{}},
		{"removed device", 41, tree.Vector{gone: entry("carol.id", 40, "gone 40")}, tree.Vector{gone: entry("carol.id", 40, "gone 40")}, crypto.DeviceID{}},
		{"removed, of another name", 41, tree.Vector{gone: entry("bob.id", 40, "gone 40")}, tree.Vector{}, crypto.DeviceID{}},
		{"under a false name", 12, tree.Vector{third: entry("bob.id", 11, "carol 11")}, tree.Vector{third: entry("carol.id", 11, "carol 11")}, crypto.DeviceID{}},
		{"removed by somebody else", 41, tree.Vector{third: entry("dave.id", 40, "x")}, tree.Vector{third: entry("carol.id", 15, "carol 15")}, crypto.DeviceID{}},
		{"the highest leap", 18 + 1<<32, nil, tree.Vector{}, crypto.DeviceID{}},
		{"own number leaps", 19 + 1<<32, nil, nil, writer},
		{"claimed number leaps", 20, tree.Vector{stranger: entry("dave.id", 19+1<<32, "x")}, nil, stranger},
		{"removed one leaps", 20, tree.Vector{gone: entry("carol.id", 19+1<<32, "x")}, nil, gone},
		{"beyond my record", 12, tree.Vector{self: entry("alice.id", 11, "own 11")}, nil, self},
		{"my number, other hash", 12, tree.Vector{self: entry("alice.id", 10, "x")}, nil, self},
		{"verified number, other hash", 16, tree.Vector{third: entry("carol.id", 15, "x")}, nil, third},
		{"merged number, other hash", 13, tree.Vector{third: entry("carol.id", 12, "x")}, nil, third},
		{"its own number, other hash", 19, tree.Vector{writer: entry("bob.id", 18, "x")}, nil, writer},
	}
	for _, c := range cases {
		h := &Signed[Head]{Body: &Head{Vector: c.vec}, Header: crypto.Header{Kind: crypto.KindHead, Name: "bob.id", Device: writer, Seq: c.seq}}
		got, err := k.Admit(h)
		var lie *Lie
		switch {
		case c.lie != crypto.DeviceID{}:
			if !errors.As(err, &lie) || lie.About != c.lie || lie.Name != "bob.id" || !strings.Contains(err.Error(), "bob.id") {
				t.Errorf("%s: %v, %v", c.what, got, err)
			}
		case err != nil || !maps.Equal(got, c.want):
			t.Errorf("%s: got %v, %v", c.what, got, err)
		}
	}
}

func TestAdmitWithoutOwnHeads(t *testing.T) {
	k := &Knowledge{Self: crypto.DeviceID{1}}
	h := &Signed[Head]{Body: &Head{Vector: tree.Vector{{1}: {Name: "alice.id", Seq: 1}}}, Header: crypto.Header{Name: "bob.id", Device: crypto.DeviceID{2}, Seq: 2}}
	if _, err := k.Admit(h); !errors.Is(err, ErrVector) {
		t.Errorf("a head of mine, who never signed one: %v", err)
	}
	h.Body.Vector = nil
	if got, err := k.Admit(h); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

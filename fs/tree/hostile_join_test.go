package tree

import (
	"strings"
	"testing"

	"satchel/crypto"
)

// A member that gives another's datum other bytes and a high copy number does
// not replace them: the author's own head wins, and the contradiction is told.
func TestCopyNumberReplacesNoBytes(t *testing.T) {
	alice, mallory := crypto.DeviceID{1}, crypto.DeviceID{2}
	with := func(text string, copies uint64) *version {
		d := Dot{1, alice}
		return &version{dot: d, stamp: d, mstamp: d, data: &datum{dot: d, content: InlineContent([]byte(text)), copy: copies}}
	}
	honest, planted := with("alice", 0), with("mallo", 1<<60)
	for _, order := range [][2]*version{{honest, planted}, {planted, honest}} {
		sa, sb := seen{writer: alice}, seen{writer: mallory}
		if order[0] == planted {
			sa, sb = sb, sa
		}
		got, same := joinVersion(order[0], order[1], sa, sb)
		if got != honest || same {
			t.Errorf("got %q, told as the same: %v", got.data.content.Inline, same)
		}
	}
	moved := with("alice", 1)
	if got, same := joinVersion(honest, moved, seen{writer: alice}, seen{writer: mallory}); got != moved || !same {
		t.Error("the same bytes with a higher copy number don't count as moved")
	}
}

// One identity has one kind in all its versions.
func TestMixedKindsAreRefused(t *testing.T) {
	d1, d2 := Dot{1, crypto.DeviceID{1}}, Dot{2, crypto.DeviceID{1}}
	of := func(k Kind, d Dot) version {
		return version{dot: d, kind: k, stamp: d, mstamp: d, places: []place{{link: link{Dot: d}, name: "x", stamp: d}},
			data: &datum{dot: d, content: InlineContent([]byte("x"))}}
	}
	dec := &decoder{}
	dec.check(&entry{id: Identity{9}, versions: []version{of(File, d1), of(Symlink, d2)}})
	if dec.err == nil || !strings.Contains(dec.err.Error(), "kind") {
		t.Errorf("a file that is a symlink too: %v", dec.err)
	}
}

// Five small index nodes that name each other stand for 2^53 chunks: a walk over
// all refs meets each once.
func TestWalkOfRepeatedNodesEnds(t *testing.T) {
	nodes := make(map[Ref][]byte)
	node := func(level int, below Ref) Ref {
		refs := make([]Ref, 1024)
		for i := range refs {
			refs[i] = below
		}
		b, err := encodeFile(level, refs, func(r Ref) Ref { return r })
		if err != nil {
			t.Fatal(err)
		}
		r := Ref{Owner: "m.id", Pack: [32]byte{1}, Off: uint32(level), Len: uint32(len(b)), Hash: crypto.Sum(b), Key: [32]byte{2}}
		nodes[r] = b
		return r
	}
	r := Ref{Owner: "m.id", Pack: [32]byte{1}, Len: 100, Hash: crypto.Hash{9}, Key: [32]byte{3}}
	for level := 1; level <= 5; level++ {
		r = node(level, r)
	}
	count := 0
	err := Content{Size: 1 << 62, Refs: []Ref{r}, Level: 5}.EachRef(func(r Ref) ([]byte, error) { return nodes[r], nil }, func(Ref) error {
		if count++; count > 100 {
			t.Fatal("the walk goes on and on")
		}
		return nil
	})
	if err != nil || count != 6 {
		t.Errorf("%d refs, %v; want 6", count, err)
	}
}

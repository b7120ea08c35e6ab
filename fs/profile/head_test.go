package profile

import (
	"reflect"
	"slices"
	"testing"

	"satchel/chain"
	"satchel/crypto"
	"satchel/crypto/canon"
	"satchel/fs/tree"
)

func TestHeadRoundTrip(t *testing.T) {
	alice, bob, carol := newPerson("alice.id", 2, 2), newPerson("bob.id", 1, 1), newPerson("carol.id", 1, 1)
	d := alice.devices[1]
	members := map[chain.Name]*Profile{"alice.id": alice.profile, "bob.id": bob.profile, "carol.id": carol.profile}
	cases := []struct {
		v       Volume
		readers []*person
		no      []*person
	}{
		{PrivateVolume("alice.id"), []*person{alice}, []*person{bob}},
		{PublicVolume("alice.id"), []*person{alice, bob}, nil},
		{must(Shared("alice.id", "bob.id")), []*person{alice, bob}, []*person{carol}},
		{must(Shared("alice.id", "bob.id", "carol.id")), []*person{alice, bob, carol}, nil},
	}
	for _, c := range cases {
		at := must(alice.finder(bob, carol).Write(c.v, d.id()))
		h := testHead("alice.id", 7)
		h.Vector[d.id()] = tree.VectorEntry{Name: "alice.id", Seq: 2, Head: crypto.Hash{2}}
		h.Tells = must(alice.finder().Tells(must(Shared("alice.id", "bob.id", "dave.id"))))
		h.Extra = canon.Extra{130: must(canon.Marshal("later"))}
		s, err := h.Sign(d.sign, alice.stamp(1, 7), c.v, at.Locator, members)
		if err != nil {
			t.Fatal(err)
		}
		of := HeadOf{Whose: alice.Whose, Device: d.id(), Volume: c.v, Locator: at.Locator, Authority: alice.profile}
		for _, r := range c.readers {
			got, err := OpenHead(s.Raw, of, r.sealKeys()...)
			if err != nil {
				t.Errorf("%s for %s: %v", c.v.Key(), r.Name, err)
				continue
			}
			slices.SortFunc(h.Tells, func(a, b Tell) int { return int(a.Gen) - int(b.Gen) })
			if !reflect.DeepEqual(got.Body, h) || got.Mark() != s.Mark() {
				t.Errorf("%s for %s:\n got %+v\nwant %+v", c.v.Key(), r.Name, got.Body, h)
			}
		}
		for _, r := range c.no {
			if _, err := OpenHead(s.Raw, of, r.sealKeys()...); err == nil {
				t.Errorf("%s: %s reads it", c.v.Key(), r.Name)
			}
		}
	}
}

func TestHeadBodyRefused(t *testing.T) {
	good := func() wireHead {
		var w wireHead
		h := testHead("alice.id", 3)
		h.Vector[crypto.DeviceID{1}] = tree.VectorEntry{Name: "alice.id", Seq: 1, Head: crypto.Hash{1}}
		h.Known["bob.id"] = Mark{1, crypto.Hash{}}
		h.Tells = must(newPerson("alice.id", 1, 2).finder().Tells(must(Shared("alice.id", "bob.id", "dave.id"))))
		if err := canon.Unmarshal(must(h.Encode()), &w); err != nil {
			t.Fatal(err)
		}
		return w
	}
	if _, err := DecodeHead(must(canon.Marshal(good()))); err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(w *wireHead){
		"vector out of order":  func(w *wireHead) { slices.Reverse(w.Vector) },
		"device twice":         func(w *wireHead) { w.Vector[1].Device = w.Vector[0].Device },
		"vector number 0":      func(w *wireHead) { w.Vector[0].Seq = 0 },
		"vector at the end":    func(w *wireHead) { w.Vector[0].Seq = crypto.MaxSeq },
		"vector without hash":  func(w *wireHead) { w.Vector[0].Head = crypto.Hash{} },
		"vector without name":  func(w *wireHead) { w.Vector[0].Name = "" },
		"vector with no name":  func(w *wireHead) { w.Vector[0].Name = "../../etc" },
		"known out of order":   func(w *wireHead) { slices.Reverse(w.Known) },
		"known without number": func(w *wireHead) { w.Known[0].Seq = 0 },
		"known without name":   func(w *wireHead) { w.Known[0].Name = "x" },
		"no root owner":        func(w *wireHead) { w.Root.Owner = "" },
		"root in no pack":      func(w *wireHead) { w.Root.Pack = [32]byte{} },
		"root of no length":    func(w *wireHead) { w.Root.Len = 0 },
		"told a pair":          func(w *wireHead) { w.Tells[0].Names = w.Tells[0].Names[:2] },
		"told out of order":    func(w *wireHead) { slices.Reverse(w.Tells) },
		"told names unsorted":  func(w *wireHead) { slices.Reverse(w.Tells[0].Names) },
		"told a name twice":    func(w *wireHead) { w.Tells[0].Names[1] = w.Tells[0].Names[0] },
		"told generation 0":    func(w *wireHead) { w.Tells[0].Gen = 0 },
	} {
		w := good()
		for i := range w.Tells {
			w.Tells[i].Names = slices.Clone(w.Tells[i].Names)
		}
		spoil(&w)
		if _, err := DecodeHead(must(canon.Marshal(w))); err == nil {
			t.Errorf("%s: decoded", what)
		}
	}
}

func TestEmptyVolume(t *testing.T) {
	h := testHead("alice.id", 1)
	h.Root = tree.Ref{}
	got, err := DecodeHead(must(h.Encode()))
	if err != nil || !got.Root.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestNext(t *testing.T) {
	if n := Next(nil); n != 1 {
		t.Errorf("the first head is number %d", n)
	}
	if n := Next(tree.Vector{{1}: {Seq: 4}, {2}: {Seq: 9}}); n != 10 {
		t.Errorf("after 4 and 9 comes %d", n)
	}
}

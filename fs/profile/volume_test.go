package profile

import (
	"errors"
	"os"
	"strings"
	"testing"

	"satchel/chain"
)

func TestFolders(t *testing.T) {
	cases := []struct {
		me     chain.Name
		folder string
		key    string
		kind   VolumeKind
	}{
		{"alice.id", "Private", "private/alice.id", Private},
		{"alice.id", "Public/alice.id", "public/alice.id", Public},
		{"alice.id", "Public/bob.id", "public/bob.id", Public},
		{"alice.id", "People/bob.id", "people/alice.id,bob.id", Pair},
		{"bob.id", "People/alice.id", "people/alice.id,bob.id", Pair},
		{"alice.id", "People/bob.id,carol.id", "people/alice.id,bob.id,carol.id", Group},
		{"bob.id", "People/alice.id,carol.id", "people/alice.id,bob.id,carol.id", Group},
	}
	for _, c := range cases {
		v, err := ParseFolder(c.me, c.folder)
		if err != nil {
			t.Errorf("%s: %v", c.folder, err)
			continue
		}
		if v.Key() != c.key || v.Kind != c.kind || v.Folder(c.me) != c.folder {
			t.Errorf("%s of %s: %s, kind %d, folder %s", c.folder, c.me, v.Key(), v.Kind, v.Folder(c.me))
		}
		if w, err := ParseKey(c.key); err != nil || !w.Equal(v) {
			t.Errorf("key %s: %+v, %v", c.key, w, err)
		}
	}
}

func TestFoldersThatAreNone(t *testing.T) {
	many := make([]string, MaxMembers)
	for i := range many {
		many[i] = "a" + strings.Repeat("b", i) + ".id"
	}
	for _, folder := range []string{
		"", "/", "Private/", "Private/x", "private", "Public", "Public/", "People", "People/", "Other/bob.id",
		"People/alice.id",                   // myself
		"People/alice.id,bob.id",            // I am left out
		"People/carol.id,bob.id",            // not sorted
		"People/bob.id,bob.id",              // twice
		"People/bob.id,",                    // an empty name
		"People/bob.id, carol.id",           // white space
		"People/bob.id/x",                   // a path
		"Public/bob.id,carol.id",            // two
		"People/Bob.id",                     // not a name
		"People/bob",                        // no namespace
		"People/" + strings.Join(many, ","), // 64 and me
	} {
		if v, err := ParseFolder("alice.id", folder); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%q: %+v, %v", folder, v, err)
		}
	}
	for _, key := range []string{"", "private/", "people/bob.id", "people/bob.id,alice.id", "public/alice.id,bob.id", "x/alice.id"} {
		if v, err := ParseKey(key); err == nil {
			t.Errorf("%q: %+v", key, v)
		}
	}
}

func TestShared(t *testing.T) {
	if _, err := Shared("alice.id"); err == nil {
		t.Error("one person shares with nobody")
	}
	v, err := Shared("carol.id", "alice.id", "bob.id")
	if err != nil || v.Key() != "people/alice.id,bob.id,carol.id" || !v.Has("bob.id") || v.Has("dave.id") {
		t.Errorf("%+v, %v", v, err)
	}
}

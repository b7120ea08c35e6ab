package profile

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"satchel/chain"
)

// MaxMembers is how many names a volume may have.
const MaxMembers = 64

// A VolumeKind says whose a volume is.
type VolumeKind uint8

// The kinds of volumes.
const (
	Private VolumeKind = iota + 1 // one name's devices
	Public                        // everybody reads, one name writes
	Pair                          // two names
	Group                         // three names or more
)

// A Volume says who has a tree of files. It is the same for all its members;
// only the folder in which it is mounted differs.
type Volume struct {
	Kind  VolumeKind
	Names []chain.Name // the members, sorted; of Private and Public the one that writes
}

// PrivateVolume returns the volume that name's devices share.
func PrivateVolume(name chain.Name) Volume { return Volume{Private, []chain.Name{name}} }

// PublicVolume returns the volume in which name publishes.
func PublicVolume(name chain.Name) Volume { return Volume{Public, []chain.Name{name}} }

// Shared returns the volume of these people: a pair's or a group's.
func Shared(names ...chain.Name) (Volume, error) {
	sorted := slices.Clone(names)
	slices.Sort(sorted)
	if n := len(sorted); n < 2 || n > MaxMembers {
		return Volume{}, fmt.Errorf("a folder of %d people: from 2 to %d are possible", n, MaxMembers)
	}
	for i, n := range sorted {
		if i > 0 && sorted[i-1] == n {
			return Volume{}, fmt.Errorf("%s is in the list of people twice", n)
		}
	}
	kind := Group
	if len(sorted) == 2 {
		kind = Pair
	}
	return Volume{kind, sorted}, nil
}

// ParseFolder returns the volume that stands at folder, such as "Private",
// "Public/bob.id" or "People/bob.id,carol.id", in me's mount. Each volume has
// one folder: other spellings are os.ErrNotExist, as is what is no name.
func ParseFolder(me chain.Name, folder string) (Volume, error) {
	v, err := parseFolder(me, folder)
	if err == nil && v.Folder(me) != folder {
		err = fmt.Errorf("its folder is %s", v.Folder(me))
	}
	if err != nil {
		return Volume{}, fmt.Errorf("%q: %w: %w", folder, err, os.ErrNotExist)
	}
	return v, nil
}

func parseFolder(me chain.Name, folder string) (Volume, error) {
	top, list, _ := strings.Cut(folder, "/")
	switch top {
	case "Private":
		return PrivateVolume(me), nil
	case "Public":
		n, err := chain.ParseName(list)
		return PublicVolume(n), err
	case "People":
		names := []chain.Name{me}
		for s := range strings.SplitSeq(list, ",") {
			n, err := chain.ParseName(s)
			if err != nil {
				return Volume{}, err
			}
			if names = append(names, n); len(names) > MaxMembers {
				break // Shared says so
			}
		}
		return Shared(names...)
	}
	return Volume{}, fmt.Errorf("no such folder in a mount")
}

// Folder returns where v stands in me's mount: the members' names sorted, mine
// left out.
func (v Volume) Folder(me chain.Name) string {
	switch v.Kind {
	case Private:
		return "Private"
	case Public:
		return "Public/" + string(v.Names[0])
	}
	var others []string
	for _, n := range v.Names {
		if n != me {
			others = append(others, string(n))
		}
	}
	return "People/" + strings.Join(others, ",")
}

// Key returns a text that is the same for all members and no other volume's.
func (v Volume) Key() string {
	list := make([]string, len(v.Names))
	for i, n := range v.Names {
		list[i] = string(n)
	}
	names := strings.Join(list, ",")
	switch v.Kind {
	case Private:
		return "private/" + names
	case Public:
		return "public/" + names
	}
	return "people/" + names
}

// ParseKey returns the volume of which Key gives key.
func ParseKey(key string) (Volume, error) {
	kind, list, _ := strings.Cut(key, "/")
	var names []chain.Name
	for s := range strings.SplitSeq(list, ",") {
		n, err := chain.ParseName(s)
		if err != nil {
			return Volume{}, fmt.Errorf("volume %q: %w", key, err)
		}
		if names = append(names, n); len(names) > MaxMembers {
			break
		}
	}
	var v Volume
	var err error
	switch {
	case kind == "private" && len(names) == 1:
		v = PrivateVolume(names[0])
	case kind == "public" && len(names) == 1:
		v = PublicVolume(names[0])
	case kind == "people":
		v, err = Shared(names...)
	}
	if err != nil || v.Kind == 0 || v.Key() != key {
		return Volume{}, fmt.Errorf("volume %q: not a volume", key)
	}
	return v, nil
}

// Has tells whether name is a member: whether it writes here and may be
// referred to.
func (v Volume) Has(name chain.Name) bool { return slices.Contains(v.Names, name) }

// Equal tells whether both are the same volume.
func (v Volume) Equal(w Volume) bool { return v.Kind == w.Kind && slices.Equal(v.Names, w.Names) }

// strings returns the members as crypto takes them.
func (v Volume) strings() []string {
	list := make([]string, len(v.Names))
	for i, n := range v.Names {
		list[i] = string(n)
	}
	return list
}

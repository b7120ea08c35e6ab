package chain

import (
	"fmt"
	"strings"

	"satchel/chain/ops"
)

// A Name is a name such as "alice.id", or one that lies below another one, such
// as "ada.friends.id". It has its own type so that a path or a key cannot be
// passed for one.
type Name string

// ParseName checks that s is a name: two or three parts of a-z, 0-9, '-' and '_',
// a dot between them, at most 37 bytes in all. Only one of two parts can be
// registered on the chain; see package subdomain for the others.
func ParseName(s string) (Name, error) {
	if ops.ValidName(s) {
		return Name(s), nil
	}
	label, parent, _ := strings.Cut(s, ".")
	if len(s) > ops.MaxName || !ops.ValidName(parent) || !ops.ValidName(label+".x") {
		return "", fmt.Errorf("%q is no name: want a label, a dot and a namespace such as alice.id, in lower case, at most %d bytes", s, ops.MaxName)
	}
	return Name(s), nil
}

// Label returns what stands before the first dot.
func (n Name) Label() string {
	label, _, _ := strings.Cut(string(n), ".")
	return label
}

// Namespace returns what stands behind the last dot.
func (n Name) Namespace() string { return string(n)[strings.LastIndexByte(string(n), '.')+1:] }

// Parent returns the registered name below which a name lies; false for a
// registered name.
func (n Name) Parent() (Name, bool) {
	_, parent, _ := strings.Cut(string(n), ".")
	return Name(parent), strings.Contains(parent, ".")
}

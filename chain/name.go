package chain

import (
	"fmt"
	"strings"

	"satchel/chain/ops"
)

// A Name is a registered name such as "alice.id". It has its own type so that
// a path or a key cannot be passed for one.
type Name string

// ParseName checks that s is a name: a label and a namespace id of a-z, 0-9,
// '-' and '_', one dot between them, at most 37 bytes in all.
func ParseName(s string) (Name, error) {
	if !ops.ValidName(s) {
		return "", fmt.Errorf("%q is no name: want a label, a dot and a namespace such as alice.id, in lower case, at most %d bytes", s, ops.MaxName)
	}
	return Name(s), nil
}

// Label returns what stands before the dot.
func (n Name) Label() string {
	label, _, _ := strings.Cut(string(n), ".")
	return label
}

// Namespace returns what stands behind the dot.
func (n Name) Namespace() string {
	_, ns, _ := strings.Cut(string(n), ".")
	return ns
}

package ops

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// NamePreorder hides a name that its sender is about to register.
type NamePreorder struct {
	Hash      [20]byte // HashName of name, sender and register address
	Consensus [16]byte // a recent consensus hash
}

// Registration registers a preordered name or renews a registered one: which
// of both, the registry's state decides.
type Registration struct {
	Name string
}

// Update gives a name a new value, the hash of its zone file.
type Update struct {
	NameHash [16]byte // UpdateHash of the name and a recent consensus hash
	Value    [20]byte
}

// Transfer gives a name a new owner.
type Transfer struct {
	Keep      bool     // keep the value; else it is cleared
	NameHash  [16]byte // Hash128 of the name
	Consensus [16]byte // a recent consensus hash
}

// Revoke ends a name until it expires.
type Revoke struct {
	Name string
}

// Import gives out a name in a namespace that is revealed and not ready.
type Import struct {
	Name string
}

// NamespacePreorder hides a namespace that its sender is about to reveal.
type NamespacePreorder struct {
	Hash      [20]byte // HashName of id, sender and reveal address
	Consensus [16]byte // a recent consensus hash
}

// NamespaceReveal opens a preordered namespace and sets its rules.
type NamespaceReveal struct {
	ID                string
	Version           uint16 // 1
	Lifetime          uint32 // of a name, in blocks
	Coefficient, Base byte
	Buckets           [16]byte // exponents, 0..15, by length of the label
	NonAlpha, NoVowel byte     // discounts, 1..15
}

// NamespaceReady lets everybody register names in a namespace.
type NamespaceReady struct {
	ID string
}

// Announce publishes the hash of a text; it changes nothing.
type Announce struct {
	Hash [20]byte
}

// Code returns '?'.
func (NamePreorder) Code() byte { return '?' }

// Code returns ':'.
func (Registration) Code() byte { return ':' }

// Code returns '+'.
func (Update) Code() byte { return '+' }

// Code returns '>'.
func (Transfer) Code() byte { return '>' }

// Code returns '~'.
func (Revoke) Code() byte { return '~' }

// Code returns ';'.
func (Import) Code() byte { return ';' }

// Code returns '*'.
func (NamespacePreorder) Code() byte { return '*' }

// Code returns '&'.
func (NamespaceReveal) Code() byte { return '&' }

// Code returns '!'.
func (NamespaceReady) Code() byte { return '!' }

// Code returns '#'.
func (Announce) Code() byte { return '#' }

func (o NamePreorder) payload() []byte      { return append(o.Hash[:], o.Consensus[:]...) }
func (o NamespacePreorder) payload() []byte { return append(o.Hash[:], o.Consensus[:]...) }
func (o Registration) payload() []byte      { return []byte(o.Name) }
func (o Revoke) payload() []byte            { return []byte(o.Name) }
func (o Import) payload() []byte            { return []byte(o.Name) }
func (o Update) payload() []byte            { return append(o.NameHash[:], o.Value[:]...) }
func (o NamespaceReady) payload() []byte    { return append([]byte{'.'}, o.ID...) }
func (o Announce) payload() []byte          { return o.Hash[:] }

func (o Transfer) payload() []byte {
	b := []byte{'~'}
	if o.Keep {
		b[0] = '>'
	}
	return append(append(b, o.NameHash[:]...), o.Consensus[:]...)
}

func (o NamespaceReveal) payload() []byte {
	b := binary.BigEndian.AppendUint32(nil, o.Lifetime)
	b = append(b, o.Coefficient, o.Base)
	for i := 0; i < len(o.Buckets); i += 2 {
		b = append(b, o.Buckets[i]<<4|o.Buckets[i+1])
	}
	b = append(b, o.NonAlpha<<4|o.NoVowel)
	b = binary.BigEndian.AppendUint16(b, o.Version)
	return append(b, o.ID...)
}

func (NamePreorder) check() error      { return nil }
func (NamespacePreorder) check() error { return nil }
func (Update) check() error            { return nil }
func (Transfer) check() error          { return nil }
func (Announce) check() error          { return nil }
func (o Registration) check() error    { return checkName(o.Name) }
func (o Revoke) check() error          { return checkName(o.Name) }
func (o Import) check() error          { return checkName(o.Name) }
func (o NamespaceReady) check() error  { return checkNamespace(o.ID) }

func (o NamespaceReveal) check() error {
	for _, e := range o.Buckets {
		if e > 15 {
			return fmt.Errorf("exponent %d is over 15", e)
		}
	}
	if o.NonAlpha > 15 || o.NoVowel > 15 {
		return errors.New("a discount is over 15")
	}
	return checkNamespace(o.ID)
}

func checkName(s string) error {
	if !ValidName(s) {
		return fmt.Errorf("%q is no name", s)
	}
	return nil
}

func checkNamespace(s string) error {
	if !ValidNamespace(s) {
		return fmt.Errorf("%q is no namespace id", s)
	}
	return nil
}

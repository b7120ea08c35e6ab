package profile

import (
	"errors"
	"fmt"
	"os"

	"satchel/chain"
	"satchel/crypto"
)

var (
	// ErrGarbled reports a torn or damaged copy, or bytes that never were an
	// envelope: use another copy and name the provider.
	ErrGarbled = errors.New("garbled copy")
	// ErrWrong reports an envelope that is not the one asked for: another
	// kind's, network's, name's, device's or locator's.
	ErrWrong = errors.New("not what was asked for")
	// ErrUnlisted reports a device that the newest profile held doesn't list.
	ErrUnlisted = errors.New("device is not listed in the profile")
	// ErrStale reports an envelope older than the pinned one. The pinned one stays.
	ErrStale = errors.New("older than what is known")
	// ErrFork is what errors.Is finds in a *Fork.
	ErrFork = errors.New("two different versions with one number")
	// ErrBody reports a body that its author signed and that breaks the format.
	ErrBody = errors.New("signed, but not in the format")
	// ErrChanged is what errors.Is finds in a *Changed.
	ErrChanged = errors.New("name is stopped")
	// ErrNoKey reports a registered name without a data key: nobody can share
	// with it yet.
	ErrNoKey = fmt.Errorf("name has no data key: %w", os.ErrPermission)
	// ErrCopied reports that this device's state is a restored backup or a copy
	// of a disk: a head exists that this device signed and doesn't remember.
	// It must sign nothing more under its id.
	ErrCopied = errors.New("this device's state was restored or copied: its id is used up")
	// ErrVector is what errors.Is finds in a *Lie.
	ErrVector = errors.New("head with an impossible version vector")
)

// Faulty tells whether err, from opening a copy, is the fault of the provider
// that served it, so that another is asked and this one named. Otherwise it is
// the author's or comes from what the reader knows.
func Faulty(err error) bool {
	for _, e := range []error{ErrGarbled, ErrWrong, ErrStale, crypto.ErrVerify} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// A Fork is the proof that a device signed two envelopes with one number.
type Fork struct {
	Kind    crypto.Kind
	Name    chain.Name
	Device  crypto.DeviceID
	Volume  string // Volume.Key of a head
	Seq     uint64 // the number, or of the envelope that denies the pinned one
	Have    []byte // the envelope that was first seen, which stays
	Refused []byte // the other one
}

func (f *Fork) Error() string {
	return fmt.Sprintf("%s %d of %s, device %v: %v", f.Kind, f.Seq, f.Name, f.Device, ErrFork)
}

// Unwrap gives ErrFork.
func (f *Fork) Unwrap() error { return ErrFork }

// Changed says why a name is stopped: nothing is sealed to it, merged from it
// or fetched at its URLs until the user trusts what it is now.
type Changed struct {
	Name   chain.Name
	Pinned *Facts // nil if nothing was pinned yet
	Now    Facts
}

func (c *Changed) Error() string {
	why := "it belongs to somebody else now"
	switch p := c.Pinned; {
	case c.Now.Revoked:
		why = "it was revoked"
	case c.Now.Expired:
		why = "it expired"
	case p != nil && p.Network != c.Now.Network:
		why = "it is of another network"
	case p != nil && p.Owner == c.Now.Owner:
		why = "it was registered anew"
	}
	return fmt.Sprintf("%s: %v: %s", c.Name, ErrChanged, why)
}

// Unwrap gives ErrChanged.
func (c *Changed) Unwrap() error { return ErrChanged }

// A Lie is a claim in a head's version vector that can't be true. The head is
// not merged.
type Lie struct {
	Name   chain.Name      // who signed the head
	Device crypto.DeviceID // and with which device
	Seq    uint64          // of the head
	About  crypto.DeviceID // the writer in question
	Why    string
}

func (l *Lie) Error() string {
	return fmt.Sprintf("head %d of %s, device %v: %v: about device %v: %s", l.Seq, l.Name, l.Device, ErrVector, l.About, l.Why)
}

// Unwrap gives ErrVector.
func (l *Lie) Unwrap() error { return ErrVector }

package profile

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"

	"satchel/chain"
	"satchel/crypto"
)

// A Mark names an envelope; the zero Mark names none.
type Mark struct {
	Seq  uint64
	Hash crypto.Hash
}

// A Stamp is what a header says besides what follows from the body.
type Stamp struct {
	Whose
	Device crypto.DeviceID // the signing device; of a profile the keeper
	Seq    uint64
	Prev   Mark // the last that this device signed for this kind and locator
	Time   time.Time
}

func (s Stamp) header(k crypto.Kind, locator []byte) crypto.Header {
	return crypto.Header{
		Kind: k, Network: s.Network, Name: string(s.Name), Device: s.Device, Locator: locator,
		Seq: s.Seq, PrevSeq: s.Prev.Seq, PrevHash: s.Prev.Hash, Time: s.Time.UnixNano(),
	}
}

// Signed is an envelope with its body. One that an Open function returned has
// passed every check.
type Signed[B any] struct {
	Body   *B
	Header crypto.Header
	Hash   crypto.Hash
	Raw    []byte // as stored
	volume string // Volume.Key of a head
	signer crypto.PublicKey
}

// Mark names s.
func (s *Signed[B]) Mark() Mark { return Mark{s.Header.Seq, s.Hash} }

// Name says whose s is.
func (s *Signed[B]) Name() chain.Name { return chain.Name(s.Header.Name) }

// Time is when s was signed, by its author's clock.
func (s *Signed[B]) Time() time.Time { return time.Unix(0, s.Header.Time) }

// Fresh is the time up to which s is known to have been the newest: when it was
// signed, but never later than when this reader first saw it.
func Fresh(h crypto.Header, seen time.Time) time.Time {
	if t := time.Unix(0, h.Time); t.Before(seen) {
		return t
	}
	return seen
}

// seal signs body and keeps what comes of it together.
func seal[K *btcec.PrivateKey | *crypto.SigningKey, B any](key K, h crypto.Header, sealed []byte, body *B, volume string) (*Signed[B], error) {
	raw, hash, err := crypto.SignEnvelope(key, h, sealed)
	if err != nil {
		return nil, err
	}
	h.Format, h.Body = crypto.Format, crypto.Sum(sealed)
	return &Signed[B]{Body: body, Header: h, Hash: hash, Raw: raw, volume: volume, signer: publicOfKey(key)}, nil
}

func publicOfKey[K *btcec.PrivateKey | *crypto.SigningKey](key K) crypto.PublicKey {
	if k, ok := any(key).(*crypto.SigningKey); ok {
		return k.Public()
	}
	return crypto.PublicOf(any(key).(*btcec.PrivateKey))
}

// want is what a reader asked for.
type want struct {
	kind    crypto.Kind
	whose   Whose
	device  *crypto.DeviceID // nil: any
	locator []byte
	volume  string
	key     func() (crypto.PublicKey, error) // who may sign it
	signer  crypto.PublicKey                 // what key returned
	pin     *Pin
}

// check returns the envelope in raw after everything that can be checked
// without its body, in the order of the package comment.
func (w *want) check(raw []byte) (*crypto.Envelope, error) {
	e, err := w.parse(raw)
	if err != nil {
		return nil, err
	}
	if err := w.asked(e); err != nil {
		return nil, err
	}
	if w.signer, err = w.key(); err != nil {
		return nil, err
	}
	if err := e.Verify(w.signer); err != nil {
		return nil, err
	}
	return e, w.pin.admits(candidate{slotOf(&e.Header, w.volume), e.Header, e.Hash(), raw, w.signer})
}

// parse checks size and format.
func (w *want) parse(raw []byte) (*crypto.Envelope, error) {
	if len(raw) > w.kind.MaxSize() {
		return nil, fmt.Errorf("%w: %d bytes", ErrGarbled, len(raw))
	}
	e, err := crypto.ParseEnvelope(raw)
	if err != nil && !errors.Is(err, crypto.ErrFormat) {
		return nil, fmt.Errorf("%w: %w", ErrGarbled, err)
	}
	return e, err
}

// asked checks that e is what was asked for.
func (w *want) asked(e *crypto.Envelope) error {
	switch {
	case e.Kind != w.kind:
		return fmt.Errorf("%w: a %s", ErrWrong, e.Kind)
	case e.Network != w.whose.Network:
		return fmt.Errorf("%w: of network %v", ErrWrong, e.Network)
	case e.Name != string(w.whose.Name):
		return fmt.Errorf("%w: of another name", ErrWrong)
	case w.device != nil && e.Device != *w.device:
		return fmt.Errorf("%w: of device %v", ErrWrong, e.Device)
	case !bytes.Equal(e.Locator, w.locator):
		return fmt.Errorf("%w: of another locator", ErrWrong)
	}
	return nil
}

// wrap says whose copy err is about.
func (w *want) wrap(err error) error {
	if err == nil {
		return nil
	}
	if w.device != nil {
		return fmt.Errorf("%s of %s, device %v: %w", w.kind, w.whose.Name, *w.device, err)
	}
	return fmt.Errorf("%s of %s: %w", w.kind, w.whose.Name, err)
}

// signed makes the result of an Open function.
func signed[B any](w *want, raw []byte, e *crypto.Envelope, body *B) *Signed[B] {
	return &Signed[B]{Body: body, Header: e.Header, Hash: e.Hash(), Raw: bytes.Clone(raw), volume: w.volume, signer: w.signer}
}

// badBody reports what the author signed and should not have.
func badBody(err error) error { return fmt.Errorf("%w: %w", ErrBody, err) }

// Sign signs p with the data key of its name. Seq must be above that of every
// profile of the name that there is.
func (p *Profile) Sign(key *btcec.PrivateKey, s Stamp) (*Signed[Profile], error) {
	if s.Device != p.Keeper {
		return nil, fmt.Errorf("profile of %s: device %v is not its keeper", s.Name, s.Device)
	}
	body, err := p.Encode()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	return seal(key, s.header(crypto.KindProfile, nil), body, p, "")
}

// OpenProfile checks raw, a copy of the profile of that name, of which the zone
// file gives the data key, and decodes it. pin is what is pinned, or nil.
func OpenProfile(raw []byte, whose Whose, key crypto.PublicKey, pin *Pin) (*Signed[Profile], error) {
	w := &want{kind: crypto.KindProfile, whose: whose, pin: pin}
	w.key = func() (crypto.PublicKey, error) { return key, nil }
	e, err := w.check(raw)
	if err != nil {
		return nil, w.wrap(err)
	}
	p, err := DecodeProfile(e.Body)
	if err == nil && p.Keeper != e.Device {
		err = fmt.Errorf("device %v signed it, which is not its keeper", e.Device)
	}
	if err != nil {
		return nil, w.wrap(badBody(err))
	}
	return signed(w, raw, e, p), nil
}

// listed is the authority of a device: the newest profile held must list it.
func listed(p *Profile, id crypto.DeviceID) func() (crypto.PublicKey, error) {
	return func() (crypto.PublicKey, error) {
		if p == nil {
			return crypto.PublicKey{}, fmt.Errorf("no profile is known: %w", ErrUnlisted)
		}
		d, err := p.Device(id)
		return d.Signing, err
	}
}

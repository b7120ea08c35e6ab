package profile

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"

	"satchel/crypto"
	"satchel/crypto/canon"
)

const (
	minPairs = 8
	// MaxLines is how many volumes a pulse can tell of.
	MaxLines = 1024
	tagLen   = 16
	pairLen  = 2 * tagLen
)

// A Pulse says which heads of a device are current. Who doesn't know a volume's
// locator secret can't tell that the volume is in it.
type Pulse struct {
	Profile Mark   // of the name's own profile that the device knows
	Tags    []byte // the pairs
	Extra   canon.Extra
}

// A Line is one volume in a pulse.
type Line struct {
	Secret crypto.LocatorSecret // of the place where the head is: Place.Secret
	Head   crypto.Hash
}

type wirePulse struct {
	Seq   uint64      `cbor:"1,keyasint"`
	Hash  crypto.Hash `cbor:"2,keyasint"`
	Tags  []byte      `cbor:"3,keyasint"`
	Extra canon.Extra `cbor:"-"`
}

// NewPulse makes the body of device d's pulse number seq. Of more than MaxLines
// lines the first ones are in it.
func NewPulse(known Mark, d crypto.DeviceID, seq uint64, lines []Line) *Pulse {
	return fill(known, d, seq, lines, rand.Reader)
}

// fill makes a pulse with filler from r.
func fill(known Mark, d crypto.DeviceID, seq uint64, lines []Line, r io.Reader) *Pulse {
	lines = lines[:min(len(lines), MaxLines)]
	n := max(minPairs, 1<<bits.Len(uint(max(len(lines), 1)-1)))
	filler := make([]byte, (n-len(lines))*pairLen)
	io.ReadFull(r, filler) // of crypto/rand: never fails
	pairs := make([][]byte, 0, n)
	for _, l := range lines {
		here, head := l.Secret.HereTag(d, seq), l.Secret.HeadTag(d, seq, l.Head)
		pairs = append(pairs, slices.Concat(here[:], head[:]))
	}
	for p := range slices.Chunk(filler, pairLen) {
		pairs = append(pairs, p)
	}
	slices.SortFunc(pairs, bytes.Compare)
	return &Pulse{Profile: known, Tags: bytes.Join(pairs, nil)}
}

// Encode returns the body of the pulse's envelope.
func (p *Pulse) Encode() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("pulse: %w", err)
	}
	return canon.Marshal(wirePulse{Seq: p.Profile.Seq, Hash: p.Profile.Hash, Tags: p.Tags, Extra: p.Extra})
}

// DecodePulse reads a body. All that Encode would not give is refused.
func DecodePulse(body []byte) (*Pulse, error) {
	var w wirePulse
	if err := canon.Unmarshal(body, &w); err != nil {
		return nil, fmt.Errorf("pulse: %w", err)
	}
	p := &Pulse{Profile: Mark{w.Seq, w.Hash}, Tags: w.Tags, Extra: w.Extra}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("pulse: %w", err)
	}
	return p, nil
}

func (p *Pulse) check() error {
	if p.Profile.Seq < 1 || p.Profile.Seq > crypto.MaxSeq {
		return fmt.Errorf("profile number %d", p.Profile.Seq)
	}
	n := len(p.Tags) / pairLen
	if len(p.Tags)%pairLen != 0 || n < minPairs || n > MaxLines || n&(n-1) != 0 {
		return fmt.Errorf("%d bytes of tags", len(p.Tags))
	}
	for i := pairLen; i < len(p.Tags); i += pairLen {
		if bytes.Compare(p.Tags[i-pairLen:i], p.Tags[i:i+pairLen]) >= 0 {
			return errors.New("tags out of order")
		}
	}
	return nil
}

// Sign signs p as the pulse of the stamp's device; Seq must be the one that it
// was made for.
func (p *Pulse) Sign(key *crypto.SigningKey, s Stamp) (*Signed[Pulse], error) {
	body, err := p.Encode()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	return seal(key, s.header(crypto.KindPulse, nil), body, p, "")
}

// OpenPulse checks a copy of device d's pulse and decodes it. The authority is
// the newest profile held of the name; pin is what is pinned, or nil.
func OpenPulse(raw []byte, whose Whose, d crypto.DeviceID, authority *Profile, pin *Pin) (*Signed[Pulse], error) {
	w := &want{kind: crypto.KindPulse, whose: whose, device: &d, key: listed(authority, d), pin: pin}
	e, err := w.check(raw)
	if err != nil {
		return nil, w.wrap(err)
	}
	p, err := DecodePulse(e.Body)
	if err != nil {
		return nil, w.wrap(badBody(err))
	}
	return signed(w, raw, e, p), nil
}

// A Word is what a pulse says of a volume.
type Word int

// What a pulse can say.
const (
	Silent  Word = iota // nothing: there is no head at that place, or no room for it
	Current             // the given head is the newest
	Other               // a head is there, but another one
)

// About returns what p says of the volume with that locator secret, of which
// the reader knows the given head.
func About(p *Signed[Pulse], s crypto.LocatorSecret, head crypto.Hash) Word {
	d, seq := p.Header.Device, p.Header.Seq
	here := s.HereTag(d, seq)
	for pair := range slices.Chunk(p.Body.Tags, pairLen) {
		if [tagLen]byte(pair[:tagLen]) != here {
			continue
		}
		if [tagLen]byte(pair[tagLen:]) == s.HeadTag(d, seq, head) {
			return Current
		}
		return Other
	}
	return Silent
}

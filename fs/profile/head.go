package profile

import (
	"fmt"

	"satchel/chain"
	"satchel/crypto"
	"satchel/crypto/canon"
	"satchel/fs/tree"
)

// A Head is what one device says about a volume's newest state.
type Head struct {
	Vector tree.Vector         // what is merged into it, the device's own last head included
	Known  map[chain.Name]Mark // the profiles of the members that the device knows
	Root   tree.Ref            // zero: the volume is empty
	Digest crypto.Hash
	Tells  []Tell // group secrets for the other name of a pair
	Extra  canon.Extra
}

// A Tell lets a member of a group find the teller's heads there.
type Tell struct {
	Group  Volume
	Gen    uint64
	Secret crypto.LocatorSecret
}

// Next returns the number of the head that a writer with this vector, its own
// last head included, signs next.
func Next(v tree.Vector) uint64 {
	var seq uint64
	for _, e := range v {
		seq = max(seq, e.Seq)
	}
	return seq + 1
}

// follows checks that the head stands right above its own vector.
func (h *Head) follows(e crypto.Header) error {
	if want := Next(h.Vector); e.Seq != want {
		return fmt.Errorf("head %d does not follow its vector, which makes it %d", e.Seq, want)
	}
	if own, ok := h.Vector[e.Device]; ok && own.Name != e.Name {
		return fmt.Errorf("its vector gives its device to %s", own.Name)
	}
	return nil
}

// Sign seals h to the members of v, unless it is public, and signs it for the
// given place. The stamp's Seq is Next(h.Vector). Members are the newest
// profiles of all of v's names, the writer's own too.
func (h *Head) Sign(key *crypto.SigningKey, s Stamp, v Volume, at crypto.Locator, members map[chain.Name]*Profile) (*Signed[Head], error) {
	body, err := h.Encode()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", v.Key(), err)
	}
	if !v.Has(s.Name) {
		return nil, fmt.Errorf("head of %s: %s doesn't write there", v.Key(), s.Name)
	}
	hdr := s.header(crypto.KindHead, at[:])
	if err := h.follows(hdr); err != nil {
		return nil, fmt.Errorf("%s: %w", v.Key(), err)
	}
	if v.Kind != Public {
		readers, err := sealKeys(v, members)
		if err != nil {
			return nil, fmt.Errorf("head of %s: %w", v.Key(), err)
		}
		if body, err = crypto.SealBody(hdr, body, readers); err != nil {
			return nil, fmt.Errorf("head of %s: %w", v.Key(), err)
		}
	}
	return seal(key, hdr, body, h, v.Key())
}

// sealKeys returns the newest user key of every member.
func sealKeys(v Volume, members map[chain.Name]*Profile) ([]crypto.SealPublic, error) {
	var keys []crypto.SealPublic
	for _, n := range v.Names {
		p := members[n]
		if p == nil {
			return nil, fmt.Errorf("no profile of %s", n)
		}
		u, err := p.User()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n, err)
		}
		keys = append(keys, u.Seal)
	}
	return keys, nil
}

// A HeadOf says which head is asked for.
type HeadOf struct {
	Whose     // the writing name
	Device    crypto.DeviceID
	Volume    Volume
	Locator   crypto.Locator
	Authority *Profile // the newest profile held of the writing name
	Pin       *Pin     // or nil
}

// OpenHead checks a copy of a head and opens it with the reader's own keys,
// newest first (SealKeys); a public one needs none. What its vector claims is
// not judged yet: see Knowledge.Admit.
func OpenHead(raw []byte, of HeadOf, keys ...*crypto.SealKey) (*Signed[Head], error) {
	w := &want{kind: crypto.KindHead, whose: of.Whose, device: &of.Device, locator: of.Locator[:], volume: of.Volume.Key(), pin: of.Pin}
	w.key = listed(of.Authority, of.Device)
	if !of.Volume.Has(of.Name) {
		return nil, w.wrap(fmt.Errorf("%w: %s does not write in %s", ErrWrong, of.Name, w.volume))
	}
	e, err := w.check(raw)
	if err != nil {
		return nil, w.wrap(err)
	}
	body := e.Body
	if of.Volume.Kind != Public {
		if body, err = crypto.OpenBody(e.Header, e.Body, keys...); err != nil {
			return nil, w.wrap(err)
		}
	}
	h, err := DecodeHead(body)
	if err == nil {
		err = h.follows(e.Header)
	}
	if err == nil && !h.Root.IsZero() && !of.Volume.Has(chain.Name(h.Root.Owner)) {
		err = fmt.Errorf("its root belongs to %q, who is no member", h.Root.Owner)
	}
	if err != nil {
		return nil, w.wrap(badBody(err))
	}
	return signed(w, raw, e, h), nil
}

// Taken returns the group secrets that reader may take from a head of teller's:
// those of groups in which both are.
func (h *Head) Taken(teller, reader chain.Name) []Tell {
	var list []Tell
	for _, t := range h.Tells {
		if t.Group.Has(teller) && t.Group.Has(reader) {
			list = append(list, t)
		}
	}
	return list
}

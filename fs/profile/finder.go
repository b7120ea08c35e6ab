package profile

import (
	"cmp"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"satchel/chain"
	"satchel/crypto"
)

// maxPlaces bounds how many generations a hostile profile can make a reader try.
const maxPlaces = 1024

// A Place is where a head of one device in one volume can be.
type Place struct {
	Locator crypto.Locator
	Secret  crypto.LocatorSecret // for the tags of the device's pulse
}

// A Finder computes where heads are from what one name knows. It holds the
// name's secrets; everything in it is read only.
type Finder struct {
	Network  crypto.Network
	Me       chain.Name
	Secrets  Secrets                 // mine
	Profiles map[chain.Name]*Profile // the newest held, mine not needed
	Told     map[chain.Name][]Tell   // group secrets by the name that told them
}

// Write returns the place for this name's device d: by the newest generations
// known.
func (f *Finder) Write(v Volume, d crypto.DeviceID) (Place, error) {
	all, err := f.Read(v, f.Me, d, crypto.Locator{})
	if err == nil && len(all) == 0 {
		err = errors.New("no secret to write with")
	}
	if err != nil {
		return Place{}, fmt.Errorf("place of a head in %s: %w", v.Key(), err)
	}
	return all[0], nil
}

// Read returns the places where the head of writer's device d can be, in the
// order in which to look: the newest generations, then last, where it was found
// the last time (zero: nowhere), then all others, newest first. There are none
// while a group's writer has not told its secret.
func (f *Finder) Read(v Volume, writer chain.Name, d crypto.DeviceID, last crypto.Locator) ([]Place, error) {
	if !v.Has(writer) {
		return nil, fmt.Errorf("%s does not write in %s", writer, v.Key())
	}
	if v.Kind != Public && !v.Has(f.Me) {
		return nil, fmt.Errorf("%s is no member of %s", f.Me, v.Key())
	}
	var places []Place
	var err error
	switch v.Kind {
	case Private:
		places = f.private(d)
	case Public:
		l := crypto.PublicLocator(f.Network, string(writer), d)
		places = []Place{{l, crypto.LocatorSecret(l)}}
	case Pair:
		places, err = f.pair(v, d)
	case Group:
		places, err = f.group(v, writer, d)
	default:
		err = fmt.Errorf("volume of kind %d", v.Kind)
	}
	if err != nil {
		return nil, err
	}
	return lastSecond(places, last), nil
}

// lastSecond moves the place where a head was last found behind the first.
func lastSecond(places []Place, last crypto.Locator) []Place {
	i := slices.IndexFunc(places, func(p Place) bool { return p.Locator == last })
	if i > 1 {
		p := places[i]
		places = slices.Insert(slices.Delete(places, i, i+1), 1, p)
	}
	return places
}

func (f *Finder) private(d crypto.DeviceID) (places []Place) {
	for _, gen := range newestFirst(f.Secrets) {
		s := f.Secrets[gen]
		places = append(places, Place{s.PrivateLocator(d), s.PrivateSecret()})
	}
	return places
}

// pair returns a place for each pair of a generation of mine and one of theirs.
// Both sides count from their newest ones, so a writer who doesn't know of one
// new key yet is among the first.
func (f *Finder) pair(v Volume, d crypto.DeviceID) ([]Place, error) {
	other := v.Names[0]
	if other == f.Me {
		other = v.Names[1]
	}
	p := f.Profiles[other]
	if p == nil {
		return nil, fmt.Errorf("no profile of %s", other)
	}
	mine := newestFirst(f.Secrets)
	var theirs [][]byte
	for _, u := range slices.Backward(p.Users) {
		if u.KEM == crypto.KEM {
			theirs = append(theirs, u.Pair)
		}
	}
	var places []Place
	var bad error
	for age := range len(mine) + len(theirs) {
		for i := range mine {
			j := age - i
			if j < 0 || j >= len(theirs) || len(places) == maxPlaces {
				continue
			}
			key, err := f.Secrets[mine[i]].PairKey()
			if err != nil {
				return nil, fmt.Errorf("pair key %d: %w", mine[i], err)
			}
			s, err := crypto.PairSecret(key, theirs[j], string(f.Me), string(other))
			if err != nil {
				bad = fmt.Errorf("%s: %w", other, err)
				continue // one key that is none must not hide the good ones
			}
			places = append(places, Place{crypto.PairLocator(s, d), s})
		}
	}
	if len(places) == 0 && bad != nil {
		return nil, bad
	}
	return places, nil
}

func (f *Finder) group(v Volume, writer chain.Name, d crypto.DeviceID) (places []Place, err error) {
	told := f.Told[writer]
	if writer == f.Me {
		if told, err = f.Tells(v); err != nil {
			return nil, err
		}
	}
	var mine []Tell
	for _, t := range told {
		if t.Group.Equal(v) {
			mine = append(mine, t)
		}
	}
	slices.SortStableFunc(mine, func(a, b Tell) int { return cmp.Compare(b.Gen, a.Gen) })
	for _, t := range mine[:min(len(mine), maxPlaces)] {
		places = append(places, Place{crypto.GroupLocator(t.Secret, v.strings(), d), t.Secret})
	}
	return places, nil
}

// Tells returns this name's secrets of a group, to be told to each other member
// in their pair volume: one for each generation of the user secret, newest first.
func (f *Finder) Tells(group Volume) ([]Tell, error) {
	if group.Kind != Group || !group.Has(f.Me) {
		return nil, fmt.Errorf("%s has no group secret of %s", f.Me, group.Key())
	}
	list := make([][]byte, len(group.Names))
	for i, n := range group.Names {
		list[i] = []byte(n)
	}
	info := string(fields("satchel group v1", list...))
	var tells []Tell
	for _, gen := range newestFirst(f.Secrets) {
		s := f.Secrets[gen]
		b, err := hkdf.Key(sha256.New, s[:], nil, info, len(crypto.LocatorSecret{}))
		if err != nil {
			return nil, fmt.Errorf("group secret: %w", err)
		}
		tells = append(tells, Tell{Group: group, Gen: gen, Secret: crypto.LocatorSecret(b)})
	}
	return tells, nil
}

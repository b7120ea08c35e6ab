package profile

import "satchel/crypto"

// ProfileKey is where a name's profile is under a provider's URL.
func ProfileKey() string { return "profile" }

// HeadKey is where the head of that locator is.
func HeadKey(l crypto.Locator) string { return "h/" + l.String() }

// PulseKey is where a device's pulse is.
func PulseKey(d crypto.DeviceID) string { return "d/" + d.String() }

// KeyOf is where an envelope with header h is.
func KeyOf(h crypto.Header) string {
	switch h.Kind {
	case crypto.KindHead:
		return HeadKey(crypto.Locator(h.Locator))
	case crypto.KindPulse:
		return PulseKey(h.Device)
	}
	return ProfileKey()
}

package canon

import "github.com/fxamacker/cbor/v2"

// Raw is one encoded value, kept as it is.
type Raw = cbor.RawMessage

// Extra holds the fields of a newer format that a struct was decoded with.
type Extra map[uint64]Raw

// Marshal returns the one encoding of v.
func Marshal(v any) ([]byte, error) { return encoder.Marshal(v) }

// Unmarshal decodes data, which must be the one encoding of what it says, into v.
func Unmarshal(data []byte, v any) error { return decoder.Unmarshal(data, v) }

var (
	encoder, _ = cbor.CoreDetEncOptions().EncMode()
	decoder, _ = cbor.DecOptions{}.DecMode()
)

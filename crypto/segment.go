package crypto

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
)

// What a segment holds.
const (
	TypeChunk byte = 0 // a chunk of a file
	TypeNode  byte = 1 // a node of a tree
)

// How a segment's bytes are coded before they are sealed.
const (
	codecRaw  byte = 0
	codecZstd byte = 1
)

const (
	ChunkSize = 1 << 20  // plaintext of a segment, at most
	FrameSize = 16 << 10 // coded bytes in each sealed frame but the last

	frameTag   = 16
	headFixed  = 1 + 1 + 4
	hashLen    = len(Hash{})
	frameCost  = hashLen + frameTag // what a frame adds to its coded bytes
	maxFrames  = ChunkSize / FrameSize
	maxSegment = headFixed + maxFrames*frameCost + ChunkSize
)

// SealSegment seals plain, 1 byte to ChunkSize, under a new random key. With
// zstd it is compressed first where that saves an eighth. The hash and the key
// belong in the ref: they are all that is needed to verify and read it. A retry
// calls it again, so that a key is never used for two texts.
func SealSegment(typ byte, plain []byte, zstd bool) (sealed []byte, hash Hash, key [32]byte, err error) {
	randomBytes(key[:])
	sealed, hash, err = sealSegment(typ, plain, zstd, key)
	return sealed, hash, key, err
}

func sealSegment(typ byte, plain []byte, zstd bool, key [32]byte) ([]byte, Hash, error) {
	if len(plain) == 0 || len(plain) > ChunkSize || typ > TypeNode {
		return nil, Hash{}, fmt.Errorf("segment of type %d with %d bytes", typ, len(plain))
	}
	codec, coded := codecRaw, plain
	if zstd {
		scratch := getScratch()
		defer putScratch(scratch)
		if small := compress(plain, scratch); len(small) <= len(plain)-len(plain)/8 && len(small) < len(plain) {
			codec, coded = codecZstd, small
		}
	}
	l, _ := layoutOf(len(coded))
	out := make([]byte, l.header(), l.segment())
	out[0], out[1] = codec, typ
	binary.BigEndian.PutUint32(out[2:], uint32(len(plain)))
	aead, nonce := newGCM(key), make([]byte, nonceLen)
	for i := range l.frames {
		from := len(out)
		out = aead.Seal(out, l.nonce(nonce, i), coded[i*FrameSize:min((i+1)*FrameSize, len(coded))], nil)
		h := Sum(out[from:])
		copy(out[headFixed+i*hashLen:], h[:])
	}
	return out, segmentHash(out[:l.header()]), nil
}

// OpenSegment checks and opens the whole of a segment. All failures are ErrOpen.
func OpenSegment(typ byte, hash Hash, key [32]byte, sealed []byte) ([]byte, error) {
	n, err := HeaderLen(len(sealed))
	if err != nil {
		return nil, err
	}
	h, err := parseSegmentHeader(typ, hash, key, len(sealed), sealed[:n])
	if err != nil {
		return nil, err
	}
	if h.Raw() {
		return h.openAll(make([]byte, 0, h.plain), sealed)
	}
	scratch := getScratch()
	defer putScratch(scratch)
	coded, err := h.openAll(scratch[:0], sealed)
	if err != nil {
		return nil, err
	}
	return decompress(coded, h.plain)
}

// A SegmentHeader is the verified header of a segment. It opens single frames,
// so that 16 KiB can be read alone. It is safe for concurrent use.
type SegmentHeader struct {
	layout
	codec  byte
	plain  int
	hashes []byte
	aead   cipher.AEAD
}

// HeaderLen returns how long the header of a segment of segmentLen bytes is:
// it follows from the length, which the ref gives.
func HeaderLen(segmentLen int) (int, error) {
	l, err := layoutOfSegment(segmentLen)
	if err != nil {
		return 0, err
	}
	return l.header(), nil
}

// ParseSegmentHeader checks a header, HeaderLen bytes, by the hash in the ref.
// It keeps nothing of header's memory. All failures are ErrOpen.
func ParseSegmentHeader(typ byte, hash Hash, key [32]byte, segmentLen int, header []byte) (*SegmentHeader, error) {
	h, err := parseSegmentHeader(typ, hash, key, segmentLen, header)
	if err != nil {
		return nil, err
	}
	h.hashes = append([]byte(nil), h.hashes...)
	return h, nil
}

func parseSegmentHeader(typ byte, hash Hash, key [32]byte, segmentLen int, header []byte) (*SegmentHeader, error) {
	l, err := layoutOfSegment(segmentLen)
	if err != nil || len(header) != l.header() || segmentHash(header) != hash {
		return nil, ErrOpen
	}
	h := &SegmentHeader{layout: l, codec: header[0], hashes: header[headFixed:]}
	h.plain = int(min(binary.BigEndian.Uint32(header[2:]), ChunkSize+1))
	fits := h.codec == codecRaw && h.plain == l.coded || h.codec == codecZstd && h.plain > l.coded
	if header[1] != typ || !fits || h.plain > ChunkSize {
		return nil, ErrOpen
	}
	h.aead = newGCM(key)
	return h, nil
}

// PlainLen returns the length of the plaintext.
func (h *SegmentHeader) PlainLen() int { return h.plain }

// Raw tells whether frame i holds the plaintext from i*FrameSize on. If not, the
// segment is compressed and only OpenSegment reads it.
func (h *SegmentHeader) Raw() bool { return h.codec == codecRaw }

// Frames returns how many frames there are.
func (h *SegmentHeader) Frames() int { return h.frames }

// FrameRange returns where in the segment frame i is, sealed.
func (h *SegmentHeader) FrameRange(i int) (off, n int) { return h.frame(i) }

var errCompressed = errors.New("a frame of a compressed segment can't be read alone")

// OpenFrame checks and opens frame i of a raw segment: the bytes at FrameRange.
func (h *SegmentHeader) OpenFrame(i int, sealed []byte) ([]byte, error) {
	if !h.Raw() {
		return nil, errCompressed
	}
	if i < 0 || i >= h.frames || len(sealed) > FrameSize+frameTag {
		return nil, ErrOpen
	}
	return h.openFrame(make([]byte, 0, len(sealed)), make([]byte, nonceLen), i, sealed)
}

// AppendFrame is OpenFrame that appends the plaintext to dst. After an error the
// bytes behind dst are of no meaning.
func (h *SegmentHeader) AppendFrame(dst []byte, i int, sealed []byte) ([]byte, error) {
	if !h.Raw() {
		return nil, errCompressed
	}
	if i < 0 || i >= h.frames {
		return nil, ErrOpen
	}
	return h.openFrame(dst, make([]byte, nonceLen), i, sealed)
}

// openFrame appends what frame i holds to dst. It overwrites nonce.
func (h *SegmentHeader) openFrame(dst, nonce []byte, i int, sealed []byte) ([]byte, error) {
	_, n := h.frame(i)
	if len(sealed) != n || Sum(sealed) != Hash(h.hashes[i*hashLen:][:hashLen]) {
		return nil, ErrOpen
	}
	plain, err := h.aead.Open(dst, h.nonce(nonce, i), sealed, nil)
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

// openAll appends what all frames of the segment hold to dst.
func (h *SegmentHeader) openAll(dst, segment []byte) (_ []byte, err error) {
	nonce := make([]byte, nonceLen)
	for i := range h.frames {
		off, n := h.frame(i)
		if dst, err = h.openFrame(dst, nonce, i, segment[off:off+n]); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

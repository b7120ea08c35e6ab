package crypto

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// A layout says where things are in a segment. It follows from the number of
// coded bytes and, the other way, from the segment's length.
type layout struct{ coded, frames int }

// layoutOf returns the layout of a segment of coded bytes.
func layoutOf(coded int) (layout, error) {
	if coded < 1 || coded > ChunkSize {
		return layout{}, ErrOpen
	}
	return layout{coded, (coded + FrameSize - 1) / FrameSize}, nil
}

// layoutOfSegment returns the layout of a segment of n bytes. There is none
// for lengths at which the last frame would be empty.
func layoutOfSegment(n int) (layout, error) {
	if n <= headFixed || n > maxSegment {
		return layout{}, ErrOpen
	}
	const whole = FrameSize + frameCost
	frames := (n - headFixed + whole - 1) / whole
	l, err := layoutOf(n - headFixed - frames*frameCost)
	if err != nil || l.frames != frames {
		return layout{}, ErrOpen
	}
	return l, nil
}

// header returns the length of the header.
func (l layout) header() int { return headFixed + l.frames*hashLen }

// segment returns the length of the whole.
func (l layout) segment() int { return headFixed + l.frames*frameCost + l.coded }

// frame returns where frame i is.
func (l layout) frame(i int) (off, n int) {
	return l.header() + i*(FrameSize+frameTag), min(FrameSize, l.coded-i*FrameSize) + frameTag
}

const nonceLen = 12

// nonce writes frame i's to buf: 3 zero bytes, 1 if it is the last frame, else
// 0, and its number in 8 big-endian bytes.
func (l layout) nonce(buf []byte, i int) []byte {
	clear(buf[:4])
	if i == l.frames-1 {
		buf[3] = 1
	}
	binary.BigEndian.PutUint64(buf[4:], uint64(i))
	return buf
}

func newGCM(key [32]byte) cipher.AEAD {
	block, err := aes.NewCipher(key[:])
	if err == nil {
		var aead cipher.AEAD
		if aead, err = cipher.NewGCM(block); err == nil {
			return aead
		}
	}
	panic(err) // only for keys of another length
}

var segmentLabel = []byte(label("segment"))

// segmentHash returns BLAKE3("satchel segment v1" ‖ header).
func segmentHash(header []byte) Hash {
	var buf [64 + maxFrames*hashLen]byte
	b := append(append(buf[:0], segmentLabel...), header...)
	return Sum(b)
}

// Encoder and decoder are made when first used; each serves as many calls at
// a time as there are processors and keeps its memory for the next.
var (
	encoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true),
			zstd.WithWindowSize(ChunkSize), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic(err) // the options are constants
		}
		return e
	})
	decoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(ChunkSize), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			panic(err) // the options are constants
		}
		return d
	})
)

// compress returns plain as a zstd frame, in scratch if it has the room.
func compress(plain, scratch []byte) []byte { return encoder().EncodeAll(plain, scratch[:0]) }

// decompress returns what coded, made by anybody, says if that is n bytes.
func decompress(coded []byte, n int) ([]byte, error) {
	plain, err := decoder().DecodeAll(coded, make([]byte, 0, n))
	if err != nil || len(plain) != n {
		return nil, ErrOpen
	}
	return plain, nil
}

// Scratch buffers hold the coded form of a segment for a moment.
var scratches = sync.Pool{New: func() any {
	b := make([]byte, 0, ChunkSize+ChunkSize/8)
	return &b
}}

func getScratch() []byte { return (*scratches.Get().(*[]byte))[:0] }

func putScratch(b []byte) { scratches.Put(&b) }

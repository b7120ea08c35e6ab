package crypto

import (
	"bytes"
	"fmt"
	"testing"
)

func BenchmarkSegment(b *testing.B) {
	text := bytes.Repeat([]byte("a line of some text, not very long\n"), ChunkSize/35+1)[:ChunkSize]
	for _, c := range []struct {
		name string
		n    int
		zstd bool
	}{{"raw", ChunkSize, false}, {"raw", 4 << 10, false}, {"zstd", ChunkSize, true}, {"zstd", 64 << 10, true}} {
		sealed, hash, key, err := SealSegment(TypeChunk, text[:c.n], c.zstd)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("Seal/%s/%d", c.name, c.n), func(b *testing.B) {
			b.SetBytes(int64(c.n))
			b.ReportAllocs()
			for b.Loop() {
				SealSegment(TypeChunk, text[:c.n], c.zstd)
			}
		})
		b.Run(fmt.Sprintf("Open/%s/%d", c.name, c.n), func(b *testing.B) {
			b.SetBytes(int64(c.n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := OpenSegment(TypeChunk, hash, key, sealed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	buf := make([]byte, 0, ChunkSize+16)
	b.Run("GCM", func(b *testing.B) { // the limit: one call for the whole chunk
		aead := newGCM([32]byte{})
		b.SetBytes(ChunkSize)
		for b.Loop() {
			aead.Seal(buf, make([]byte, 12), text, nil)
		}
	})
	b.Run("BLAKE3", func(b *testing.B) {
		b.SetBytes(FrameSize)
		for b.Loop() {
			Sum(text[:FrameSize])
		}
	})
}

func BenchmarkHead(b *testing.B) {
	k, _ := NewSealKey()
	dev, _ := NewSigningKey()
	other, _ := NewSealKey()
	h := Header{Kind: KindHead, Name: "alice.id", Device: dev.Device(), Locator: make([]byte, 32), Seq: 1}
	b.Run("Seal", func(b *testing.B) {
		for b.Loop() {
			body, _ := SealBody(h, make([]byte, 1000), []SealPublic{k.Public(), other.Public()})
			SignEnvelope(dev, h, body)
		}
	})
	body, _ := SealBody(h, make([]byte, 1000), []SealPublic{k.Public(), other.Public()})
	raw, _, err := SignEnvelope(dev, h, body)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Open", func(b *testing.B) {
		for b.Loop() {
			e, err := ParseEnvelope(raw)
			if err != nil {
				b.Fatal(err)
			}
			if err := e.Verify(dev.Public()); err != nil {
				b.Fatal(err)
			}
			if _, err := OpenBody(e.Header, e.Body, k); err != nil {
				b.Fatal(err)
			}
		}
	})
}

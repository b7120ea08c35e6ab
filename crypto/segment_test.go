package crypto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
)

func noise(n int) []byte {
	r := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	r.Read(b)
	return b
}

func text(n int) []byte {
	return bytes.Repeat([]byte("a line of some text, not very long\n"), n/35+1)[:n]
}

// sealTestSegment fails the test if it can't be sealed.
func sealTestSegment(t testing.TB, typ byte, plain []byte, zstd bool) ([]byte, Hash, [32]byte) {
	t.Helper()
	sealed, hash, key, err := SealSegment(typ, plain, zstd)
	if err != nil {
		t.Fatal(err)
	}
	return sealed, hash, key
}

var segmentSizes = []int{1, 15, 16, 17, 100, FrameSize - 1, FrameSize, FrameSize + 1, 2 * FrameSize, 3*FrameSize + 5, ChunkSize - 1, ChunkSize}

func TestSegment(t *testing.T) {
	for _, n := range segmentSizes {
		for _, zstd := range []bool{false, true} {
			for _, plain := range [][]byte{noise(n), text(n)} {
				sealed, hash, key := sealTestSegment(t, TypeNode, plain, zstd)
				got, err := OpenSegment(TypeNode, hash, key, sealed)
				if err != nil || !bytes.Equal(got, plain) {
					t.Errorf("%d bytes, zstd %v: %d bytes, %v", n, zstd, len(got), err)
				}
				if len(sealed) > maxSegment {
					t.Errorf("%d bytes: %d sealed", n, len(sealed))
				}
			}
		}
	}
	for _, bad := range []struct {
		typ byte
		n   int
	}{{TypeChunk, 0}, {TypeChunk, ChunkSize + 1}, {2, 1}} {
		if _, _, _, err := SealSegment(bad.typ, make([]byte, bad.n), true); err == nil {
			t.Errorf("sealed %d bytes of type %d", bad.n, bad.typ)
		}
	}
}

// TestSegmentCompressed: zstd only where it saves an eighth.
func TestSegmentCompressed(t *testing.T) {
	half := append(noise(32<<10), text(32<<10)...)
	little := append(noise(60<<10), text(4<<10)...) // saves a sixteenth
	for name, c := range map[string]struct {
		plain []byte
		zstd  bool
		want  byte
	}{
		"text":         {text(64 << 10), true, codecZstd},
		"text, raw":    {text(64 << 10), false, codecRaw},
		"noise":        {noise(64 << 10), true, codecRaw},
		"half noise":   {half, true, codecZstd},
		"too little":   {little, true, codecRaw},
		"one byte":     {[]byte{1}, true, codecRaw},
		"a few zeroes": {make([]byte, 7), true, codecRaw},
	} {
		sealed, _, _ := sealTestSegment(t, TypeChunk, c.plain, c.zstd)
		if sealed[0] != c.want {
			t.Errorf("%s: codec %d, want %d", name, sealed[0], c.want)
		}
		if c.want == codecZstd && len(sealed) > len(c.plain)*7/8+frameCost*5 {
			t.Errorf("%s: %d bytes of %d", name, len(sealed), len(c.plain))
		}
	}
}

// TestSegmentFresh: the same text twice has nothing in common.
func TestSegmentFresh(t *testing.T) {
	a, hashA, keyA := sealTestSegment(t, TypeChunk, text(100), false)
	b, hashB, keyB := sealTestSegment(t, TypeChunk, text(100), false)
	if keyA == keyB || hashA == hashB || bytes.Equal(a[38:], b[38:]) {
		t.Error("key, hash or frame used twice")
	}
}

func TestSegmentRefused(t *testing.T) {
	for _, zstd := range []bool{false, true} {
		plain := append(noise(3*FrameSize), text(2*FrameSize)...)
		sealed, hash, key := sealTestSegment(t, TypeChunk, plain, zstd)
		refused := func(what string, typ byte, hash Hash, key [32]byte, b []byte) {
			t.Helper()
			if got, err := OpenSegment(typ, hash, key, b); err != ErrOpen || got != nil {
				t.Errorf("zstd %v, %s: %d bytes, %v", zstd, what, len(got), err)
			}
		}
		flips(sealed, 300, func(what string, b []byte) { refused(what, TypeChunk, hash, key, b) })
		refused("other type", TypeNode, hash, key, sealed)
		refused("other key", TypeChunk, hash, fixed(1), sealed)
		refused("other hash", TypeChunk, Hash{}, key, sealed)
		other, otherHash, _ := sealTestSegment(t, TypeChunk, plain, zstd)
		refused("another segment", TypeChunk, hash, key, other)
		refused("another segment's key", TypeChunk, otherHash, key, other)

		h, err := ParseSegmentHeader(TypeChunk, hash, key, len(sealed), sealed[:headFixed+hashLen*layoutFor(t, sealed).frames])
		if err != nil {
			t.Fatal(err)
		}
		frame := func(b []byte, i int) []byte { off, n := h.FrameRange(i); return b[off : off+n] }
		swapped := bytes.Clone(sealed)
		copy(frame(swapped, 0), frame(sealed, 1))
		copy(frame(swapped, 1), frame(sealed, 0))
		refused("frames swapped", TypeChunk, hash, key, swapped)
		twice := bytes.Clone(sealed)
		copy(frame(twice, 1), frame(sealed, 0))
		refused("a frame twice", TypeChunk, hash, key, twice)
		planted := bytes.Clone(sealed)
		copy(frame(planted, 0), frame(other, 0))
		refused("another segment's frame", TypeChunk, hash, key, planted)
		_, last := h.FrameRange(h.Frames() - 1)
		refused("without the last frame", TypeChunk, hash, key, sealed[:len(sealed)-last])
	}
}

func layoutFor(t *testing.T, sealed []byte) layout {
	t.Helper()
	l, err := layoutOfSegment(len(sealed))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// rehash gives a forged segment the header and hash that fit its frames, as a
// member who knows the key could.
func rehash(l layout, b []byte) Hash {
	for i := range l.frames {
		off, n := l.frame(i)
		h := Sum(b[off : off+n])
		copy(b[headFixed+i*hashLen:], h[:])
	}
	return segmentHash(b[:l.header()])
}

// TestSegmentForged: frames of the right key are bound to number and end even
// if the hashes are made to fit, and what the header says is checked.
func TestSegmentForged(t *testing.T) {
	plain := noise(2 * FrameSize)
	sealed, _, key := sealTestSegment(t, TypeChunk, plain, false)
	l := layoutFor(t, sealed)
	refused := func(what string, b []byte) {
		t.Helper()
		hash := rehash(layoutFor(t, b), b)
		if _, err := OpenSegment(TypeChunk, hash, key, b); err != ErrOpen {
			t.Errorf("%s: %v", what, err)
		}
	}
	off0, n0 := l.frame(0)
	off1, n1 := l.frame(1)
	f0, f1 := sealed[off0:off0+n0], sealed[off1:off1+n1]
	join := func(head []byte, frames ...[]byte) []byte {
		b := append(bytes.Clone(head[:headFixed]), make([]byte, len(frames)*hashLen)...)
		for _, f := range frames {
			b = append(b, f...)
		}
		return b
	}
	same := join(sealed, f0, f1)
	if got, err := OpenSegment(TypeChunk, rehash(l, same), key, same); err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("the unchanged one: %v", err)
	}
	refused("swapped", join(sealed, f1, f0))
	refused("twice", join(sealed, f0, f0))
	short := bytes.Clone(sealed)
	binary.BigEndian.PutUint32(short[2:], FrameSize)
	refused("cut to the first frame", join(short, f0))
	refused("cut to the last frame", join(short, f1))
	binary.BigEndian.PutUint32(short[2:], 3*FrameSize)
	refused("a frame more", join(short, f0, f1, f1))

	for name, change := range map[string]func([]byte){
		"codec 2":         func(b []byte) { b[0] = 2 },
		"said to be zstd": func(b []byte) { b[0] = 1 },
		"longer":          func(b []byte) { b[5]++ },
		"huge":            func(b []byte) { binary.BigEndian.PutUint32(b[2:], 1<<32-1) },
		"zstd and huge":   func(b []byte) { b[0] = 1; binary.BigEndian.PutUint32(b[2:], ChunkSize+1) },
		"zstd of zero":    func(b []byte) { b[0] = 1; binary.BigEndian.PutUint32(b[2:], 0) },
		"zstd of noise":   func(b []byte) { b[0] = 1; binary.BigEndian.PutUint32(b[2:], ChunkSize) },
	} {
		b := bytes.Clone(sealed)
		change(b)
		refused(name, b)
	}
}

// TestSegmentBomb: a compressed segment can't make more than it says.
func TestSegmentBomb(t *testing.T) {
	coded := compress(make([]byte, ChunkSize), nil)
	for _, says := range []int{len(coded) + 1, 1000, ChunkSize - 1} {
		sealed, _, err := sealSegment(TypeChunk, coded, false, fixed(1))
		if err != nil {
			t.Fatal(err)
		}
		sealed[0] = codecZstd
		binary.BigEndian.PutUint32(sealed[2:], uint32(says))
		hash := segmentHash(sealed[:layoutFor(t, sealed).header()])
		if _, err := OpenSegment(TypeChunk, hash, fixed(1), sealed); err != ErrOpen {
			t.Errorf("said to be %d bytes: %v", says, err)
		}
	}
}

func TestSegmentFrames(t *testing.T) {
	for _, n := range segmentSizes {
		plain := noise(n)
		sealed, hash, key := sealTestSegment(t, TypeChunk, plain, false)
		hlen, err := HeaderLen(len(sealed))
		if err != nil {
			t.Fatal(err)
		}
		header := bytes.Clone(sealed[:hlen])
		h, err := ParseSegmentHeader(TypeChunk, hash, key, len(sealed), header)
		if err != nil {
			t.Fatal(err)
		}
		clear(header) // nothing of it is kept
		if h.PlainLen() != n || !h.Raw() || h.Frames() != (n+FrameSize-1)/FrameSize {
			t.Errorf("%d: %d bytes, raw %v, %d frames", n, h.PlainLen(), h.Raw(), h.Frames())
		}
		var got []byte
		end := hlen
		for i := range h.Frames() {
			off, m := h.FrameRange(i)
			if off != end {
				t.Errorf("%d: frame %d at %d, want %d", n, i, off, end)
			}
			end = off + m
			b, err := h.OpenFrame(i, sealed[off:end])
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, b...)
			if _, err := h.OpenFrame(i, sealed[off:end-1]); err != ErrOpen {
				t.Errorf("%d: short frame: %v", n, err)
			}
			if _, err := h.OpenFrame((i+1)%(h.Frames()+1), sealed[off:end]); err != ErrOpen {
				t.Errorf("%d: frame %d as the next: %v", n, i, err)
			}
		}
		if end != len(sealed) || !bytes.Equal(got, plain) {
			t.Errorf("%d: ends at %d of %d", n, end, len(sealed))
		}
		if _, err := h.OpenFrame(-1, nil); err != ErrOpen {
			t.Errorf("frame -1: %v", err)
		}
		for _, bad := range [][]byte{nil, sealed[:hlen-1], sealed[:min(hlen+1, len(sealed))], make([]byte, hlen)} {
			if _, err := ParseSegmentHeader(TypeChunk, hash, key, len(sealed), bad); err != ErrOpen {
				t.Errorf("%d: header of %d bytes: %v", n, len(bad), err)
			}
		}
	}
	sealed, hash, key := sealTestSegment(t, TypeNode, text(1000), true)
	hlen, _ := HeaderLen(len(sealed))
	h, err := ParseSegmentHeader(TypeNode, hash, key, len(sealed), sealed[:hlen])
	if err != nil || h.Raw() {
		t.Fatalf("compressed: %v", err)
	}
	if _, err := h.OpenFrame(0, sealed[hlen:]); !errors.Is(err, errCompressed) {
		t.Errorf("frame of a compressed segment: %v", err)
	}
}

// TestLayout: a segment's length says exactly one layout or none.
func TestLayout(t *testing.T) {
	for n := 1; n <= ChunkSize; n++ {
		l, err := layoutOf(n)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := layoutOfSegment(l.segment()); err != nil || back != l {
			t.Fatalf("%d coded bytes: %+v from %d, %v", n, back, l.segment(), err)
		}
	}
	for _, n := range []int{-1, 0, headFixed, headFixed + frameCost, headFixed + FrameSize + 2*frameCost, maxSegment + 1, 1 << 40} {
		if _, err := HeaderLen(n); err != ErrOpen {
			t.Errorf("segment of %d bytes: %v", n, err)
		}
	}
}

func TestSegmentKnownAnswer(t *testing.T) {
	raw, hash, err := sealSegment(TypeChunk, text(FrameSize+100), false, fixed(1))
	if err != nil {
		t.Fatal(err)
	}
	h := Sum(raw)
	wantKnown(t, "segment-raw.hex", append(raw[:70:70], h[:]...)) // header, hash of all
	wantKnown(t, "segment-raw-hash.hex", hash[:])

	// What zstd makes may change with its version; what it reads may not.
	small, smallHash, err := sealSegment(TypeNode, text(5000), true, fixed(2))
	if err != nil {
		t.Fatal(err)
	}
	old := known(t, "segment-zstd.hex", append(smallHash[:], small...))
	got, err := OpenSegment(TypeNode, Hash(old[:32]), fixed(2), old[32:])
	if err != nil || !bytes.Equal(got, text(5000)) {
		t.Errorf("zstd: %d bytes, %v", len(got), err)
	}
	if old[32] != codecZstd {
		t.Error("the file holds no compressed segment")
	}
}

func TestSegmentParallel(t *testing.T) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := 1000; n < 200_000; n += 19_999 {
				sealed, hash, key, err := SealSegment(TypeNode, text(n), true)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := OpenSegment(TypeNode, hash, key, sealed); err != nil || !bytes.Equal(got, text(n)) {
					t.Errorf("%d bytes: %v", n, err)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzSegment(f *testing.F) {
	key := fixed(1)
	for _, zstd := range []bool{false, true} {
		sealed, _, err := sealSegment(TypeNode, text(500), zstd, key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(sealed, sealed[headFixed+hashLen:])
	}
	f.Add(make([]byte, headFixed+frameCost+1), compress(text(300), nil))
	f.Fuzz(func(t *testing.T, b, coded []byte) {
		n, err := HeaderLen(len(b))
		if err == nil {
			hash := segmentHash(b[:n]) // a hostile author gives a ref that fits
			if h, err := ParseSegmentHeader(TypeNode, hash, key, len(b), b[:n]); err == nil {
				off, m := h.FrameRange(0)
				h.OpenFrame(0, b[off:off+m])
			}
			if _, err := OpenSegment(TypeNode, hash, key, b); err != nil && err != ErrOpen {
				t.Fatal(err)
			}
		}
		if plain, err := decompress(coded, 1000); err == nil && len(plain) != 1000 {
			t.Fatalf("%d bytes", len(plain))
		}
	})
}

package crypto

// What a segment holds.
const (
	TypeChunk byte = 0 // a chunk of a file
	TypeNode  byte = 1 // a node of a tree
)

const (
	ChunkSize = 1 << 20  // plaintext of a file's chunk, at most
	FrameSize = 16 << 10 // coded bytes in each sealed frame but the last
)

// SealSegment seals plain under a new key.
func SealSegment(typ byte, plain []byte, zstd bool) (sealed []byte, hash Hash, key [32]byte, err error) {
	return nil, hash, key, errTodo
}

// OpenSegment opens a whole segment.
func OpenSegment(typ byte, hash Hash, key [32]byte, sealed []byte) ([]byte, error) {
	return nil, errTodo
}

// A SegmentHeader opens single frames.
type SegmentHeader struct{}

// HeaderLen returns the length of a segment's header from the segment's.
func HeaderLen(segmentLen int) (int, error) { return 0, errTodo }

// ParseSegmentHeader checks a header by the ref's hash.
func ParseSegmentHeader(typ byte, hash Hash, key [32]byte, segmentLen int, header []byte) (*SegmentHeader, error) {
	return nil, errTodo
}

// PlainLen returns the length of the plaintext.
func (h *SegmentHeader) PlainLen() int { return 0 }

// Raw tells whether frames hold plaintext, not compressed bytes.
func (h *SegmentHeader) Raw() bool { return false }

// FrameRange returns where in the segment frame i is.
func (h *SegmentHeader) FrameRange(i int) (off, n int) { return 0, 0 }

// OpenFrame opens frame i alone.
func (h *SegmentHeader) OpenFrame(i int, sealed []byte) ([]byte, error) { return nil, errTodo }

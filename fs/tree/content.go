package tree

// ChunkSize is how many bytes of a file one chunk ref stands for.
const ChunkSize = 1 << 20

// MaxInline is the size up to which a file's bytes stand in its entry.
const MaxInline = 256

// A Content is what a file holds. It is immutable: Edit makes a new one.
type Content struct {
	Size   uint64
	Inline []byte // not nil if the bytes stand here; then there are no refs
	Refs   []Ref  // at most two
	Level  uint8  // 0: Refs are chunks; n: index nodes, n deep
}

// InlineContent returns the content that holds b itself.
func InlineContent(b []byte) Content {
	return Content{Size: uint64(len(b)), Inline: append([]byte{}, b...)}
}

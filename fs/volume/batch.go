package volume

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"satchel/crypto"
	"satchel/fs/tree"
)

// A batch is one instant of a volume, as what differs from the batch before, or
// from the commit on which the journal stands. Encoded it is a list of records,
// each a byte for its kind, its length (uvarint) and its bytes:
//
//	T  a tree.Batch
//	F  a file: identity (16), the smallest size that it had since (uvarint), its
//	   size (uvarint), the time of its last change (8), its path
//	C  a chunk of the last file that is stored otherwise than before: its number
//	   (uvarint), then nothing if nothing of it is stored, else how much of it counts
//	   (uvarint; 0 for all), and unless it is a hole pack (32), offset, length
//	   (4 each), hash (32), key (32), owner
//	S  bytes of the last file: number of the chunk (uvarint), offset (uvarint), bytes
//
// The tree comes first, then each file with its chunks, then its bytes: what a
// file loses by truncating, what it has stored, what was written over that.
// Numbers of fixed length are big-endian.
type batch struct {
	tree    *tree.Batch
	files   []fileChange
	flushes uint64 // of the volume, when it was taken
}

// A fileChange is what a batch says of one file.
type fileChange struct {
	node   *Node
	file   *file
	id     tree.Identity
	path   string // names from the root, with slashes between
	size   int64
	mtime  int64
	since  since
	stored map[uint64]storedChunk
	spans  []span
}

// A storedChunk is a stored chunk of a file: what lies below, if any does.
type storedChunk struct {
	is   bool
	ref  tree.Ref // zero for a hole
	edge int      // so much of it counts; 0 for all
}

// change returns what changed of the node's dirty file, with the lock held.
func (n *Node) change(path string) fileChange {
	f := n.file
	c := fileChange{node: n, file: f, id: n.id, path: path, size: f.size, mtime: f.mtime,
		since: f.since, stored: make(map[uint64]storedChunk), spans: f.unsynced()}
	for i := range f.since.stale {
		ref, ok := f.sealed[i]
		c.stored[i] = storedChunk{ok, ref, f.edge[i]}
	}
	return c
}

// putBack makes the changes of b part of the next batch, with the lock held. A
// commit that came meanwhile has them.
func (b *batch) putBack(v *Volume) {
	if b.flushes != v.flushes {
		return
	}
	if b.tree != nil {
		v.tree.PutBack(b.tree)
	}
	for _, c := range b.files {
		if c.node.file == c.file {
			c.file.unsync(c.since, c.spans)
		}
	}
}

func record(b []byte, kind byte, body []byte) []byte {
	b = append(b, kind)
	b = binary.AppendUvarint(b, uint64(len(body)))
	return append(b, body...)
}

func (b *batch) encode(local func(tree.Ref) tree.Ref) ([]byte, error) {
	var out []byte
	if b.tree != nil {
		t, err := b.tree.Encode(local)
		if err != nil {
			return nil, err
		}
		out = record(out, 'T', t)
	}
	for _, c := range b.files {
		out = c.append(out, local)
	}
	return out, nil
}

func (c *fileChange) append(out []byte, local func(tree.Ref) tree.Ref) []byte {
	b := binary.AppendUvarint(slices.Clone(c.id[:]), uint64(c.since.low))
	b = binary.AppendUvarint(b, uint64(c.size))
	b = binary.BigEndian.AppendUint64(b, uint64(c.mtime))
	out = record(out, 'F', append(b, c.path...))
	for _, i := range slices.Sorted(maps.Keys(c.stored)) {
		s := c.stored[i]
		b := binary.AppendUvarint(nil, i)
		if s.is {
			b = binary.AppendUvarint(b, uint64(s.edge))
		}
		if s.is && !s.ref.IsZero() {
			r := local(s.ref)
			b = append(b, r.Pack[:]...)
			b = binary.BigEndian.AppendUint32(b, r.Off)
			b = binary.BigEndian.AppendUint32(b, r.Len)
			b = append(append(append(b, r.Hash[:]...), r.Key[:]...), r.Owner...)
		}
		out = record(out, 'C', b)
	}
	for _, s := range c.spans {
		b := binary.AppendUvarint(nil, s.chunk)
		b = binary.AppendUvarint(b, uint64(s.off))
		out = record(out, 'S', append(b, s.data...))
	}
	return out
}

var errBatch = errors.New("not a batch of a journal")

// A parser takes apart what encode made. Its first error stays.
type parser struct {
	b   []byte
	err error
}

func (p *parser) fail() {
	if p.err == nil {
		p.err = errBatch
	}
	p.b = nil
}

func (p *parser) bytes(n int) []byte {
	if n < 0 || n > len(p.b) {
		p.fail()
		return make([]byte, max(0, min(n, 64)))
	}
	b := p.b[:n]
	p.b = p.b[n:]
	return b
}

// number reads an uvarint up to limit.
func (p *parser) number(limit uint64) uint64 {
	n, size := binary.Uvarint(p.b)
	if size <= 0 || n > limit {
		p.fail()
		return 0
	}
	p.b = p.b[size:]
	return n
}

// parseBatch returns the encoded tree.Batch, if there is one, and the files.
func parseBatch(b []byte) (changes []byte, files []fileChange, err error) {
	p := parser{b: b}
	for len(p.b) > 0 && p.err == nil {
		kind := p.bytes(1)[0]
		q := parser{b: p.bytes(int(p.number(uint64(len(p.b)))))}
		switch {
		case kind == 'T' && changes == nil && files == nil:
			changes, q.b = q.b, nil
		case kind == 'F':
			files = append(files, q.file())
		case kind == 'C' && files != nil:
			i, s := q.chunk()
			files[len(files)-1].stored[i] = s
		case kind == 'S' && files != nil:
			c := &files[len(files)-1]
			s := span{chunk: q.number(maxFile / chunkSize), off: int(q.number(chunkSize))}
			s.data, q.b = q.b, nil
			if s.off+len(s.data) > chunkSize {
				q.fail()
			}
			c.spans = append(c.spans, s)
		default:
			q.fail()
		}
		if p.err == nil && (q.err != nil || len(q.b) > 0) {
			p.fail()
		}
	}
	if p.err != nil {
		return nil, nil, fmt.Errorf("journal: %w", p.err)
	}
	return changes, files, nil
}

func (p *parser) file() fileChange {
	c := fileChange{stored: make(map[uint64]storedChunk)}
	copy(c.id[:], p.bytes(16))
	c.since.low = int64(p.number(maxFile))
	c.size = int64(p.number(maxFile))
	c.mtime = int64(binary.BigEndian.Uint64(p.bytes(8)))
	c.path, p.b = string(p.b), nil
	return c
}

func (p *parser) chunk() (i uint64, s storedChunk) {
	i = p.number(maxFile / chunkSize)
	if len(p.b) == 0 {
		return i, s
	}
	s.is, s.edge = true, int(p.number(chunkSize))
	if len(p.b) == 0 {
		return i, s
	}
	r := &s.ref
	copy(r.Pack[:], p.bytes(32))
	r.Off, r.Len = binary.BigEndian.Uint32(p.bytes(4)), binary.BigEndian.Uint32(p.bytes(4))
	copy(r.Hash[:], p.bytes(len(crypto.Hash{})))
	copy(r.Key[:], p.bytes(32))
	r.Owner, p.b = string(p.b), nil
	if len(r.Owner) == 0 || len(r.Owner) > 64 {
		p.fail()
	}
	return i, s
}

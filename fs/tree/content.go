package tree

import (
	"errors"
	"slices"
	"sync"
)

// ChunkSize is how many bytes of a file one chunk ref stands for.
const ChunkSize = 1 << 20

// MaxInline is the size up to which a file's bytes stand in its entry.
const MaxInline = 256

const (
	maxRefs    = 2    // of a content
	fileWidth  = 1024 // refs of a file's index node
	indexWidth = 512  // children of a directory's index node
	maxLevel   = 6    // of a file's index nodes
	maxIndex   = 64   // of a directory's
	maxFile    = 1<<63 - 1
)

// A Content is what a file holds. It is immutable: Edit makes a new one.
type Content struct {
	Size   uint64
	Inline []byte // not nil if the bytes stand here; then there are no refs
	Refs   []Ref  // at most two; what is not there at the end is a hole
	Level  uint8  // 0: Refs are chunks; n: index nodes, n deep
}

// InlineContent returns the content that holds b itself.
func InlineContent(b []byte) Content {
	return Content{Size: uint64(len(b)), Inline: append([]byte{}, b...)}
}

// chunks returns how many chunks size bytes have.
func chunks(size uint64) uint64 {
	return size/ChunkSize + (size%ChunkSize+ChunkSize-1)/ChunkSize
}

// span returns how many chunks one ref of a level stands for.
func span(level int) uint64 { return 1 << (10 * level) }

// levelOf returns the lowest level at which two refs reach n chunks.
func levelOf(n uint64) (level int) {
	for maxRefs*span(level) < n {
		level++
	}
	return level
}

func ceil(n, by uint64) uint64 { return (n + by - 1) / by }

// check tells whether the fields fit each other.
func (c *Content) check() error {
	if c.Inline != nil {
		return nil
	}
	n := chunks(c.Size)
	if c.Size > maxFile || int(c.Level) != levelOf(n) {
		return badf("content of %d bytes at level %d", c.Size, c.Level)
	}
	return checkHoles(c.Refs, ceil(n, span(int(c.Level))))
}

// checkHoles checks a list of refs that may have at most most.
func checkHoles(refs []Ref, most uint64) error {
	if uint64(len(refs)) > most {
		return badf("%d refs where %d can be", len(refs), most)
	}
	if n := len(refs); n > 0 && refs[n-1].IsZero() {
		return badf("a hole at the end of a list of refs")
	}
	return nil
}

// encodeFile returns an index node of a file's refs.
func encodeFile(level int, refs []Ref, local func(Ref) Ref) ([]byte, error) {
	out := make([]Ref, len(refs))
	for i, r := range refs {
		if !r.IsZero() {
			out[i] = local(r)
		}
	}
	packs := newPackTable(out)
	w := wireFile{Level: uint8(level), Packs: packs.list}
	for _, r := range out {
		w.Refs = append(w.Refs, packs.ref(r))
	}
	return marshal(kindFile, w)
}

// decodeFile decodes the index node that was read at ref.
func decodeFile(b []byte, at Ref) (level int, refs []Ref, err error) {
	var w wireFile
	if err := unmarshal(kindFile, b, &w); err != nil {
		return 0, nil, err
	}
	d := &decoder{at: at, packs: w.Packs}
	d.checkPacks()
	for i := range w.Refs {
		refs = append(refs, d.ref(&w.Refs[i]))
	}
	if d.err == nil {
		d.err = checkHoles(refs, fileWidth)
	}
	if d.err == nil && (len(refs) == 0 || w.Level == 0 || w.Level > maxLevel) {
		d.fail("index of %d chunks, level %d", len(refs), w.Level)
	}
	return int(w.Level), refs, d.err
}

// below returns what the index node at r, of the given level, refers to.
func below(ld Loader, r Ref, level int) ([]Ref, error) {
	if r.IsZero() {
		return nil, nil
	}
	if refs := fileNodes.get(r, level); refs != nil {
		return refs, nil
	}
	b, err := ld(r)
	if err != nil {
		return nil, err
	}
	l, refs, err := decodeFile(b, r)
	if err == nil && l != level {
		err = badf("index at level %d, not %d", l, level)
	}
	if err == nil {
		fileNodes.put(r, level, refs)
	}
	return refs, err
}

// fileNodes keeps some index nodes decoded: who reads a file in order asks the
// same one a thousand times.
var fileNodes = fileCache{refs: make(map[fileKey][]Ref)}

type fileCache struct {
	mu   sync.Mutex
	refs map[fileKey][]Ref
}

type fileKey struct {
	ref   Ref
	level int
}

const keepFileNodes = 32

func (c *fileCache) get(r Ref, level int) []Ref {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refs[fileKey{r, level}]
}

func (c *fileCache) put(r Ref, level int, refs []Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.refs) >= keepFileNodes {
		clear(c.refs)
	}
	c.refs[fileKey{r, level}] = refs
}

// Chunk returns the ref of chunk i; zero for a hole, and behind the end.
func (c Content) Chunk(ld Loader, i uint64) (Ref, error) {
	if c.Inline != nil || i >= chunks(c.Size) {
		return Ref{}, nil
	}
	refs := c.Refs
	for level := int(c.Level); ; level-- {
		at := i / span(level)
		i %= span(level)
		if at >= uint64(len(refs)) || refs[at].IsZero() {
			return Ref{}, nil
		}
		if level == 0 {
			return refs[at], nil
		}
		var err error
		if refs, err = below(ld, refs[at], level); err != nil {
			return Ref{}, err
		}
	}
}

// EachRef calls f for each ref of c: chunks, and index nodes before what is in
// them.
func (c Content) EachRef(ld Loader, f func(Ref) error) error {
	return eachRef(ld, c.Refs, int(c.Level), make(map[levelRef]bool), f)
}

// A levelRef is a ref at a height of the index. Each is walked once: a few
// crafted nodes that name each other many times must not be a walk without end.
type levelRef struct {
	ref   Ref
	level int
}

func eachRef(ld Loader, refs []Ref, level int, seen map[levelRef]bool, f func(Ref) error) error {
	var miss missing
	for _, r := range refs {
		if r.IsZero() || seen[levelRef{r, level}] {
			continue
		}
		seen[levelRef{r, level}] = true
		if err := f(r); err != nil {
			return err
		}
		if level > 0 {
			sub, err := below(ld, r, level)
			if err == nil {
				err = eachRef(ld, sub, level-1, seen, f)
			}
			if err != nil && !miss.take(err) {
				return err
			}
		}
	}
	return miss.err()
}

// Edit returns c with another size and other chunks; the zero Ref makes a hole.
// Chunks behind the old end that are not given are holes, as is all of an inline
// content. Only index nodes that change are written.
func (c Content) Edit(ld Loader, sink Sink, size uint64, edits map[uint64]Ref) (Content, error) {
	if size > maxFile {
		return Content{}, errors.New("a file that long can't be stored")
	}
	if size == 0 {
		return InlineContent(nil), nil
	}
	e := &edit{ld: ld, old: c, count: chunks(size)}
	if c.Inline != nil {
		e.old = Content{}
	}
	for i, r := range edits {
		if i < e.count {
			e.list = append(e.list, edited{i, r})
		}
	}
	slices.SortFunc(e.list, func(a, b edited) int {
		if a.i < b.i {
			return -1
		}
		return 1
	})
	out := Content{Size: size, Level: uint8(levelOf(e.count))}
	level := int(out.Level)
	for i := range ceil(e.count, span(level)) {
		e.roots = append(e.roots, e.build(level, i))
	}
	if err := e.miss.err(); err != nil {
		return Content{}, err
	}
	for _, n := range e.roots {
		r, err := n.write(sink, level)
		if err != nil {
			return Content{}, err
		}
		out.Refs = append(out.Refs, r)
	}
	out.Refs = trim(out.Refs)
	return out, nil
}

// An edit is what Edit knows.
type edit struct {
	ld    Loader
	old   Content
	count uint64   // of chunks afterwards
	list  []edited // by chunk
	roots []*fileNode
	miss  missing
}

type edited struct {
	i uint64
	r Ref
}

// A fileNode is what a ref of the new content stands for: one that is there
// already, or an index node that has to be written.
type fileNode struct {
	ref  Ref
	subs []*fileNode // nil if ref counts
}

// build returns what the ref number i of a level becomes.
func (e *edit) build(level int, i uint64) *fileNode {
	from, to := i*span(level), (i+1)*span(level)
	old, known := e.before(level, i)
	at, _ := slices.BinarySearchFunc(e.list, from, func(x edited, i uint64) int {
		if x.i < i {
			return -1
		}
		return 1
	})
	touched := at < len(e.list) && e.list[at].i < to
	if level == 0 {
		if touched {
			return &fileNode{ref: e.list[at].r}
		}
		return &fileNode{ref: old}
	}
	cut := e.count < to && e.count < chunks(e.old.Size)
	if known && !touched && (!cut || old.IsZero()) {
		return &fileNode{ref: old}
	}
	n := &fileNode{subs: []*fileNode{}}
	for k := range ceil(min(to, e.count)-from, span(level-1)) {
		n.subs = append(n.subs, e.build(level-1, i*fileWidth+k))
	}
	if known && !old.IsZero() && n.sameAs(e.refsOf(old, level)) {
		return &fileNode{ref: old}
	}
	return n
}

// before returns what ref number i of a level was. It is not known if the old
// content had no such node because its levels were fewer.
func (e *edit) before(level int, i uint64) (r Ref, known bool) {
	top := int(e.old.Level)
	if level > top {
		return Ref{}, i*span(level) >= chunks(e.old.Size)
	}
	refs := e.old.Refs
	for l := top; ; l-- {
		at := i / span(l-level)
		if l < top {
			at %= fileWidth
		}
		if at >= uint64(len(refs)) || refs[at].IsZero() {
			return Ref{}, true
		}
		if l == level {
			return refs[at], true
		}
		refs = e.refsOf(refs[at], l)
	}
}

// refsOf reads an index node; what is missing is noted.
func (e *edit) refsOf(r Ref, level int) []Ref {
	refs, err := below(e.ld, r, level)
	e.miss.add(err)
	return refs
}

// sameAs tells whether n consists of these refs.
func (n *fileNode) sameAs(refs []Ref) bool {
	for i, s := range n.subs {
		var r Ref
		if i < len(refs) {
			r = refs[i]
		}
		if s.subs != nil || s.ref != r {
			return false
		}
	}
	return len(refs) <= len(n.subs)
}

// write writes the index nodes that are new.
func (n *fileNode) write(sink Sink, level int) (Ref, error) {
	if n.subs == nil {
		return n.ref, nil
	}
	var refs []Ref
	for _, s := range n.subs {
		r, err := s.write(sink, level-1)
		if err != nil {
			return Ref{}, err
		}
		refs = append(refs, r)
	}
	if refs = trim(refs); len(refs) == 0 {
		return Ref{}, nil
	}
	return sink.Node(func(local func(Ref) Ref) ([]byte, error) { return encodeFile(level, refs, local) })
}

// trim cuts off holes at the end.
func trim(refs []Ref) []Ref {
	for len(refs) > 0 && refs[len(refs)-1].IsZero() {
		refs = refs[:len(refs)-1]
	}
	return refs
}

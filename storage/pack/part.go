package pack

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"slices"
)

// A file in parts/ holds some ranges of a pack. Its first 4,096 bytes are
//
//	16 bytes  "satchel parts 1\n"
//	4 bytes   how many spans, at most maxSpans
//	8 bytes   for each span: its first byte, the byte behind its last
//	zeros
//
// all numbers big-endian, spans in order, not empty and not touching. Byte i
// of the pack stands at 4,096 + i. The header is written when the file is
// closed: what a crash keeps is fetched again, or fails its check and then is.
const (
	partMagic  = "satchel parts 1\n"
	partHeader = 4096
	maxSpans   = 256
)

// A span is bytes from up to, but not including, to.
type span struct{ from, to int64 }

// spans are in order and don't touch each other.
type spans []span

// covers tells whether all of [from, to) is there.
func (s spans) covers(from, to int64) bool {
	for _, x := range s {
		if x.from <= from && to <= x.to {
			return true
		}
	}
	return from >= to
}

// total returns how many bytes are there.
func (s spans) total() (n int64) {
	for _, x := range s {
		n += x.to - x.from
	}
	return n
}

// prefix returns how many bytes are there from the start of the pack.
func (s spans) prefix() int64 {
	if len(s) > 0 && s[0].from == 0 {
		return s[0].to
	}
	return 0
}

// add returns s with [from, to) too.
func (s spans) add(from, to int64) spans {
	if from >= to {
		return s
	}
	var out spans
	for _, x := range s {
		if x.to < from || x.from > to {
			out = append(out, x)
		} else {
			from, to = min(from, x.from), max(to, x.to)
		}
	}
	out = append(out, span{from, to})
	slices.SortFunc(out, func(a, b span) int { return int(a.from - b.from) })
	return out
}

// remove returns s without [from, to).
func (s spans) remove(from, to int64) spans {
	if from >= to {
		return s
	}
	var out spans
	for _, x := range s {
		if x.from < min(x.to, from) {
			out = append(out, span{x.from, min(x.to, from)})
		}
		if max(x.from, to) < x.to {
			out = append(out, span{max(x.from, to), x.to})
		}
	}
	return out
}

// missing returns the smallest range that holds all of [from, to) that is not
// there; an empty one if nothing is missing.
func (s spans) missing(from, to int64) (int64, int64) {
	for _, x := range s {
		if x.from <= from && from < x.to {
			from = min(x.to, to)
		}
	}
	for _, x := range slices.Backward(s) {
		if x.from < to && to <= x.to {
			to = max(x.from, from)
		}
	}
	return from, to
}

// header encodes s.
func (s spans) header() []byte {
	b := make([]byte, 0, partHeader)
	b = append(b, partMagic...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	for _, x := range s {
		b = binary.BigEndian.AppendUint32(b, uint32(x.from))
		b = binary.BigEndian.AppendUint32(b, uint32(x.to))
	}
	return append(b, make([]byte, partHeader-len(b))...)
}

// parseSpans decodes the header of a parts file that holds size bytes of its
// pack at most.
func parseSpans(b []byte, size int64) (spans, bool) {
	if len(b) != partHeader || !bytes.HasPrefix(b, []byte(partMagic)) {
		return nil, false
	}
	n := binary.BigEndian.Uint32(b[len(partMagic):])
	if n > maxSpans {
		return nil, false
	}
	b = b[len(partMagic)+4:]
	s := make(spans, n)
	last := int64(-1)
	for i := range s {
		s[i] = span{int64(binary.BigEndian.Uint32(b[8*i:])), int64(binary.BigEndian.Uint32(b[8*i+4:]))}
		if s[i].from <= last || s[i].from >= s[i].to || s[i].to > min(size, MaxSize) {
			return nil, false
		}
		last = s[i].to
	}
	return s, true
}

// loadPart reads which ranges e's file holds; false if it is none of ours.
func (s *Store) loadPart(e *entry) bool {
	f, err := os.Open(s.path(part, e.id))
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, partHeader)
	if _, err := io.ReadFull(f, head); err != nil {
		return false
	}
	var ok bool
	e.spans, ok = parseSpans(head, e.size-partHeader)
	e.size = e.spans.total()
	return ok && e.size > 0
}

// savePart notes in e's file which ranges it holds, with the lock held. It may
// fail: then they are fetched again.
func (s *Store) savePart(e *entry) {
	if e.f != nil {
		_, _ = e.f.WriteAt(e.spans.header(), 0)
	}
}

// setSpans changes which ranges e has, with the lock held.
func (s *Store) setSpans(e *entry, to spans) {
	s.account(e, -e.size)
	e.spans, e.size = to, to.total()
	s.account(e, e.size)
}

// keep stores b, bytes of e's pack from off, with no lock held. It may fail:
// then they are fetched again.
func (s *Store) keep(e *entry, off int64, b []byte) {
	if !s.hasRoom(int64(len(b))) {
		return
	}
	s.mu.Lock()
	if e.state != part || s.packs[e.id] != e {
		s.mu.Unlock()
		return
	}
	if e.f == nil && e.size == 0 {
		if f, err := os.OpenFile(s.path(part, e.id), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600); err == nil {
			e.f = f
			s.files[e] = struct{}{}
			s.savePart(e)
		}
	}
	f, err := s.acquire(e)
	s.mu.Unlock()
	if err != nil {
		return
	}
	_, err = f.WriteAt(b, partHeader+off)
	s.mu.Lock()
	if e.state == part && err == nil && !e.gone && e.f == f {
		if to := e.spans.add(off, off+int64(len(b))); len(to) <= maxSpans {
			s.setSpans(e, to)
		}
	}
	s.mu.Unlock()
	s.release(e)
}

package chain

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/dgraph-io/badger/v4"
)

// disconnect undoes the tip.
func (ix *Index) disconnect() (names []Name, err error) {
	t := ix.getTip()
	if t.height == 0 || !ix.canUndo(t.height-1) {
		return nil, fmt.Errorf("block %d: %w", t.height, ErrTooDeep)
	}
	names, err = ix.tryDisconnect(t)
	for errors.Is(err, badger.ErrTxnTooBig) {
		if err = ix.reopenBigger(); err != nil {
			break
		}
		names, err = ix.tryDisconnect(t)
	}
	if err != nil {
		return nil, fmt.Errorf("undo block %d: %w", t.height, err)
	}
	return names, nil
}

func (ix *Index) tryDisconnect(t tip) (names []Name, err error) {
	err = ix.update(func(s *state) tip {
		s.begin(t.height, false)
		row := s.bytes(heightKey(keyBlock, t.height))
		var h wire.BlockHeader
		if h.Deserialize(bytes.NewReader(row)) != nil {
			s.damaged("its header", errDamaged)
		}
		s.applyUndo(t.height)
		s.dropOps(t.height)
		if len(row) == blockRow {
			s.raw(append([]byte{keyConsensus}, row[headerRow:headerRow+16]...), nil)
		}
		s.raw(heightKey(keyBlock, t.height), nil)
		names = slices.Sorted(maps.Keys(s.changed))
		return tip{height: t.height - 1, hash: h.PrevBlock, floor: t.floor}
	})
	return names, err
}

// canUndo says if the blocks above a height can be undone.
func (ix *Index) canUndo(height int) bool {
	floor := ix.getTip().floor
	return floor < ix.p.FirstBlock || height >= floor
}

// undoRowSize is how long a row of undo data gets at most, unless a single old
// value is longer.
const undoRowSize = valueThreshold - 1

// writeUndo writes what the keys that the block changed were before. A row has
// for each key its length, the key, 0 if it was absent or 1, then the old value's
// length, the old value.
func (s *state) writeUndo() {
	var row []byte
	n := 0
	for _, o := range s.undo {
		if (o.was == nil) == (o.cell.value == nil) && bytes.Equal(o.was, o.cell.value) {
			continue
		}
		b := o.encode()
		if len(row) > 0 && len(row)+len(b) > undoRowSize {
			s.raw(undoKey(s.height, n), row)
			row, n = nil, n+1
		}
		row = append(row, b...)
	}
	if len(row) > 0 {
		s.raw(undoKey(s.height, n), row)
	}
}

func (o oldValue) encode() []byte {
	var w rowWriter
	w.text(o.key)
	w.bool(o.was != nil)
	if o.was != nil {
		w.bytes(o.was)
	}
	return w.b
}

func undoKey(height, n int) []byte {
	return binary.BigEndian.AppendUint32(heightKey(keyUndo, height), uint32(n))
}

// parseUndo is writeUndo's inverse for one row.
func parseUndo(row []byte) (old []oldValue, err error) {
	r := rowReader{b: row}
	for len(r.b) > 0 {
		o := oldValue{key: r.text()}
		if r.bool() {
			o.was = append([]byte{}, r.bytes()...)
		}
		if o.key == "" {
			return nil, errDamaged
		}
		old = append(old, o)
	}
	return old, r.end()
}

// undoRows calls fn with the rows of undo data of a block.
func (s *state) undoRows(height int, fn func(key, row []byte)) {
	for n := 0; ; n++ {
		k := undoKey(height, n)
		row := s.bytes(k)
		if row == nil {
			return
		}
		fn(k, row)
	}
}

// dropUndo forgets how to undo a block.
func (s *state) dropUndo(height int) {
	s.undoRows(height, func(k, _ []byte) { s.raw(k, nil) })
}

// applyUndo puts back what a block changed.
func (s *state) applyUndo(height int) {
	s.undoRows(height, func(k, row []byte) {
		old, err := parseUndo(row)
		s.damaged(fmt.Sprintf("undo of block %d", height), err)
		for _, o := range old {
			s.raw([]byte(o.key), o.was)
			if o.key[0] == keyName {
				s.changed[nameOfKey(o.key[1:])] = true
			}
		}
		s.raw(k, nil)
	})
}

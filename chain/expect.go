package chain

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// An unexpected is the error of FollowerOptions.Expect, at a place in a batch.
type unexpected struct {
	at  int
	err error
}

func (e *unexpected) Error() string { return e.err.Error() }
func (e *unexpected) Unwrap() error { return e.err }

// checkExpected asks if a block may have its consensus hash; at is its place in
// a batch.
func (ix *Index) checkExpected(height int, consensus [16]byte, at int) error {
	if ix.expect == nil || height < ix.p.FirstBlock {
		return nil
	}
	if err := ix.expect(height, consensus); err != nil {
		return &unexpected{at, err}
	}
	return nil
}

// maxExpected is more lines than a table of hashes has in a hundred years.
const maxExpected = 10_000_000

// ReadExpected reads a table of consensus hashes: lines of a height and a hash in
// hex. Empty lines and what follows a # are skipped.
func ReadExpected(r io.Reader) (map[int][16]byte, error) {
	table := make(map[int][16]byte)
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		height, hash, err := parseExpected(fields)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if old, ok := table[height]; ok && old != hash {
			return nil, fmt.Errorf("line %d: block %d has another hash above", n, height)
		}
		if table[height] = hash; len(table) > maxExpected {
			return nil, fmt.Errorf("line %d: too many hashes", n)
		}
	}
	return table, lines.Err()
}

func parseExpected(fields []string) (height int, hash [16]byte, err error) {
	if len(fields) != 2 {
		return 0, hash, fmt.Errorf("want a height and a consensus hash")
	}
	if height, err = strconv.Atoi(fields[0]); err != nil || height < 0 {
		return 0, hash, fmt.Errorf("%q is no height", fields[0])
	}
	b, err := hex.DecodeString(fields[1])
	if err != nil || len(b) != len(hash) {
		return 0, hash, fmt.Errorf("%q is no consensus hash: want %d hex digits", fields[1], 2*len(hash))
	}
	return height, [16]byte(b), nil
}

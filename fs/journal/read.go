package journal

import (
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
)

// ErrDamaged reports that what was appended may be in the log's files but can't be
// read, now or at all. SetAside makes a log of the rest.
var ErrDamaged = errors.New("damaged")

func (l *Log) openFiles() error {
	if err := makeDir(l.dir); err != nil {
		return err
	}
	for i, name := range []string{"a", "b"} {
		f, err := os.OpenFile(filepath.Join(l.dir, name), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		l.files[i] = f
		info, err := f.Stat()
		if err != nil {
			return err
		}
		l.sizes[i] = info.Size()
	}
	return syncDir(l.dir)
}

// find goes on with the file that stands on base, or begins one.
func (l *Log) find(base Base, replay func([]byte) error) error {
	found, damage := l.choose(base)
	switch err := errors.Join(damage[:]...); {
	case found:
		return l.readAll(replay)
	case err != nil:
		return err
	}
	return l.begin(0, base)
}

// choose makes the file that stands on base the one in use. If there is none, damage
// says of each file why it may have been that one.
func (l *Log) choose(base Base) (found bool, damage [2]error) {
	for i := range l.files {
		is, err := l.head(i, base)
		if is {
			return true, [2]error{}
		}
		damage[i] = err
	}
	return false, damage
}

// head makes file i the one in use if it stands on base. It is an error if that
// can't be known, or if the file stands on a later commit.
func (l *Log) head(i int, base Base) (bool, error) {
	head := make([]byte, headSize)
	n, err := l.files[i].ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return false, l.damage(i, 0, err)
	}
	if allZero(head[:n]) { // never begun
		return false, nil
	}
	salt, box := head[len(magic):len(magic)+saltSize], head[len(magic)+saltSize:]
	aead, err := l.cipher(salt)
	if err != nil {
		return false, err
	}
	plain, err := unseal(aead, box, salt)
	if err != nil || string(head[:len(magic)]) != magic {
		return false, l.damage(i, 0, errors.New("no head of a journal, or that of another key"))
	}
	if !bytes.Equal(plain, base.bytes()) {
		if seq := binary.BigEndian.Uint64(plain); seq > base.Seq {
			return false, l.damage(i, 0, fmt.Errorf("of commit %d, but the last one known is %d", seq, base.Seq))
		}
		return false, nil
	}
	l.at, l.base, l.aead, l.behind, l.end = i, base, aead, slices.Concat(salt, box), block
	return true, nil
}

func (l *Log) damage(i int, at int64, err error) error {
	return fmt.Errorf("%s: %w at byte %d: %w", l.files[i].Name(), ErrDamaged, at, err)
}

// readAll gives the batches to replay. What follows the last whole one is written
// over by the next.
func (l *Log) readAll(replay func([]byte) error) error {
	var batch []byte
	last := int64(0) // where the last batch begins, or the head
	at, behind := l.end, l.behind
	for {
		box, plain, err := l.record(at, behind)
		if err == nil && box == nil && l.lostOne(at) {
			err = errors.New("wrong bytes, and more behind them")
		}
		if err != nil {
			return l.damage(l.at, at, err)
		}
		if box == nil || len(batch)+len(plain)-1 > maxBatch {
			break
		}
		batch = append(batch, plain[1:]...)
		at, behind = at+blocks(4+int64(len(box))), box[len(box)-chacha20poly1305.Overhead:]
		if plain[0] != 0 {
			continue
		}
		if err := replay(batch); err != nil {
			return err
		}
		last, l.end, l.behind = l.end, at, behind
		batch = nil
	}
	if err := l.writeAgain(last); err != nil {
		// A full disk is no reason not to find the batches.
		l.broken = fmt.Errorf("journal %s: %w", l.dir, err)
	}
	return nil
}

// record reads the record at an offset: its box and what is in it, nil if there is
// none that was written behind that.
func (l *Log) record(at int64, behind []byte) (box, plain []byte, err error) {
	box, err = l.box(at)
	if box == nil {
		return nil, nil, err
	}
	plain, err = unseal(l.aead, box, behind)
	if err != nil || plain[0] > 1 {
		return nil, nil, nil
	}
	return box, plain, nil
}

// box reads what may be the box of the record at an offset, nil if nothing can be.
func (l *Log) box(at int64) ([]byte, error) {
	var length [4]byte
	f := l.files[l.at]
	if ok, err := readAt(f, length[:], at); !ok {
		return nil, err
	}
	size := int64(binary.BigEndian.Uint32(length[:]))
	if size < overhead+1 || size > partSize+overhead+1 || at+4+size > l.sizes[l.at] {
		return nil, nil
	}
	box := make([]byte, size)
	if ok, err := readAt(f, box, at+4); !ok {
		return nil, err
	}
	return box, nil
}

// lostOne tells whether the record at an offset, which does not count, did once:
// another was written behind it, and that was not in the same batch, of which each
// record but the last is full.
func (l *Log) lostOne(at int64) bool {
	box, err := l.box(at)
	if err != nil || box == nil || len(box) == partSize+overhead+1 {
		return false
	}
	next, _, err := l.record(at+blocks(4+int64(len(box))), box[len(box)-chacha20poly1305.Overhead:])
	return err == nil && next != nil
}

func unseal(aead cipher.AEAD, box, behind []byte) ([]byte, error) {
	n := aead.NonceSize()
	return aead.Open(nil, box[:n], box[n:], behind)
}

// writeAgain makes durable what was read from an offset on.
func (l *Log) writeAgain(from int64) error {
	f := l.files[l.at]
	if _, err := io.Copy(io.NewOffsetWriter(f, from), io.NewSectionReader(f, from, l.end-from)); err != nil {
		return err
	}
	return f.Sync()
}

// readAt fills b; false if the file ends before.
func readAt(f *os.File, b []byte, at int64) (bool, error) {
	_, err := f.ReadAt(b, at)
	if err == io.EOF {
		return false, nil
	}
	return err == nil, err
}

func allZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

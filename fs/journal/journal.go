// Package journal is the log of what changed in a volume since its last commit:
// batches of bytes that it does not look into, sealed under a key of this machine.
//
// # Files
//
// A log is two files, a and b, that are used in turn: each commit begins the other
// one anew, so that neither grows nor has to be made again. A file is overwritten
// in place, in space that was written with zeros before: then making a batch
// durable costs the file system no change of its own.
//
//	block 0   "satchel journal v1\n" ‖ salt, 32 random bytes ‖ box of the base
//	          (seq, 8 bytes big-endian; head, 32)
//	then      records, each from the beginning of a block of 4 KiB:
//	          length of the box, 4 bytes big-endian ‖ box of (1 if the batch goes on
//	          in the next record, else 0; a part of the batch)
//
// A box is nonce (24 random bytes) ‖ XChaCha20-Poly1305, under the key that
// HKDF-SHA256 makes of the log's key and the salt, with what went before as
// associated data: the salt for the base, the salt and the base's box for the first
// record, the box's last 16 bytes, its tag, for the next. So a record counts only
// behind the one that it was written behind: what a torn write, a batch that was
// given up, or an earlier use of the file left behind it ends the log.
package journal

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/sys/unix"
)

const (
	magic    = "satchel journal v1\n"
	block    = 4 << 10
	saltSize = 32
	baseSize = 8 + 32
	overhead = chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead
	headSize = len(magic) + saltSize + baseSize + overhead

	partSize  = 4 << 20  // of a batch in one record
	maxBatch  = 1 << 30  // more than memory for dirty data allows
	firstStep = 64 << 10 // by which a file grows while it is small: there is one for each volume
	step      = 1 << 20  // by which it grows then
	keepSize  = 64 << 20 // of a file that is used again
)

// Base is the commit on which the batches stand; zero for none.
type Base struct {
	Seq  uint64
	Head [32]byte
}

func (b Base) bytes() []byte { return append(binary.BigEndian.AppendUint64(nil, b.Seq), b.Head[:]...) }

// A Log holds the batches since one commit. It is safe for concurrent use.
type Log struct {
	dir string
	key [32]byte

	mu     sync.Mutex
	files  [2]*os.File
	sizes  [2]int64 // as far as they were written with something
	at     int      // the file in use
	aead   cipher.AEAD
	behind []byte // associated data of the next record
	end    int64  // of the records
	broken error  // why nothing can be appended until Begin
}

// Open opens the log in dir, made if need be, and calls replay for each batch
// that stands on base, in order; its error ends Open. Batches on another base are
// forgotten.
func Open(dir string, key [32]byte, base Base, replay func(payload []byte) error) (*Log, error) {
	l := &Log{dir: dir, key: key}
	if err := l.open(base, replay); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Log) open(base Base, replay func([]byte) error) error {
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
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
	if err := errors.Join(syncDir(l.dir), syncDir(filepath.Dir(l.dir))); err != nil {
		return err
	}
	for i := range l.files {
		if l.standsOn(i, base) {
			return l.readAll(replay)
		}
	}
	return l.begin(base)
}

// standsOn makes file i the one in use if its base is that.
func (l *Log) standsOn(i int, base Base) bool {
	head := make([]byte, headSize)
	if _, err := l.files[i].ReadAt(head, 0); err != nil || string(head[:len(magic)]) != magic {
		return false
	}
	salt, box := head[len(magic):len(magic)+saltSize], head[len(magic)+saltSize:]
	aead, err := l.cipher(salt)
	if err != nil {
		return false
	}
	n := aead.NonceSize()
	plain, err := aead.Open(nil, box[:n], box[n:], salt)
	if err != nil || string(plain) != string(base.bytes()) {
		return false
	}
	l.at, l.aead, l.behind, l.end = i, aead, slices.Concat(salt, box), block
	return true
}

func (l *Log) cipher(salt []byte) (cipher.AEAD, error) {
	k, err := hkdf.Key(sha256.New, l.key[:], salt, magic, chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	return chacha20poly1305.NewX(k)
}

// readAll gives the batches to replay. What follows the last whole one is written
// over by the next.
func (l *Log) readAll(replay func([]byte) error) error {
	var batch []byte
	at, behind := l.end, l.behind
	for {
		plain, tag, ok := l.record(at, behind)
		if !ok || len(batch)+len(plain) > maxBatch {
			return nil
		}
		batch = append(batch, plain[1:]...)
		at, behind = at+blocks(4+int64(len(plain)+overhead)), tag
		if plain[0] != 0 {
			continue
		}
		if err := replay(batch); err != nil {
			return err
		}
		l.end, l.behind = at, behind
		batch = nil
	}
}

// record reads the record at an offset; ok is false if there is none that was
// written behind that.
func (l *Log) record(at int64, behind []byte) (plain, tag []byte, ok bool) {
	var length [4]byte
	f := l.files[l.at]
	if _, err := f.ReadAt(length[:], at); err != nil {
		return nil, nil, false
	}
	size := int64(binary.BigEndian.Uint32(length[:]))
	if size < overhead+1 || size > partSize+overhead+1 || at+4+size > l.sizes[l.at] {
		return nil, nil, false
	}
	box := make([]byte, size)
	if _, err := f.ReadAt(box, at+4); err != nil {
		return nil, nil, false
	}
	n := l.aead.NonceSize()
	plain, err := l.aead.Open(nil, box[:n], box[n:], behind)
	if err != nil || plain[0] > 1 {
		return nil, nil, false
	}
	return plain, box[len(box)-chacha20poly1305.Overhead:], true
}

// Append writes one batch, whole or not at all, and returns when it would survive
// a power cut. After an error the batch may be found again or not, and nothing more
// can be appended until Begin.
func (l *Log) Append(payload []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return l.broken
	}
	if len(payload) > maxBatch {
		return fmt.Errorf("batch of %d bytes is too large", len(payload))
	}
	if err := l.append(payload); err != nil {
		l.broken = fmt.Errorf("journal %s: %w", l.dir, err)
		return l.broken
	}
	return nil
}

func (l *Log) append(payload []byte) error {
	var out []byte
	behind := l.behind
	for first := true; first || len(payload) > 0; first = false {
		part := payload[:min(len(payload), partSize)]
		payload = payload[len(part):]
		plain := make([]byte, 1, 1+len(part))
		if len(payload) > 0 {
			plain[0] = 1
		}
		box := l.seal(append(plain, part...), behind)
		out = binary.BigEndian.AppendUint32(out, uint32(len(box)))
		out = append(out, box...)
		out = append(out, make([]byte, blocks(int64(len(out)))-int64(len(out)))...)
		behind = box[len(box)-chacha20poly1305.Overhead:]
	}
	if err := l.grow(l.end + int64(len(out))); err != nil {
		return err
	}
	f := l.files[l.at]
	if _, err := f.WriteAt(out, l.end); err != nil {
		return err
	}
	if err := fdatasync(f); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	l.end, l.behind = l.end+int64(len(out)), behind
	return nil
}

func (l *Log) seal(plain, behind []byte) []byte {
	box := make([]byte, l.aead.NonceSize(), len(plain)+overhead)
	_, _ = rand.Read(box) // never fails
	return l.aead.Seal(box, box, plain, behind)
}

// grow writes zeros so that the file in use reaches beyond end.
func (l *Log) grow(end int64) error {
	size := &l.sizes[l.at]
	if end <= *size {
		return nil
	}
	f := l.files[l.at]
	by := int64(step)
	if end < step {
		by = firstStep
	}
	to := (end + by - 1) / by * by
	if _, err := f.WriteAt(make([]byte, to-*size), *size); err != nil {
		return fmt.Errorf("make room: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("make room: %w", err)
	}
	*size = to
	return nil
}

// blocks rounds up to whole blocks.
func blocks(n int64) int64 { return (n + block - 1) / block * block }

// Begin starts anew on another commit, which must be durable already: the batches
// so far are forgotten.
func (l *Log) Begin(base Base) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = 1 - l.at
	if err := l.begin(base); err != nil {
		l.broken = fmt.Errorf("journal %s: %w", l.dir, err)
		return l.broken
	}
	return nil
}

func (l *Log) begin(base Base) error {
	f := l.files[l.at]
	l.end = block
	if l.sizes[l.at] > keepSize {
		if err := f.Truncate(step); err != nil {
			return err
		}
		l.sizes[l.at] = step
	}
	if err := l.grow(block); err != nil {
		return err
	}
	head := make([]byte, len(magic)+saltSize, block)
	copy(head, magic)
	salt := head[len(magic):]
	_, _ = rand.Read(salt) // never fails
	var err error
	if l.aead, err = l.cipher(salt); err != nil {
		return err
	}
	box := l.seal(base.bytes(), salt)
	l.behind = slices.Concat(salt, box)
	if _, err := f.WriteAt(append(head, box...)[:block], 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	l.broken = nil
	return nil
}

// Size is how many bytes the batches take since the last Begin.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end - block
}

// Close releases the files. What was appended stays.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, f := range l.files {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	l.broken = fmt.Errorf("journal %s: %w", l.dir, os.ErrClosed)
	return errors.Join(errs...)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// fdatasync makes the bytes of f durable, and of its attributes what reading them
// needs.
func fdatasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}

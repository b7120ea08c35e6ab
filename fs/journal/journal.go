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
//	          (seq, 8 bytes big-endian; root, 32)
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
//
// # Syncs that fail
//
// After one the kernel may hold bytes for written that are not on the disk. So
// nothing is appended behind such a place: Begin makes a new beginning. And since
// Open can't tell whether there was one, it writes the last batch once more.
//
// # Damage
//
// A crash leaves the last batch unfinished, never one that was synced. So it is
// damage, and no end of the log, if something can't be read, if a record behind a
// wrong one is right, or if no file stands on the commit and one has a wrong head or
// that of a later commit. Wrong bytes in the last batch look like one that nobody
// synced. What is damaged is never written over before SetAside has given it another
// name: a.damaged1 and so on.
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
	"slices"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"
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

// Base is the commit on which the batches stand, by its number and its tree; zero
// for none.
type Base struct {
	Seq  uint64
	Root [32]byte
}

func (b Base) bytes() []byte { return append(binary.BigEndian.AppendUint64(nil, b.Seq), b.Root[:]...) }

// A Log holds the batches since one commit. It is safe for concurrent use.
type Log struct {
	dir string
	key [32]byte

	mu     sync.Mutex
	files  [2]*os.File
	sizes  [2]int64 // as far as they were written with something
	at     int      // the file in use
	base   Base
	next   *started // what Prepare began in the other file
	aead   cipher.AEAD
	behind []byte // associated data of the next record
	end    int64  // of the records
	broken error  // why nothing can be appended until Begin
}

// Open opens the log in dir, made if need be, and calls replay for each batch
// that stands on base, in order; its error ends Open. Batches on another base are
// forgotten. If there may be others that can't be read the error is ErrDamaged, and
// nothing is forgotten.
func Open(dir string, key [32]byte, base Base, replay func(payload []byte) error) (*Log, error) {
	l := &Log{dir: dir, key: key}
	err := l.openFiles()
	if err == nil {
		err = l.find(base, replay)
	}
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
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
	out, behind := records(l.aead, l.behind, payload)
	if err := l.grow(l.at, l.end+int64(len(out))); err != nil {
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

// records seals a batch, and returns what the next one is behind.
func records(aead cipher.AEAD, behind, payload []byte) (out, next []byte) {
	for first := true; first || len(payload) > 0; first = false {
		part := payload[:min(len(payload), partSize)]
		payload = payload[len(part):]
		plain := make([]byte, 1, 1+len(part))
		if len(payload) > 0 {
			plain[0] = 1
		}
		box := seal(aead, append(plain, part...), behind)
		out = binary.BigEndian.AppendUint32(out, uint32(len(box)))
		out = append(out, box...)
		out = append(out, make([]byte, blocks(int64(len(out)))-int64(len(out)))...)
		behind = box[len(box)-chacha20poly1305.Overhead:]
	}
	return out, behind
}

func seal(aead cipher.AEAD, plain, behind []byte) []byte {
	box := make([]byte, aead.NonceSize(), len(plain)+overhead)
	_, _ = rand.Read(box) // never fails
	return aead.Seal(box, box, plain, behind)
}

func (l *Log) cipher(salt []byte) (cipher.AEAD, error) {
	k, err := hkdf.Key(sha256.New, l.key[:], salt, magic, chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	return chacha20poly1305.NewX(k)
}

// Begin starts anew on another commit, which must be durable already: the batches
// so far are forgotten. After an error nothing can be appended until it succeeded.
func (l *Log) Begin(base Base) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next != nil && l.next.base == base {
		l.use(l.next)
		return nil
	}
	next := 1 - l.at
	if base == l.base {
		next = l.at // never two files on one commit: Open could take the wrong one
	}
	if err := l.begin(next, base); err != nil {
		l.broken = fmt.Errorf("journal %s: %w", l.dir, err)
		return l.broken
	}
	return nil
}

// Prepare, of a log that is Usable, makes durable the beginning of a log on another
// commit, with a first batch: what of the batches so far that commit will not have.
// They count until the commit is there, and whichever of both a crash finds has its
// log. Begin on it then needs no disk. Prepared again for one commit, the first batch
// stays.
func (l *Log) Prepare(base Base, first []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.next != nil && l.next.base == base:
		return nil
	case base == l.base:
		return fmt.Errorf("journal %s stands on commit %d already", l.dir, base.Seq)
	case len(first) > maxBatch:
		return fmt.Errorf("batch of %d bytes is too large", len(first))
	}
	s, err := l.start(1-l.at, base, first)
	if err != nil {
		return fmt.Errorf("journal %s: %w", l.dir, err)
	}
	l.next = s
	return nil
}

// A started is a file that was begun.
type started struct {
	at     int
	base   Base
	aead   cipher.AEAD
	behind []byte
	end    int64
}

// use makes a file the one in use.
func (l *Log) use(s *started) {
	l.at, l.base, l.aead, l.behind, l.end = s.at, s.base, s.aead, s.behind, s.end
	l.next, l.broken = nil, nil
}

// begin makes a file the one in use. If that fails the other one stays it, so that
// the next try is made here again.
func (l *Log) begin(at int, base Base) error {
	s, err := l.start(at, base, nil)
	if err != nil {
		return err
	}
	l.use(s)
	return nil
}

// start begins a file, with a first batch if there is one.
func (l *Log) start(at int, base Base, first []byte) (*started, error) {
	l.next = nil
	f := l.files[at]
	if l.sizes[at] > keepSize {
		if err := f.Truncate(step); err != nil {
			return nil, err
		}
		l.sizes[at] = step
	}
	head := make([]byte, len(magic)+saltSize, block)
	copy(head, magic)
	salt := head[len(magic):]
	_, _ = rand.Read(salt) // never fails
	aead, err := l.cipher(salt)
	if err != nil {
		return nil, err
	}
	box := seal(aead, base.bytes(), salt)
	s := &started{at: at, base: base, aead: aead, behind: slices.Concat(salt, box), end: block}
	var out []byte
	if len(first) > 0 {
		out, s.behind = records(aead, s.behind, first)
		s.end += int64(len(out))
	}
	if err := l.grow(at, s.end); err != nil {
		return nil, err
	}
	if len(out) > 0 { // no head before it
		if _, err := f.WriteAt(out, block); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
	}
	if _, err := f.WriteAt(append(head, box...)[:block], 0); err != nil {
		return nil, err
	}
	return s, f.Sync()
}

// Usable tells whether batches can be appended: the log stands on the last commit
// that it was told of, and nothing failed since.
func (l *Log) Usable() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken == nil
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

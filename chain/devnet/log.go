package devnet

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"golang.org/x/sys/unix"
)

// A blockLog is the one durable record of the chain: each block in the order in
// which it came, and what was forbidden and allowed again by hand. btcd's
// database holds back minutes of changes, so after a crash it is made anew from
// here.
//
// The file is logMagic, then records: kind (1 byte), length of the data (4,
// big-endian), the first 4 bytes of SHA-256 over all the rest of the record, the
// data. Data is a block as on the network (kind 'b') or a block's hash ('i'
// forbids it and all that follow, 'r' takes that back). A last record that is cut
// short was never confirmed to anybody and is dropped.
type blockLog struct {
	f    *os.File
	size int64
	last *chainhash.Hash // of the block in the last record when it was opened; nil if that is another kind
}

const (
	logMagic  = "satchel chain 1\n"
	kindBlock = 'b'
	kindBad   = 'i'
	kindGood  = 'r'

	recordHeader = 9
)

// ErrInUse reports a folder whose chain another process has open.
var ErrInUse = errors.New("another process runs this chain")

// openLog opens or makes the log at path, and reads it through. Until it is
// closed nobody else can open it.
func openLog(path string) (*blockLog, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		if err = writeFile(path, []byte(logMagic)); err == nil {
			f, err = os.OpenFile(path, os.O_RDWR, 0)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, err
	}
	l := &blockLog{f: f}
	err = l.read(func(kind byte, data []byte) error {
		if l.last = nil; kind == kindBlock && len(data) >= wire.MaxBlockHeaderPayload {
			hash := chainhash.DoubleHashH(data[:wire.MaxBlockHeaderPayload])
			l.last = &hash
		}
		return nil
	})
	if err != nil {
		f.Close()
		return nil, err
	}
	return l, nil
}

// read calls each with every record and cuts off what was never finished.
func (l *blockLog) read(each func(kind byte, data []byte) error) error {
	fail := func(err error) error { return fmt.Errorf("%s at byte %d: %w", l.f.Name(), l.size, err) }
	st, err := l.f.Stat()
	if err != nil {
		return err
	}
	l.size = 0
	magic := make([]byte, len(logMagic))
	if _, err := l.f.ReadAt(magic, 0); err != nil || string(magic) != logMagic {
		return fail(errors.New("not the log of a private chain"))
	}
	l.size = int64(len(magic))
	for l.size < st.Size() {
		kind, data, err := readRecord(io.NewSectionReader(l.f, l.size, st.Size()-l.size))
		if errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err == nil {
			err = each(kind, data)
		}
		if err != nil {
			return fail(err)
		}
		l.size += recordHeader + int64(len(data))
	}
	return l.cut()
}

// readRecord reads one record; io.ErrUnexpectedEOF for one that was not
// written to its end.
func readRecord(r *io.SectionReader) (kind byte, data []byte, err error) {
	var h [recordHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, io.ErrUnexpectedEOF
	}
	n := int64(binary.BigEndian.Uint32(h[1:]))
	last := recordHeader+n >= r.Size()
	if n > wire.MaxBlockPayload {
		if onlyZeros(r) {
			return 0, nil, io.ErrUnexpectedEOF
		}
		return 0, nil, fmt.Errorf("length of %d bytes", n)
	}
	data = make([]byte, n)
	if _, err := io.ReadFull(r, data); err != nil {
		return 0, nil, io.ErrUnexpectedEOF
	}
	if sum := checksum(h[0], data); !bytes.Equal(sum[:], h[5:]) {
		// The disk may have lost the last write, and given back zeros for it.
		if last || h == [recordHeader]byte{} && onlyZeros(r) {
			return 0, nil, io.ErrUnexpectedEOF
		}
		return 0, nil, errors.New("it is damaged")
	}
	return h[0], data, nil
}

// onlyZeros says if all that is left is zero.
func onlyZeros(r io.Reader) bool {
	b, err := io.ReadAll(r)
	return err == nil && len(bytes.Trim(b, "\x00")) == 0
}

func checksum(kind byte, data []byte) (sum [4]byte) {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(data))))
	h.Write(data)
	copy(sum[:], h.Sum(nil))
	return sum
}

// cut makes the file end where the log ends.
func (l *blockLog) cut() error {
	if err := l.f.Truncate(l.size); err != nil {
		return err
	}
	_, err := l.f.Seek(l.size, io.SeekStart)
	return err
}

// add appends a record; with sync it is on the disk when add returns.
func (l *blockLog) add(kind byte, data []byte, sync bool) error {
	sum := checksum(kind, data)
	b := append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(data))), sum[:]...)
	_, err := l.f.Write(append(b, data...))
	if err == nil && sync {
		err = l.f.Sync()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("log of blocks: %w", err), l.cut())
	}
	l.size += int64(len(b) + len(data))
	return nil
}

func (l *blockLog) Close() error { return errors.Join(l.f.Sync(), l.f.Close()) }

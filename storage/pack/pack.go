// Package pack writes, keeps and reads packs.
package pack

import (
	"context"
	"encoding/hex"
	"errors"
	"io"

	"satchel/storage"
)

// An ID is the hash of all bytes of a pack.
type ID [32]byte

// String returns the id in hex.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Key returns the key under which providers hold the pack.
func (id ID) Key() string {
	s := id.String()
	return "p/" + s[:2] + "/" + s
}

// A Store is the packs of one machine.
type Store struct{}

// A Writer is an open pack.
type Writer struct{}

// A File is a closed local pack, open for reading.
type File interface {
	io.ReaderAt
	io.Closer
}

func Open(dir string, capBytes int64) (*Store, error) { return nil, errors.ErrUnsupported }
func OpenSplit(staged, cached string, capBytes int64) (*Store, error) {
	return nil, errors.ErrUnsupported
}
func (s *Store) Close() error                               { return nil }
func (s *Store) Create() (*Writer, error)                   { return nil, errors.ErrUnsupported }
func (w *Writer) Append(sealed []byte) (int64, error)       { return 0, errors.ErrUnsupported }
func (w *Writer) Size() int64                               { return 0 }
func (w *Writer) ID() ID                                    { return ID{} }
func (w *Writer) Close() (ID, error)                        { return ID{}, errors.ErrUnsupported }
func (w *Writer) Abort() error                              { return nil }
func (s *Store) Resolve(id ID) (ID, bool)                   { return id, true }
func (s *Store) ReadAt(id ID, off, n int64) ([]byte, error) { return nil, errors.ErrUnsupported }
func (s *Store) OpenPack(id ID) (File, int64, error)        { return nil, 0, errors.ErrUnsupported }
func (s *Store) Pin(id ID) error                            { return nil }
func (s *Store) Unpin(id ID) error                          { return nil }
func (s *Store) Packs() []ID                                { return nil }
func (s *Store) Staged() []ID                               { return nil }
func (s *Store) Read(ctx context.Context, from []storage.Provider, id ID, off, n int64, check func([]byte) error, blame func(url string, err error)) ([]byte, error) {
	return nil, errors.ErrUnsupported
}

package crypto

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"
)

// ErrPassphrase is every failure to open a keystore that could be read: a
// wrong passphrase and a damaged file look the same. It is an ErrOpen.
var ErrPassphrase = fmt.Errorf("wrong passphrase, or the keystore is damaged: %w", ErrOpen)

const (
	keystoreMagic = "satchel keystore v1\n"
	keystoreMax   = 1 << 20
	saltLen       = 16
	keystoreHead  = len(keystoreMagic) + 4 + 4 + 1 + saltLen + chacha20poly1305.NonceSizeX
)

// A cost is what Argon2id takes.
type cost struct {
	time, memory uint32 // passes, KiB
	threads      uint8
}

// keystoreCost is what new keystores get: RFC 9106's second recommendation.
var keystoreCost = cost{time: 3, memory: 64 << 10, threads: 4}

// valid keeps a planted file from taking the machine's memory or the day.
func (c cost) valid() bool {
	return c.time >= 1 && c.time <= 16 && c.threads >= 1 && c.memory >= 8*uint32(c.threads) && c.memory <= 1<<20
}

// CreateKeystore writes a new keystore with mode 0600. There must be no file
// at path: else the error satisfies errors.Is(err, os.ErrExist).
func CreateKeystore(path string, pass []byte, ks *Keystore) error {
	return writeKeystore(path, pass, ks, func(temp string) error {
		defer os.Remove(temp)
		return os.Link(temp, path) // unlike a rename it replaces nothing
	})
}

// SaveKeystore replaces the keystore at path, all or nothing.
func SaveKeystore(path string, pass []byte, ks *Keystore) error {
	return writeKeystore(path, pass, ks, func(temp string) error { return os.Rename(temp, path) })
}

// writeKeystore writes a synced temporary file and has place put it at path.
func writeKeystore(path string, pass []byte, ks *Keystore, place func(temp string) error) error {
	plain, err := ks.encode()
	if err != nil {
		return fmt.Errorf("keystore %s: %w", path, err)
	}
	defer clear(plain)
	sealed := sealKeystore(pass, plain, keystoreCost)
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".keystore-*") // mode 0600
	if err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	_, err = f.Write(sealed)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = place(f.Name())
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("keystore: %w", err)
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("keystore: sync %s: %w", dir, err)
	}
	return nil
}

// OpenKeystore reads the keystore at path. A file that can't be read gives the
// system's error, everything after that ErrPassphrase.
func OpenKeystore(path string, pass []byte) (*Keystore, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, keystoreMax+1))
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	ks, err := openKeystore(pass, raw)
	if err != nil {
		return nil, fmt.Errorf("keystore %s: %w", path, ErrPassphrase)
	}
	return ks, nil
}

func openKeystore(pass, raw []byte) (*Keystore, error) {
	c, err := parseCost(raw)
	if err != nil {
		return nil, err
	}
	head, text := raw[:keystoreHead], raw[keystoreHead:]
	plain, err := c.cipher(pass, head).open(head, text)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return decodeKeystore(plain)
}

// sealKeystore returns the bytes of a keystore's file.
func sealKeystore(pass, plain []byte, c cost) []byte {
	head := make([]byte, keystoreHead, keystoreHead+len(plain)+chacha20poly1305.Overhead)
	n := copy(head, keystoreMagic)
	binary.BigEndian.PutUint32(head[n:], c.time)
	binary.BigEndian.PutUint32(head[n+4:], c.memory)
	head[n+8] = c.threads
	randomBytes(head[n+9:]) // salt and nonce
	return c.cipher(pass, head).seal(head, plain)
}

// parseCost checks everything of a keystore's file that is not sealed.
func parseCost(raw []byte) (c cost, err error) {
	n := len(keystoreMagic)
	if len(raw) < keystoreHead+chacha20poly1305.Overhead || len(raw) > keystoreMax || string(raw[:n]) != keystoreMagic {
		return c, ErrOpen
	}
	c = cost{binary.BigEndian.Uint32(raw[n:]), binary.BigEndian.Uint32(raw[n+4:]), raw[n+8]}
	if !c.valid() {
		return c, ErrOpen
	}
	return c, nil
}

type keystoreCipher [32]byte

// cipher derives a keystore's cipher from the passphrase and the salt in head.
func (c cost) cipher(pass, head []byte) (k keystoreCipher) {
	salt := head[keystoreHead-chacha20poly1305.NonceSizeX-saltLen:][:saltLen]
	b := argon2.IDKey(pass, salt, c.time, c.memory, c.threads, uint32(len(k)))
	copy(k[:], b)
	clear(b)
	return k
}

func nonceOf(head []byte) []byte {
	return head[keystoreHead-chacha20poly1305.NonceSizeX : keystoreHead]
}

func (k keystoreCipher) seal(head, plain []byte) []byte {
	aead, err := chacha20poly1305.NewX(k[:])
	if err != nil {
		panic(err) // only for keys of another length
	}
	return aead.Seal(head, nonceOf(head), plain, head)
}

func (k keystoreCipher) open(head, text []byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(k[:])
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, nonceOf(head), text, head)
}

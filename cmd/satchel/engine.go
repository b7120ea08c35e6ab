package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"satchel/chain"
	"satchel/chain/registrar"
	"satchel/crypto"
	"satchel/fs"
	"satchel/fs/drive"
	"satchel/storage"
	"satchel/storage/disk"
	"satchel/storage/web"
)

// drivers is the table of all storage drivers, by URL scheme.
var drivers = storage.Mux{
	"file":  disk.Open,
	"http":  web.Open,
	"https": web.Open,
}

// An engine does what commands ask for in the home whose lock its process has.
// What it needs, keystore, chain and drive, is opened when first needed.
type engine struct {
	h      *home
	cfg    *config
	log    *slog.Logger
	unlock func() ([]byte, error) // gets the passphrase

	mu        sync.Mutex
	keys      *crypto.Keystore
	names     *names
	drive     *drive.Drive
	registrar *registrar.Registrar // made by queue
	mount     *fs.Mount            // of a daemon
	dir       string               // where it is mounted
	setAside  bool                 // damaged journals
	realDir   string               // the same without symbolic links

	syncRemote time.Duration // how long fsync waits for the quorum; 0: not at all
}

func newEngine(h *home, cfg *config, log *slog.Logger, unlock func() ([]byte, error)) *engine {
	return &engine{h: h, cfg: cfg, log: log, unlock: unlock}
}

// Close closes what was opened.
func (e *engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var err error
	if e.drive != nil {
		err = e.drive.Close()
	}
	if e.names != nil {
		err = errors.Join(err, e.names.Close())
	}
	e.drive, e.names = nil, nil
	return err
}

// openKeys returns the keystore.
func (e *engine) openKeys() (*crypto.Keystore, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lockedKeys()
}

func (e *engine) lockedKeys() (*crypto.Keystore, error) {
	if e.keys != nil {
		return e.keys, nil
	}
	pass, err := e.unlock()
	if err != nil {
		return nil, err
	}
	ks, err := crypto.OpenKeystore(e.h.keystore(), pass)
	clear(pass)
	if err != nil {
		return nil, err
	}
	if ks.Name != e.cfg.Name {
		return nil, failf(exitConfig, "%s says the name is %s, but the keystore is of %s; mend the config", e.h.config, e.cfg.Name, ks.Name)
	}
	e.keys = ks
	return ks, nil
}

// openNames returns what the chain knows.
func (e *engine) openNames(ctx context.Context) (*names, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lockedNames(ctx)
}

func (e *engine) lockedNames(ctx context.Context) (*names, error) {
	if e.names != nil {
		return e.names, nil
	}
	n, err := openNames(ctx, e.h, e.cfg, e.log)
	e.names = n
	return n, err
}

// openDrive returns the drive.
func (e *engine) openDrive(ctx context.Context) (*drive.Drive, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.drive != nil {
		return e.drive, nil
	}
	ks, err := e.lockedKeys()
	if err != nil {
		return nil, err
	}
	n, err := e.lockedNames(ctx)
	if err != nil {
		return nil, err
	}
	if n.Network() != ks.Network {
		return nil, failf(exitChain, "the chain at %s is another one than that on which %s was made", n.src.address(), ks.Name)
	}
	e.drive, err = drive.Open(ctx, drive.Options{
		Name:       chain.Name(ks.Name),
		Keys:       ks,
		Names:      n,
		Mux:        drivers,
		Foreign:    e.cfg.policy(),
		Providers:  e.cfg.providers(),
		Copies:     e.cfg.Copies,
		Quorum:     e.cfg.Quorum,
		Dir:        e.h.drive(),
		Cache:      filepath.Join(e.h.cache, "packs"),
		CacheBytes: int64(e.cfg.Cache),
		Poll:       e.cfg.poll(),
		SetAside:   e.setAside,
		UID:        uint32(os.Getuid()),
		GID:        uint32(os.Getgid()),
		SyncRemote: e.syncRemote,
		Log:        e.log,
	})
	return e.drive, err
}

// startTimeout bounds what opening asks of the network.
const startTimeout = 30 * time.Second

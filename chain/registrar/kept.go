package registrar

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
)

// keptTx is what a file of Dir holds.
type keptTx struct {
	Op  string `json:"op"`
	Arg string `json:"arg"`
	Tx  string `json:"tx"`
}

func (r *Registrar) path(n chain.Name) string { return filepath.Join(r.Dir, string(n)+".json") }

// kept returns the transaction that was last sent for the name, if it is this
// operation's. A file that can't be read is as good as none: at worst the
// operation is paid twice.
func (r *Registrar) kept(n chain.Name, o *operation) (*wire.MsgTx, bool) {
	if r.Dir == "" {
		return nil, false
	}
	b, err := os.ReadFile(r.path(n))
	if err != nil {
		return nil, false
	}
	var k keptTx
	if json.Unmarshal(b, &k) != nil || k.Op != o.what || k.Arg != o.arg {
		return nil, false
	}
	raw, err := hex.DecodeString(k.Tx)
	tx := new(wire.MsgTx)
	if err != nil || tx.Deserialize(bytes.NewReader(raw)) != nil {
		return nil, false
	}
	return tx, true
}

// keep writes down what is about to be sent.
func (r *Registrar) keep(n chain.Name, o *operation, tx *wire.MsgTx) error {
	if r.Dir == "" {
		return nil
	}
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return err
	}
	b, err := json.Marshal(keptTx{Op: o.what, Arg: o.arg, Tx: hex.EncodeToString(encode(tx))})
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(r.Dir, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), r.path(n)); err != nil {
		return err
	}
	d, err := os.Open(r.Dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// forget removes what keep wrote.
func (r *Registrar) forget(n chain.Name) error {
	if r.Dir == "" {
		return nil
	}
	if err := os.Remove(r.path(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

package drive

import (
	"encoding/hex"
	"path/filepath"

	"satchel/crypto"
	"satchel/fs/profile"
)

// journal is the folder of a volume's journal. Its name tells nothing.
func (d *Drive) journal(of profile.Volume) string {
	name := crypto.LocalKey(d.opt.Keys.LocalSecret, "journal folder", of.Key())
	return filepath.Join(d.opt.Dir, "journal", hex.EncodeToString(name[:16]))
}

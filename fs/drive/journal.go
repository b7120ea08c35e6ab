package drive

import (
	"encoding/hex"
	"path/filepath"

	"satchel/crypto"
	"satchel/fs/journal"
	"satchel/fs/profile"
)

// journal is the folder of a volume's journal. Its name tells nothing.
func (d *Drive) journal(of profile.Volume) string {
	name := crypto.LocalKey(d.opt.Keys.LocalSecret, "journal folder", of.Key())
	return filepath.Join(d.opt.Dir, "journal", hex.EncodeToString(name[:16]))
}

// dropLeft removes the packs to which no journal refers, when all were read. What
// was set aside may refer to any.
func (d *Drive) dropLeft() error {
	kept, err := journal.Kept(filepath.Join(d.opt.Dir, "journal", "*"))
	if err != nil || len(kept) > 0 {
		return err
	}
	return d.packs.DropLeft()
}

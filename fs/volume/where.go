package volume

import (
	"context"
	"strings"

	"satchel/fs/tree"
)

// At returns what stands at a path below the volume's folder now, committed or
// not; "" is the folder. No node is made for it.
func (v *Volume) At(ctx context.Context, path string) (info tree.Info, err error) {
	err = v.do(ctx, func() error {
		info = tree.Info{Kind: tree.Dir}
		for name := range strings.SplitSeq(path, "/") {
			if name == "" {
				continue
			}
			var err error
			if info, err = v.tree.Lookup(info.ID, name); err != nil {
				return err
			}
		}
		return nil
	})
	return info, err
}

// Identity returns what the node is known by, wherever it stands.
func (n *Node) Identity() tree.Identity {
	v := n.lock()
	defer v.mu.Unlock()
	return n.id
}

// Path returns where what is known by id stands now. What has no place, or is in
// a folder that nobody has looked into since the volume was opened, is
// os.ErrNotExist.
func (v *Volume) Path(ctx context.Context, id tree.Identity) (path string, err error) {
	err = v.do(ctx, func() (err error) {
		path, err = v.tree.Path(id)
		return err
	})
	return path, err
}

// Changing counts the files with data that is in no commit.
func (v *Volume) Changing() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.dirty)
}

// InUse returns how many bytes wait in memory.
func (b *Budget) InUse() int64 { return b.inUse() }

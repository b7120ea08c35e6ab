package volume

import (
	"context"
	"slices"
	"strings"

	"satchel/crypto"
	"satchel/fs/tree"
)

// Writer returns the name of a device that wrote in the volume, "" if it is
// not known.
func (v *Volume) Writer(d crypto.DeviceID) string {
	if d == v.opt.Self {
		return v.opt.Name
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.tree.Vector()[d].Name
}

// Vouched tells whether what info shows stands in the newest head of the very
// device that is said to have written it. Anything else is another member's word.
func (v *Volume) Vouched(ctx context.Context, info tree.Info) bool {
	v.mu.Lock()
	head, ok := v.heads[info.By]
	path, err := v.tree.Path(info.ID)
	v.mu.Unlock()
	if !ok || err != nil {
		return false
	}
	t, err := tree.Load(head.Writer, head.Name, head.Vector, head.Root, head.Digest, v.cache.load)
	if err != nil {
		return false
	}
	at := tree.Info{Kind: tree.Dir}
	for name := range strings.SplitSeq(path, "/") {
		err := v.do(ctx, func() (err error) {
			at, err = t.Lookup(at.ID, name)
			return err
		})
		if err != nil {
			return false
		}
	}
	return at.ID == info.ID && at.DataDot == info.DataDot && at.Size == info.Size &&
		slices.Equal(at.Content.Refs, info.Content.Refs) && slices.Equal(at.Content.Inline, info.Content.Inline)
}

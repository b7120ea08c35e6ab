// Package disk keeps blobs as files in a folder.
package disk

import (
	"context"
	"errors"

	"satchel/storage"
)

// Open is the storage.Opener for file:///abs/path.
func Open(ctx context.Context, rawURL string, o storage.Options) (storage.Driver, error) {
	return nil, errors.ErrUnsupported
}

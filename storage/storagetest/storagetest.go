// Package storagetest has the suite that every driver passes, and drivers that
// misbehave.
package storagetest

import (
	"testing"

	"satchel/storage"
)

// Test runs the suite; open returns an empty driver.
func Test(t *testing.T, open func(t *testing.T) storage.Driver) {}

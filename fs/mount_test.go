package fs

import "testing"

// TestStories has children do in a mount what programs do on a disk.
func TestStories(t *testing.T) {
	for name := range stories {
		t.Run(name, func(t *testing.T) { newPlace(t).tell(name) })
	}
}

package fs

import (
	"sync"

	"bazil.org/fuse"

	"satchel/fs/drive"
)

// Handles are the open files and folders, by the kernel's number.
type handles struct {
	mu    sync.RWMutex
	files map[fuse.HandleID]*drive.Handle
	dirs  map[fuse.HandleID]*dirStream
	last  fuse.HandleID
}

func newHandles() *handles {
	return &handles{files: make(map[fuse.HandleID]*drive.Handle), dirs: make(map[fuse.HandleID]*dirStream)}
}

func (t *handles) addFile(h *drive.Handle) fuse.HandleID {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	t.files[t.last] = h
	return t.last
}

func (t *handles) addDir(d *dirStream) fuse.HandleID {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	t.dirs[t.last] = d
	return t.last
}

// file returns an open file, nil if there is none.
func (t *handles) file(id fuse.HandleID) *drive.Handle {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.files[id]
}

// dir returns an open folder, nil if there is none.
func (t *handles) dir(id fuse.HandleID) *dirStream {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.dirs[id]
}

// remove ends a handle's use; of a file it returns what has to be released.
func (t *handles) remove(id fuse.HandleID) *drive.Handle {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.files[id]
	delete(t.files, id)
	delete(t.dirs, id)
	return h
}

// clear releases everything: the kernel is gone.
func (t *handles) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, h := range t.files {
		delete(t.files, id)
		h.Release()
	}
	clear(t.dirs)
}

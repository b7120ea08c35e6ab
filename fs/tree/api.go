package tree

import (
	"errors"

	"satchel/crypto"
)

var errTodo = errors.New("not there yet")

type Tree struct{}

func New(self crypto.DeviceID, name string) *Tree { return &Tree{} }
func Load(self crypto.DeviceID, name string, vec Vector, root Ref, digest crypto.Hash, ld Loader) (*Tree, error) {
	return nil, errTodo
}
func (t *Tree) Vector() Vector                                         { return nil }
func (t *Tree) Root() Ref                                              { return Ref{} }
func (t *Tree) Digest() crypto.Hash                                    { return crypto.Hash{} }
func (t *Tree) Dirty() bool                                            { return false }
func (t *Tree) Lookup(dir Identity, name string) (Info, error)         { return Info{}, errTodo }
func (t *Tree) List(dir Identity) ([]Info, error)                      { return nil, errTodo }
func (t *Tree) Get(id Identity) (Info, error)                          { return Info{}, errTodo }
func (t *Tree) Path(id Identity) (string, error)                       { return "", errTodo }
func (t *Tree) Create(dir Identity, name string, n Spec) (Info, error) { return Info{}, errTodo }
func (t *Tree) SetAttr(id Identity, edit func(*Attr)) (Info, error)    { return Info{}, errTodo }
func (t *Tree) SetMtime(id Identity, mtime, now int64) (Info, error)   { return Info{}, errTodo }
func (t *Tree) SetData(known Info, base Dot, c Content, mtime, now int64) (Info, error) {
	return Info{}, errTodo
}
func (t *Tree) Rename(fromDir Identity, fromName string, toDir Identity, toName string, noReplace bool, now int64) (Info, *Info, error) {
	return Info{}, nil, errTodo
}
func (t *Tree) Remove(dir Identity, name string, isDir bool, now int64) (Info, error) {
	return Info{}, errTodo
}

type Subtree struct{}

func (s *Subtree) Owners() []string                                { return nil }
func (t *Tree) Export(dir Identity, name string) (*Subtree, error) { return nil, errTodo }
func (t *Tree) Graft(dir Identity, name string, sub *Subtree, newID func(old Identity) Identity, now int64) (Info, error) {
	return Info{}, errTodo
}
func (t *Tree) RemoveAll(dir Identity, name string, now int64) error { return errTodo }
func (t *Tree) Flush(seq uint64, sink Sink) (Ref, crypto.Hash, error) {
	return Ref{}, crypto.Hash{}, errTodo
}
func (t *Tree) Join(h Head, ld Loader) ([]Change, error) { return nil, errTodo }
func (t *Tree) Evict()                                   {}
func (c Content) Chunk(ld Loader, i uint64) (Ref, error) { return Ref{}, errTodo }
func (c Content) Edit(ld Loader, sink Sink, size uint64, chunks map[uint64]Ref) (Content, error) {
	return Content{}, errTodo
}
func (c Content) EachRef(ld Loader, f func(Ref) error) error { return errTodo }

package tree

import (
	"satchel/crypto"
	"satchel/crypto/canon"
)

// The first byte of a node says what it is.
const (
	kindRoot  = 1
	kindPage  = 2
	kindIndex = 3
	kindFile  = 4
)

// maxNode bounds a node's plaintext.
const maxNode = 1 << 20

type wirePage struct {
	Writers []crypto.DeviceID `cbor:"1,keyasint,omitempty"`
	Packs   []wirePack        `cbor:"2,keyasint,omitempty"`
	Entries []wireEntry       `cbor:"3,keyasint,omitempty"`
	Stubs   []wireStub        `cbor:"4,keyasint,omitempty"`
	Ways    []wireWay         `cbor:"5,keyasint,omitempty"`
}

type wireStub struct {
	_    struct{} `cbor:",toarray"`
	Name []byte
	ID   Identity
}

type wirePack struct {
	_     struct{} `cbor:",toarray"`
	Owner string
	ID    []byte // empty: the pack of this node
}

type wireEntry struct {
	ID       Identity      `cbor:"1,keyasint"`
	Versions []wireVersion `cbor:"2,keyasint,omitempty"`
	Links    []wireLink    `cbor:"3,keyasint,omitempty"` // in a version and not live
	Data     []wireDot     `cbor:"4,keyasint,omitempty"` // in a version and not live
	Top      *wireRef      `cbor:"5,keyasint,omitempty"`
	Digest   crypto.Hash   `cbor:"6,keyasint,omitzero"`
	Table    *wireRef      `cbor:"7,keyasint,omitempty"` // of the root only
	TableSum crypto.Hash   `cbor:"8,keyasint,omitzero"`
	Gone     []Identity    `cbor:"9,keyasint,omitempty"` // of the table only
}

type wireVersion struct {
	Dot    wireDot     `cbor:"1,keyasint"`
	Kind   uint8       `cbor:"2,keyasint,omitempty"`
	Places []wirePlace `cbor:"3,keyasint,omitempty"`
	Mode   uint32      `cbor:"4,keyasint,omitempty"`
	UID    uint32      `cbor:"5,keyasint,omitempty"`
	GID    uint32      `cbor:"6,keyasint,omitempty"`
	Atime  int64       `cbor:"7,keyasint,omitempty"`
	Ctime  int64       `cbor:"8,keyasint,omitempty"`
	Btime  int64       `cbor:"9,keyasint,omitempty"`
	Xattrs []wireXattr `cbor:"10,keyasint,omitempty"`
	Stamp  *wireDot    `cbor:"11,keyasint,omitempty"`
	Data   *wireData   `cbor:"12,keyasint,omitempty"`
	Mtime  int64       `cbor:"13,keyasint,omitempty"`
	Mstamp *wireDot    `cbor:"14,keyasint,omitempty"`
	Extra  canon.Extra `cbor:"-"`
}

type wireDot struct {
	_      struct{} `cbor:",toarray"`
	Writer uint32
	Seq    uint64
}

type wireLink struct {
	_      struct{} `cbor:",toarray"`
	Writer uint32
	Seq    uint64
	Number uint32
}

type wirePlace struct {
	Link   *wireDot `cbor:"1,keyasint,omitempty"`
	Number uint32   `cbor:"2,keyasint,omitempty"`
	Dir    []byte   `cbor:"3,keyasint,omitempty"`
	Name   []byte   `cbor:"4,keyasint"`
	Stamp  *wireDot `cbor:"5,keyasint,omitempty"`
}

type wireXattr struct {
	_     struct{} `cbor:",toarray"`
	Name  []byte
	Value []byte
}

type wireData struct {
	Dot    *wireDot  `cbor:"1,keyasint,omitempty"`
	Inline []byte    `cbor:"2,keyasint,omitempty"`
	Size   uint64    `cbor:"3,keyasint,omitempty"`
	Refs   []wireRef `cbor:"4,keyasint,omitempty"`
	Level  uint8     `cbor:"5,keyasint,omitempty"`
	Copy   uint64    `cbor:"6,keyasint,omitempty"`
}

type wireRef struct {
	_    struct{} `cbor:",toarray"`
	Pack uint32
	Off  uint32
	Len  uint32
	Hash []byte
	Key  []byte
}

type wireIndex struct {
	Level    uint8       `cbor:"1,keyasint,omitempty"`
	Packs    []wirePack  `cbor:"2,keyasint,omitempty"`
	Children []wireChild `cbor:"3,keyasint,omitempty"`
}

type wireChild struct {
	_      struct{} `cbor:",toarray"`
	Bits   uint8
	Prefix uint64
	Ref    wireRef
	Digest crypto.Hash
}

type wireFile struct {
	Level uint8      `cbor:"1,keyasint,omitempty"`
	Packs []wirePack `cbor:"2,keyasint,omitempty"`
	Refs  []wireRef  `cbor:"3,keyasint,omitempty"`
}

// A child is what an index says of a page or of another index.
type child struct {
	prefix uint64
	bits   int
	ref    Ref
	digest crypto.Hash
}

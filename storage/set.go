package storage

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"time"
)

// A Provider is one URL and the driver that opens it.
type Provider struct {
	URL    string
	Driver Driver
}

// A Fault is what was last wrong with a provider.
type Fault struct {
	URL  string
	Err  error
	Time time.Time
}

// A Result is how a write to one provider went.
type Result struct {
	URL string
	Err error
}

// A Copy is one provider's copy of a blob, not verified.
type Copy struct {
	URL  string
	Data []byte
	Err  error
}

// A Set is the providers of one name.
type Set struct {
	ps             []Provider
	copies, quorum int
}

func NewSet(ps []Provider, copies, quorum int) *Set {
	return &Set{ps: slices.Clone(ps), copies: copies, quorum: quorum}
}
func (s *Set) N() int                      { return len(s.ps) }
func (s *Set) Copies() int                 { return s.copies }
func (s *Set) Quorum() int                 { return s.quorum }
func (s *Set) URLs() []string              { return nil }
func (s *Set) Providers() []Provider       { return s.ps }
func (s *Set) Each() iter.Seq[Provider]    { return slices.Values(s.Providers()) }
func (s *Set) Blame(url string, err error) {}
func (s *Set) Faults() []Fault             { return nil }
func (s *Set) Put(ctx context.Context, key string, data io.ReaderAt, size int64, have func(url string) bool) []Result {
	return []Result{{Err: errors.ErrUnsupported}}
}
func (s *Set) GetAll(ctx context.Context, key string, limit int64) []Copy { return nil }
func (s *Set) Delete(ctx context.Context, key string) []Result            { return nil }

package storage

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"syscall"
)

// ErrTooLarge reports a blob that is longer than its reader or its provider
// takes.
var ErrTooLarge = errors.New("blob too large")

// ErrRefused reports a URL that a Policy does not allow.
var ErrRefused = refused{}

type refused struct{}

func (refused) Error() string { return "URL refused by policy" }

// Is makes a refused URL a permission that is missing.
func (refused) Is(target error) bool { return target == os.ErrPermission }

// hopeless are the errors that the same request will meet again.
var hopeless = []error{
	os.ErrNotExist, os.ErrPermission, os.ErrInvalid, os.ErrExist, ErrTooLarge,
	syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EFBIG,
	syscall.ENAMETOOLONG, syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP,
	context.Canceled, errors.ErrUnsupported,
}

// CanPass tells whether the same request may well succeed a little later, so
// that it is worth being tried again: a provider that is down or busy, but not
// a refused token, a blob that isn't there or a disk that is full.
func CanPass(err error) bool {
	for _, h := range hopeless {
		if errors.Is(err, h) {
			return false
		}
	}
	var cert *tls.CertificateVerificationError
	return err != nil && !errors.As(err, &cert)
}

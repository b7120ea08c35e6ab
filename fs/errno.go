package fs

import (
	"context"
	"errors"
	"os"
	"syscall"
)

// passed are the numbers that a program may expect of a file system. Any other,
// such as a refused connection on the way to a provider, is an input/output
// error to it.
var passed = map[syscall.Errno]bool{
	syscall.EPERM: true, syscall.ENOENT: true, syscall.EINTR: true, syscall.EIO: true,
	syscall.ENXIO: true, syscall.E2BIG: true, syscall.EBADF: true, syscall.EAGAIN: true,
	syscall.ENOMEM: true, syscall.EACCES: true, syscall.EBUSY: true, syscall.EEXIST: true,
	syscall.EXDEV: true, syscall.ENOTDIR: true, syscall.EISDIR: true, syscall.EINVAL: true,
	syscall.EFBIG: true, syscall.ENOSPC: true, syscall.EROFS: true, syscall.EMLINK: true,
	syscall.ERANGE: true, syscall.ENAMETOOLONG: true, syscall.ENOSYS: true,
	syscall.ENOTEMPTY: true, syscall.ELOOP: true, syscall.ENODATA: true,
	syscall.EOVERFLOW: true, syscall.EOPNOTSUPP: true, syscall.ESTALE: true, syscall.EDQUOT: true,
}

// errno is the one place where an error becomes a number for the kernel.
func errno(err error) syscall.Errno {
	var n syscall.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &n):
		if passed[n] {
			return n
		}
	case errors.Is(err, os.ErrNotExist):
		return syscall.ENOENT
	case errors.Is(err, os.ErrExist):
		return syscall.EEXIST
	case errors.Is(err, os.ErrPermission):
		return syscall.EACCES
	case errors.Is(err, context.Canceled):
		return syscall.EINTR
	}
	return syscall.EIO // a deadline too, and what doesn't verify
}

// content is for errors of reading and writing what is open already: there "no
// such file" can only be a part of it that is missing.
func content(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return lost{err}
	}
	return err
}

// lost keeps an error's text but not its kind.
type lost struct{ err error }

func (l lost) Error() string { return l.err.Error() }

package fs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"satchel/chain"
)

func isErr(err, want error) bool { return errors.Is(err, want) }

func TestErrno(t *testing.T) {
	for _, c := range []struct {
		err  error
		want syscall.Errno
	}{
		{nil, 0},
		{os.ErrNotExist, syscall.ENOENT},
		{fmt.Errorf("People/x.id: %w", chain.ErrUnknownName), syscall.ENOENT},
		{os.ErrExist, syscall.EEXIST},
		{fmt.Errorf("no data key: %w", os.ErrPermission), syscall.EACCES},
		{syscall.EPERM, syscall.EPERM},
		{fmt.Errorf("folder: %w", syscall.ENOTEMPTY), syscall.ENOTEMPTY},
		{syscall.EXDEV, syscall.EXDEV},
		{syscall.EROFS, syscall.EROFS},
		{syscall.ENOSPC, syscall.ENOSPC},
		{syscall.ENODATA, syscall.ENODATA},
		{&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, syscall.ENOSPC},
		{context.Canceled, syscall.EINTR},
		{fmt.Errorf("fetch: %w", context.DeadlineExceeded), syscall.EIO},
		{io.ErrUnexpectedEOF, syscall.EIO},
		{errors.New("does not verify"), syscall.EIO},
		// What happens on the way to a provider is nothing that a program expects
		// of a file.
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, syscall.EIO},
		{syscall.ETIMEDOUT, syscall.EIO},
		{syscall.EMFILE, syscall.EIO},
	} {
		if got := errno(c.err); got != c.want {
			t.Errorf("%v: got %v, want %v", c.err, got, c.want)
		}
	}
}

func TestMissingPartOfAFileIsNoMissingFile(t *testing.T) {
	err := content(fmt.Errorf("pack 12: %w", os.ErrNotExist))
	if got := errno(err); got != syscall.EIO {
		t.Errorf("got %v, want EIO", got)
	}
	if err.Error() != "pack 12: file does not exist" {
		t.Errorf("text is lost: %v", err)
	}
	if got := errno(content(syscall.ENOSPC)); got != syscall.ENOSPC {
		t.Errorf("got %v, want ENOSPC", got)
	}
	if content(nil) != nil {
		t.Error("no error became one")
	}
}

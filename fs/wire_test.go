package fs

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"bazil.org/fuse"

	"satchel/fs/drive"
)

// TestDoorFits fails if the library's layout is no longer the one that door.go
// counts on. The mount works then, but slower and without RENAME2.
func TestDoorFits(t *testing.T) {
	if !door {
		t.Fatal("the library's layout has changed: see door.go")
	}
	// The option does to the library's struct what it should.
	option := initFlags(fuse.InitDoReaddirplus | fuse.InitAtomicTrunc)
	conf := reflect.New(reflect.TypeOf(option).In(0).Elem())
	flags := conf.Elem().FieldByName("initFlags")
	for _, o := range []fuse.MountOption{fuse.AsyncRead(), option} {
		if err := reflect.ValueOf(o).Call([]reflect.Value{conf})[0]; !err.IsNil() {
			t.Fatal(err)
		}
	}
	if got, want := fuse.InitFlags(flags.Uint()), fuse.InitAsyncRead|fuse.InitDoReaddirplus|fuse.InitAtomicTrunc; got != want {
		t.Fatalf("flags: got %v, want %v", got, want)
	}
	// A body is found in a request that is made as the library makes it.
	r := &fuse.UnrecognizedRequest{Opcode: opRename2}
	if b := body(r); b != nil {
		t.Fatalf("a request without a message has body %q", b)
	}
	msg := reflect.ValueOf(&r.Header).Elem().FieldByName("msg")
	m := reflect.New(msg.Type().Elem())
	set(m.Elem().FieldByName("buf"), []byte("header, body"))
	set(m.Elem().FieldByName("off"), len("header, "))
	reflect.NewAt(msg.Type(), msg.Addr().UnsafePointer()).Elem().Set(m)
	if b := body(r); string(b) != "body" {
		t.Fatalf("body: got %q", b)
	}
}

func set(field reflect.Value, v any) {
	reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem().Set(reflect.ValueOf(v))
}

func TestUnixMode(t *testing.T) {
	for _, c := range []struct {
		mode os.FileMode
		want uint32
	}{
		{0o644, syscall.S_IFREG | 0o644},
		{os.ModeDir | os.ModeSticky | 0o777, syscall.S_IFDIR | syscall.S_ISVTX | 0o777},
		{os.ModeSetuid | os.ModeSetgid | 0o755, syscall.S_IFREG | syscall.S_ISUID | syscall.S_ISGID | 0o755},
		{os.ModeSymlink | 0o777, syscall.S_IFLNK | 0o777},
		{os.ModeNamedPipe, syscall.S_IFIFO},
		{os.ModeSocket, syscall.S_IFSOCK},
		{os.ModeDevice, syscall.S_IFBLK},
		{os.ModeDevice | os.ModeCharDevice, syscall.S_IFCHR},
	} {
		if got := unixMode(c.mode); got != c.want {
			t.Errorf("%v: got %o, want %o", c.mode, got, c.want)
		}
	}
}

// A kernelAttr is struct fuse_attr of the kernel's uapi/linux/fuse.h.
type kernelAttr struct {
	ino, size, blocks               uint64
	atime, mtime, ctime             int64
	atimensec, mtimensec, ctimensec uint32
	mode, nlink, uid, gid, rdev     uint32
	blksize, flags                  uint32
}

func TestEntryBytes(t *testing.T) {
	a := drive.Attr{
		Inode: 7, Size: 1 << 40, Blocks: 9, Mode: 0o640, Nlink: 3, UID: 1000, GID: 1001, Rdev: 5,
		Atime: time.Unix(1, 2), Mtime: time.Unix(-1, 999_999_999), Ctime: time.Unix(3, 4),
	}
	b := appendEntry(nil, 42, 90*time.Second+time.Millisecond, time.Second, a)
	if len(b) != entrySize || int(unsafe.Sizeof(kernelAttr{})) != attrSize {
		t.Fatalf("an entry has %d bytes, attributes %d", len(b), unsafe.Sizeof(kernelAttr{}))
	}
	for i, want := range []uint64{42, 0, 90, 1, 1_000_000} {
		got := order.Uint64(b[8*i:])
		if i == 4 {
			got = uint64(order.Uint32(b[32:]))
		}
		if got != want {
			t.Errorf("field %d: got %d, want %d", i, got, want)
		}
	}
	got := *(*kernelAttr)(unsafe.Pointer(&b[40]))
	want := kernelAttr{
		ino: 7, size: 1 << 40, blocks: 9, atime: 1, mtime: -1, ctime: 3, atimensec: 2, mtimensec: 999_999_999, ctimensec: 4,
		mode: syscall.S_IFREG | 0o640, nlink: 3, uid: 1000, gid: 1001, rdev: 5, blksize: 4096,
	}
	if got != want {
		t.Errorf("attributes:\ngot  %+v\nwant %+v", got, want)
	}
	if n := len(appendAttrOut(nil, keep, a)); n != 16+attrSize {
		t.Errorf("attributes alone: %d bytes", n)
	}
	if n := len(appendOpen(nil, 1, 0)); n != openSize {
		t.Errorf("open: %d bytes", n)
	}
}

// TestDirents compares with the library, which counts offsets in bytes.
func TestDirents(t *testing.T) {
	for _, name := range []string{"a", "seven77", "eight888", "nine99999", strings.Repeat("x", 255)} {
		got := appendDirent(nil, drive.DirEntry{Name: name, Inode: 77, Type: os.ModeDir}, 0)
		want := fuse.AppendDirent(nil, fuse.Dirent{Inode: 77, Type: fuse.DT_Dir, Name: name})
		copy(want[8:16], make([]byte, 8))
		if !bytes.Equal(got, want) {
			t.Errorf("%q:\ngot  %x\nwant %x", name, got, want)
		}
		if len(got) != direntLen(name) {
			t.Errorf("%q: %d bytes, said %d", name, len(got), direntLen(name))
		}
	}
}

func TestDirentsFillABuffer(t *testing.T) {
	var list []drive.DirEntry
	for range 100 {
		list = append(list, drive.DirEntry{Name: "12345678", Inode: 1})
	}
	b := dirents(list[10:], 10, 100)
	if len(b) != 3*direntLen("12345678") {
		t.Fatalf("%d bytes of 100", len(b))
	}
	if next := order.Uint64(b[2*direntLen("12345678")+8:]); next != 13 {
		t.Fatalf("offset after the third: %d, want 13", next)
	}
	if b := dirents(nil, 100, 100); len(b) != 0 {
		t.Fatalf("%d bytes behind the end", len(b))
	}
}

func FuzzBodies(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00old\x00new\x00"))
	f.Add([]byte("0123456701234567"))
	f.Add([]byte("01234567012345670123"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if in, ok := parseRename2(b); ok {
			again := order.AppendUint64(nil, uint64(in.newDir))
			again = order.AppendUint32(again, in.flags)
			again = append(again, b[12:16]...)
			again = append(again, in.oldName+"\x00"+in.newName+"\x00"...)
			if !bytes.Equal(again, b) {
				t.Errorf("%q was read as %+v", b, in)
			}
		}
		if _, _, size, ok := parseReaddir(b); ok && (len(b) < 20 || size < 0) {
			t.Errorf("%q has size %d", b, size)
		}
	})
}

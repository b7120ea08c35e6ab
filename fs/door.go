package fs

import (
	"reflect"

	"bazil.org/fuse"
)

// The library drops what it doesn't know: it hands out the opcode and the
// header, but not the body, and sets no init flags of its own accord. Both are
// reached here by reflection. The library has not changed since January 2023; a
// test fails should its layout ever do, and without the door the mount works
// with what the library knows.

// Requests that the library doesn't know.
const (
	opReaddirplus   = 44
	opRename2       = 45
	opLseek         = 46
	opCopyFileRange = 47
	opTmpfile       = 51
	opStatx         = 52
)

// door tells whether the library's layout is the one that body and initFlags
// count on.
var door = doorFits()

var (
	msgField, bufField, offField []int // Header.msg, message.buf, message.off
)

func doorFits() bool {
	msg, ok := reflect.TypeFor[fuse.Header]().FieldByName("msg")
	if !ok || msg.Type.Kind() != reflect.Pointer || msg.Type.Elem().Kind() != reflect.Struct {
		return false
	}
	buf, ok := msg.Type.Elem().FieldByName("buf")
	if !ok || buf.Type != reflect.TypeFor[[]byte]() {
		return false
	}
	off, ok := msg.Type.Elem().FieldByName("off")
	if !ok || off.Type != reflect.TypeFor[int]() {
		return false
	}
	option := reflect.TypeFor[fuse.MountOption]()
	if option.Kind() != reflect.Func || option.NumIn() != 1 || option.NumOut() != 1 {
		return false
	}
	conf := option.In(0)
	if conf.Kind() != reflect.Pointer || conf.Elem().Kind() != reflect.Struct {
		return false
	}
	flags, ok := conf.Elem().FieldByName("initFlags")
	if !ok || flags.Type != reflect.TypeFor[fuse.InitFlags]() {
		return false
	}
	options, ok := conf.Elem().FieldByName("options")
	if !ok || options.Type != reflect.TypeFor[map[string]string]() {
		return false
	}
	msgField, bufField, offField = msg.Index, buf.Index, off.Index
	return true
}

// body returns what follows the header of a request that the library doesn't
// know. It is valid until the request is answered.
func body(r *fuse.UnrecognizedRequest) []byte {
	if !door {
		return nil
	}
	msg := reflect.ValueOf(&r.Header).Elem().FieldByIndex(msgField)
	if msg.IsNil() {
		return nil
	}
	buf := msg.Elem().FieldByIndex(bufField).Bytes()
	off := msg.Elem().FieldByIndex(offField).Int()
	if off < 0 || off > int64(len(buf)) {
		return nil
	}
	return buf[off:]
}

// initFlags is a mount option that asks the kernel for flags for which the
// library has none.
func initFlags(flags fuse.InitFlags) fuse.MountOption {
	return configure("initFlags", func(f *fuse.InitFlags) { *f |= flags })
}

// plainOption is a mount option of which the library has no word.
func plainOption(name string) fuse.MountOption {
	return configure("options", func(o *map[string]string) { (*o)[name] = "" })
}

// configure is a mount option that sets a field of the library's configuration.
func configure[T any](name string, set func(*T)) fuse.MountOption {
	option := reflect.TypeFor[fuse.MountOption]()
	f := reflect.MakeFunc(option, func(args []reflect.Value) []reflect.Value {
		field := args[0].Elem().FieldByName(name)
		set(reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Interface().(*T))
		return []reflect.Value{reflect.Zero(option.Out(0))}
	})
	return f.Interface().(fuse.MountOption)
}

// answer sends any bytes as the answer to the request of h.
func answer(h *fuse.Header, b []byte) {
	(&fuse.ReadRequest{Header: *h}).Respond(&fuse.ReadResponse{Data: b})
}

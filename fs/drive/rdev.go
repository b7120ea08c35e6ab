package drive

import "encoding/binary"

// rdevBytes is the content of a device node: its numbers as the kernel encodes
// them, 4 bytes, big-endian.
func rdevBytes(r uint32) []byte { return binary.BigEndian.AppendUint32(nil, r) }

func rdev(b []byte) uint32 {
	if len(b) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

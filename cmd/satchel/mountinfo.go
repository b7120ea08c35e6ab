package main

import (
	"strconv"
	"strings"
)

// fsType is the type of our mounts in the mount table.
const fsType = "fuse.satchel"

// mountedAt reports whether a mount table, as in /proc/self/mountinfo, has a
// Satchel drive at dir.
func mountedAt(table []byte, dir string) bool {
	for line := range strings.Lines(string(table)) {
		left, right, ok := strings.Cut(line, " - ")
		f, g := strings.Fields(left), strings.Fields(right)
		if ok && len(f) > 4 && len(g) > 0 && g[0] == fsType && unescapeMount(f[4]) == dir {
			return true
		}
	}
	return false
}

// unescapeMount undoes the octal escapes of the mount table.
func unescapeMount(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

package tree

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"satchel/crypto"
)

// maxName is the length of the longest file name, in bytes.
const maxName = 255

var suffix = regexp.MustCompile(` \(conflict from [^()/]*, -?\d{4,5}-\d\d-\d\d \d\d\.\d\d\)( \d+)?$`)

// copyName returns the name under which a copy of name is shown:
// "report (conflict from bob.id, 2026-11-22 14.03) 2.pdf", with the number from
// 2 on. A suffix that name already has is replaced; the stem is cut to fit.
func copyName(name, writer string, mtime int64, number int) string {
	stem, ext := splitExt(name)
	stem = suffix.ReplaceAllString(stem, "")
	s := fmt.Sprintf(" (conflict from %s, %s)", writer, time.Unix(0, mtime).UTC().Format("2006-01-02 15.04"))
	if number > 1 {
		s += fmt.Sprintf(" %d", number)
	}
	if len(ext) > maxName/4 {
		stem, ext = stem+ext, ""
	}
	return cut(stem, maxName-len(s)-len(ext)) + s + ext
}

// suffixNumber returns the number at the end of a copy's name, 1 if there is none.
func suffixNumber(name string) int {
	m := suffix.FindStringSubmatch(name)
	if m == nil {
		stem, _ := splitExt(name)
		m = suffix.FindStringSubmatch(stem)
	}
	if m == nil || m[1] == "" {
		return 1
	}
	n, _ := strconv.Atoi(m[1][1:])
	return max(n, 1)
}

// splitExt splits a name before its last dot, if that is neither the first
// letter nor part of a conflict suffix.
func splitExt(name string) (stem, ext string) {
	if suffix.MatchString(name) {
		return name, ""
	}
	i := strings.LastIndexByte(name, '.')
	if i <= 0 {
		return name, ""
	}
	return name[:i], name[i:]
}

// cut returns the beginning of s, at most n bytes of it, without a torn character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for i := n; i > 0 && i > n-utf8.UTFMax; i-- {
		if utf8.RuneStart(s[i]) {
			return s[:i]
		}
	}
	return s[:n]
}

// writerName returns how a copy's name calls the writer of d.
func (t *Tree) writerName(d crypto.DeviceID) string {
	name := t.vec[d].Name
	if d == t.self {
		name = t.name
	}
	if name == "" || len(name) > 64 || !utf8.ValidString(name) || strings.ContainsAny(name, "/()\x00") {
		return d.String()[:8]
	}
	return name
}

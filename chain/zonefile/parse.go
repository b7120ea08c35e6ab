package zonefile

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// Parse reads a zone file, of a name or any other. It wants an $ORIGIN; records
// that are neither TXT nor URI it skips unread.
func Parse(data []byte) (*File, error) {
	if len(data) > maxRead {
		return nil, fmt.Errorf("zone file: %d bytes, at most %d", len(data), maxRead)
	}
	entries, err := split(string(data))
	if err != nil {
		return nil, fmt.Errorf("zone file: %w", err)
	}
	p := parser{file: File{TTL: 3600}}
	for _, e := range entries {
		if err := p.entry(e.text); err != nil {
			return nil, fmt.Errorf("zone file: line %d: %w", e.line, err)
		}
	}
	if p.file.Origin == "" {
		return nil, errors.New("zone file: no $ORIGIN")
	}
	if len(p.keys) == 1 {
		p.file.DataKey = p.keys[0]
	}
	return &p.file, nil
}

// entry is a directive or record on one line.
type entry struct {
	text string
	line int
}

// split cuts a zone into entries: comments, parentheses and line breaks inside
// of strings are gone.
func split(s string) (entries []entry, err error) {
	var b strings.Builder
	quoted, depth, line, begin := false, 0, 1, 1
	flush := func() {
		if strings.TrimSpace(b.String()) != "" {
			entries = append(entries, entry{b.String(), begin})
		}
		b.Reset()
		begin = line
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\n' {
			line++
		}
		switch {
		case c == '\\' && i+1 < len(s) && s[i+1] != '\n':
			b.WriteString(s[i : i+2])
			i++
		case c == '"':
			quoted = !quoted
			b.WriteByte(c)
		case quoted && (c == '\n' || c == '\r'):
		case quoted:
			b.WriteByte(c)
		case c == ';':
			for i+1 < len(s) && s[i+1] != '\n' {
				i++
			}
		case c == '(':
			depth++
			b.WriteByte(' ')
		case c == ')':
			depth--
			b.WriteByte(' ')
		case c == '\n' && depth <= 0:
			depth = 0
			flush()
		case c == '\n' || c == '\r':
			b.WriteByte(' ')
		default:
			b.WriteByte(c)
		}
	}
	if quoted {
		return nil, fmt.Errorf("line %d: a string does not end", begin)
	}
	flush()
	return entries, nil
}

type parser struct {
	file  File
	owner string // of the last record
	keys  [][]byte
}

func (p *parser) entry(text string) error {
	words := strings.Fields(text)
	switch strings.ToUpper(words[0]) {
	case "$ORIGIN":
		return p.origin(words[1:])
	case "$TTL":
		return p.ttl(words[1:])
	}
	if strings.HasPrefix(words[0], "$") {
		return fmt.Errorf("directive %s", words[0])
	}
	rest := text
	if text[0] != ' ' && text[0] != '\t' { // else the name is that of the record before
		p.owner, rest = cutWord(text)
	}
	typ, data := recordType(rest)
	switch typ {
	case "TXT":
		return p.txt(data)
	case "URI":
		return p.uri(p.owner, data)
	}
	return nil
}

// cutWord returns the first word and what follows it.
func cutWord(s string) (word, rest string) {
	s = strings.TrimLeft(s, " \t")
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// origin takes the first $ORIGIN for the file's: later ones are for the names of
// records alone, which don't matter here.
func (p *parser) origin(words []string) error {
	if len(words) != 1 {
		return errors.New("$ORIGIN wants one name")
	}
	if p.file.Origin == "" {
		p.file.Origin = strings.TrimSuffix(words[0], ".")
	}
	return nil
}

func (p *parser) ttl(words []string) error {
	if len(words) != 1 {
		return errors.New("$TTL wants one number")
	}
	n, err := seconds(words[0])
	p.file.TTL = n
	return err
}

// seconds reads 3600 as well as 1h.
func seconds(s string) (uint32, error) {
	units := map[byte]uint64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800}
	unit := uint64(1)
	digits := strings.ToLower(s)
	if u, ok := units[digits[len(digits)-1]]; ok {
		unit, digits = u, digits[:len(digits)-1]
	}
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil || n*unit >= 1<<31 {
		return 0, fmt.Errorf("$TTL %q is not from 0 to 2^31-1", s)
	}
	return uint32(n * unit), nil
}

// recordType returns the type of a record from what follows its name, and what
// follows the type: the type is the first word that is neither a class nor a
// time.
func recordType(s string) (typ, data string) {
	for range 3 {
		var w string
		if w, s = cutWord(s); w == "" {
			return "", ""
		}
		w = strings.ToUpper(w)
		_, class := dns.StringToClass[w]
		if _, err := seconds(w); err != nil && !class {
			return w, s
		}
	}
	return "", ""
}

// texts lets the DNS library read a record's strings. Those of a URI record are
// read as if it were TXT, since the library refuses targets over 255 bytes.
func texts(data string) ([]string, error) {
	zp := dns.NewZoneParser(strings.NewReader("x. 0 IN TXT "+data+"\n"), ".", "")
	rr, _ := zp.Next()
	if err := zp.Err(); err != nil {
		return nil, err
	}
	txt, ok := rr.(*dns.TXT)
	if !ok {
		return nil, errors.New("it cannot be read")
	}
	for i, s := range txt.Txt {
		txt.Txt[i] = unquote(s)
	}
	return txt.Txt, nil
}

func (p *parser) txt(data string) error {
	parts, err := texts(data)
	if err != nil {
		return fmt.Errorf("TXT record: %w", err)
	}
	text, ok := strings.CutPrefix(strings.Join(parts, ""), keyPrefix)
	if !ok {
		return nil
	}
	key, err := hex.DecodeString(text)
	if err != nil || len(key) != 33 && len(key) != 65 {
		key = nil
	}
	p.keys = append(p.keys, key)
	return nil
}

func (p *parser) uri(name, data string) error {
	parts, err := texts(data)
	if err != nil {
		return fmt.Errorf("URI record: %w", err)
	}
	if len(parts) < 3 {
		return errors.New("URI record: want priority, weight and target")
	}
	u := URI{Name: name, Target: strings.Join(parts[2:], "")}
	for i, to := range []*uint16{&u.Priority, &u.Weight} {
		n, err := strconv.ParseUint(parts[i], 10, 16)
		if err != nil {
			return fmt.Errorf("URI record: %q is not from 0 to 65535", parts[i])
		}
		*to = uint16(n)
	}
	if !strings.Contains(u.Target, ":") {
		u.Target = "https://" + u.Target
	}
	p.file.URIs = append(p.file.URIs, u)
	return nil
}

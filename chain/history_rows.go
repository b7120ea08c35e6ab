package chain

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"

	"satchel/chain/ops"
)

// Of each accepted operation the index keeps what the rules read from its
// transaction and what its serialised record adds to that. Operations that were
// rejected changed nothing, not even what became of others, so they are not kept.
//
// A row of kind keyOps has operations of one block, in order. Each is its length,
// then the index of its transaction, flags (1 byte), txid, the operation as on
// the wire without the magic, with its length, script of the sender, key of the
// sender with its length, unless the same as the sender's the recipient's
// script, the fee if there is one (signed), the value hash if it is an import,
// the number of outputs, if there is one the place of the operation before on
// the same subject: how many blocks earlier, its index. The rest is the record: its
// code, how many fields it has, and these as recordFields writes them.
const (
	keptFee = 1 << iota
	keptToSelf
	keptValue
	keptBefore
)

// kept is an accepted operation.
type kept struct {
	tx     *ops.Tx
	before place  // of the last operation on the same subject
	record string // serialised
}

// opsRowSize is how long a row of operations gets, about.
const opsRowSize = 16 << 10

func opsKey(height, index int) []byte {
	return binary.BigEndian.AppendUint32(heightKey(keyOps, height), uint32(index))
}

// writeOps writes the rows of a block's accepted operations.
func (s *state) writeOps(p *Params, txs []*ops.Tx, records []string) {
	var row, op rowWriter
	last := 0
	for i, t := range txs {
		if records[i] == "" {
			continue
		}
		op.b = op.b[:0]
		if err := (kept{t, s.before[t.Index], records[i]}).encode(&op, p, s.height); err != nil {
			s.fail(err)
			return
		}
		if row.b == nil {
			row.b = make([]byte, 0, min(opsRowSize+len(op.b), (len(op.b)+16)*(len(txs)-i)))
		}
		row.bytes(op.b)
		if last = t.Index; len(row.b) >= opsRowSize {
			s.raw(opsKey(s.height, last), row.b)
			row.b = nil
		}
	}
	if len(row.b) > 0 {
		s.raw(opsKey(s.height, last), row.b)
	}
}

// dropOps deletes what writeOps wrote.
func (s *state) dropOps(height int) {
	prefix := heightKey(keyOps, height)
	s.each(prefix, "", func(rest string) bool {
		s.raw(append(slices.Clone(prefix), rest...), nil)
		return true
	})
}

func (k kept) encode(w *rowWriter, p *Params, height int) error {
	t := k.tx
	push, err := ops.Encode(p.Magic, t.Op)
	if err != nil {
		return err
	}
	push = push[len(p.Magic):]
	_, imports := t.Op.(ops.Import)
	earlier := k.before != place{} && k.before.precedes(place{height, t.Index})
	toSelf := bytes.Equal(t.Sender, t.Recipient)
	w.num(t.Index)
	w.byte(bitIf(t.HasFee, keptFee) | bitIf(toSelf, keptToSelf) | bitIf(imports && t.HasValue, keptValue) | bitIf(earlier, keptBefore))
	w.raw(t.Txid[:])
	w.bytes(push)
	w.script(t.Sender)
	w.bytes(t.SenderKey)
	if !toSelf {
		w.script(t.Recipient)
	}
	if t.HasFee {
		w.signed(t.Fee)
	}
	if imports && t.HasValue {
		w.raw(t.Value[:])
	}
	w.num(t.Outputs)
	if earlier {
		w.place(place{height - k.before.height, k.before.index})
	}
	return recordFields{p, t, push}.encode(w, k.record)
}

func bitIf(is bool, bit byte) byte {
	if is {
		return bit
	}
	return 0
}

// parseKept is encode's inverse.
func parseKept(p *Params, height int, b []byte) (k kept, err error) {
	r := rowReader{b: b}
	k, push, err := parseKeptTx(p, height, &r)
	if err != nil {
		return k, err
	}
	f := recordFields{p, k.tx, push}
	k.record = f.decode(&r)
	return k, r.end()
}

// parseKeptTx reads what stands before the record, and takes no more memory than
// the row has bytes. A record that a stranger made up may be far longer than its
// row, since each field can stand for a long script.
func parseKeptTx(p *Params, height int, r *rowReader) (k kept, push []byte, err error) {
	t := &ops.Tx{Index: r.num()}
	flags := r.byte()
	copy(t.Txid[:], r.raw(len(t.Txid)))
	push = r.bytes()
	t.Sender = r.script()
	t.SenderKey = r.bytes()
	if t.Recipient = t.Sender; flags&keptToSelf == 0 {
		t.Recipient = r.script()
	}
	if t.HasFee = flags&keptFee != 0; t.HasFee {
		t.Fee = r.signed()
	}
	if t.HasValue = flags&keptValue != 0; t.HasValue {
		copy(t.Value[:], r.raw(len(t.Value)))
	}
	t.Outputs = r.num()
	k.tx = t
	if flags&keptBefore != 0 {
		k.before = place{height - r.num(), r.num()}
		if !k.before.precedes(place{height, t.Index}) {
			return k, nil, errDamaged // or a history might have no end
		}
	}
	if t.Op, err = ops.Decode(p.Magic, append(slices.Clone(p.Magic[:]), push...)); err != nil || r.bad {
		return k, nil, errDamaged
	}
	return k, push, nil
}

// recordFields writes the fields of a record, most of which the transaction
// knows, as a byte that says which of these they are.
type recordFields struct {
	p    *Params
	t    *ops.Tx
	push []byte
}

const (
	keptText      = iota // length, text
	keptHex              // length, bytes
	keptEmpty            //
	keptNumber           // number
	keptPush             // where in the push, length: text
	keptPushHex          // where in the push, length: bytes
	keptSender           // script
	keptSenderKey        //
	keptRecipient        // script
	keptSenderAddress
	keptRecipientAddress
	keptTxid
)

func (f recordFields) encode(w *rowWriter, record string) error {
	code, fields, err := splitRecord(record)
	if err != nil {
		return err
	}
	w.byte(code)
	w.num(len(fields))
	for _, text := range fields {
		f.encodeField(w, text)
	}
	return nil
}

func (f recordFields) encodeField(w *rowWriter, text string) {
	var space [128]byte
	switch n, isNumber := smallNumber(text); {
	case text == "":
		w.byte(keptEmpty)
	case isNumber:
		w.byte(keptNumber)
		w.num(n)
	case len(text) < 40 && text == f.p.address(f.t.Sender):
		w.byte(keptSenderAddress)
	case len(text) < 40 && text == f.p.address(f.t.Recipient):
		w.byte(keptRecipientAddress)
	default:
		if b, ok := fromHex(space[:0], text); ok {
			f.encodeHex(w, b)
		} else {
			f.encodeText(w, text)
		}
	}
}

func (f recordFields) encodeText(w *rowWriter, text string) {
	if i := bytes.Index(f.push, []byte(text)); i >= 0 {
		w.byte(keptPush)
		w.num(i)
		w.num(len(text))
		return
	}
	w.byte(keptText)
	w.text(text)
}

func (f recordFields) encodeHex(w *rowWriter, b []byte) {
	switch i := bytes.Index(f.push, b); {
	case bytes.Equal(b, f.t.Sender):
		w.byte(keptSender)
	case bytes.Equal(b, f.t.SenderKey):
		w.byte(keptSenderKey)
	case bytes.Equal(b, f.t.Recipient):
		w.byte(keptRecipient)
	case len(b) == len(f.t.Txid) && isReverse(b, f.t.Txid[:]):
		w.byte(keptTxid)
	case i >= 0:
		w.byte(keptPushHex)
		w.num(i)
		w.num(len(b))
	default:
		w.byte(keptHex)
		w.bytes(b)
	}
}

// smallNumber reads a decimal number as it is written back.
func smallNumber(text string) (n int, ok bool) {
	if len(text) == 0 || len(text) > 9 || text[0] == '0' && len(text) > 1 {
		return 0, false
	}
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}

// fromHex appends the bytes that a text in lower case stands for.
func fromHex(b []byte, text string) ([]byte, bool) {
	if len(text)%2 == 1 {
		return nil, false
	}
	for i := 0; i < len(text); i += 2 {
		high, low := strings.IndexByte(hexDigits, text[i]), strings.IndexByte(hexDigits, text[i+1])
		if high < 0 || low < 0 {
			return nil, false
		}
		b = append(b, byte(high<<4|low))
	}
	return b, true
}

const hexDigits = "0123456789abcdef"

func isReverse(a, b []byte) bool {
	for i := range a {
		if a[i] != b[len(b)-1-i] {
			return false
		}
	}
	return true
}

// decode reads what encode wrote.
func (f recordFields) decode(r *rowReader) string {
	rec := record(r.byte())
	for n := r.num(); n > 0 && !r.bad; n-- {
		rec.text(f.decodeField(r))
	}
	return rec.String()
}

func (f recordFields) decodeField(r *rowReader) string {
	switch r.byte() {
	case keptText:
		return r.text()
	case keptHex:
		return hexOf(r.bytes())
	case keptEmpty:
		return ""
	case keptNumber:
		return strconv.Itoa(r.num())
	case keptPush:
		return string(f.piece(r))
	case keptPushHex:
		return hexOf(f.piece(r))
	case keptSender:
		return hexOf(f.t.Sender)
	case keptSenderKey:
		return hexOf(f.t.SenderKey)
	case keptRecipient:
		return hexOf(f.t.Recipient)
	case keptSenderAddress:
		return f.p.address(f.t.Sender)
	case keptRecipientAddress:
		return f.p.address(f.t.Recipient)
	case keptTxid:
		return f.t.Txid.String()
	}
	r.fail()
	return ""
}

// piece reads which part of the push is meant.
func (f recordFields) piece(r *rowReader) []byte {
	from, n := r.num(), r.num()
	if from+n > len(f.push) {
		r.fail()
		return nil
	}
	return f.push[from : from+n]
}

var errRecord = errors.New("a record is not as records are")

// splitRecord returns the code of a record and its fields.
func splitRecord(record string) (code byte, fields []string, err error) {
	if len(record) < 2 || record[1] != ':' {
		return 0, nil, errRecord
	}
	code, record = record[0], record[2:]
	fields = make([]string, 0, 24)
	for {
		digits, rest, _ := strings.Cut(record, ":")
		n, ok := smallNumber(digits)
		if !ok || n > len(rest) {
			return 0, nil, errRecord
		}
		fields = append(fields, rest[:n])
		if len(rest) == n {
			return code, fields, nil
		}
		if rest[n] != ',' {
			return 0, nil, errRecord
		}
		record = rest[n+1:]
	}
}

// operation tells what is kept as others see it.
func (k kept) operation(height int) (o Operation, err error) {
	_, fields, err := splitRecord(k.record)
	if err != nil {
		return o, errDamaged
	}
	o = Operation{Height: height, Index: k.tx.Index, Txid: k.tx.Txid, Op: string(k.tx.Op.Code()), Owner: k.tx.Sender, Record: k.record}
	switch op := k.tx.Op.(type) {
	case ops.NamePreorder, ops.NamespacePreorder:
	case ops.NamespaceReveal:
		o.Subject, o.Owner = op.ID, k.tx.Recipient
	case ops.NamespaceReady:
		o.Subject = op.ID
	default:
		return o, o.ofName(fields)
	}
	return o, nil
}

// ofName takes what an operation on a name made of it from the record's fields,
// the first of which are those of entry.fields.
func (o *Operation) ofName(fields []string) error {
	if len(fields) < 11 {
		return errDamaged
	}
	o.Subject, o.Op = fields[0], fields[10]
	value, err1 := hex.DecodeString(fields[1])
	owner, err2 := hex.DecodeString(fields[2])
	if err1 != nil || err2 != nil || len(value) != 0 && len(value) != 20 {
		return errDamaged
	}
	o.Owner = owner
	if len(value) > 0 {
		o.Value = (*[20]byte)(value)
	}
	return nil
}

// eachKept calls fn with the operations in a row of kind keyOps, from the one
// with an index on, until it gives an error.
func eachKept(p *Params, height, index int, row []byte, fn func(kept) error) error {
	r := rowReader{b: row}
	for len(r.b) > 0 {
		b := r.bytes()
		if own := (&rowReader{b: b}).num(); own < index {
			continue
		}
		k, err := parseKept(p, height, b)
		if err == nil {
			err = fn(k)
		}
		if err != nil {
			return err
		}
	}
	return r.end()
}

package proof

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"satchel/chain"
)

// A Record is an operation on a name, as the ops hash covers it: the name's
// state after it.
type Record struct {
	Op              string `json:"op"` // as in chain.Record
	Name            string `json:"name"`
	Txid            string `json:"txid"`
	Index           int    `json:"index"` // of the transaction in its block
	Owner           string `json:"owner"` // script in hex
	Address         string `json:"address"`
	Value           string `json:"value,omitempty"` // hash of the zone file in hex
	FirstRegistered int    `json:"first_registered"`
	LastRenewed     int    `json:"last_renewed"`
	Revoked         bool   `json:"revoked,omitempty"`
}

// layouts says, by its code, how many fields a record has and which of them is
// the transaction's index.
var layouts = map[byte]struct{ fields, index int }{
	'?': {10, 8}, '*': {10, 5}, '&': {19, 12}, '!': {20, 12},
	':': {18, 12}, ';': {18, 12}, '+': {18, 12}, '>': {19, 12}, '~': {16, 12},
}

var errRecord = errors.New("not a record")

// split takes a record apart: its code, and fields with their lengths before
// them.
func split(record string) (code byte, fields []string, err error) {
	if len(record) < 2 || record[1] != ':' {
		return 0, nil, errRecord
	}
	code = record[0]
	layout, ok := layouts[code]
	if !ok {
		return 0, nil, errRecord
	}
	rest := record[2:]
	for i := 0; i < layout.fields; i++ {
		digits, tail, ok := strings.Cut(rest, ":")
		n, err := strconv.Atoi(digits)
		if !ok || err != nil || n < 0 || n > len(tail) || digits != strconv.Itoa(n) {
			return 0, nil, errRecord
		}
		fields, rest = append(fields, tail[:n]), tail[n:]
		if i == layout.fields-1 {
			break
		}
		if rest == "" || rest[0] != ',' {
			return 0, nil, errRecord
		}
		rest = rest[1:]
	}
	if rest != "" {
		return 0, nil, errRecord
	}
	return code, fields, nil
}

// checkRecords checks that these are all operations of a block with that ops
// hash: each in the form of a record, in the order of their transactions.
func checkRecords(records []string, ops OpsHash, height int) error {
	last := -1
	for i, rec := range records {
		code, fields, err := split(rec)
		if err != nil {
			return fmt.Errorf("%w: operation %d of block %d: %w", ErrForged, i, height, err)
		}
		index, err := strconv.Atoi(fields[layouts[code].index])
		if err != nil || index <= last {
			return fmt.Errorf("%w: operation %d of block %d is out of order", ErrForged, i, height)
		}
		last = index
	}
	if got := OpsHash(chain.OpsHash(records)); got != ops {
		return fmt.Errorf("%w: the operations of block %d have hash %x, not %x", ErrForged, height, got, ops)
	}
	return nil
}

// recordsOf returns those operations that are on a name.
func recordsOf(records []string, name chain.Name) (list []Record, err error) {
	for _, rec := range records {
		code, f, err := split(rec)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrForged, err)
		}
		if code == '?' || code == '*' || code == '&' || code == '!' || f[0] != string(name) {
			continue
		}
		r := Record{Op: f[10], Name: f[0], Txid: f[11], Owner: f[2], Address: f[4], Value: f[1], Revoked: f[9] == "True"}
		for i, into := range map[int]*int{12: &r.Index, 7: &r.FirstRegistered, 8: &r.LastRenewed} {
			if *into, err = strconv.Atoi(f[i]); err != nil {
				return nil, fmt.Errorf("%w: field %d of an operation on %s: %w", ErrForged, i, name, err)
			}
		}
		list = append(list, r)
	}
	return list, nil
}

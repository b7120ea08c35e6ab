// Package subdomain reads and writes names that cost no transaction of their own:
// ada.friends.id is a signed record in the zone files of friends.id, whose owner
// gives such names out. Once given, a name is its owner's: only his signature
// changes it.
//
// # Records
//
// A record is one line of a zone file:
//
//	ada TXT "name=ada.friends.id" "owner=ADDRESS" "seqn=0" "zf=HASH" "via=friends.id" "key=KEY" "sig=SIG"
//
// owner is a p2pkh address, seqn counts from 0, zf is the value hash of ada's own
// zone file (40 hex digits), via is one to four registered names, comma between
// them, whose zone files may carry the next record, key is the signer's compressed
// public key (66 hex digits) and sig a BIP-340 signature (128) by it over the
// SHA-256 of
//
//	"satchel subdomain record", 0, network (10 bytes), name, owner and via, each
//	after its length (1 byte), seqn (8, big-endian), zf (20), and the same SHA-256
//	of the record before (32), zeros for the first
//
// Record 0 is signed by its own owner, each later one by the owner in the one
// before it. Lines in any other form, order or case are no records. A zone file
// has at most 4096 bytes; one line
//
//	_batch TXT "batch:HASH"
//
// names a file of such lines, 1 MiB at most, by its hash, which is made like a
// zone file's. So one transaction carries thousands of records.
//
// # Which records count
//
// The zone files of a name are those whose hashes its updates and imports put on
// the chain, in the chain's order, whoever owned it then. Of ada.friends.id the
// first record 0 in the zone files of friends.id counts, for ever. From there on,
// each record counts that is signed by the owner, follows the last one that counts
// by number and hash, and stands behind it in the zone files of a name in the
// last one's via, all taken together in the chain's order. The result depends on
// the chain alone, and a reorganisation needs nothing but asking again.
//
// # Who may try what
//
//	a registrar forges a record            it lacks the owner's signature
//	shows an old one again                 its number is not the next one
//	changes the order of records           each holds the hash of the one before
//	gives the name to another one later    the first record 0 counts
//	takes a record to another name, chain  name and network are signed
//	leaves a record out                    delay: another name in via may carry it
//	is gone: expired, revoked, sold        what was given stays, for history stays;
//	                                       another name in via goes on
//	doesn't give the bytes of a zone file  see below
//	an owner signs two next records        the first in the chain's order counts
//
// Where bytes of a zone file are missing, a record 0 behind them doesn't count,
// since one could stand in them: the name is unknown, which the error says. Later
// records count, since none but the owner can have signed another one: the state
// is then marked as incomplete. So withholding can delay what a reader sees, or
// show him an older state of the owner's own, and nothing else.
package subdomain

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/txscript/v2"

	"satchel/chain"
	"satchel/chain/ops"
	"satchel/chain/zonefile"
)

const (
	// MaxBatch is the size of a file of records.
	MaxBatch = 1 << 20
	// MaxVia is how many names may carry the next record.
	MaxVia = 4

	maxLine = 1024
	maxSeq  = 1 << 53
)

// ErrRecord reports a record that doesn't count.
var ErrRecord = errors.New("the record doesn't count")

// A Record is one state of a name.
type Record struct {
	Name  chain.Name
	Owner string // address
	Seq   int64
	Value [20]byte // hash of its zone file
	Via   []chain.Name
	Key   [33]byte // of the signer
	Sig   [64]byte
}

// digest is what is signed, and what the next record holds.
func (r *Record) digest(network [10]byte, prev [32]byte) [32]byte {
	b := append([]byte("satchel subdomain record\x00"), network[:]...)
	for _, text := range []string{string(r.Name), r.Owner, r.via()} {
		b = append(append(b, byte(len(text))), text...)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(r.Seq))
	b = append(append(b, r.Value[:]...), prev[:]...)
	return sha256.Sum256(b)
}

func (r *Record) via() string {
	var names []string
	for _, n := range r.Via {
		names = append(names, string(n))
	}
	return strings.Join(names, ",")
}

// sign signs a record.
func (r *Record) sign(key *btcec.PrivateKey, network [10]byte, prev [32]byte) error {
	r.Key = [33]byte(key.PubKey().SerializeCompressed())
	d := r.digest(network, prev)
	sig, err := schnorr.Sign(key, d[:])
	if err != nil {
		return fmt.Errorf("sign record of %s: %w", r.Name, err)
	}
	r.Sig = [64]byte(sig.Serialize())
	return nil
}

// AddressOf returns the address of a key, as owners are written.
func AddressOf(key [33]byte, p *chaincfg.Params) string {
	script := append([]byte{txscript.OP_DUP, txscript.OP_HASH160, 20}, address.Hash160(key[:])...)
	return ops.Address(append(script, txscript.OP_EQUALVERIFY, txscript.OP_CHECKSIG), p)
}

// check says if a record follows another one, nil for none.
func (r *Record) check(p *chain.Params, last *Record, prev [32]byte) error {
	signer, seq := r.Owner, int64(0)
	if last != nil {
		signer, seq = last.Owner, last.Seq+1
	}
	switch {
	case r.Seq != seq:
		return fmt.Errorf("%w: its number is %d, not %d", ErrRecord, r.Seq, seq)
	case AddressOf(r.Key, p.Chain) != signer:
		return fmt.Errorf("%w: it is signed by another key than that of %s", ErrRecord, signer)
	}
	script, err := ops.PayTo(r.Owner, p.Chain)
	if err != nil || !ops.IsPubKeyHash(script) {
		return fmt.Errorf("%w: %s can't own it", ErrRecord, r.Owner)
	}
	key, err := schnorr.ParsePubKey(r.Key[1:])
	if err != nil {
		return fmt.Errorf("%w: no key", ErrRecord)
	}
	sig, err := schnorr.ParseSignature(r.Sig[:])
	d := r.digest(p.Network(), prev)
	if err != nil || !sig.Verify(d[:], key) {
		return fmt.Errorf("%w: its signature doesn't hold", ErrRecord)
	}
	return nil
}

// Line returns a record as a line of a zone file, without its end.
func (r *Record) Line() string {
	return fmt.Sprintf(`%s TXT "name=%s" "owner=%s" "seqn=%d" "zf=%x" "via=%s" "key=%x" "sig=%x"`,
		r.Name.Label(), r.Name, r.Owner, r.Seq, r.Value, r.via(), r.Key, r.Sig)
}

var (
	lineForm = regexp.MustCompile(`^([a-z0-9_-]{1,37}) TXT "name=([a-z0-9_.-]{1,37})" "owner=([A-Za-z0-9]{1,64})" ` +
		`"seqn=(0|[1-9][0-9]{0,15})" "zf=([0-9a-f]{40})" "via=([a-z0-9_.,-]{1,160})" "key=([0-9a-f]{66})" "sig=([0-9a-f]{128})"$`)
	batchForm = regexp.MustCompile(`^_batch TXT "batch:([0-9a-f]{40})"$`)
)

// ParseLine reads a line that Line wrote. The record holds nothing of the line, nor
// of a file that this is a part of.
func ParseLine(line string) (*Record, error) {
	if len(line) > maxLine {
		return nil, fmt.Errorf("%w: %d bytes", ErrRecord, len(line))
	}
	m := lineForm.FindStringSubmatch(line)
	if m == nil {
		return nil, fmt.Errorf("%w: it is no record", ErrRecord)
	}
	r := &Record{Name: chain.Name(strings.Clone(m[2])), Owner: strings.Clone(m[3])}
	if _, ok := r.Name.Parent(); !ok || r.Name.Label() != m[1] {
		return nil, fmt.Errorf("%w: %q is no name below another one, or its label is not %q", ErrRecord, m[2], m[1])
	}
	_, err := chain.ParseName(string(r.Name))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	if r.Seq, err = strconv.ParseInt(m[4], 10, 64); err != nil || r.Seq >= maxSeq {
		return nil, fmt.Errorf("%w: number %s", ErrRecord, m[4])
	}
	if r.Via, err = parseVia(m[6]); err != nil {
		return nil, err
	}
	_, _ = hex.Decode(r.Value[:], []byte(m[5])) // the form says that these are hex
	_, _ = hex.Decode(r.Key[:], []byte(m[7]))
	_, _ = hex.Decode(r.Sig[:], []byte(m[8]))
	return r, nil
}

func parseVia(s string) (via []chain.Name, err error) {
	for _, n := range strings.Split(s, ",") {
		if !ops.ValidName(n) {
			return nil, fmt.Errorf("%w: %q can't carry records: it is no registered name", ErrRecord, n)
		}
		via = append(via, chain.Name(strings.Clone(n)))
	}
	if len(via) > MaxVia {
		return nil, fmt.Errorf("%w: %d names in via, at most %d", ErrRecord, len(via), MaxVia)
	}
	return via, nil
}

// A File is what a zone file, or a file of records, has of subdomains.
type File struct {
	Records []*Record
	Batch   *[20]byte // hash of a file of more records
}

// Parse reads a zone file or a file of records. Whatever is no record is skipped.
func Parse(data []byte) *File {
	f := new(File)
	for line := range strings.SplitSeq(string(data), "\n") {
		if m := batchForm.FindStringSubmatch(line); m != nil && f.Batch == nil {
			f.Batch = new([20]byte)
			_, _ = hex.Decode(f.Batch[:], []byte(m[1]))
		} else if r, err := ParseLine(line); err == nil {
			f.Records = append(f.Records, r)
		}
	}
	return f
}

// Without returns a zone file without records and link.
func Without(zone []byte) []byte {
	var keep []string
	for _, line := range strings.Split(string(zone), "\n") {
		if !batchForm.MatchString(line) && !lineForm.MatchString(line) {
			keep = append(keep, line)
		}
	}
	return []byte(strings.Join(keep, "\n"))
}

// With returns a zone file with these records, and the file of records that it
// names if they don't fit into it, else nil.
func With(zone []byte, records []*Record) (withRecords, batch []byte, err error) {
	base := strings.TrimRight(string(Without(zone)), "\n") + "\n"
	var lines strings.Builder
	for _, r := range records {
		lines.WriteString(r.Line() + "\n")
	}
	if len(base)+lines.Len() <= zonefile.MaxSize {
		return []byte(base + lines.String()), nil, nil
	}
	batch = []byte(lines.String())
	withRecords = fmt.Appendf([]byte(base), "_batch TXT \"batch:%x\"\n", zonefile.Hash(batch))
	if len(batch) > MaxBatch {
		return nil, nil, fmt.Errorf("%d records are too many for one batch", len(records))
	}
	if len(withRecords) > zonefile.MaxSize {
		return nil, nil, fmt.Errorf("the zone file, of %d bytes, has no room for the hash of a batch", len(base))
	}
	return withRecords, batch, nil
}

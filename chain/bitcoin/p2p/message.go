package p2p

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// errBad reports a peer that breaks the protocol or lies.
var errBad = errors.New("it misbehaves")

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errBad, fmt.Errorf(format, args...))
}

// pver is the version of the protocol that we speak, and the least that a peer has
// to speak: since then one can say what transactions one wants to hear of.
const pver = wire.FeeFilterVersion

// maxPayload is how long the payload of a message may be that is read, by
// command. What has none here is skipped.
var maxPayload = map[string]uint32{
	wire.CmdVersion:    1024,
	wire.CmdVerAck:     32,
	wire.CmdPing:       32,
	wire.CmdAddr:       3 + 1000*30,
	wire.CmdInv:        9 + 50_000*36,
	wire.CmdGetData:    9 + 50_000*36,
	wire.CmdNotFound:   9 + 50_000*36,
	wire.CmdHeaders:    9 + wire.MaxBlockHeadersPerMsg*(wire.MaxBlockHeaderPayload+1),
	wire.CmdGetHeaders: 4 + 9 + (wire.MaxBlockLocatorsPerMsg+1)*chainhash.HashSize,
	wire.CmdBlock:      wire.MaxBlockPayload,
	wire.CmdTx:         wire.MaxBlockPayload,
	wire.CmdReject:     4096,
}

// head is what stands before a payload.
type head struct {
	command string
	size    uint32
	sum     [4]byte
}

// readHead reads what stands before a payload, and refuses one that is of
// another network or too long.
func readHead(r io.Reader, net wire.BitcoinNet) (h head, err error) {
	var b [wire.MessageHeaderSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return h, err
	}
	if got := binary.LittleEndian.Uint32(b[:]); got != uint32(net) {
		return h, bad("a message of another network (%08x)", got)
	}
	command, padding, _ := bytes.Cut(b[4:16], []byte{0})
	for _, c := range command {
		if c < ' ' || c > '~' {
			return h, bad("a command of odd bytes %x", command)
		}
	}
	if len(bytes.Trim(padding, "\x00")) > 0 {
		return h, bad("a command with something behind it: %x", b[4:16])
	}
	h.command, h.size = string(command), binary.LittleEndian.Uint32(b[16:])
	copy(h.sum[:], b[20:])
	limit, known := maxPayload[h.command]
	if !known {
		limit = wire.MaxProtocolMessageLength
	}
	if h.size > limit {
		return h, bad("%d bytes of %q, more than %d", h.size, h.command, limit)
	}
	return h, nil
}

// check says if a payload is the one that was announced.
func (h *head) check(payload []byte) error {
	if sum := chainhash.DoubleHashH(payload); !bytes.Equal(sum[:4], h.sum[:]) {
		return bad("the checksum of %q is wrong", h.command)
	}
	return nil
}

// encode returns a message as it is sent.
func encode(net wire.BitcoinNet, m wire.Message, enc wire.MessageEncoding) ([]byte, error) {
	var b bytes.Buffer
	if _, err := wire.WriteMessageWithEncodingN(&b, m, pver, net, enc); err != nil {
		return nil, fmt.Errorf("message %s: %w", m.Command(), err)
	}
	return b.Bytes(), nil
}

// decode reads a payload. What follows it is left to versions of the protocol
// to come.
func decode(m wire.Message, payload []byte) error {
	if err := m.BtcDecode(bytes.NewBuffer(payload), pver, wire.BaseEncoding); err != nil {
		return bad("message %q: %w", m.Command(), err)
	}
	return nil
}

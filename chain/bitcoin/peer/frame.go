package peer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A message on the network is a frame: magic (4 bytes, little-endian as
// wire.BitcoinNet), command (12, padded with zeros), length (4, little-endian),
// first four bytes of the double SHA-256 of the payload, payload.
const frameHead = 24

// version is the protocol version that is spoken: it has headers and inventories,
// and nothing later that would have to be answered.
const version = 70013

// limits is the longest payload of each command that is understood. Others are
// skipped up to maxSkip.
var limits = map[string]int{
	wire.CmdVersion:    1 << 10,
	wire.CmdVerAck:     0,
	wire.CmdPing:       8,
	wire.CmdPong:       8,
	wire.CmdHeaders:    9 + wire.MaxBlockHeadersPerMsg*(wire.MaxBlockHeaderPayload+1),
	wire.CmdInv:        9 + wire.MaxInvPerMsg*36,
	wire.CmdNotFound:   9 + wire.MaxInvPerMsg*36,
	wire.CmdGetHeaders: 4 + 9 + (wire.MaxBlockLocatorsPerMsg+1)*chainhash.HashSize, // not answered
	wire.CmdGetData:    9 + wire.MaxInvPerMsg*36,
	wire.CmdBlock:      wire.MaxBlockPayload,
	wire.CmdTx:         wire.MaxBlockPayload,
	wire.CmdAddr:       9 + wire.MaxAddrPerMsg*30,
}

const maxSkip = wire.MaxBlockPayload

var errProtocol = errors.New("the peer breaks the protocol")

// readFrame reads the next message that is understood.
func readFrame(r io.Reader, magic wire.BitcoinNet) (command string, payload []byte, err error) {
	for {
		var head [frameHead]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return "", nil, err
		}
		if got := wire.BitcoinNet(binary.LittleEndian.Uint32(head[:])); got != magic {
			return "", nil, fmt.Errorf("%w: it is on another network", errProtocol)
		}
		command = string(bytes.TrimRight(head[4:16], "\x00"))
		size := int64(binary.LittleEndian.Uint32(head[16:]))
		limit, known := limits[command]
		if !known {
			if size > maxSkip {
				return "", nil, fmt.Errorf("%w: %q of %d bytes", errProtocol, command, size)
			}
			if _, err := io.CopyN(io.Discard, r, size); err != nil {
				return "", nil, err
			}
			continue
		}
		if size > int64(limit) {
			return "", nil, fmt.Errorf("%w: %s of %d bytes", errProtocol, command, size)
		}
		payload = make([]byte, size)
		if _, err := io.ReadFull(r, payload); err != nil {
			return "", nil, err
		}
		if sum := chainhash.DoubleHashB(payload); !bytes.Equal(sum[:4], head[20:]) {
			return "", nil, fmt.Errorf("%w: the checksum of %s is wrong", errProtocol, command)
		}
		return command, payload, nil
	}
}

// frame makes a message.
func frame(magic wire.BitcoinNet, msg wire.Message) ([]byte, error) {
	var b bytes.Buffer
	if err := msg.BtcEncode(&b, version, wire.BaseEncoding); err != nil {
		return nil, err
	}
	return rawFrame(magic, msg.Command(), b.Bytes()), nil
}

func rawFrame(magic wire.BitcoinNet, command string, payload []byte) []byte {
	head := binary.LittleEndian.AppendUint32(nil, uint32(magic))
	head = append(head, make([]byte, 12)...)
	copy(head[4:], command)
	head = binary.LittleEndian.AppendUint32(head, uint32(len(payload)))
	head = append(head, chainhash.DoubleHashB(payload)[:4]...)
	return append(head, payload...)
}

// decode reads a payload into msg, all of it.
func decode(payload []byte, msg wire.Message) error {
	b := bytes.NewBuffer(payload)
	if err := msg.BtcDecode(b, version, wire.BaseEncoding); err != nil {
		return fmt.Errorf("%w: %s: %w", errProtocol, msg.Command(), err)
	}
	if b.Len() > 0 && msg.Command() != wire.CmdVersion {
		return fmt.Errorf("%w: %s is too long", errProtocol, msg.Command())
	}
	return nil
}

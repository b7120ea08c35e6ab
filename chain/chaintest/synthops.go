package chaintest

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chainhash/v2"

	"satchel/chain/ops"
)

// open opens the namespace, a step in each of the first blocks.
func (m *synthMaker) open(height int, quoted [16]byte) {
	miner := NewKey("miner")
	reveal := ops.NamespaceReveal{ID: "id", Version: 1, Lifetime: 52595, Coefficient: 1, Base: 1, NonAlpha: 1, NoVowel: 1}
	hash := ops.HashName(reveal.ID, miner.Script, miner.Address)
	const fee int = 40e8 // for an id of two characters
	fields := func(op, txid string) []any {
		return []any{"id", hash[:], 1, miner.Script, miner.Public, miner.Address, miner.Script, miner.Address, syntheticFirst, syntheticFirst + 1,
			op, txid, 2, int(reveal.Lifetime), 1, 1, "[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]", 1, 1}
	}
	coin := m.coinOf(miner.Script)
	switch height {
	case syntheticFirst:
		id := m.send(coin, miner.Public, ops.NamespacePreorder{Hash: hash, Consensus: quoted}, miner.Script, int64(fee))
		m.record('*', hash[:], quoted[:], "*", fee, id.String(), 2, height, miner.Script, miner.Public, miner.Address)
	case syntheticFirst + 1:
		id := m.send(coin, miner.Public, reveal, miner.Script, 0)
		m.record('&', fields("&", id.String())...)
	case syntheticFirst + 2:
		id := m.send(coin, miner.Public, ops.NamespaceReady{ID: "id"}, miner.Script, 0)
		m.record('!', append(fields("!", id.String()), height)...)
	}
}

// coinOf adds a transaction that pays to a script in its output 1.
func (m *synthMaker) coinOf(script []byte) chainhash.Hash {
	m.scratch = m.scratch[:0]
	m.input(chainhash.DoubleHashH(binary.BigEndian.AppendUint64(script[:len(script):len(script)], m.offset+uint64(len(m.body)))), nil)
	m.scratch = append(m.scratch, 2)
	m.output(7000, []byte{0x51})
	m.output(6000, script)
	return m.addScratch(true)
}

// fund pays the names that are to be preordered in the next block.
func (m *synthMaker) fund(height int) (funded []name) {
	for range m.namesAt(height + 1) {
		n := newName(m.names)
		n.coin = m.coinOf(n.script)
		funded = append(funded, n)
		m.names++
	}
	return funded
}

// namesAt returns how many names are preordered at a height: so many that the
// last ones get their value in the last block of the shape, and that in the
// tips each kind of operation is a third.
func (m *synthMaker) namesAt(height int) int {
	first, last := firstNames, m.shape.Blocks-2
	switch {
	case height > m.shape.Blocks+m.shape.Tips || height < first:
		return 0
	case height > last:
		return (m.shape.TipOps + 2) / 3
	}
	blocks, i := last-first+1, height-first
	return m.shape.Names*(i+1)/blocks - m.shape.Names*i/blocks
}

func newName(i int) name {
	n := name{name: string(SyntheticName(i))}
	seed := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("owner"), uint64(i/2)))
	n.key = append([]byte{2}, seed[:]...) // nobody looks whether it is on the curve
	n.script = slices.Concat([]byte{0x76, 0xa9, 20}, address.Hash160(n.key), []byte{0x88, 0xac})
	n.address = ops.Address(n.script, RegTest)
	n.value = [20]byte(seed[4:])
	n.value[0] ^= byte(i)
	return n
}

func (m *synthMaker) preorder(n *name, height int, quoted [16]byte) {
	hash := ops.HashName(n.name, n.script, n.address)
	n.coin = m.send(n.coin, n.key, ops.NamePreorder{Hash: hash, Consensus: quoted}, n.script, nameFee)
	n.preorder = height
	m.record('?', hash[:], quoted[:], n.script, n.key, n.address, height, "?", n.coin.String(), len(m.txids)-1, nameFee)
}

func (m *synthMaker) register(n *name, height int) {
	n.coin = m.send(n.coin, n.key, ops.Registration{Name: n.name}, n.script, 0)
	n.registered = height
	m.record(':', m.fields(n, ":", nil, n.script, n.address)...)
}

func (m *synthMaker) update(n *name, quoted [16]byte) {
	hash := ops.UpdateHash(n.name, quoted)
	n.coin = m.send(n.coin, n.key, ops.Update{NameHash: hash, Value: n.value}, n.script, 0)
	m.record('+', m.fields(n, "+", n.value[:], hash[:], quoted[:])...)
}

// fields are what the records of registrations and updates have, and more.
func (m *synthMaker) fields(n *name, op string, value []byte, more ...any) []any {
	return append([]any{n.name, value, n.script, n.key, n.address, n.preorder, n.preorder, n.registered, n.registered, "False",
		op, n.coin.String(), len(m.txids) - 1, strconv.Itoa(nameFee), "", ""}, more...)
}

func (m *synthMaker) record(code byte, fields ...any) {
	m.scratch = appendRecord(m.scratch[:0], code, fields...)
	m.records = append(m.records, chainhash.DoubleHashH(m.scratch))
}

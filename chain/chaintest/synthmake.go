package chaintest

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
)

// MakeSynthetic makes the chain of that shape in dir, unless it is there
// already, and opens it.
func MakeSynthetic(dir string, shape Shape) (*Synthetic, error) {
	want, err := json.Marshal(shape)
	if err != nil {
		return nil, err
	}
	done := filepath.Join(dir, "shape")
	if got, err := os.ReadFile(done); err == nil && bytes.Equal(got, want) {
		return OpenSynthetic(dir, shape)
	}
	if err := makeSynthetic(dir, shape); err != nil {
		return nil, fmt.Errorf("synthetic chain %s: %w", dir, err)
	}
	if err := os.WriteFile(done, want, 0o600); err != nil {
		return nil, err
	}
	return OpenSynthetic(dir, shape)
}

func makeSynthetic(dir string, shape Shape) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	m := &synthMaker{shape: shape, rules: chain.Satchel(RegTest, syntheticFirst), parent: RegTest.GenesisBlock.Header}
	m.makeBulk()
	if err := os.WriteFile(filepath.Join(dir, "bulk"), m.bulk, 0o600); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "blocks"))
	if err != nil {
		return err
	}
	defer f.Close()
	m.out = bufio.NewWriterSize(f, 1<<20)
	for h := 1; h <= shape.Blocks+shape.Tips; h++ {
		m.block(h)
	}
	if err := m.out.Flush(); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "prev"), m.prevTable(), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "rows"), m.rows, 0o600)
}

// SyntheticName returns the i-th name of a synthetic chain. In the order of
// registration names are in no order.
func SyntheticName(i int) chain.Name {
	mixed := (uint64(i)*0x9e3779b97f4a7c15 + 0x1234567) & (1<<40 - 1) // a bijection
	return chain.Name("n" + strconv.FormatUint(mixed, 36) + ".id")
}

// synthMaker makes the blocks, one after the other.
type synthMaker struct {
	shape  Shape
	rules  *chain.Params
	parent wire.BlockHeader

	bulk    []byte
	bulkAt  []int            // where transaction i begins; one more for the end
	bulkIDs []chainhash.Hash // of the transactions of bulk

	out       *bufio.Writer
	offset    uint64
	rows      []byte
	prev      []prevRow
	consensus [][16]byte // from syntheticFirst on

	names   int       // funded so far
	waiting [3][]name // to be preordered, registered, updated in the next block

	body    []byte // of the block being made
	txids   []chainhash.Hash
	records []chainhash.Hash
	scratch []byte
}

// name is a name on its way, with what it looks like so far.
type name struct {
	name       string
	value      [20]byte
	key        []byte
	script     []byte
	address    string
	coin       chainhash.Hash // output 1 of it is spent next
	preorder   int            // height
	registered int            // height
}

type prevRow struct{ id, place uint64 }

// block makes the block at a height.
func (m *synthMaker) block(height int) {
	m.body, m.txids, m.records = m.body[:0], m.txids[:0], m.records[:0]
	m.add(coinbaseTx(height))
	quoted := m.last()
	if height < firstNames {
		m.open(height, quoted)
	}
	for i := range m.waiting[0] {
		m.preorder(&m.waiting[0][i], height, quoted)
	}
	for i := range m.waiting[1] {
		m.register(&m.waiting[1][i], height)
	}
	for i := range m.waiting[2] {
		m.update(&m.waiting[2][i], quoted)
	}
	funded := m.fund(height)
	m.waiting = [3][]name{funded, m.waiting[0], m.waiting[1]}
	m.finish(height)
}

// last returns the newest consensus hash.
func (m *synthMaker) last() [16]byte {
	if len(m.consensus) == 0 {
		return m.rules.Genesis
	}
	return m.consensus[len(m.consensus)-1]
}

// finish ends the block with ordinary transactions and writes it.
func (m *synthMaker) finish(height int) {
	r := row{Offset: m.offset, Size: uint32(wire.MaxBlockHeaderPayload + len(m.body))}
	from, to := m.run(height)
	r.From, r.To = uint64(m.bulkAt[from]), uint64(m.bulkAt[to])
	m.txids = append(m.txids, m.bulkIDs[from:to]...)
	r.Txs = uint32(len(m.txids))
	h := wire.BlockHeader{Version: 0x20000000, PrevBlock: m.parent.BlockHash(), MerkleRoot: txRoot(m.txids),
		Timestamp: m.parent.Timestamp.Add(RegTest.TargetTimePerBlock), Bits: RegTest.PowLimitBits}
	Work(&h)
	h.Serialize(m.out) // an error stays in m.out
	m.out.Write(m.body)
	m.offset += uint64(r.Size)
	m.parent = h
	if height >= syntheticFirst {
		m.consensus = append(m.consensus, nextConsensus(m.records, m.consensus))
		r.Consensus = m.last()
	}
	m.rows = binary.BigEndian.AppendUint64(m.rows, r.Offset)
	m.rows = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(m.rows, r.Size), r.Txs)
	m.rows = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(m.rows, r.From), r.To)
	m.rows = append(m.rows, r.Consensus[:]...)
}

func txRoot(ids []chainhash.Hash) chainhash.Hash {
	for n := len(ids); n > 1; n = (n + 1) / 2 {
		for i := 0; i < n; i += 2 {
			var pair [64]byte
			copy(pair[:], ids[i][:])
			copy(pair[32:], ids[min(i+1, n-1)][:])
			ids[i/2] = chainhash.DoubleHashH(pair[:])
		}
	}
	return ids[0]
}

// prevTable is the file "prev".
func (m *synthMaker) prevTable() (b []byte) {
	slices.SortFunc(m.prev, func(a, b prevRow) int {
		return cmp.Compare(a.id, b.id)
	})
	for _, p := range m.prev {
		b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, p.id), p.place)
	}
	return b
}

func parseHeader(b []byte) (h wire.BlockHeader) {
	if err := h.Deserialize(bytes.NewReader(b)); err != nil {
		panic("chaintest: damaged header " + hex.EncodeToString(b)) // of our own making
	}
	return h
}

package chaintest

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/ops"
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

// send adds the transaction of an operation, with a signature of the usual
// length that signs nothing.
func (m *synthMaker) send(coin chainhash.Hash, key []byte, op ops.Operation, to []byte, fee int64) chainhash.Hash {
	script, err := ops.Script(m.rules.Magic, op)
	if err != nil {
		panic(err) // of our own making
	}
	sig := slices.Concat([]byte{72}, coin[:], coin[:], coin[:8], []byte{byte(len(key))}, key)
	m.scratch = m.scratch[:0]
	m.input(coin, sig)
	m.scratch = append(m.scratch, 3)
	m.output(0, script)
	m.output(5500, to)
	if fee > 0 {
		m.output(fee, ops.BurnScript())
	} else {
		m.output(5500, to)
	}
	_, spent := op.(ops.Update) // the last of its name
	return m.addScratch(!spent)
}

// input begins a transaction of one input, which spends output 1 of another.
func (m *synthMaker) input(coin chainhash.Hash, sig []byte) {
	b := append(m.scratch, 2, 0, 0, 0, 1)
	b = append(append(b, coin[:]...), 1, 0, 0, 0, byte(len(sig)))
	m.scratch = append(append(b, sig...), 0xff, 0xff, 0xff, 0xff)
}

func (m *synthMaker) output(value int64, script []byte) {
	b := binary.LittleEndian.AppendUint64(m.scratch, uint64(value))
	m.scratch = append(append(b, byte(len(script))), script...)
}

// addScratch adds the transaction in scratch but for its lock time; spent says
// that another one spends it.
func (m *synthMaker) addScratch(spent bool) chainhash.Hash {
	m.scratch = append(m.scratch, 0, 0, 0, 0)
	at := m.offset + wire.MaxBlockHeaderPayload + uint64(len(m.body))
	id := m.add(m.scratch)
	if spent {
		m.prev = append(m.prev, prevRow{binary.BigEndian.Uint64(id[:]), at<<24 | uint64(len(m.scratch))})
	}
	return id
}

func (m *synthMaker) add(tx []byte) chainhash.Hash {
	id := chainhash.DoubleHashH(tx)
	m.body = append(m.body, tx...)
	m.txids = append(m.txids, id)
	return id
}

func coinbaseTx(height int) []byte {
	tx := wire.NewMsgTx(2)
	sig := binary.LittleEndian.AppendUint32([]byte{4}, uint32(height))
	tx.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Index: 1<<32 - 1}, SignatureScript: sig, Sequence: 1<<32 - 1})
	tx.AddTxOut(&wire.TxOut{Value: 50e8, PkScript: []byte{0x51}})
	return Raw(tx)
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

// bulkPool is how many bytes of ordinary transactions there are to choose from.
const bulkPool = 4 << 20

// makeBulk makes ordinary transactions: a third with witnesses, one in fifty
// with a return of somebody else's.
func (m *synthMaker) makeBulk() {
	rnd := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return b
	}
	for i := 0; len(m.bulk) < max(bulkPool, 2*m.shape.Bulk); i++ {
		tx := wire.NewMsgTx(2)
		for range 1 + rnd.IntN(2) {
			in := &wire.TxIn{PreviousOutPoint: wire.OutPoint{Hash: chainhash.Hash(random(32)), Index: rnd.Uint32N(4)}}
			if i%3 == 0 {
				in.Witness = wire.TxWitness{random(72), random(33)}
			} else {
				in.SignatureScript = random(107)
			}
			tx.AddTxIn(in)
		}
		for range 1 + rnd.IntN(3) {
			tx.AddTxOut(&wire.TxOut{Value: rnd.Int64N(1e9), PkScript: slices.Concat([]byte{0x76, 0xa9, 20}, random(20), []byte{0x88, 0xac})})
		}
		if i%50 == 0 {
			tx.AddTxOut(&wire.TxOut{PkScript: append([]byte{0x6a, 40}, random(40)...)})
		}
		m.bulkAt = append(m.bulkAt, len(m.bulk))
		m.bulkIDs = append(m.bulkIDs, tx.TxHash())
		m.bulk = append(m.bulk, Raw(tx)...)
	}
	m.bulkAt = append(m.bulkAt, len(m.bulk))
}

// run chooses the ordinary transactions of a block: from half as much to half
// as much again as the average.
func (m *synthMaker) run(height int) (from, to int) {
	rnd := rand.New(rand.NewPCG(3, uint64(height)))
	size := m.shape.Bulk/2 + rnd.IntN(m.shape.Bulk+1)
	start := rnd.IntN(len(m.bulk) - size)
	from, _ = slices.BinarySearch(m.bulkAt, start)
	to, _ = slices.BinarySearch(m.bulkAt, start+size)
	return from, min(to, len(m.bulkIDs))
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

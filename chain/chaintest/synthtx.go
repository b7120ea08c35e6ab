package chaintest

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/ops"
)

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

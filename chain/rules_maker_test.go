package chain

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/ops"
)

// ruleSets are the two, small enough for tests: the first block is 10.
var ruleSets = map[string]func() *Params{
	"satchel": func() *Params { return Satchel(&chaincfg.RegressionNetParams, 10) },
	"blockstack": func() *Params {
		p := Blockstack(&chaincfg.RegressionNetParams)
		p.FirstBlock = 10
		p.Epochs[0].Last = 9
		return p
	},
}

// A party sends and owns.
type party struct {
	script []byte
	addr   string
	sig    []byte // the script by which it spends
}

// one returns the p2pkh party that belongs to a word.
func one(word string) party { return ofKey(keyOf(word).PubKey().SerializeCompressed()) }

func keyOf(word string) *btcec.PrivateKey {
	seed := sha256.Sum256([]byte(word))
	key, _ := btcec.PrivKeyFromBytes(seed[:])
	return key
}

func ofKey(public []byte) party {
	script := p2pkh([20]byte(address.Hash160(public)))
	return party{script, ops.Address(script, &chaincfg.RegressionNetParams), pushes(signature, public)}
}

// some returns the p2sh party, two of three, that belongs to a word.
func some(word string) party {
	b := txscript.NewScriptBuilder().AddOp(txscript.OP_2)
	for _, n := range []string{"1", "2", "3"} {
		b.AddData(keyOf(word + n).PubKey().SerializeCompressed())
	}
	redeem, _ := b.AddOp(txscript.OP_3).AddOp(txscript.OP_CHECKMULTISIG).Script()
	script := append(append([]byte{txscript.OP_HASH160, 20}, address.Hash160(redeem)...), txscript.OP_EQUAL)
	return party{script, ops.Address(script, &chaincfg.RegressionNetParams), pushes(nil, signature, signature, redeem)}
}

// signature stands where one belongs: the rules see only blocks whose
// signatures the miners have checked.
var signature = bytes.Repeat([]byte{0x30}, 71)

func p2pkh(hash [20]byte) []byte {
	return append(append([]byte{txscript.OP_DUP, txscript.OP_HASH160, 20}, hash[:]...), txscript.OP_EQUALVERIFY, txscript.OP_CHECKSIG)
}

func pushes(data ...[]byte) []byte {
	b := txscript.NewScriptBuilder()
	for _, d := range data {
		b.AddData(d)
	}
	script, _ := b.Script()
	return script
}

// A maker mines blocks without work that hold operations, applies them to an
// index in memory, and remembers them as a recorded run.
type maker struct {
	t    *testing.T
	p    *Params
	ix   *Index
	prev chainhash.Hash
	salt uint32
	run  recordedRun
}

func newMaker(t *testing.T, p *Params) *maker {
	t.Helper()
	ix, below := openRun(t, p)
	t.Cleanup(func() { ix.Close() })
	return &maker{t: t, p: p, ix: ix, prev: below[len(below)-1].Hash, run: recordedRun{Rules: p.Rules}}
}

// tip is the height of the last block.
func (m *maker) tip() int { return m.ix.getTip().height }

// consensus returns the hash of some blocks before the tip.
func (m *maker) consensus(before int) [16]byte {
	m.t.Helper()
	c, err := m.ix.ConsensusHash(m.tip() - before)
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

// mine mines a block and says which of its transactions the rules accepted.
func (m *maker) mine(txs ...*wire.MsgTx) []bool {
	m.t.Helper()
	block := recordedBlock{Height: m.tip() + 1, Prev: []string{}, Txs: []recordedTx{}, SerializedOps: []string{}}
	for i, tx := range txs {
		var raw bytes.Buffer
		tx.Serialize(&raw)
		index := 2*i + 1 // not each transaction of a block is ours
		block.Txs = append(block.Txs, recordedTx{Index: &index, RawTx: hex.EncodeToString(raw.Bytes()), Txid: tx.TxHash().String()})
	}
	read, from, diffs := readBlock(m.p, &block)
	if len(diffs) > 0 {
		m.t.Fatal(diffs)
	}
	a, err := m.ix.connect(madeUpHeader(block.Height, &m.prev), read)
	if err != nil {
		m.t.Fatal(err)
	}
	accepted := make([]bool, len(txs))
	for i, r := range from {
		accepted[(*r.Index-1)/2] = a.records[i] != ""
		r.fill(read[i].Op, a.records[i])
	}
	block.SerializedOps = append(block.SerializedOps, nonEmpty(a.records)...)
	for step := 2; block.Height-step+1 >= m.p.FirstBlock; step *= 2 {
		c := m.consensus(step - 1)
		block.Prev = append(block.Prev, hex.EncodeToString(c[:]))
	}
	block.OpsHash, block.ConsensusHash = hex.EncodeToString(a.opsHash[:]), hex.EncodeToString(a.consensus[:])
	m.run.Blocks = append(m.run.Blocks, block)
	return accepted
}

// must mines a block all of whose transactions have to be accepted.
func (m *maker) must(txs ...*wire.MsgTx) {
	m.t.Helper()
	for i, ok := range m.mine(txs...) {
		if !ok {
			op, _ := ops.Read(m.p.Magic, txs[i])
			m.t.Fatalf("block %d: transaction %d is rejected: %+v", m.tip(), i, op)
		}
	}
}

// skip mines empty blocks.
func (m *maker) skip(n int) {
	for range n {
		m.mine()
	}
}

// tx returns a transaction by which from sends an operation to a recipient, with
// a fee if that is not 0.
func (m *maker) tx(from party, op ops.Operation, to party, fee int64) *wire.MsgTx {
	m.t.Helper()
	script, err := ops.Script(m.p.Magic, op)
	if err != nil {
		m.t.Fatal(err)
	}
	m.salt++
	tx := wire.NewMsgTx(1)
	coin := wire.OutPoint{Index: m.salt}
	binary.BigEndian.PutUint32(coin.Hash[:], m.salt)
	tx.AddTxIn(&wire.TxIn{PreviousOutPoint: coin, SignatureScript: from.sig})
	tx.AddTxOut(&wire.TxOut{PkScript: script})
	tx.AddTxOut(&wire.TxOut{Value: 5500, PkScript: to.script})
	change := &wire.TxOut{Value: 5500, PkScript: from.script}
	if fee != 0 {
		change = &wire.TxOut{Value: fee, PkScript: ops.BurnScript()}
	}
	tx.AddTxOut(change)
	return tx
}

// space is what the namespaces of tests are like: a name of letters costs cost.
var space = ops.NamespaceReveal{ID: "test", Version: 1, Lifetime: 40, Coefficient: 10, Base: 1, NonAlpha: 2, NoVowel: 5}

const (
	cost      = 1000
	spaceCost = 4e8 // of an id of 4 letters
	lifetime  = 80  // in the second epoch each block counts twice
)

func (m *maker) preorderSpace(id string, from, to party, fee int64) *wire.MsgTx {
	return m.tx(from, ops.NamespacePreorder{Hash: ops.HashName(id, from.script, to.addr), Consensus: m.consensus(0)}, to, fee)
}

func (m *maker) reveal(r ops.NamespaceReveal, from, to party) *wire.MsgTx {
	return m.tx(from, r, to, 0)
}

// revealed makes a namespace that its owner can import to.
func (m *maker) revealed(owner party) {
	m.t.Helper()
	m.must(m.preorderSpace("test", owner, owner, spaceCost))
	m.must(m.reveal(space, owner, owner))
}

// opened makes a namespace in which everybody can register.
func (m *maker) opened() {
	m.t.Helper()
	m.revealed(root)
	m.must(m.ready("test", root))
}

func (m *maker) ready(id string, from party) *wire.MsgTx {
	return m.tx(from, ops.NamespaceReady{ID: id}, from, 0)
}

func (m *maker) give(n string, from, to party, value byte) *wire.MsgTx {
	tx := m.tx(from, ops.Import{Name: n}, to, 0)
	tx.TxOut[2].PkScript = p2pkh([20]byte{value})
	return tx
}

func (m *maker) preorder(n string, from, to party, fee int64) *wire.MsgTx {
	return m.tx(from, ops.NamePreorder{Hash: ops.HashName(n, from.script, to.addr), Consensus: m.consensus(0)}, to, fee)
}

func (m *maker) register(n string, from, to party) *wire.MsgTx {
	return m.tx(from, ops.Registration{Name: n}, to, 0)
}

// registered gives names to an owner.
func (m *maker) registered(owner party, names ...string) {
	m.t.Helper()
	var pre, reg []*wire.MsgTx
	for _, n := range names {
		pre, reg = append(pre, m.preorder(n, owner, owner, cost)), append(reg, m.register(n, owner, owner))
	}
	m.must(pre...)
	m.must(reg...)
}

func (m *maker) renew(n string, from party, fee int64) *wire.MsgTx {
	return m.tx(from, ops.Registration{Name: n}, from, fee)
}

func (m *maker) update(n string, from party, value byte) *wire.MsgTx {
	return m.tx(from, ops.Update{NameHash: ops.UpdateHash(n, m.consensus(0)), Value: [20]byte{value}}, from, 0)
}

func (m *maker) transfer(n string, from, to party, keep bool) *wire.MsgTx {
	return m.tx(from, ops.Transfer{Keep: keep, NameHash: ops.Hash128(n), Consensus: m.consensus(0)}, to, 0)
}

func (m *maker) revoke(n string, from party) *wire.MsgTx {
	return m.tx(from, ops.Revoke{Name: n}, from, 0)
}

var (
	root  = one("root") // opens namespaces
	ada   = one("ada")
	ben   = one("ben")
	club  = some("club")
	board = some("board")

	// nobody spends a segwit coin.
	nobody = party{script: append([]byte{txscript.OP_0, 20}, make([]byte, 20)...)}
)

// childOf returns the party of a child of a key, which may import.
func childOf(p party, n int) party {
	key := p.sig[len(p.sig)-33:]
	parent := hdkeychain.NewExtendedKey(chaincfg.RegressionNetParams.HDPublicKeyID[:], key, make([]byte, 32), make([]byte, 4), 0, 0, false)
	child, err := parent.Derive(uint32(n))
	if err != nil {
		panic(err)
	}
	public, err := child.ECPubKey()
	if err != nil {
		panic(err)
	}
	return ofKey(public.SerializeCompressed())
}

package bitcoin

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// sampleBlock has a coinbase, a plain transaction, one with witnesses and an
// OP_RETURN, and one with neither.
func sampleBlock() *wire.MsgBlock {
	b := &wire.MsgBlock{Header: wire.BlockHeader{Version: 4, Timestamp: time.Unix(1_500_000_000, 0), Bits: 0x207fffff}}
	for i := range 4 {
		tx := wire.NewMsgTx(2)
		tx.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Index: uint32(i)}, SignatureScript: bytes.Repeat([]byte{1}, 100*i)})
		tx.AddTxOut(&wire.TxOut{Value: int64(i), PkScript: []byte{0x51}})
		b.Transactions = append(b.Transactions, tx)
	}
	b.Transactions[0].TxIn[0].PreviousOutPoint.Index = wire.MaxPrevOutIndex
	b.Transactions[0].AddTxOut(&wire.TxOut{PkScript: []byte{0x6a, 1, 0}}) // of a coinbase: doesn't count
	b.Transactions[2].AddTxOut(&wire.TxOut{PkScript: []byte{0x6a, 1, 2}})
	b.Transactions[2].TxIn[0].Witness = wire.TxWitness{{}, bytes.Repeat([]byte{9}, 300)}
	seal(b)
	return b
}

func seal(b *wire.MsgBlock) {
	var txs []*btcutil.Tx
	for _, tx := range b.Transactions {
		txs = append(txs, btcutil.NewTx(tx))
	}
	b.Header.MerkleRoot = blockchain.CalcMerkleRoot(txs, false)
}

func rawBlock(b *wire.MsgBlock) []byte {
	var w bytes.Buffer
	b.Serialize(&w)
	return w.Bytes()
}

func headerOf(b *wire.MsgBlock) Header {
	return Header{BlockHeader: b.Header, Hash: b.BlockHash(), Height: 7}
}

func TestVerify(t *testing.T) {
	b := sampleBlock()
	got, err := Verify(headerOf(b), rawBlock(b))
	if err != nil {
		t.Fatal(err)
	}
	if got.Txs() != 4 || got.Size() != len(rawBlock(b)) {
		t.Errorf("%d transactions, %d bytes", got.Txs(), got.Size())
	}
	var seen []int
	err = got.Returns(func(i int, tx *wire.MsgTx) error {
		seen = append(seen, i)
		if tx.TxHash() != b.Transactions[i].TxHash() || tx.HasWitness() {
			t.Errorf("transaction %d is %v", i, tx.TxHash())
		}
		return nil
	})
	if err != nil || len(seen) != 1 || seen[0] != 2 {
		t.Errorf("returns %v, %v", seen, err)
	}
	stop := errors.New("stop")
	if err := got.Returns(func(int, *wire.MsgTx) error { return stop }); err != stop {
		t.Errorf("got %v", err)
	}
	for i, tx := range b.Transactions {
		txs := map[chainhash.Hash][]byte{tx.TxHash(): nil, {}: nil}
		got.Find(txs)
		if raw := txs[tx.TxHash()]; raw == nil || parseTx(raw).TxHash() != tx.TxHash() {
			t.Errorf("transaction %d: %x", i, raw)
		}
		if len(txs) != 2 || txs[chainhash.Hash{}] != nil {
			t.Error("a transaction that is not there was found")
		}
	}
	var stripped bytes.Buffer // as from a node that keeps no witnesses
	b.SerializeNoWitness(&stripped)
	if _, err := Verify(headerOf(b), stripped.Bytes()); err != nil {
		t.Errorf("without witnesses: %v", err)
	}
}

func TestVerifyGenesis(t *testing.T) {
	for _, p := range []*chaincfg.Params{&chaincfg.MainNetParams, &chaincfg.RegressionNetParams, &chaincfg.TestNet3Params} {
		if _, err := Verify(headerOf(p.GenesisBlock), rawBlock(p.GenesisBlock)); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}

// TestVerifyRefuses has the forgeries whose merkle root is the right one; the
// others are in the follower's tests.
func TestVerifyRefuses(t *testing.T) {
	b := sampleBlock()
	b.Transactions = b.Transactions[:3]
	seal(b)
	twice := *b
	twice.Transactions = append(b.Transactions[:3:3], b.Transactions[2])
	nodes := sampleBlock()
	nodes.Transactions = []*wire.MsgTx{txOf64Bytes(), txOf64Bytes()}
	nodes.Transactions[1].LockTime = 1
	seal(nodes)
	two := sampleBlock()
	two.Transactions[0].AddTxIn(two.Transactions[1].TxIn[0])
	seal(two)
	none := sampleBlock()
	none.Transactions = nil
	none.Header.MerkleRoot = chainhash.Hash{}
	for _, c := range []struct {
		why, word string
		b         *wire.MsgBlock
	}{
		{"the end repeated", "repeated", &twice},
		{"nodes of the tree for transactions", "no coinbase", nodes},
		{"a coinbase that spends something too", "no coinbase", two},
		{"nothing in it", "no transactions", none},
	} {
		_, err := Verify(headerOf(c.b), rawBlock(c.b))
		if !errors.Is(err, ErrBadBlock) || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: %v", c.why, err)
		}
	}
}

// TestVerifySmallTransaction has a transaction of 64 bytes that mainnet's block
// 419,606 holds.
func TestVerifySmallTransaction(t *testing.T) {
	raw, err := hex.DecodeString("02000000011a7a4cf262fb7e53e2e6e0b2ef8b763f6ee97d8681ca968d1938418d56e6c38700000000035101b201000000010000000000000000016a00000000")
	if err != nil {
		t.Fatal(err)
	}
	var tx wire.MsgTx
	if err := tx.Deserialize(bytes.NewReader(raw)); err != nil || tx.SerializeSize() != 64 ||
		tx.TxHash().String() != "7f2efc6546011ad3227b2da678be0d30c7f4b08e2ce57b5edadd437f9e27a612" {
		t.Fatalf("%v, %v", tx.TxHash(), err)
	}
	b := sampleBlock()
	b.Transactions = append(b.Transactions, &tx)
	seal(b)
	if _, err := Verify(headerOf(b), rawBlock(b)); err != nil {
		t.Error(err)
	}
}

func txOf64Bytes() *wire.MsgTx {
	tx := wire.NewMsgTx(1)
	tx.AddTxIn(&wire.TxIn{})
	tx.AddTxOut(&wire.TxOut{PkScript: make([]byte, 4)})
	return tx
}

// BenchmarkVerify walks and checks a block of 2,000 transactions.
func BenchmarkVerify(bm *testing.B) {
	b := sampleBlock()
	for i := range 2000 {
		tx := b.Transactions[2].Copy()
		tx.LockTime = uint32(i + 1)
		b.Transactions = append(b.Transactions, tx)
	}
	seal(b)
	h, raw := headerOf(b), rawBlock(b)
	bm.SetBytes(int64(len(raw)))
	for bm.Loop() {
		if _, err := Verify(h, raw); err != nil {
			bm.Fatal(err)
		}
	}
}

func TestOutputOf(t *testing.T) {
	tx := sampleBlock().Transactions[2]
	var raw bytes.Buffer
	tx.Serialize(&raw)
	op := wire.OutPoint{Hash: tx.TxHash(), Index: 1}
	out, err := OutputOf(raw.Bytes(), op)
	if err != nil || !bytes.Equal(out.PkScript, []byte{0x6a, 1, 2}) {
		t.Errorf("got %+v, %v", out, err)
	}
	for _, c := range []struct {
		why string
		raw []byte
		op  wire.OutPoint
	}{
		{"no such output", raw.Bytes(), wire.OutPoint{Hash: op.Hash, Index: 2}},
		{"another transaction", raw.Bytes(), wire.OutPoint{Hash: chainhash.Hash{1}}},
		{"cut off", raw.Bytes()[:raw.Len()-1], op},
		{"something behind", append(raw.Bytes(), 0), op},
		{"nothing", nil, op},
	} {
		if out, err := OutputOf(c.raw, c.op); !errors.Is(err, ErrBadTx) {
			t.Errorf("%s: got %+v, %v", c.why, out, err)
		}
	}
}

// FuzzWalk compares the walk with the full parser of btcd: what the walk takes,
// that takes too, and both find the same transactions.
func FuzzWalk(f *testing.F) {
	f.Add(rawBlock(sampleBlock()))
	f.Add(rawBlock(chaincfg.MainNetParams.GenesisBlock))
	f.Add(append(rawBlock(sampleBlock())[:81], 0xfd, 1, 0))
	f.Add(append(rawBlock(sampleBlock())[:80], 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) < wire.MaxBlockHeaderPayload {
			return
		}
		spans, err := walk(raw)
		var b wire.MsgBlock
		if err != nil {
			return // see FuzzWalkTakes for the other direction
		}
		if e := b.Deserialize(bytes.NewReader(raw)); e != nil {
			t.Fatalf("the walk takes what wire refuses: %v", e)
		}
		if len(spans) != len(b.Transactions) {
			t.Fatalf("%d transactions, want %d", len(spans), len(b.Transactions))
		}
		for i, tx := range b.Transactions {
			returns := false
			for _, out := range tx.TxOut {
				returns = returns || len(out.PkScript) > 0 && out.PkScript[0] == opReturn
			}
			if got := parseTx(raw[spans[i].start:spans[i].end]); got.TxHash() != tx.TxHash() {
				t.Fatalf("transaction %d: %+v, want %+v", i, got, tx)
			}
			for j, want := range tx.TxOut {
				got, err := OutputOf(raw[spans[i].start:spans[i].end], wire.OutPoint{Hash: tx.TxHash(), Index: uint32(j)})
				if err != nil || got.Value != want.Value || !bytes.Equal(got.PkScript, want.PkScript) {
					t.Fatalf("output %d of transaction %d: %+v, want %+v, %v", j, i, got, want, err)
				}
			}
			if s := spans[i]; s.txid != tx.TxHash() || s.size != tx.SerializeSizeStripped() || s.returns != returns ||
				s.end-s.start != tx.SerializeSize() {
				t.Fatalf("transaction %d: %+v, want %v", i, s, tx.TxHash())
			}
		}
	})
}

// FuzzWalkTakes: what the full parser of btcd makes of any bytes, serialised
// again, the walk takes.
func FuzzWalkTakes(f *testing.F) {
	f.Add(rawBlock(sampleBlock()))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 1<<16 {
			return // wire allocates by what lengths promise
		}
		if _, err := walk(raw[:min(len(raw), wire.MaxBlockHeaderPayload)]); err == nil {
			t.Fatal("a block without transactions was taken")
		}
		if len(raw) < wire.MaxBlockHeaderPayload {
			return
		}
		var b wire.MsgBlock
		r := bytes.NewReader(raw)
		if b.Deserialize(r) != nil || r.Len() > 0 {
			return
		}
		if _, err := walk(raw); err != nil {
			t.Fatalf("the walk refuses what wire takes: %v", err)
		}
	})
}

package devnet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/ops"
	"satchel/chain/registrar"
)

// openMiner reads or makes the key of the coins that this chain mines. They are
// worth nothing anywhere else.
func (n *Node) openMiner() error {
	path := filepath.Join(n.dir, "miner")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err := btcec.NewPrivateKey()
		if err != nil {
			return err
		}
		b = key.Serialize()
		if err := writeFile(path, b); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if len(b) != 32 {
		return fmt.Errorf("%s: not a key; a chain without it has no coins: remove %s to begin a new one", path, n.dir)
	}
	n.miner, _ = btcec.PrivKeyFromBytes(b)
	n.script = registrar.ScriptOf(n.miner)
	return nil
}

// writeFile writes a file so that it is there whole or not at all.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Mine mines count blocks without transactions.
func (n *Node) Mine(count int) error {
	for range count {
		if _, err := n.mineBlock(); err != nil {
			return err
		}
	}
	return nil
}

// mineBlock mines a block with the given transactions on the tip.
func (n *Node) mineBlock(txs ...*wire.MsgTx) (chainhash.Hash, error) {
	n.mine.Lock()
	defer n.mine.Unlock()
	best := n.chain.BestSnapshot()
	height := best.Height + 1
	coinbase, err := n.coinbase(height)
	if err != nil {
		return chainhash.Hash{}, err
	}
	// A block must be younger than the median of those before it; many mined in
	// one second count up from there.
	t := time.Unix(time.Now().Unix(), 0)
	if min := best.MedianTime.Add(time.Second); t.Before(min) {
		t = min
	}
	bits, err := n.chain.CalcNextRequiredDifficulty(t)
	if err != nil {
		return chainhash.Hash{}, err
	}
	version, err := n.chain.CalcNextBlockVersion()
	if err != nil {
		return chainhash.Hash{}, err
	}
	b := &wire.MsgBlock{Header: wire.BlockHeader{Version: version, PrevBlock: best.Hash, Timestamp: t, Bits: bits}}
	b.Transactions = append([]*wire.MsgTx{coinbase}, txs...)
	list := make([]*btcutil.Tx, len(b.Transactions))
	for i, tx := range b.Transactions {
		list[i] = btcutil.NewTx(tx)
	}
	b.Header.MerkleRoot = blockchain.CalcMerkleRoot(list, false)
	if err := solve(&b.Header); err != nil {
		return chainhash.Hash{}, err
	}
	onMain, orphan, err := n.chain.ProcessBlock(btcutil.NewBlock(b), blockchain.BFNone)
	if err == nil && (!onMain || orphan) {
		err = errors.New("block did not become the tip")
	}
	return b.BlockHash(), err
}

func (n *Node) coinbase(height int32) (*wire.MsgTx, error) {
	sig, err := txscript.NewScriptBuilder().AddInt64(int64(height)).AddData([]byte("satchel private chain")).Script()
	if err != nil {
		return nil, err
	}
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Index: math.MaxUint32}, SignatureScript: sig, Sequence: math.MaxUint32})
	tx.AddTxOut(wire.NewTxOut(blockchain.CalcBlockSubsidy(height, n.params), n.script))
	return tx, nil
}

// solve finds the header's nonce; regression-test blocks need two tries on average.
func solve(h *wire.BlockHeader) error {
	target := blockchain.CompactToBig(h.Bits)
	for nonce := uint32(0); nonce < math.MaxUint32; nonce++ {
		h.Nonce = nonce
		hash := h.BlockHash()
		if blockchain.HashToBig(&hash).Cmp(target) <= 0 {
			return nil
		}
	}
	return errors.New("no nonce solves the block")
}

// Reorg replaces the newest depth blocks by depth+1 empty ones, as if another
// miner had been faster. What they held is not mined again.
func (n *Node) Reorg(depth int) error {
	height := n.Height()
	if depth < 1 || height-depth < FirstBlock+2 {
		return fmt.Errorf("a reorganisation of %d blocks: from 1 to %d are possible", depth, height-FirstBlock-2)
	}
	hash, err := n.chain.BlockHashByHeight(int32(height - depth + 1))
	if err != nil {
		return err
	}
	return n.Invalidate(*hash, depth+1)
}

// Invalidate forbids a block and all that follow it, and mines count new ones
// instead.
func (n *Node) Invalidate(hash chainhash.Hash, count int) error {
	n.mine.Lock()
	err := n.chain.InvalidateBlock(&hash)
	n.mine.Unlock()
	if err != nil {
		return err
	}
	return n.Mine(count)
}

// Fund pays an address from the coins that this chain mined; mined at once.
func (n *Node) Fund(ctx context.Context, addr string, satoshi int64) (chainhash.Hash, error) {
	const most = 100 * 1e8
	if satoshi < 1 || satoshi > most {
		return chainhash.Hash{}, fmt.Errorf("%d satoshi: from 1 to %d can be had at once", satoshi, int64(most))
	}
	script, err := ops.PayTo(addr, n.params)
	if err != nil {
		return chainhash.Hash{}, err
	}
	return n.spend(ctx, []*wire.TxOut{wire.NewTxOut(satoshi, script)})
}

func (n *Node) spend(ctx context.Context, outs []*wire.TxOut) (chainhash.Hash, error) {
	coins, err := n.Unspent(ctx, n.script)
	if err != nil {
		return chainhash.Hash{}, err
	}
	tx, err := registrar.Build(n.miner, coins, outs)
	if err != nil {
		return chainhash.Hash{}, err
	}
	return n.Broadcast(ctx, encodeTx(tx))
}

// bootstrap mines the first coins and registers the namespace "id", as far as
// that has not been done.
func (n *Node) bootstrap(ctx context.Context) error {
	if h := n.Height(); h < FirstBlock-1 {
		if err := n.Mine(FirstBlock - 1 - h); err != nil {
			return err
		}
	}
	if err := n.fol.Sync(ctx); err != nil {
		return err
	}
	r := &registrar.Registrar{Chain: n, Index: n.names, Follower: n.fol}
	return r.Namespace(ctx, "id", n.miner)
}

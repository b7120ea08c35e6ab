package devnet

import (
	"bytes"
	"context"
	"crypto/rand"
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
		return fmt.Errorf("%s is no key, and a chain without it has no coins: remove %s to begin a new chain", path, n.dir)
	}
	n.miner, _ = btcec.PrivKeyFromBytes(b)
	n.script = registrar.ScriptOf(n.miner)
	return nil
}

// MaxMine is how many blocks can be mined in one go.
const MaxMine = 1000

// Mine mines count blocks without transactions.
func (n *Node) Mine(count int) error {
	_, err := n.mineTo(n.script, count)
	return err
}

// mineTo mines blocks whose coins go to a script.
func (n *Node) mineTo(script []byte, count int) (hashes []chainhash.Hash, err error) {
	if count < 1 || count > MaxMine {
		return nil, fmt.Errorf("%d blocks: from 1 to %d can be mined in one go", count, MaxMine)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range count {
		h, err := n.mine(script, i == count-1)
		if err != nil {
			return hashes, err
		}
		hashes = append(hashes, h)
	}
	return hashes, nil
}

// mine mines a block with the given transactions on the tip. It is in the log
// before anybody sees it; with sync it is on the disk. n.mu is held.
func (n *Node) mine(script []byte, sync bool, txs ...*wire.MsgTx) (chainhash.Hash, error) {
	if err := n.ready(); err != nil {
		return chainhash.Hash{}, err
	}
	b, err := n.template(script, txs)
	if err != nil {
		return chainhash.Hash{}, err
	}
	if err := n.chain.CheckConnectBlockTemplate(btcutil.NewBlock(b)); err != nil {
		return chainhash.Hash{}, err
	}
	if err := solve(&b.Header); err != nil {
		return chainhash.Hash{}, err
	}
	var raw bytes.Buffer
	if err := b.Serialize(&raw); err != nil {
		return chainhash.Hash{}, err
	}
	return b.BlockHash(), n.change(kindBlock, raw.Bytes(), sync)
}

// template makes a block on the tip that lacks its proof of work.
func (n *Node) template(script []byte, txs []*wire.MsgTx) (*wire.MsgBlock, error) {
	best := n.chain.BestSnapshot()
	coinbase, err := n.coinbase(best.Height+1, script)
	if err != nil {
		return nil, err
	}
	// A block must be younger than the median of those before it; many mined in
	// one second count up from there, as do those after the clock was set back.
	t := n.clock.seconds()
	if least := best.MedianTime.Add(time.Second); t.Before(least) {
		t = least
	}
	n.clock.atLeast(t)
	bits, err := n.chain.CalcNextRequiredDifficulty(t)
	if err != nil {
		return nil, err
	}
	version, err := n.chain.CalcNextBlockVersion()
	if err != nil {
		return nil, err
	}
	b := &wire.MsgBlock{Header: wire.BlockHeader{Version: version, PrevBlock: best.Hash, Timestamp: t, Bits: bits}}
	b.Transactions = append([]*wire.MsgTx{coinbase}, txs...)
	b.Header.MerkleRoot = blockchain.CalcMerkleRoot(btcutil.NewBlock(b).Transactions(), false)
	return b, nil
}

// coinbase pays for a block. It holds random bytes, so that no two blocks are
// the same one: of those mined instead of forbidden ones that would be refused.
func (n *Node) coinbase(height int32, script []byte) (*wire.MsgTx, error) {
	extra := make([]byte, 8)
	rand.Read(extra)
	sig, err := txscript.NewScriptBuilder().AddInt64(int64(height)).AddData(extra).AddData([]byte("satchel private chain")).Script()
	if err != nil {
		return nil, err
	}
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Index: math.MaxUint32}, SignatureScript: sig, Sequence: math.MaxUint32})
	tx.AddTxOut(wire.NewTxOut(blockchain.CalcBlockSubsidy(height, n.params), script))
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
	n.mu.RLock()
	height := int(n.chain.BestSnapshot().Height)
	hash, err := n.chain.BlockHashByHeight(int32(height - depth + 1))
	n.mu.RUnlock()
	if most := height - bootBlocks; depth < 1 || depth > most {
		return fmt.Errorf("a reorganisation of %d blocks: the newest %d can be replaced", depth, most)
	}
	if err != nil {
		return err
	}
	return n.Invalidate(*hash, depth+1)
}

// Invalidate forbids a block and all that follow it, and mines count new ones
// instead; nobody sees anything in between. The blocks that open the namespace
// can't be forbidden.
func (n *Node) Invalidate(hash chainhash.Hash, count int) error {
	if count < 0 || count > MaxMine {
		return fmt.Errorf("%d blocks: up to %d can be mined in one go", count, MaxMine)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.ready(); err != nil {
		return err
	}
	if _, err := n.chain.HeaderByHash(&hash); err != nil {
		return fmt.Errorf("block %v: %w", hash, os.ErrNotExist)
	}
	if h, err := n.chain.BlockHeightByHash(&hash); err == nil && h <= bootBlocks {
		return fmt.Errorf("block %d: those up to %d open the namespace and stay", h, bootBlocks)
	}
	if err := n.change(kindBad, hash[:], true); err != nil {
		return err
	}
	for i := range count {
		if _, err := n.mine(n.script, i == count-1); err != nil {
			return err
		}
	}
	return nil
}

// Reconsider takes back that a block was forbidden.
func (n *Node) Reconsider(hash chainhash.Hash) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.ready(); err != nil {
		return err
	}
	if _, err := n.chain.HeaderByHash(&hash); err != nil {
		return fmt.Errorf("block %v: %w", hash, os.ErrNotExist)
	}
	if n.chain.MainChainHasBlock(&hash) {
		return nil
	}
	return n.change(kindGood, hash[:], true)
}

// Fund pays an address from the coins that this chain mined; mined at once.
func (n *Node) Fund(ctx context.Context, addr string, satoshi int64) (chainhash.Hash, error) {
	const most = 100 * btcutil.SatoshiPerBitcoin
	if satoshi < registrar.Dust || satoshi > most {
		return chainhash.Hash{}, fmt.Errorf("%d satoshi: from %d to %d can be had at once", satoshi, registrar.Dust, int64(most))
	}
	script, err := ops.PayTo(addr, n.params)
	if err != nil {
		return chainhash.Hash{}, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	tx, err := registrar.Build(n.miner, n.unspent(n.script), []*wire.TxOut{wire.NewTxOut(satoshi, script)}, 1)
	if err != nil {
		return chainhash.Hash{}, err
	}
	if _, err := n.mine(n.script, true, tx); err != nil {
		return chainhash.Hash{}, err
	}
	return tx.TxHash(), nil
}

// bootstrap mines the first coins and opens the namespace "id", as far as that
// has not been done.
func (n *Node) bootstrap(ctx context.Context) error {
	if h := n.Height(); h < FirstBlock-1 {
		if err := n.Mine(FirstBlock - 1 - h); err != nil {
			return err
		}
	}
	if ns, err := n.names.Namespace(Namespace); err == nil && ns.Ready {
		return nil
	}
	r := &registrar.Registrar{Chain: n, Index: n.names, Follower: n.follower}
	return r.Namespace(ctx, Namespace, n.miner)
}

package chain

import (
	"errors"

	"github.com/btcsuite/btcd/chainhash/v2"

	"satchel/chain/ops"
)

// An Operation is an accepted operation at its place in the chain.
type Operation struct {
	Height  int
	Index   int // of the transaction in its block; the coinbase is 0
	Txid    chainhash.Hash
	Op      string    // as in Record.Op; "?" and "*" preorders, "&" and "!" namespaces
	Subject string    // the name or namespace id; empty for a preorder, which hides it
	Owner   []byte    // script, after the operation; of a preorder its sender
	Value   *[20]byte // value hash of the name after the operation, nil if it has none
	Record  string    // serialised, as the ops hash covers it
}

// Operations returns the accepted operations of a block from FirstBlock to the
// tip, in order; os.ErrNotExist for other heights.
func (ix *Index) Operations(height int) ([]Operation, error) {
	return nil, errors.New("not there yet")
}

// History returns what happened to a name or a namespace, oldest first: at most
// limit operations of height from or above. A limit of 0 stands for all.
func (ix *Index) History(subject string, from, limit int) ([]Operation, error) {
	return nil, errors.New("not there yet")
}

// OperationByTxid returns the accepted operation of a transaction;
// os.ErrNotExist if none has that hash.
func (ix *Index) OperationByTxid(txid chainhash.Hash) (o Operation, err error) {
	return o, errors.New("not there yet")
}

// replayable returns the accepted operations of a block from FirstBlock to the
// tip, as connect takes them: an index that is given these, block by block, has
// the same table and the same hashes.
func (ix *Index) replayable(height int) ([]*ops.Tx, error) {
	return nil, errors.New("not there yet")
}

// HeightOf returns the height that has a consensus hash; os.ErrNotExist if none
// up to the tip has it.
func (ix *Index) HeightOf(c [16]byte) (int, error) {
	return 0, errors.New("not there yet")
}

// OpsHash returns the ops hash of a height from FirstBlock to the tip;
// os.ErrNotExist for others.
func (ix *Index) OpsHash(height int) (h [32]byte, err error) {
	return h, errors.New("not there yet")
}

// Names returns names of a namespace that follow after, sorted, at most limit of
// them, expired and revoked ones too. An empty after starts at the first.
func (ix *Index) Names(namespace string, after Name, limit int) ([]Name, error) {
	return nil, errors.New("not there yet")
}

// Namespaces returns every namespace that was revealed, sorted by id.
func (ix *Index) Namespaces() ([]Namespace, error) {
	return nil, errors.New("not there yet")
}

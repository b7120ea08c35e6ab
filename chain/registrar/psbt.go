package registrar

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/psbt/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
)

// MaxPSBT bounds what Signed reads: the previous transaction of each input is in
// it as a whole.
const MaxPSBT = 32 << 20

// ErrNotSigned reports a PSBT that lacks signatures.
var ErrNotSigned = errors.New("it is not signed by all keys yet")

// Unsigned returns the next transaction of a job that waits to be signed, by the
// key of the address signer, as a PSBT (BIP 174) with the previous transaction of
// each input, which signers check amounts by.
func (r *Registrar) Unsigned(ctx context.Context, id int) (op, signer string, data []byte, err error) {
	j, err := r.Job(id)
	if err != nil {
		return "", "", nil, err
	}
	t := j.unsigned()
	if t == nil {
		return "", "", nil, fmt.Errorf("job %d (%s of %s) has nothing to sign now", id, j.Op, j.Subject)
	}
	src, ok := r.Chain.(bitcoin.PrevTxer)
	if !ok {
		return "", "", nil, errors.New("the source of blocks has no previous transactions, which signers want to see")
	}
	data, err = makePSBT(ctx, src, t, j.Owner)
	return t.Op, r.address(j.Owner), data, err
}

func makePSBT(ctx context.Context, src bitcoin.PrevTxer, t *Tx, owner []byte) ([]byte, error) {
	p, err := psbt.NewFromUnsignedTx(t.msg)
	if err != nil {
		return nil, err
	}
	for i, in := range t.msg.TxIn {
		if p.Inputs[i].NonWitnessUtxo, err = previous(ctx, src, in.PreviousOutPoint, t.Coins[i], owner); err != nil {
			return nil, err
		}
		p.Inputs[i].SighashType = txscript.SigHashAll
	}
	var b bytes.Buffer
	err = p.Serialize(&b)
	return b.Bytes(), err
}

// unsigned returns the transaction that waits to be signed, nil if none does.
func (j *Job) unsigned() *Tx {
	for i := len(j.Txs) - 1; i >= 0; i-- {
		if t := &j.Txs[i]; !t.Signed && !t.Done && !t.Void {
			return t
		}
	}
	return nil
}

// previous returns the transaction of a coin, checked to be the one.
func previous(ctx context.Context, src bitcoin.PrevTxer, o wire.OutPoint, value int64, script []byte) (*wire.MsgTx, error) {
	raw, err := src.PrevTx(ctx, o.Hash)
	if err != nil {
		return nil, fmt.Errorf("previous transaction %v: %w", o.Hash, err)
	}
	out, err := bitcoin.OutputOf(raw, o)
	if err != nil {
		return nil, err
	}
	if out.Value != value || !bytes.Equal(out.PkScript, script) {
		return nil, fmt.Errorf("%w: %v is another coin than the source said", bitcoin.ErrBadTx, o)
	}
	tx := new(wire.MsgTx)
	return tx, tx.Deserialize(bytes.NewReader(raw))
}

// Signed takes a PSBT that was signed elsewhere, for the job that waits for it,
// and returns that job's number: Run sends it. It has to be the very transaction
// that was given out, with signatures that hold. An unsigned one is ErrNotSigned.
func (r *Registrar) Signed(ctx context.Context, data []byte) (id int, err error) {
	give, err := r.take(ctx)
	if err != nil {
		return 0, err
	}
	defer give()
	p, err := parsePSBT(data)
	if err != nil {
		return 0, err
	}
	for _, e := range r.open() {
		for i := range e.Txs {
			if t := &e.Txs[i]; bare(t.msg).TxHash() == p.UnsignedTx.TxHash() {
				return e.ID, r.signed(e, t, p)
			}
		}
	}
	return 0, errors.New("no operation in the queue waits for this transaction")
}

// signed takes a PSBT of one of a job's transactions.
func (r *Registrar) signed(e *entry, t *Tx, p *psbt.Packet) error {
	switch {
	case t.Signed:
		return nil // it was here before
	case t != e.unsigned():
		return fmt.Errorf("another transaction took the place of this one: the command of %s with --psbt gives it out", e.Subject)
	}
	tx, err := finish(p, t, e.Owner)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", t.Op, e.Subject, err)
	}
	t.msg, t.Raw, t.Signed = tx, encode(tx), true
	return r.save(e)
}

// CheckPSBT says if data is a PSBT, binary or in base64.
func CheckPSBT(data []byte) error {
	_, err := parsePSBT(data)
	return err
}

// parsePSBT reads a PSBT, binary or in base64.
func parsePSBT(data []byte) (*psbt.Packet, error) {
	if len(data) > MaxPSBT {
		return nil, fmt.Errorf("a PSBT of %d bytes is too long", len(data))
	}
	b64 := !bytes.HasPrefix(data, []byte("psbt\xff"))
	if b64 {
		data = bytes.TrimSpace(data)
	}
	p, err := psbt.NewFromRawBytes(bytes.NewReader(data), b64)
	if err != nil {
		return nil, fmt.Errorf("this is no PSBT: %w", err)
	}
	return p, nil
}

// finish makes a signed transaction of a PSBT and checks that it is t with
// signatures by which all coins of owner can be spent.
func finish(p *psbt.Packet, t *Tx, owner []byte) (*wire.MsgTx, error) {
	if err := psbt.MaybeFinalizeAll(p); err != nil {
		return nil, ErrNotSigned // the reason is in terms of the format
	}
	tx, err := psbt.Extract(p)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSigned, err)
	}
	if tx.HasWitness() {
		return nil, errors.New("it has a witness, though it spends coins without")
	}
	if bare(tx).TxHash() != t.msg.TxHash() {
		return nil, errors.New("it is another transaction than the one that was to be signed")
	}
	for i, value := range t.Coins {
		fetch := txscript.NewCannedPrevOutputFetcher(owner, value)
		vm, err := txscript.NewEngine(owner, tx, i, txscript.StandardVerifyFlags, nil, nil, value, fetch)
		if err == nil {
			err = vm.Execute()
		}
		if err != nil {
			return nil, fmt.Errorf("the signature of input %d doesn't hold: %w", i, err)
		}
	}
	return tx, nil
}

// bare returns a transaction without its signatures.
func bare(tx *wire.MsgTx) *wire.MsgTx {
	b := tx.Copy()
	for _, in := range b.TxIn {
		in.SignatureScript, in.Witness = nil, nil
	}
	return b
}

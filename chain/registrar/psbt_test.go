package registrar_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	addr "github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/psbt/v2"
	"github.com/btcsuite/btcd/txscript/v2"

	"satchel/chain/registrar"
)

// signPSBT signs as a hardware wallet does: it looks at amounts in the previous
// transactions.
func signPSBT(t *testing.T, data []byte, key *btcec.PrivateKey) []byte {
	t.Helper()
	p, err := psbt.NewFromRawBytes(bytes.NewReader(data), false)
	if err != nil {
		t.Fatal(err)
	}
	u, err := psbt.NewUpdater(p)
	if err != nil {
		t.Fatal(err)
	}
	for i, in := range p.UnsignedTx.TxIn {
		prev := p.Inputs[i].NonWitnessUtxo
		if prev == nil || prev.TxHash() != in.PreviousOutPoint.Hash {
			t.Fatalf("input %d has no previous transaction", i)
		}
		script := prev.TxOut[in.PreviousOutPoint.Index].PkScript
		sig, err := txscript.RawTxInSignature(p.UnsignedTx, i, script, txscript.SigHashAll, key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := u.Sign(i, sig, key.PubKey().SerializeCompressed(), nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := p.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestPSBT registers a name whose key is elsewhere.
func TestPSBT(t *testing.T) {
	for _, confirmations := range []int{0, 6} {
		p := newPool(t, confirmations)
		key, script := newKey(t)
		p.fund(key, 9000) // so that some have several inputs
		p.fund(key, 9000)
		p.fund(key, 9000)
		p.empty(6)
		ctx, dir := t.Context(), filepath.Join(t.TempDir(), "queue")
		r := p.registrar(dir)
		g := goalOf(registrar.OpRegister, "ada.id", key)
		id := p.add(r, g, registrar.Terms{PSBT: true})
		var words []string
		for range 3 {
			err := p.walk(r, id, nil, func() { p.mine(); p.empty(1) })
			if !errors.Is(err, registrar.ErrUnsigned) {
				t.Fatal(err)
			}
			op, signer, data, err := r.Unsigned(ctx, id)
			if err != nil || signer != address(script) {
				t.Fatalf("%s: %v", signer, err)
			}
			words = append(words, op)
			if _, err := r.Signed(ctx, data); !errors.Is(err, registrar.ErrNotSigned) {
				t.Errorf("unsigned: %v", err)
			}
			if _, err := r.Signed(ctx, []byte("no psbt")); err == nil || registrar.CheckPSBT(data) != nil {
				t.Error("something else is taken")
			}
			forged := packet(t, signPSBT(t, data, key))
			forged.UnsignedTx.TxOut[0].Value++
			var b bytes.Buffer
			if err := forged.Serialize(&b); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Signed(ctx, b.Bytes()); err == nil {
				t.Error("another transaction is taken")
			}
			r = p.registrar(dir) // days later
			signed := signPSBT(t, data, key)
			if len(words) == 2 {
				signed = []byte(base64.StdEncoding.EncodeToString(signed) + "\n")
			}
			for range 2 { // taken twice it is taken once
				if got, err := r.Signed(ctx, signed); err != nil || got != id {
					t.Fatalf("signed: job %d, %v", got, err)
				}
			}
		}
		p.until(r, id, nil, func() { p.mine(); p.empty(1) })
		if got := fmt.Sprint(words); got != "[preorder register update]" {
			t.Errorf("signed %s", got)
		}
		if n, _ := p.burnt(); n != 1 || len(p.seen) != 3 {
			t.Errorf("%d transactions, %d burnt", len(p.seen), n)
		}
		rec, err := p.ix.Lookup("ada.id")
		if err != nil || !bytes.Equal(rec.Owner, script) || !bytes.Equal(rec.ValueHash[:], g.Value) {
			t.Errorf("%+v, %v", rec, err)
		}
	}
}

// TestWrongSigner has a PSBT signed by a key that doesn't own the coins.
func TestWrongSigner(t *testing.T) {
	p := newPool(t, 0)
	key, _ := newKey(t)
	thief, _ := newKey(t)
	p.fund(key, 50_000)
	r := p.registrar("")
	id := p.add(r, goalOf(registrar.OpRegister, "ada.id", key), registrar.Terms{PSBT: true})
	if err := p.walk(r, id, nil, p.mine); !errors.Is(err, registrar.ErrUnsigned) {
		t.Fatal(err)
	}
	_, _, data, err := r.Unsigned(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	parsed := packet(t, data)
	for _, bad := range []func(i int) []byte{
		func(i int) []byte { return sigScript(t, parsed, i, thief, thief) },
		func(i int) []byte { return sigScript(t, parsed, i, thief, key) },
		func(i int) []byte { return []byte{txscript.OP_TRUE} },
	} {
		for i := range parsed.Inputs {
			parsed.Inputs[i] = psbt.PInput{NonWitnessUtxo: parsed.Inputs[i].NonWitnessUtxo, FinalScriptSig: bad(i)}
		}
		var b bytes.Buffer
		if err := parsed.Serialize(&b); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Signed(t.Context(), b.Bytes()); err == nil {
			t.Error("a wrong signature is taken")
		}
	}
	if len(p.seen) != 0 {
		t.Error("it was sent")
	}
}

func sigScript(t *testing.T, p *psbt.Packet, i int, signer, shown *btcec.PrivateKey) []byte {
	t.Helper()
	script := registrar.ScriptOf(shown)
	sig, err := txscript.RawTxInSignature(p.UnsignedTx, i, script, txscript.SigHashAll, signer)
	if err != nil {
		t.Fatal(err)
	}
	s, err := txscript.NewScriptBuilder().AddData(sig).AddData(shown.PubKey().SerializeCompressed()).Script()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestStalePSBT takes so long to sign that the consensus hash is too old.
func TestStalePSBT(t *testing.T) {
	p := newPool(t, 0)
	key, _ := newKey(t)
	p.fund(key, 50_000)
	p.fund(key, 60_000)
	r := p.registrar(filepath.Join(t.TempDir(), "queue"))
	id := p.add(r, goalOf(registrar.OpRegister, "ada.id", key), registrar.Terms{PSBT: true})
	var given [][]byte
	for range 2 {
		if err := p.walk(r, id, nil, p.mine); !errors.Is(err, registrar.ErrUnsigned) {
			t.Fatal(err)
		}
		_, _, data, err := r.Unsigned(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		given = append(given, signPSBT(t, data, key))
		p.empty(30)
	}
	if _, err := r.Signed(t.Context(), given[0]); err == nil {
		t.Error("the older one is taken")
	}
	a, b := packet(t, given[0]), packet(t, given[1])
	if !conflict(a.UnsignedTx, b.UnsignedTx) {
		t.Error("both can be mined")
	}
}

func packet(t *testing.T, data []byte) *psbt.Packet {
	t.Helper()
	p, err := psbt.NewFromRawBytes(bytes.NewReader(data), false)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestMultisig owns a name by two of three keys.
func TestMultisig(t *testing.T) {
	p := newPool(t, 0)
	var pubs []*addr.AddressPubKey
	var keys []*btcec.PrivateKey
	for range 3 {
		k, _ := newKey(t)
		pub, err := addr.NewAddressPubKey(k.PubKey().SerializeCompressed(), regtest)
		if err != nil {
			t.Fatal(err)
		}
		keys, pubs = append(keys, k), append(pubs, pub)
	}
	redeem, err := txscript.MultiSigScript(pubs, 2)
	if err != nil {
		t.Fatal(err)
	}
	a, err := addr.NewAddressScriptHash(redeem, regtest)
	if err != nil {
		t.Fatal(err)
	}
	script, err := txscript.PayToAddrScript(a)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Node.Fund(t.Context(), a.EncodeAddress(), 100_000); err != nil {
		t.Fatal(err)
	}
	r := p.registrar("")
	g := registrar.Goal{Op: registrar.OpRegister, Subject: "ada.id", Owner: script, Value: bytes.Repeat([]byte{1}, 20)}
	id := p.add(r, g, registrar.Terms{PSBT: true})
	for range 3 {
		if err := p.walk(r, id, nil, p.mine); !errors.Is(err, registrar.ErrUnsigned) {
			t.Fatal(err)
		}
		_, _, data, err := r.Unsigned(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		signing := packet(t, data)
		u, err := psbt.NewUpdater(signing)
		if err != nil {
			t.Fatal(err)
		}
		for i := range signing.Inputs {
			for _, k := range keys[1:] {
				sig, err := txscript.RawTxInSignature(signing.UnsignedTx, i, redeem, txscript.SigHashAll, k)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := u.Sign(i, sig, k.PubKey().SerializeCompressed(), redeem, nil); err != nil {
					t.Fatal(err)
				}
			}
		}
		var b bytes.Buffer
		if err := signing.Serialize(&b); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Signed(t.Context(), b.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	p.until(r, id, nil, p.mine)
	if rec, err := p.ix.Lookup("ada.id"); err != nil || !bytes.Equal(rec.Owner, script) {
		t.Errorf("%+v, %v", rec, err)
	}
	for _, tx := range p.seen {
		relayed(t, tx)
	}
}

// FuzzPSBT reads what nobody here wrote.
func FuzzPSBT(f *testing.F) {
	f.Add([]byte("psbt\xff"))
	f.Add([]byte("cHNidP8="))
	f.Add([]byte("psbt\xff\x01\x00\x0a\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = registrar.CheckPSBT(data)
	})
}

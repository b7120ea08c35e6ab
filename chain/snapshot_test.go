package chain_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/klauspost/compress/zstd"

	"satchel/chain"
	"satchel/chain/chaintest"
)

// lived returns a chain on which much has happened.
func lived(t *testing.T) *chaintest.Chain {
	t.Helper()
	src := openID(t)
	alice, bob := chaintest.NewKey("alice"), chaintest.NewKey("bob")
	src.Register("alice.id", alice, [20]byte{1})
	src.Register("bob.id", bob, [20]byte{2})
	src.MineBlock(src.UpdateTx("alice.id", alice, [20]byte{3}), src.RenewTx("bob.id", bob), src.UpdateTx("bob.id", alice, [20]byte{4}))
	src.MineBlock(src.PreorderTx("carol.id", alice), src.PreorderTx("carol.id", bob))
	src.MineBlock(src.RegisterTx("carol.id", alice), src.RegisterTx("carol.id", bob)) // neither gets it
	src.MineBlock(src.TransferTx("alice.id", alice, bob, true))
	src.MineBlock(src.RevokeTx("bob.id", bob))
	src.Mine(30)
	return src
}

// export writes a snapshot of a chain's index to a file.
func export(t *testing.T, src *chaintest.Chain, key chaintest.Key) (path string, data []byte) {
	t.Helper()
	var b bytes.Buffer
	info, err := chain.Export(src.Index(), &b, key.Private)
	if err != nil {
		t.Fatal(err)
	}
	if height, hash := src.Index().Tip(); info.Height != height || info.Hash != hash {
		t.Fatalf("exported %+v, the tip is %d", info, height)
	}
	return write(t, b.Bytes()), b.Bytes()
}

func write(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "snapshot")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// resign signs what stands before a trailer.
func resign(t *testing.T, body []byte, key chaintest.Key) []byte {
	t.Helper()
	signed, err := chain.SignSnapshot(body, key.Private)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestSnapshotRoundTrip(t *testing.T) {
	src, key := lived(t), chaintest.NewKey("signer")
	path, _ := export(t, src, key)
	want, err := src.Index().ConsensusHash(src.Height())
	if err != nil {
		t.Fatal(err)
	}
	for what, o := range map[string]chain.ImportOptions{
		"by its signer": {Signers: [][32]byte{{1}, chain.SignerOf(key.Private)}},
		"by its hash":   {Trust: &want},
	} {
		dir := filepath.Join(t.TempDir(), "index")
		steps := 0
		o.Progress = func(height, of int) { steps++ }
		info, err := chain.Import(t.Context(), path, dir, src.Params, o)
		if err != nil || info.Consensus != want || info.Signer != chain.SignerOf(key.Private) || steps == 0 {
			t.Fatalf("%s: got %+v, %v after %d steps", what, info, err, steps)
		}
		ix, err := chain.OpenIndex(dir, src.Params)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := chain.Dump(t, ix), chain.Dump(t, src.Index()); !maps.Equal(got, want) {
			t.Errorf("%s: %d rows, want the %d of the original, all equal", what, len(got), len(want))
		}
		f := chain.NewFollower(src, ix, chain.FollowerOptions{})
		src.Reorg(3)
		src.Register(map[string]string{"by its signer": "dave.id", "by its hash": "erin.id"}[what], key, [20]byte{9})
		sync(t, f)
		if at, _ := ix.Tip(); at != src.Height() {
			t.Errorf("%s: afterwards at %d, want %d", what, at, src.Height())
		}
		ix.Close()
		src.Reorg(4) // as it was, but for empty blocks
		path, _ = export(t, src, key)
		if want, err = src.Index().ConsensusHash(src.Height()); err != nil {
			t.Fatal(err)
		}
	}
}

// refused imports what must not be taken, and checks that nothing is left.
func refused(t *testing.T, what string, path string, p *chain.Params, o chain.ImportOptions, is error, word string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "index")
	info, err := chain.Import(t.Context(), path, dir, p, o)
	if err == nil || is != nil && !errors.Is(err, is) || !strings.Contains(err.Error(), word) {
		t.Errorf("%s: got %+v, %v; want %v with %q", what, info, err, is, word)
	}
	if left, _ := filepath.Glob(dir + "*"); len(left) > 0 {
		t.Errorf("%s: %v is left", what, left)
	}
}

func TestSnapshotRefused(t *testing.T) {
	src, key, other := lived(t), chaintest.NewKey("signer"), chaintest.NewKey("other")
	path, data := export(t, src, key)
	believe := chain.ImportOptions{Signers: [][32]byte{chain.SignerOf(key.Private)}}
	refused(t, "nobody is believed", path, src.Params, chain.ImportOptions{}, chain.ErrSigner, "somebody else")
	refused(t, "another signer", path, src.Params, chain.ImportOptions{Signers: [][32]byte{chain.SignerOf(other.Private)}}, chain.ErrSigner, "")
	refused(t, "another hash", path, src.Params, chain.ImportOptions{Trust: &[16]byte{7}}, chain.ErrSnapshot, "is trusted")
	refused(t, "another first block", path, chain.Satchel(src.Params.Chain, 77), believe, nil, "another registry")
	refused(t, "no file", path+"x", src.Params, believe, os.ErrNotExist, "")
	for n := 0; n < len(data); n += 1 + len(data)/60 {
		refused(t, "cut off", write(t, data[:n]), src.Params, believe, chain.ErrSnapshot, "")
		flipped := bytes.Clone(data)
		flipped[n] ^= 4
		refused(t, "flipped", write(t, flipped), src.Params, believe, nil, "")
	}
	refused(t, "something behind", write(t, append(bytes.Clone(data), 0)), src.Params, believe, chain.ErrSnapshot, "")

	full := filepath.Join(t.TempDir(), "index")
	if err := os.MkdirAll(full, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(full, "MANIFEST"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := chain.Import(t.Context(), path, full, src.Params, believe); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("over another index: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := believe
	stopped.Progress = func(int, int) { cancel() }
	src.Mine(100)
	long, _ := export(t, src, key)
	dir := filepath.Join(t.TempDir(), "index")
	if _, err := chain.Import(ctx, long, dir, src.Params, stopped); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	if left, _ := filepath.Glob(dir + "*"); len(left) > 0 {
		t.Errorf("stopped: %v is left", left)
	}
}

// TestImportAgain imports after an import that was killed, and while one runs.
func TestImportAgain(t *testing.T) {
	src, key := lived(t), chaintest.NewKey("signer")
	path, _ := export(t, src, key)
	o := chain.ImportOptions{Signers: [][32]byte{chain.SignerOf(key.Private)}}
	dir := filepath.Join(t.TempDir(), "index")
	for name, text := range map[string]string{"MANIFEST": "Bdgr", "000001.vlog": "", "more/0": "x"} {
		left := filepath.Join(dir+".new", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(left), 0o700), os.WriteFile(left, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	second := errors.New("it was not tried")
	twice := o
	twice.Progress = func(int, int) { _, second = chain.Import(t.Context(), path, dir, src.Params, o) }
	if _, err := chain.Import(t.Context(), path, dir, src.Params, twice); err != nil {
		t.Fatal(err)
	}
	if second == nil || !strings.Contains(second.Error(), "another import") {
		t.Errorf("two at once: %v", second)
	}
	ix, err := chain.OpenIndex(dir, src.Params)
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	if !maps.Equal(chain.Dump(t, ix), chain.Dump(t, src.Index())) {
		t.Error("the index is not the original's")
	}
	if left, _ := filepath.Glob(dir + ".*"); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

// TestKnownSnapshot reads a snapshot of each version that there was. The file is
// what export writes of lived.
func TestKnownSnapshot(t *testing.T) {
	for version, trust := range map[string]string{"1": "6f70e33daaa8fb640c5f9f833cb864f7"} {
		c, err := hex.DecodeString(trust)
		if err != nil {
			t.Fatal(err)
		}
		p := chain.Satchel(&chaincfg.RegressionNetParams, firstBlock)
		dir := filepath.Join(t.TempDir(), "index")
		path := filepath.Join("testdata", "snapshot."+version)
		info, err := chain.Import(t.Context(), path, dir, p, chain.ImportOptions{Trust: (*[16]byte)(c)})
		if err != nil || info.Signer != chain.SignerOf(chaintest.NewKey("signer").Private) {
			t.Fatalf("version %s: got %+v, %v", version, info, err)
		}
		ix, err := chain.OpenIndex(dir, p)
		if err != nil {
			t.Fatal(err)
		}
		defer ix.Close()
		if rec := lookup(t, ix, "alice.id"); rec.ValueHash != [20]byte{3} || rec.Op != ">>" {
			t.Errorf("version %s: got %+v", version, rec)
		}
		if rec := lookup(t, ix, "bob.id"); !rec.Revoked {
			t.Errorf("version %s: got %+v", version, rec)
		}
	}
}

// TestForgedSnapshot changes what a snapshot says and signs it again, as a
// believed signer that lies, or whose hash is known from elsewhere: each change
// breaks the hashes.
func TestForgedSnapshot(t *testing.T) {
	src, key := lived(t), chaintest.NewKey("signer")
	_, data := export(t, src, key)
	believe := chain.ImportOptions{Signers: [][32]byte{chain.SignerOf(key.Private)}}
	magic, stream := data[:8], data[8:len(data)-96]
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	plain, err := dec.DecodeAll(stream, nil)
	if err != nil {
		t.Fatal(err)
	}
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	pack := func(b []byte) string {
		return write(t, resign(t, enc.EncodeAll(b, bytes.Clone(magic)), key))
	}
	dir := filepath.Join(t.TempDir(), "index")
	if _, err := chain.Import(t.Context(), pack(plain), dir, src.Params, believe); err != nil {
		t.Fatalf("unchanged: %v", err)
	}
	for n := 0; n < len(plain); n += 1 + len(plain)/150 {
		changed := bytes.Clone(plain)
		changed[n] ^= 1
		dir := filepath.Join(t.TempDir(), "index")
		if _, err := chain.Import(t.Context(), pack(changed), dir, src.Params, believe); err == nil {
			// Only what no rule looks at may differ.
			ix, err := chain.OpenIndex(dir, src.Params)
			if err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(chain.State(t, ix), chain.State(t, src.Index())) {
				t.Errorf("byte %d: a changed snapshot made another index", n)
			}
			ix.Close()
		}
	}
	refused(t, "cut off", pack(plain[:len(plain)-20]), src.Params, believe, chain.ErrSnapshot, "")
	refused(t, "longer", pack(append(bytes.Clone(plain), 0)), src.Params, believe, chain.ErrSnapshot, "follows")
	refused(t, "no stream", write(t, resign(t, append(bytes.Clone(magic), "garbage"...), key)), src.Params, believe, nil, "")
	bomb := enc.EncodeAll(append(bytes.Clone(plain[:len(plain)-16]), make([]byte, 64<<20)...), bytes.Clone(magic))
	refused(t, "a bomb", write(t, resign(t, bomb, key)), src.Params, believe, nil, "")
}

func FuzzSnapshot(f *testing.F) {
	key := chaintest.NewKey("signer")
	dec, err := zstd.NewReader(nil)
	if err != nil {
		f.Fatal(err)
	}
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	src := chaintest.New(f, firstBlock)
	src.Namespace("id", 1000)
	src.Register("alice.id", key, [20]byte{1})
	var b bytes.Buffer
	if _, err := chain.Export(src.Index(), &b, key.Private); err != nil {
		f.Fatal(err)
	}
	plain, err := dec.DecodeAll(b.Bytes()[8:b.Len()-96], nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add(plain[:40])
	want, _ := src.Index().ConsensusHash(src.Height())
	f.Fuzz(func(t *testing.T, plain []byte) {
		path := write(t, resign(t, enc.EncodeAll(plain, bytes.Clone(b.Bytes()[:8])), key))
		info, err := chain.Import(t.Context(), path, filepath.Join(t.TempDir(), "index"), src.Params, chain.ImportOptions{Trust: &want})
		if err == nil && info.Consensus != want {
			t.Errorf("took one that ends with %x", info.Consensus)
		}
	})
}

package chain

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/klauspost/compress/zstd"

	"satchel/chain/bitcoin"
	"satchel/chain/ops"
)

// ImportOptions say what makes a snapshot good.
type ImportOptions struct {
	// Signers are believed. Without any, Trust has to be given.
	Signers [][32]byte
	// Trust is the consensus hash that it must end with; nil: any.
	Trust *[16]byte
	// Progress, if not nil, hears how far it is.
	Progress func(height, of int)
}

// ErrSigner reports a snapshot of somebody who is not believed.
var ErrSigner = errors.New("the snapshot is signed by somebody else")

// Import makes an index in dir, which must not exist or be empty, from the
// snapshot in a file: it checks the signature over the whole file first, then all
// headers, then puts each operation through the rules and compares each consensus
// hash. If anything is wrong, or ctx ends, dir stays as it was.
func Import(ctx context.Context, path, dir string, p *Params, o ImportOptions) (info SnapshotInfo, err error) {
	f, err := os.Open(path)
	if err != nil {
		return info, err
	}
	defer f.Close()
	signer, size, err := checkSignature(ctx, f)
	if err != nil {
		return info, err
	}
	if o.Trust == nil && !slices.Contains(o.Signers, signer) {
		return SnapshotInfo{Signer: signer}, fmt.Errorf("%w, by %x", ErrSigner, signer)
	}
	if err := checkEmpty(dir); err != nil {
		return info, err
	}
	tmp, release, err := scratch(dir)
	if err != nil {
		return info, err
	}
	defer release()
	im := &importer{ctx: ctx, p: p, o: o}
	if err := im.replay(io.NewSectionReader(f, int64(len(snapshotMagic)), size), tmp); err != nil {
		return im.info, fmt.Errorf("import %s: %w", path, err)
	}
	im.info.Signer = signer
	return im.info, moveInto(tmp, dir)
}

// checkSignature checks that the file is signed, and returns by whom, and how long
// its stream is.
func checkSignature(ctx context.Context, f *os.File) (signer [32]byte, size int64, err error) {
	st, err := f.Stat()
	if err != nil {
		return signer, 0, err
	}
	size = st.Size() - snapshotTrailer
	if size < int64(len(snapshotMagic)) || size > maxSnapshot {
		return signer, 0, fmt.Errorf("%w: %d bytes", ErrSnapshot, st.Size())
	}
	var magic [len(snapshotMagic)]byte
	if _, err := f.ReadAt(magic[:], 0); err != nil {
		return signer, 0, err
	}
	if magic != snapshotMagic {
		return signer, 0, fmt.Errorf("%w: it is no snapshot of this version", ErrSnapshot)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, &reader{ctx, io.NewSectionReader(f, 0, size)}); err != nil {
		return signer, 0, err
	}
	var trailer [snapshotTrailer]byte
	if _, err := f.ReadAt(trailer[:], size); err != nil {
		return signer, 0, err
	}
	signer = [32]byte(trailer[:32])
	key, err := schnorr.ParsePubKey(signer[:])
	if err != nil {
		return signer, 0, fmt.Errorf("%w: no key of a signer", ErrSnapshot)
	}
	sig, err := schnorr.ParseSignature(trailer[32:])
	if err != nil || !sig.Verify(snapshotDigest([32]byte(sum.Sum(nil))), key) {
		return signer, 0, fmt.Errorf("%w: its signature doesn't hold", ErrSnapshot)
	}
	return signer, size - int64(len(magic)), nil
}

// reader reads until ctx ends.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r *reader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}

func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		return fmt.Errorf("%s has an index already: remove it first, or import into another folder", dir)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// scratch returns a folder beside another one in which its index can be made, by
// this import alone; what one that was killed left there is deleted. release
// deletes what is left.
func scratch(dir string) (index string, release func(), err error) {
	tmp := filepath.Clean(dir) + ".new"
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return "", nil, err
	}
	f, err := os.Open(tmp)
	if err != nil {
		return "", nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return "", nil, fmt.Errorf("%s is in use by another import: %w", tmp, err)
	}
	release = func() {
		os.RemoveAll(tmp)
		f.Close()
	}
	entries, err := os.ReadDir(tmp)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(tmp, e.Name())))
	}
	if err != nil {
		release()
		return "", nil, err
	}
	return filepath.Join(tmp, "index"), release, nil // the database locks its own folder too
}

// moveInto gives a folder its name, durably.
func moveInto(tmp, dir string) error {
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return err
	}
	parent, err := os.Open(filepath.Dir(filepath.Clean(dir)))
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// An importer makes an index of a snapshot's stream.
type importer struct {
	ctx  context.Context
	p    *Params
	o    ImportOptions
	r    *bufio.Reader
	info SnapshotInfo
	err  error // the first one

	ix      *Index
	headers *bitcoin.Headers
	waiting int // bytes of operations that were read and not applied
}

// maxWaiting is how many bytes of operations are gathered before they are applied.
const maxWaiting = 1 << 20

// fill reads exactly so many bytes.
func (im *importer) fill(b []byte) {
	if im.err != nil {
		return
	}
	if err := im.ctx.Err(); err != nil {
		im.err = err
	} else if _, err := io.ReadFull(im.r, b); err != nil {
		im.err = fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
}

func (im *importer) num() int {
	var b [4]byte
	im.fill(b[:])
	return int(binary.BigEndian.Uint32(b[:]))
}

func (im *importer) replay(stream io.Reader, dir string) error {
	z, err := zstd.NewReader(stream, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return err
	}
	defer z.Close()
	im.r = bufio.NewReader(z)
	if err := im.head(); err != nil {
		return err
	}
	if im.ix, err = OpenIndex(dir, im.p); err != nil {
		return err
	}
	err = im.blocks()
	return errors.Join(err, im.ix.Close())
}

// head reads what the snapshot claims to be.
func (im *importer) head() error {
	var size [1]byte
	im.fill(size[:])
	rules := make([]byte, size[0])
	var network [10]byte
	im.fill(rules)
	im.fill(network[:])
	first := im.num()
	im.info.Height = im.num()
	im.fill(im.info.Hash[:])
	im.fill(im.info.Consensus[:])
	switch {
	case im.err != nil:
		return im.err
	case string(rules) != im.p.Rules || network != im.p.Network() || first != im.p.FirstBlock:
		return fmt.Errorf("the snapshot is of another registry: rules %q from block %d, want %q from %d on the chain that is followed here",
			rules, first, im.p.Rules, im.p.FirstBlock)
	case im.info.Height < first || im.info.Height > maxTip:
		return fmt.Errorf("%w: height %d", ErrSnapshot, im.info.Height)
	case im.o.Trust != nil && im.info.Consensus != *im.o.Trust:
		return fmt.Errorf("%w: it ends with the consensus hash %x, and %x is trusted", ErrSnapshot, im.info.Consensus, *im.o.Trust)
	}
	return nil
}

func (im *importer) blocks() error {
	if err := im.readHeaders(); err != nil {
		return err
	}
	if err := im.connectHeaders(); err != nil {
		return err
	}
	var batch []*fetched
	var want [][16]byte
	for height := im.p.FirstBlock; height <= im.info.Height; height++ {
		b, c, err := im.block(height)
		if err != nil {
			return err
		}
		batch, want = append(batch, b), append(want, c)
		if len(batch) == maxAhead || im.waiting >= maxWaiting || height == im.info.Height {
			if err := im.connect(batch, want); err != nil {
				return err
			}
			batch, want, im.waiting = nil, nil, 0
		}
	}
	if _, err := im.r.ReadByte(); err != io.EOF {
		return fmt.Errorf("%w: something follows the last block", ErrSnapshot)
	}
	if im.lastHash() != im.info.Consensus {
		return fmt.Errorf("%w: it doesn't end with the consensus hash that it claims", ErrSnapshot)
	}
	return nil
}

func (im *importer) lastHash() [16]byte {
	c, _ := im.ix.ConsensusHash(im.info.Height)
	return c
}

// readHeaders checks all headers: their work, and that they lead to the tip.
func (im *importer) readHeaders() error {
	im.headers = bitcoin.NewHeaders(im.p.Chain)
	for height := 1; height <= im.info.Height; {
		hs := make([]wire.BlockHeader, min(bitcoin.MaxHeaders, im.info.Height-height+1))
		for i := range hs {
			var b [wire.MaxBlockHeaderPayload]byte
			im.fill(b[:])
			if im.err != nil {
				return im.err
			}
			if err := hs[i].Deserialize(bytes.NewReader(b[:])); err != nil {
				return err
			}
		}
		if _, err := im.headers.Add(hs); err != nil {
			return fmt.Errorf("%w: %w", ErrSnapshot, err)
		}
		height += len(hs)
	}
	if best := im.headers.Best(); best.Height != im.info.Height || best.Hash != im.info.Hash {
		return fmt.Errorf("%w: its headers lead to block %d, %v", ErrSnapshot, best.Height, best.Hash)
	}
	return nil
}

// connectHeaders takes the index to the block before the first that is read.
func (im *importer) connectHeaders() error {
	for height := 1; height < im.p.FirstBlock; {
		var hs []bitcoin.Header
		for ; height < im.p.FirstBlock && len(hs) < bitcoin.MaxHeaders; height++ {
			h, _ := im.headers.At(height)
			hs = append(hs, h)
		}
		if err := im.ix.connectHeaders(hs); err != nil {
			return err
		}
	}
	return nil
}

// block reads a block's operations and consensus hash.
func (im *importer) block(height int) (b *fetched, consensus [16]byte, err error) {
	size := im.num()
	if im.err == nil && size > maxBlockOps {
		im.err = fmt.Errorf("%w: %d bytes of operations in block %d", ErrSnapshot, size, height)
	}
	if im.err != nil {
		return nil, consensus, im.err
	}
	var rows bytes.Buffer // grows as bytes come, whatever the length says
	if _, err := io.CopyN(&rows, im.r, int64(size)); err != nil {
		return nil, consensus, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	im.fill(consensus[:])
	if im.err != nil {
		return nil, consensus, im.err
	}
	h, _ := im.headers.At(height)
	b = &fetched{header: h}
	if b.txs, err = readOps(im.p, height, rows.Bytes()); err != nil {
		return nil, consensus, fmt.Errorf("%w: operations of block %d", ErrSnapshot, height)
	}
	im.waiting += size
	return b, consensus, nil
}

// readOps reads the operations in rows of kind keyOps that may be forged. Their
// records are left out: the rules make them anew.
func readOps(p *Params, height int, rows []byte) (txs []*ops.Tx, err error) {
	r := rowReader{b: rows}
	for last := 0; len(r.b) > 0; {
		k, _, err := parseKeptTx(p, height, &rowReader{b: r.bytes()})
		if err != nil || k.tx.Index <= last || k.tx.Index > maxTxs {
			return nil, errDamaged
		}
		last = k.tx.Index
		txs = append(txs, k.tx)
	}
	return txs, r.end()
}

// maxTxs is more transactions than fit into a block.
const maxTxs = 1 << 17

// connect applies blocks and compares their hashes.
func (im *importer) connect(batch []*fetched, want [][16]byte) error {
	done, err := im.ix.connectBatch(batch, im.info.Height)
	for i, a := range done {
		if a.consensus != want[i] {
			return fmt.Errorf("%w: by its operations block %d has the consensus hash %x, and it says %x",
				ErrSnapshot, batch[i].header.Height, a.consensus, want[i])
		}
	}
	if im.o.Progress != nil && err == nil {
		im.o.Progress(batch[len(batch)-1].header.Height, im.info.Height)
	}
	return err
}

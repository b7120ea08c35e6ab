package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"satchel/chain"
)

// A watcher prints the consensus hashes of a follower and compares them with
// the ones that are expected.
type watcher struct {
	a      *app
	index  *chain.Index
	print  bool
	expect map[int][16]byte

	mu      sync.Mutex
	first   int        // height of printed[0]
	printed [][16]byte // if print
	said    time.Time  // when the height was last told
	differs error      // once a hash did
	stop    context.CancelFunc
}

// saidEvery is how often a follower that is behind says how far it is.
const saidEvery = 5 * time.Second

func newWatcher(f *followArgs, index *chain.Index, a *app) (*watcher, error) {
	w := &watcher{a: a, index: index, print: f.print, first: index.Params().FirstBlock, said: time.Now(), stop: func() {}}
	if f.expect == "" {
		return w, nil
	}
	file, err := os.Open(f.expect)
	if err != nil {
		return nil, coded(exitUsage, err)
	}
	defer file.Close()
	if w.expect, err = chain.ReadExpected(bufio.NewReader(file)); err != nil {
		return nil, failf(exitUsage, "--expect %s: %w", f.expect, err)
	}
	return w, nil
}

// begin looks at the blocks that the index has already.
func (w *watcher) begin() error {
	tip, _ := w.index.Tip()
	for height := w.first; height <= tip && (w.print || w.expect != nil); height++ {
		hash, err := w.index.ConsensusHash(height)
		if err == nil {
			err = w.check(height, hash)
		}
		if err != nil {
			return w.error(err, nil)
		}
	}
	w.show(tip)
	return nil
}

// check is asked before a block is applied.
func (w *watcher) check(height int, hash [16]byte) error {
	want, known := w.expect[height]
	if !known || want == hash {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.differs = failf(exitChain, "block %d has the consensus hash %x, but %x is expected: what is read here, blocks or rules, is not what the file's writer read; "+
		"the table ends before that block", height, hash, want)
	w.stop()
	return w.differs
}

// moved is told after the index moved.
func (w *watcher) moved(s chain.Status) {
	w.show(s.Height)
	if time.Since(w.said) < saidEvery {
		return
	}
	w.said = time.Now()
	if s.Best > s.Height {
		fmt.Fprintf(w.a.err, "block %d of %d\n", s.Height, s.Best)
	}
}

// show prints the hashes up to the tip that were not printed, or were printed
// otherwise before a reorganisation.
func (w *watcher) show(tip int) {
	if !w.print {
		return
	}
	keep := min(len(w.printed), max(tip-w.first+1, 0))
	for ; keep > 0; keep-- {
		hash, err := w.index.ConsensusHash(w.first + keep - 1)
		if err == nil && hash == w.printed[keep-1] {
			break
		}
	}
	w.printed = w.printed[:keep]
	out := bufio.NewWriter(w.a.out)
	defer out.Flush()
	for height := w.first + keep; height <= tip; height++ {
		hash, err := w.index.ConsensusHash(height)
		if err != nil {
			return // undone meanwhile; the next move shows it
		}
		fmt.Fprintf(out, "%d %s\n", height, hex.EncodeToString(hash[:]))
		w.printed = append(w.printed, hash)
	}
}

// run follows until ctx ends, which is no error, or a hash differs.
func (w *watcher) run(ctx context.Context, fol *chain.Follower) error {
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	w.mu.Lock()
	w.stop = cancel
	w.mu.Unlock()
	err := fol.Run(run)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// error returns what a follower ended with, for a person.
func (w *watcher) error(err error, src source) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.differs != nil:
		return w.differs
	case err == nil, errors.Is(err, context.Canceled) || src == nil:
		return err
	}
	return src.unreachable(err)
}

// end tells where the table stands.
func (w *watcher) end() {
	if w.print {
		return
	}
	height, hash := w.index.Tip()
	fmt.Fprintf(w.a.out, "block          %d %v\n", height, hash)
	if c, err := w.index.ConsensusHash(height); err == nil {
		fmt.Fprintf(w.a.out, "consensus hash %x\n", c)
	}
}

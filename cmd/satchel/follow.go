package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"time"

	"satchel/chain"
	"satchel/chain/proof"
	"satchel/crypto"
	"satchel/storage/web"
)

// followArgs are the flags of follow.
type followArgs struct {
	chain                chainFlags
	index                string
	once, print          bool
	expect               string
	exportTo, importFrom string
	signer, trust        string
	listen               string
}

func (a *app) followCommand() *command {
	c := newCommand("follow", "", 0, 0, "follow the chain and keep the table of names, without a drive")
	c.long = `Reads the chain of this home, or the one that --chain names, and keeps the table of
names until Ctrl-C; with --once until it stands at the tip. With --listen it
answers other people's ` + "`satchel name verify`" + ` over HTTP, who need not trust it.

--print writes one line for each block, height and consensus hash; such a file is
what --expect wants: where a hash differs, the follower stops and says at which
block, since then its blocks or its rules are not those of whoever wrote the file.

--export FILE follows to the tip and writes a snapshot, signed with the owner key of
this home; --import FILE begins with one, which is checked by replaying it. Senders of
operations can't be checked without the blocks: for them a snapshot is its signer's
word, so it wants --signer KEY, whom you trust, or --trust HASH, the consensus hash
of its last block that you have from elsewhere.`
	var f followArgs
	f.chain.add(c.flags)
	c.flags.StringVar(&f.index, "index", "", "keep the table in `DIR` (default: that of this home)")
	c.flags.BoolVar(&f.once, "once", false, "end at the tip")
	c.flags.BoolVar(&f.print, "print", false, "write height and consensus hash of each block")
	c.flags.StringVar(&f.expect, "expect", "", "stop at the first block whose consensus hash is not the one in `FILE`")
	c.flags.StringVar(&f.exportTo, "export", "", "write a snapshot to `FILE` at the tip, and end")
	c.flags.StringVar(&f.importFrom, "import", "", "begin with the snapshot in `FILE`")
	c.flags.StringVar(&f.signer, "signer", "", "public `KEY`, in hex, of whose snapshots are imported")
	c.flags.StringVar(&f.trust, "trust", "", "consensus `HASH` that the snapshot must end with")
	c.flags.StringVar(&f.listen, "listen", "", "answer questions of `satchel name verify` at `ADDR`, host:port")
	c.run = func(ctx context.Context, args []string) error {
		return a.follow(ctx, &f)
	}
	return c
}

// followMemory is what a follower gets by with: without a limit the runtime lets
// what is sorted while catching up double before it cleans up.
const followMemory = 130 << 20

// follow opens what the flags name and follows.
func (a *app) follow(ctx context.Context, f *followArgs) error {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(followMemory)
	}
	if f.importFrom == "" && (f.signer != "" || f.trust != "") {
		return usagef("--signer and --trust say whose snapshot is believed; give --import FILE too")
	}
	h, err := a.home()
	if err != nil {
		return err
	}
	var keys *crypto.Keystore
	if f.exportTo != "" {
		if keys, err = a.snapshotKeys(h); err != nil {
			return err
		}
	}
	cfg, err := f.config(h)
	if err != nil {
		return err
	}
	if f.index == "" {
		f.index = h.index()
		if err := os.MkdirAll(h.data, 0o700); err != nil {
			return err
		}
		l, err := followLock(h)
		if err != nil {
			return err
		}
		defer l.Close()
	}
	src, err := newSource(h, cfg)
	if err != nil {
		return err
	}
	defer src.Close()
	info, err := src.connect(ctx)
	if err != nil {
		return err
	}
	rules, err := src.rules(info)
	if err != nil {
		return err
	}
	if f.importFrom != "" {
		if err := a.importSnapshot(ctx, f, rules); err != nil {
			return err
		}
	}
	index, err := chain.OpenIndex(f.index, rules)
	if err != nil {
		return fmt.Errorf("%w; is another follower running?", err)
	}
	err = a.followWith(ctx, f, src, index)
	if err == nil && keys != nil {
		err = a.exportSnapshot(f.exportTo, keys, index)
	}
	return errors.Join(err, index.Close())
}

// config returns the chain that the flags name, else that of the home.
func (f *followArgs) config(h *home) (*chainConfig, error) {
	if f.chain.given() {
		if h.exists() && f.index == "" {
			return nil, usagef("the home %s follows the chain that its config names; give --index DIR for another one's table, or --home DIR", h.name())
		}
		cfg, err := f.chain.config()
		return &cfg, err
	}
	cfg, err := readConfig(h.config)
	if err != nil {
		return nil, fmt.Errorf("%w, or say which chain to follow with --chain", err)
	}
	return &cfg.Chain, nil
}

// followLock holds the home, whose mount follows the chain too.
func followLock(h *home) (*lock, error) {
	l, who, err := tryLock(h.lockFile(), "follow")
	if errors.Is(err, errHeld) {
		return nil, failf(exitBusy, "%s is in use by `satchel %s`, process %d, which follows the chain itself; give --index DIR to follow beside it",
			h.name(), who.Role, who.PID)
	}
	return l, err
}

// followWith follows until it is done or ctx ends.
func (a *app) followWith(ctx context.Context, f *followArgs, src source, index *chain.Index) error {
	w, err := newWatcher(f, index, a)
	if err != nil {
		return err
	}
	fol := chain.NewFollower(src, index, chain.FollowerOptions{Log: a.logger(), Poll: followPoll(src), Expect: w.check})
	defer fol.Subscribe(func(c chain.Change) { w.moved(fol.Status()) })()
	if err := w.begin(); err != nil {
		return err
	}
	if f.listen != "" {
		stop, err := a.serveProofs(ctx, f.listen, index, src)
		if err != nil {
			return err
		}
		defer stop()
	}
	if f.once || f.exportTo != "" {
		err = fol.Sync(ctx)
	} else {
		err = w.run(ctx, fol)
	}
	if err := w.error(err, src); err != nil {
		return err
	}
	if f.exportTo == "" {
		w.end()
	}
	return nil
}

func followPoll(src source) time.Duration {
	if _, ok := src.(*private); ok {
		return time.Second
	}
	return 30 * time.Second
}

// serveProofs answers name verify until the returned function is called.
func (a *app) serveProofs(ctx context.Context, listen string, index *chain.Index, src source) (stop func(), err error) {
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("%w; is another one running there?", err)
	}
	fmt.Fprintf(a.out, "ready %s\n", ln.Addr())
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := serveHTTP(ctx, ln, web.NewServer(proof.Handler(index, src))); err != nil {
			a.logger().Warn("answering name verify", "err", err)
		}
	}()
	return func() { cancel(); <-done }, nil
}

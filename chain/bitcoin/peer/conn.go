package peer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

const (
	// askTime is how long a peer may take for an answer.
	askTime = 20 * time.Second
	// pingTime is how often a peer is pinged.
	pingTime = time.Minute
	// readTime is how long a peer may be silent altogether.
	readTime = 3 * time.Minute
	// maxBlocks is how many blocks are asked of a peer at once.
	maxBlocks = 16
)

// A conn is a connection after both have greeted.
type conn struct {
	net.Conn
	r     *bufio.Reader
	addr  string
	magic wire.BitcoinNet
	ask   time.Duration
	block func()                   // a new block was announced
	addrs func([]*wire.NetAddress) // others that the peer knows; nil: nobody asks

	asking chan struct{} // holds one value while nobody asks for headers
	slots  chan struct{} // one for each block that may be asked for

	writing sync.Mutex

	mu      sync.Mutex
	err     error         // why it ended
	done    chan struct{} // closed then
	headers chan []wire.BlockHeader
	fence   uint64 // the ping that follows the question for headers
	fenced  chan struct{}
	blocks  map[chainhash.Hash]*wanted
	txs     map[chainhash.Hash]*offered
}

// wanted is a block that was asked for. It stays until it comes, though nobody
// may want it any more.
type wanted struct {
	answer chan []byte // nil: the peer doesn't have it
	late   *time.Timer // ends the connection
}

// offered is a transaction that the peer may ask for.
type offered struct {
	raw   []byte
	asked chan struct{} // closed when the peer did, or has it
}

// dial connects and greets.
func dial(ctx context.Context, o *Options, addr string) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, o.ask)
	defer cancel()
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &conn{
		Conn: nc, r: bufio.NewReaderSize(nc, 64<<10), addr: addr, magic: o.Chain.Net, ask: o.ask,
		asking: make(chan struct{}, 1), slots: make(chan struct{}, maxBlocks), done: make(chan struct{}),
		blocks: make(map[chainhash.Hash]*wanted), txs: make(map[chainhash.Hash]*offered),
	}
	c.asking <- struct{}{}
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	if err := c.greet(); err != nil {
		nc.Close()
		return nil, fmt.Errorf("%s: %w", addr, err)
	}
	if !stop() {
		return nil, fmt.Errorf("%s: %w", addr, context.Cause(ctx))
	}
	return c, nil
}

// greet exchanges versions. Only a peer with all blocks is of use.
func (c *conn) greet() error {
	none := wire.NewNetAddressIPPort(net.IPv4zero, 0, 0)
	v := wire.NewMsgVersion(none, none, rand.Uint64(), 0)
	v.ProtocolVersion, v.DisableRelayTx = version, true
	if err := v.AddUserAgent("satchel", "0.1"); err != nil {
		return err
	}
	if err := c.send(v); err != nil {
		return err
	}
	for heard, acked := false, false; !heard || !acked; {
		command, payload, err := readFrame(c.r, c.magic)
		if err != nil {
			return err
		}
		switch command {
		case wire.CmdVersion:
			var v wire.MsgVersion
			if err := decode(payload, &v); err != nil {
				return err
			}
			if v.Services&wire.SFNodeNetwork == 0 || v.ProtocolVersion < version {
				return errors.New("it doesn't have all blocks, or is too old")
			}
			heard = true
			if err := c.send(wire.NewMsgVerAck()); err != nil {
				return err
			}
		case wire.CmdVerAck:
			acked = true
		}
	}
	return nil
}

func (c *conn) send(msg wire.Message) error {
	b, err := frame(c.magic, msg)
	if err != nil {
		return err
	}
	return c.write(b)
}

func (c *conn) write(b []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	_ = c.SetWriteDeadline(time.Now().Add(c.ask))
	_, err := c.Write(b)
	return err
}

// fail ends the connection, and returns why it ended: the first reason stays.
func (c *conn) fail(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		close(c.done)
		c.Close()
		for _, w := range c.blocks {
			w.late.Stop()
		}
	}
	return c.err
}

func (c *conn) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// serve reads until the connection or ctx ends, and returns why.
func (c *conn) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = c.fail(ctx.Err()) })
	defer stop()
	var pinging sync.WaitGroup
	pinging.Go(c.ping)
	if c.addrs != nil {
		_ = c.send(wire.NewMsgGetAddr()) // an error shows below
	}
	for {
		_ = c.SetReadDeadline(time.Now().Add(readTime))
		command, payload, err := readFrame(c.r, c.magic)
		if err == nil {
			err = c.handle(command, payload)
		}
		if err != nil {
			err = c.fail(err)
			pinging.Wait()
			return err
		}
	}
}

func (c *conn) ping() {
	t := time.NewTicker(pingTime)
	defer t.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-t.C:
			_ = c.send(wire.NewMsgPing(rand.Uint64())) // the reader sees that it is gone
		}
	}
}

// handle takes a message.
func (c *conn) handle(command string, payload []byte) error {
	switch command {
	case wire.CmdPing:
		return c.write(rawFrame(c.magic, wire.CmdPong, payload))
	case wire.CmdPong:
		var pong wire.MsgPong
		if err := decode(payload, &pong); err != nil {
			return err
		}
		c.passed(pong.Nonce)
	case wire.CmdHeaders:
		var hs wire.MsgHeaders
		if err := decode(payload, &hs); err != nil {
			return err
		}
		c.gotHeaders(&hs)
	case wire.CmdBlock:
		return c.gotBlock(payload)
	case wire.CmdNotFound:
		var nf wire.MsgNotFound
		if err := decode(payload, &nf); err != nil {
			return err
		}
		c.notFound(nf.InvList)
	case wire.CmdInv:
		var inv wire.MsgInv
		if err := decode(payload, &inv); err != nil {
			return err
		}
		for _, v := range inv.InvList {
			if v.Type == wire.InvTypeBlock && c.block != nil {
				c.block()
				break
			}
		}
	case wire.CmdGetData:
		var get wire.MsgGetData
		if err := decode(payload, &get); err != nil {
			return err
		}
		return c.give(get.InvList)
	case wire.CmdTx:
		c.hasTx(payload)
	case wire.CmdAddr:
		var list wire.MsgAddr
		if err := decode(payload, &list); err != nil {
			return err
		}
		if c.addrs != nil {
			c.addrs(list.AddrList)
		}
	}
	return nil
}

// askHeaders asks for the headers after a locator. A ping follows the question:
// a peer that answers that, and not the question, doesn't want to answer.
func (c *conn) askHeaders(ctx context.Context, locator []chainhash.Hash) ([]wire.BlockHeader, error) {
	select {
	case <-c.asking:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.done:
		return nil, c.err
	}
	defer func() { c.asking <- struct{}{} }()
	get := wire.NewMsgGetHeaders()
	get.ProtocolVersion = version
	for i := range locator {
		if err := get.AddBlockLocatorHash(&locator[i]); err != nil {
			return nil, err
		}
	}
	answer, fenced, nonce := make(chan []wire.BlockHeader, 1), make(chan struct{}), rand.Uint64()
	c.mu.Lock()
	c.headers, c.fence, c.fenced = answer, nonce, fenced
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.headers, c.fenced = nil, nil
		c.mu.Unlock()
	}()
	if err := errors.Join(c.send(get), c.send(wire.NewMsgPing(nonce))); err != nil {
		return nil, c.fail(err)
	}
	timer := time.NewTimer(c.ask)
	defer timer.Stop()
	select {
	case hs := <-answer:
		return hs, nil
	case <-fenced:
		select {
		case hs := <-answer:
			return hs, nil
		default:
			return nil, fmt.Errorf("%s gives no headers: it is still reading the chain itself, or its newest block is more than a day old", c.addr)
		}
	case <-timer.C:
		return nil, c.fail(fmt.Errorf("%s gave no headers in %v", c.addr, c.ask))
	case <-ctx.Done():
		// What comes now would be taken for the answer to the next question.
		_ = c.fail(fmt.Errorf("%s was not waited for", c.addr))
		return nil, ctx.Err()
	case <-c.done:
		return nil, c.err
	}
}

func (c *conn) gotHeaders(msg *wire.MsgHeaders) {
	hs := make([]wire.BlockHeader, len(msg.Headers))
	for i, h := range msg.Headers {
		hs[i] = *h
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.headers != nil {
		c.headers <- hs
		c.headers = nil
	}
}

func (c *conn) passed(nonce uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fenced != nil && nonce == c.fence {
		close(c.fenced)
		c.fenced = nil
	}
}

// askBlock asks for a block.
func (c *conn) askBlock(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.done:
		return nil, c.err
	}
	c.mu.Lock()
	w := c.blocks[hash]
	if w != nil { // asked for by somebody who gave up, or by two at once
		c.mu.Unlock()
		<-c.slots
		return c.await(ctx, w, hash)
	}
	w = &wanted{answer: make(chan []byte, 1)}
	w.late = time.AfterFunc(c.ask, func() { _ = c.fail(fmt.Errorf("%s did not give block %v in %v", c.addr, hash, c.ask)) })
	c.blocks[hash] = w
	c.mu.Unlock()
	get := wire.NewMsgGetData()
	if err := get.AddInvVect(wire.NewInvVect(wire.InvTypeBlock, &hash)); err != nil {
		return nil, err
	}
	if err := c.send(get); err != nil {
		return nil, c.fail(err)
	}
	return c.await(ctx, w, hash)
}

func (c *conn) await(ctx context.Context, w *wanted, hash chainhash.Hash) ([]byte, error) {
	select {
	case b := <-w.answer:
		if w.answer <- b; b == nil { // for whoever else waits
			return nil, fmt.Errorf("block %v at %s: %w", hash, c.addr, os.ErrNotExist)
		}
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.done:
		return nil, c.err
	}
}

// gotBlock gives a block to whoever asked for it.
func (c *conn) gotBlock(raw []byte) error {
	if len(raw) < wire.MaxBlockHeaderPayload {
		return fmt.Errorf("%w: a block of %d bytes", errProtocol, len(raw))
	}
	hash := chainhash.DoubleHashH(raw[:wire.MaxBlockHeaderPayload])
	if !c.answer(hash, raw) {
		return fmt.Errorf("%w: block %v, which nobody asked for", errProtocol, hash)
	}
	return nil
}

// answer ends the wait for a block; false if there is none.
func (c *conn) answer(hash chainhash.Hash, raw []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.blocks[hash]
	if w == nil {
		return false
	}
	delete(c.blocks, hash)
	w.late.Stop()
	w.answer <- raw
	<-c.slots
	return true
}

func (c *conn) notFound(list []*wire.InvVect) {
	for _, v := range list {
		c.answer(v.Hash, nil)
	}
}

// offer tells the peer of a transaction, and returns when it asks for it or turns
// out to have it.
func (c *conn) offer(ctx context.Context, txid chainhash.Hash, raw []byte) error {
	o := &offered{raw: raw, asked: make(chan struct{})}
	c.mu.Lock()
	c.txs[txid] = o
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.txs, txid)
		c.mu.Unlock()
	}()
	v := wire.NewInvVect(wire.InvTypeTx, &txid)
	inv, get := wire.NewMsgInv(), wire.NewMsgGetData()
	if err := errors.Join(inv.AddInvVect(v), get.AddInvVect(v), c.send(inv), c.send(get)); err != nil {
		return c.fail(err)
	}
	timer := time.NewTimer(c.ask / 2)
	defer timer.Stop()
	select {
	case <-o.asked:
		return nil
	case <-timer.C:
		return fmt.Errorf("%s did not ask for transaction %v", c.addr, txid)
	case <-ctx.Done():
		return ctx.Err()
	case <-c.done:
		return c.err
	}
}

// give sends the transactions that the peer asks for.
func (c *conn) give(list []*wire.InvVect) error {
	for _, v := range list {
		c.mu.Lock()
		o := c.txs[v.Hash]
		c.mu.Unlock()
		if o == nil {
			continue
		}
		if err := c.write(rawFrame(c.magic, wire.CmdTx, o.raw)); err != nil {
			return err
		}
		c.taken(v.Hash)
	}
	return nil
}

// hasTx takes note that the peer has a transaction.
func (c *conn) hasTx(payload []byte) {
	var tx wire.MsgTx
	if tx.Deserialize(bytes.NewReader(payload)) == nil {
		c.taken(tx.TxHash())
	}
}

func (c *conn) taken(txid chainhash.Hash) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.txs[txid]; o != nil {
		delete(c.txs, txid)
		close(o.asked)
	}
}

package chain

import (
	"math"

	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// Params is a rule set for one chain: the numbers, and the defects that a
// faithful replay must keep.
type Params struct {
	Rules string           // its word: "satchel" or "blockstack"
	Chain *chaincfg.Params // of Bitcoin
	Magic [2]byte          // of operations

	FirstBlock    int // height of the first block that is read for operations
	Confirmations int // blocks that must follow one before it is applied

	Genesis        [16]byte // consensus hash of the four heights before FirstBlock
	Window         int      // blocks for which a consensus hash can be quoted
	PreorderExpiry int      // blocks after which a preorder is void; 0 never
	RevealExpiry   int      // blocks in which a revealed namespace must be made ready
	Quota          int      // names per owner
	ImportKeys     int      // children of the revealer's key that may import
	NamespacePrice [4]int64 // satoshi, for ids of 1, 2-3, 4-7 and 8-19 characters

	RevealByAnyone bool // a p2sh sender may reveal a namespace
	QuotaOnRenewal bool // an owner at the quota cannot renew

	Epochs []Epoch // in order

	addresses *addressCache // nil for none
}

// An Epoch is a stretch of heights with rules of its own.
type Epoch struct {
	Last     int                // height
	Multisig bool               // owners may be p2sh
	Lifetime map[string]int     // by namespace: lifetimes count so many times; 1 if it has none
	Price    map[string]float64 // by namespace: names cost so many times as much; 1 if it has none
	Grace    int                // blocks after its end in which a name can still be renewed, and nobody else has it
}

// satoshi per price unit, the least that a name costs.
const priceUnit = 100

const yearOfBlocks = 52595

var genesis = [16]byte{0x17, 0xac, 0x43, 0xc1, 0xd8, 0x54, 0x9c, 0x31, 0x81, 0xb2, 0x00, 0xf1, 0xbf, 0x97, 0xeb, 0x7d}

// Satchel returns the rules of fresh chains: the wire format, limits and
// second epoch of Blockstack, its defects mended. Operations count from
// firstBlock on.
func Satchel(c *chaincfg.Params, firstBlock int) *Params {
	p := common(c)
	p.Rules, p.Magic, p.FirstBlock = "satchel", [2]byte{'s', 'a'}, firstBlock
	p.PreorderExpiry = 144
	p.RevealExpiry, p.ImportKeys = 144, 5
	p.Epochs = []Epoch{{Last: math.MaxInt, Multisig: true, Lifetime: map[string]int{"id": 2, "test": 2}}}
	return p
}

// Blockstack returns the rules of blockstack-core 0.14.2 as it ran, with its
// defects: preorders that never expire, reveals by anyone, a quota that hinders
// renewals. On any chain but mainnet they are those of its regtest harness.
func Blockstack(c *chaincfg.Params) *Params {
	p := common(c)
	p.Rules, p.Magic = "blockstack", [2]byte{'i', 'd'}
	p.RevealByAnyone, p.QuotaOnRenewal = true, true
	lifetime := map[string]int{"id": 2}
	p.FirstBlock, p.RevealExpiry, p.ImportKeys = 373601, yearOfBlocks, 300
	p.Epochs = []Epoch{{Last: 436650}, {Last: math.MaxInt, Multisig: true, Lifetime: lifetime}}
	if c.Net != wire.MainNet {
		p.FirstBlock, p.RevealExpiry, p.ImportKeys = 256, 144, 5
		lifetime["test"] = 2
	}
	return p
}

func common(c *chaincfg.Params) *Params {
	const btc = btcutil.SatoshiPerBitcoin
	p := &Params{
		Chain:          c,
		addresses:      new(addressCache),
		Genesis:        genesis,
		Window:         24,
		Quota:          25,
		NamespacePrice: [4]int64{400 * btc, 40 * btc, 4 * btc, btc * 4 / 10},
	}
	if c.Net == wire.MainNet {
		p.Confirmations = 6
	} else {
		p.NamespacePrice[0] = 41 * btc
	}
	return p
}

// Network identifies chain and rules: the magic, then the first 8 bytes of the
// genesis block's hash in wire order.
func (p *Params) Network() (n [10]byte) {
	copy(n[:2], p.Magic[:])
	copy(n[2:], p.Chain.GenesisHash[:8])
	return n
}

func (p *Params) epoch(height int) *Epoch {
	for i := range p.Epochs {
		if height <= p.Epochs[i].Last {
			return &p.Epochs[i]
		}
	}
	return &p.Epochs[len(p.Epochs)-1]
}

// price returns what a name costs at a height, in satoshi.
func (p *Params) price(n Name, ns *namespace, height int) float64 {
	if m, ok := p.epoch(height).Price[ns.ID]; ok {
		return price(n, ns) * m
	}
	return price(n, ns)
}

// lifetime returns for how many blocks a name of a namespace lasts, seen at a
// height.
func (p *Params) lifetime(ns *namespace, height int) int {
	if m, ok := p.epoch(height).Lifetime[ns.ID]; ok {
		return int(ns.Lifetime) * m
	}
	return int(ns.Lifetime)
}

// address is "" if a script can own nothing.
func (p *Params) address(script []byte) string { return p.addresses.of(script, p.Chain) }

package btcdtest_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/btcdtest"
	"satchel/chain/chaintest"
	"satchel/chain/ops"
	"satchel/chain/registrar"
)

// firstBlock is the first that is read: the miner has coins by then.
const firstBlock = 111

// A maker sends operations of a node's miner, signed and paid for, and mines
// them.
type maker struct {
	*way
	t     *testing.T
	n     *btcdtest.Node
	word  string // in all its names
	names int    // begun
}

func newMaker(t *testing.T, n *btcdtest.Node, word string) *maker {
	return &maker{newWay(t, "the maker", n.RPC, chain.Satchel(n.Net, firstBlock)), t, n, word, 0}
}

// consensus returns the consensus hash of the tip.
func (m *maker) consensus() [16]byte {
	m.t.Helper()
	m.reach(m.t, m.n.Tip())
	height, _ := m.index.Tip()
	c, err := m.index.ConsensusHash(height)
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

// send has the node take an operation. outs follow the OP_RETURN and change,
// whose place is among them all.
func (m *maker) send(op ops.Operation, change int, outs ...*wire.TxOut) {
	m.t.Helper()
	script, err := ops.Script(m.index.Params().Magic, op)
	if err != nil {
		m.t.Fatal(err)
	}
	coins, err := m.n.RPC.Unspent(m.t.Context(), m.n.MinerScript())
	if err != nil {
		m.t.Fatal(err)
	}
	tx, err := registrar.Build(m.n.Miner, coins, append([]*wire.TxOut{wire.NewTxOut(0, script)}, outs...), change)
	if err != nil {
		m.t.Fatal(err)
	}
	var b bytes.Buffer
	_ = tx.Serialize(&b)
	if _, err := m.n.RPC.Broadcast(m.t.Context(), b.Bytes()); err != nil {
		m.t.Fatalf("%c: %v", op.Code(), err)
	}
}

// self is an output that pays the least to the miner.
func (m *maker) self() *wire.TxOut { return wire.NewTxOut(registrar.Dust, m.n.MinerScript()) }

func burn(satoshi int64) *wire.TxOut {
	return wire.NewTxOut(max(satoshi, registrar.Dust), ops.BurnScript())
}

// space is the namespace of all names here.
const space = "cross"

// open opens the namespace, with a name in it that is imported.
func (m *maker) open() {
	m.t.Helper()
	n := m.n
	if h := n.Height(); h < firstBlock {
		n.Generate(firstBlock - h)
	}
	m.send(ops.NamespacePreorder{Hash: ops.HashName(space, n.MinerScript(), n.MinerAddress()), Consensus: m.consensus()},
		1, burn(m.index.NamespacePrice(space)))
	n.Generate(1)
	m.send(ops.NamespaceReveal{ID: space, Version: 1, Lifetime: ops.Forever, Base: 1, NonAlpha: 1, NoVowel: 1}, 2, m.self())
	n.Generate(1)
	value := append([]byte{0x76, 0xa9, 20}, make([]byte, 20)...)
	value = append(value, 0x88, 0xac)
	m.send(ops.Import{Name: "given." + space}, 3, wire.NewTxOut(registrar.Dust, chaintest.NewKey("heir").Script), wire.NewTxOut(registrar.Dust, value))
	n.Generate(1)
	m.send(ops.NamespaceReady{ID: space}, 1)
	n.Generate(1)
	if ns, err := m.namespace(); err != nil || !ns.Ready {
		m.t.Fatalf("the namespace is not open: %+v, %v", ns, err)
	}
}

func (m *maker) namespace() (chain.Namespace, error) {
	m.reach(m.t, m.n.Tip())
	return m.index.Namespace(space)
}

func (m *maker) name(i int) string { return fmt.Sprintf("%s%d.%s", m.word, i, space) }

// block sends operations, each of which is another's step in the life of a name,
// and mines them in one block.
func (m *maker) block() {
	m.t.Helper()
	c, n := m.consensus(), m.n
	script, addr := n.MinerScript(), n.MinerAddress()
	m.send(ops.NamePreorder{Hash: ops.HashName(m.name(m.names), script, addr), Consensus: c}, 1, burn(100))
	for age, send := range []func(name string){
		1: func(name string) { m.send(ops.Registration{Name: name}, 2, m.self()) },
		2: func(name string) {
			m.send(ops.Update{NameHash: ops.UpdateHash(name, c), Value: [20]byte{byte(m.names)}}, 2, m.self())
		},
		3: func(name string) { m.send(ops.Registration{Name: name}, 2, m.self(), burn(100)) },
		4: func(name string) {
			if m.names%2 == 0 {
				m.send(ops.Revoke{Name: name}, 2, m.self())
				return
			}
			m.send(ops.Transfer{Keep: true, NameHash: ops.Hash128(name), Consensus: c}, 2, wire.NewTxOut(registrar.Dust, chaintest.NewKey("heir").Script))
		},
	} {
		if send != nil && m.names >= age {
			send(m.name(m.names - age))
		}
	}
	m.names++
	n.Generate(1)
}

// mine mines blocks, of which the first few have operations.
func (m *maker) mine(count int) {
	m.t.Helper()
	busy := min(count, 5)
	for range busy {
		m.block()
	}
	if count > busy {
		m.n.Generate(count - busy)
	}
}

// reorg replaces the newest blocks by one more. What they held is mined again,
// in one block, and with it an operation that they didn't hold.
func (m *maker) reorg(depth int) {
	m.t.Helper()
	fork := m.n.Height() - depth
	c, err := m.index.ConsensusHash(fork)
	if err != nil {
		m.t.Fatal(err)
	}
	m.n.Invalidate(m.n.Hash(fork + 1))
	m.send(ops.NamePreorder{Hash: [20]byte{byte(depth)}, Consensus: c}, 1, burn(100))
	m.n.Generate(depth + 1)
}

// check makes sure that what was sent has taken effect.
func (m *maker) check() {
	m.t.Helper()
	m.reach(m.t, m.n.Tip())
	var codes strings.Builder
	for i := range m.names {
		rec, err := m.index.Lookup(chain.Name(m.name(i)))
		if err != nil {
			fmt.Fprintf(&codes, "? ")
			continue
		}
		fmt.Fprintf(&codes, "%s ", rec.Op)
	}
	if got, want := codes.String(), wantOps(m.names); got != want {
		m.t.Errorf("last operations %q, want %q", got, want)
	}
}

// wantOps are the last operations of names after as many blocks.
func wantOps(n int) string {
	var s strings.Builder
	for i := range n {
		switch age := n - 1 - i; {
		case age == 0:
			s.WriteString("? ")
		case age == 1:
			s.WriteString(": ")
		case age == 2:
			s.WriteString("+ ")
		case age == 3:
			s.WriteString(":: ")
		case (i+4)%2 == 0:
			s.WriteString("~ ")
		default:
			s.WriteString(">> ")
		}
	}
	return s.String()
}

package profile

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/dgraph-io/badger/v4"

	"satchel/chain"
	"satchel/crypto"
	"satchel/fs/tree"
)

var (
	testNet  = crypto.Network{'s', 'a', 1, 2, 3, 4, 5, 6, 7, 8}
	testTime = time.Date(2026, 11, 22, 14, 3, 0, 5, time.UTC)
)

// A person is a name with all its keys, which come from the name.
type person struct {
	Whose
	data     *btcec.PrivateKey
	recovery *crypto.SealKey
	secrets  Secrets
	devices  []device
	profile  *Profile
}

type device struct {
	sign *crypto.SigningKey
	seal *crypto.SealKey
}

func (d device) id() crypto.DeviceID { return d.sign.Device() }

func seed(format string, args ...any) []byte {
	h := crypto.Sum(fmt.Appendf(nil, format, args...))
	return h[:]
}

func must[V any](v V, err error) V {
	if err != nil {
		panic(err)
	}
	return v
}

func newDevice(name chain.Name, i int) device {
	return device{
		must(crypto.ParseSigningKey(seed("%s signing %d", name, i))),
		must(crypto.ParseSealKey(seed("%s sealing %d", name, i))),
	}
}

// newPerson makes a name with so many devices and user key generations.
func newPerson(name chain.Name, devices, gens int) *person {
	p := &person{
		Whose:    Whose{testNet, name},
		recovery: must(crypto.ParseSealKey(seed("%s recovery", name))),
		secrets:  make(Secrets),
	}
	p.data, _ = btcec.PrivKeyFromBytes(seed("%s data", name))
	for i := range devices {
		p.devices = append(p.devices, newDevice(name, i))
	}
	for g := range gens {
		p.secrets[uint64(g+1)] = crypto.UserSecret(seed("%s secret %d", name, g+1))
	}
	p.profile = must(New(p.Whose, p.draft()))
	return p
}

func (p *person) draft() Draft {
	d := Draft{
		Keeper: p.devices[0].id(),
		Providers: []Provider{
			{URL: "https://one.example/" + string(p.Name), Priority: 20, Weight: 1},
			{URL: "file:///srv/" + string(p.Name), Priority: 10},
		},
		Secrets:  p.secrets,
		Recovery: p.recovery.Public(),
	}
	for i, dev := range p.devices {
		d.Devices = append(d.Devices, NewDevice{dev.sign.Public(), dev.seal.Public(), fmt.Sprintf("device %d", i)})
	}
	return d
}

func (p *person) key() crypto.PublicKey { return crypto.PublicOf(p.data) }

func (p *person) facts() Facts {
	return Facts{Network: p.Network, Owner: "owner of " + string(p.Name), Registered: 100, DataKey: p.key()}
}

// stamp is of the device with that index.
func (p *person) stamp(i int, seq uint64) Stamp {
	return Stamp{Whose: p.Whose, Device: p.devices[i].id(), Seq: seq, Time: testTime}
}

func (p *person) signProfile(seq uint64) *Signed[Profile] {
	return must(p.profile.Sign(p.data, p.stamp(0, seq)))
}

func (p *person) sealKeys() []*crypto.SealKey { return must(SealKeys(p.secrets)) }

// finder knows the profiles of the others.
func (p *person) finder(others ...*person) *Finder {
	f := &Finder{Network: testNet, Me: p.Name, Secrets: p.secrets, Profiles: make(map[chain.Name]*Profile), Told: make(map[chain.Name][]Tell)}
	for _, o := range others {
		f.Profiles[o.Name] = o.profile
	}
	return f
}

// testHead is a head with that number; its vector has another writer just below.
func testHead(owner chain.Name, seq uint64) *Head {
	h := &Head{
		Known:  map[chain.Name]Mark{owner: {3, crypto.Sum([]byte("profile"))}},
		Root:   tree.Ref{Owner: string(owner), Pack: crypto.Sum([]byte("pack")), Off: 7, Len: 4096, Hash: crypto.Sum([]byte("root")), Key: crypto.Sum([]byte("key"))},
		Digest: crypto.Sum([]byte("digest")),
	}
	if seq > 1 {
		h.Vector = tree.Vector{crypto.DeviceID{9}: {Name: "carol.id", Seq: seq - 1, Head: crypto.Sum([]byte("head"))}}
	}
	return h
}

// a head in a pair volume of two people, signed by a device of the first.
func pairHead(a, b *person, dev int, seq uint64, prev Mark) (*Signed[Head], HeadOf) {
	v := must(Shared(a.Name, b.Name))
	at := must(a.finder(b).Write(v, a.devices[dev].id()))
	s := a.stamp(dev, seq)
	s.Prev = prev
	members := map[chain.Name]*Profile{a.Name: a.profile, b.Name: b.profile}
	h := must(testHead(a.Name, seq).Sign(a.devices[dev].sign, s, v, at.Locator, members))
	return h, HeadOf{Whose: a.Whose, Device: s.Device, Volume: v, Locator: at.Locator, Authority: a.profile}
}

// pinOf is what Advance makes of s.
func pinOf(s Opened) *Pin { return s.candidate().pin(testTime) }

func openDB(t testing.TB) *badger.DB {
	db, err := badger.Open(badger.DefaultOptions("").WithInMemory(true).WithLogger(nil).WithMemTableSize(16 << 20).WithNumMemtables(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func flip(b []byte, i int) []byte {
	b = bytes.Clone(b)
	b[(i+len(b))%len(b)] ^= 1
	return b
}

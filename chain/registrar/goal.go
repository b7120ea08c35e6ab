package registrar

import (
	"encoding/hex"
	"fmt"
	"time"

	"satchel/chain"
	"satchel/chain/ops"
	"satchel/chain/zonefile"
)

// What a goal can be.
const (
	OpRegister  = "register"  // Subject is Owner's and has Value
	OpUpdate    = "update"    // Subject, which is Owner's, has Value
	OpRenew     = "renew"     // Subject was renewed after block Since
	OpTransfer  = "transfer"  // Subject is To's
	OpRevoke    = "revoke"    // Subject is revoked
	OpNamespace = "namespace" // Subject is open by Rules; with Hold it is only revealed
	OpReady     = "ready"     // Subject, a namespace that Owner revealed, is open
	OpImport    = "import"    // Subject is To's and has Value, before its namespace is open
)

// A Goal is what somebody wants of a name or namespace.
type Goal struct {
	Op      string `json:"op"`
	Subject string `json:"subject"` // a name, or a namespace's id
	Owner   Hex    `json:"owner"`   // the script that owns, signs and pays: p2pkh, or p2sh if it is signed elsewhere
	Value   Hex    `json:"value,omitempty"`
	To      Hex    `json:"to,omitempty"` // script
	Keep    bool   `json:"keep,omitempty"`
	Since   int    `json:"since,omitempty"`
	Rules   *Rules `json:"rules,omitempty"`
	Hold    bool   `json:"hold,omitempty"`
}

// Rules are what whoever reveals a namespace decides.
type Rules struct {
	Lifetime    uint32   `json:"lifetime"` // of a name in blocks; ops.Forever
	Coefficient byte     `json:"coefficient"`
	Base        byte     `json:"base"`
	Buckets     [16]byte `json:"buckets"` // exponents, 0..15, by length of the label
	NonAlpha    byte     `json:"non_alpha"`
	NoVowel     byte     `json:"no_vowel"` // discounts, 1..15
}

func (n *Rules) reveal(id string) ops.NamespaceReveal {
	return ops.NamespaceReveal{ID: id, Version: 1, Lifetime: n.Lifetime, Coefficient: n.Coefficient, Base: n.Base,
		Buckets: n.Buckets, NonAlpha: n.NonAlpha, NoVowel: n.NoVowel}
}

// Terms are how a goal may be reached.
type Terms struct {
	MaxFee int64 `json:"max_fee,omitempty"` // satoshi that one transaction may leave to miners; 0: DefaultMaxFee
	PSBT   bool  `json:"psbt,omitempty"`    // transactions are signed elsewhere
}

// A Job is a goal in the queue.
type Job struct {
	ID int `json:"id"`
	Goal
	Terms
	Made  time.Time `json:"made"`
	Txs   []Tx      `json:"txs,omitempty"`   // all that were built, oldest first
	Steps []Step    `json:"steps,omitempty"` // that took effect

	Problem string `json:"-"` // why it doesn't go on
	State   string `json:"-"` // what it waits for
}

// Hex is bytes that JSON shows in hex.
type Hex []byte

// MarshalText implements encoding.TextMarshaler.
func (h Hex) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hex) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

// CheckZone refuses a zone file that nobody would take.
func CheckZone(zone []byte) error {
	if len(zone) > zonefile.MaxSize {
		return fmt.Errorf("zone file of %d bytes, at most %d", len(zone), zonefile.MaxSize)
	}
	return nil
}

// ofNamespace says if the subject is a namespace.
func (g *Goal) ofNamespace() bool { return g.Op == OpNamespace || g.Op == OpReady }

// check refuses what can't be a goal, whatever the index says.
func (g *Goal) check(p *chain.Params) error {
	valid := ops.ValidName
	if g.ofNamespace() {
		valid = ops.ValidNamespace
	}
	if !valid(g.Subject) {
		return fmt.Errorf("%q can't be a name", g.Subject) // nor a file's
	}
	if ops.Address(g.Owner, p.Chain) == "" {
		return fmt.Errorf("%s of %s: its owner is no p2pkh or p2sh script", g.Op, g.Subject)
	}
	needsTo := g.Op == OpTransfer || g.Op == OpImport
	needsValue := g.Op == OpRegister || g.Op == OpUpdate || g.Op == OpImport
	switch {
	case needsTo && ops.Address(g.To, p.Chain) == "":
		return fmt.Errorf("%s of %s: to nobody", g.Op, g.Subject)
	case needsValue && len(g.Value) != 20:
		return fmt.Errorf("%s of %s: without a zone file's hash", g.Op, g.Subject)
	case g.Op == OpNamespace && g.Rules == nil:
		return fmt.Errorf("namespace %s: without rules", g.Subject)
	}
	return nil
}

// follows says if g has to wait until an earlier goal is reached: one of the same
// name, or of its namespace.
func (g *Goal) follows(earlier *Goal) bool {
	switch {
	case g.ofNamespace() && !earlier.ofNamespace():
		return earlier.Op == OpImport && chain.Name(earlier.Subject).Namespace() == g.Subject
	case earlier.ofNamespace() && !g.ofNamespace():
		return chain.Name(g.Subject).Namespace() == earlier.Subject
	}
	return g.Subject == earlier.Subject
}

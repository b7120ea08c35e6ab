package main

import (
	"fmt"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/registrar"
)

// renewalBlocks is for how many blocks before a name expires its owner is told:
// four weeks.
const renewalBlocks = 4 * 7 * 144

// A renewal is a name that is to be renewed soon.
type renewal struct {
	Name    string `json:"name"`
	Expires int    `json:"expires"` // height
	Blocks  int    `json:"blocks"`  // until then
	Date    string `json:"date"`    // about when that is; empty: nobody can say
	Command string `json:"command"`
}

func (r *renewal) String() string {
	return fmt.Sprintf("%s %s: %s", r.Name, expiry(r.Expires, r.Expires-r.Blocks, r.Date), r.Command)
}

// renewals returns the names of this home that expire within four weeks of blocks.
func (e *engine) renewals() []renewal {
	e.mu.Lock()
	n, ks := e.names, e.keys
	e.mu.Unlock()
	if n == nil || ks == nil || ks.Owner == nil {
		return nil
	}
	script := registrar.ScriptOf(ks.Owner)
	names, err := n.index.NamesOf(script)
	if err != nil {
		return nil
	}
	height, _ := n.index.Tip()
	var list []renewal
	for _, name := range names {
		rec, err := n.index.Lookup(name)
		if err != nil || rec.Expires == 0 || rec.Expires > height+renewalBlocks {
			continue
		}
		list = append(list, renewal{string(name), rec.Expires, rec.Expires - height, n.date(rec.Expires, height),
			fmt.Sprintf("satchel %sname renew %s", e.h.hint(), name)})
	}
	return list
}

// ownership says what is wrong with the own name as the chain has it, if it isn't
// this home's any more; empty if all is well or nobody can say.
func (e *engine) ownership() string {
	e.mu.Lock()
	n, ks := e.names, e.keys
	e.mu.Unlock()
	if n == nil || ks == nil || ks.Owner == nil {
		return ""
	}
	rec, err := n.index.Lookup(chain.Name(e.cfg.Name))
	if err != nil {
		return ""
	}
	mine := string(rec.Owner) == string(registrar.ScriptOf(ks.Owner))
	switch {
	case rec.Expired:
		return fmt.Sprintf("%s expired in block %d: satchel %sname register %s", rec.Name, rec.Expires, e.h.hint(), rec.Name)
	case rec.Revoked && mine:
		return fmt.Sprintf("%s was revoked: nobody finds this drive by it any more", rec.Name)
	case !mine:
		return fmt.Sprintf("%s is owned by another address now: %s; this home's is %s. Others hear from that owner, not from this drive",
			rec.Name, rec.Address, n.address(ks.Owner))
	}
	return ""
}

// blockTime is how long a block takes on average.
const blockTime = 10 * time.Minute

// date says about when a block comes, empty where they come as they like.
func (n *names) date(block, height int) string {
	if net := n.index.Params().Chain.Net; block <= height || net == wire.TestNet || net == wire.SimNet {
		return "" // wire.TestNet is the regression test's
	}
	return time.Now().Add(time.Duration(block-height) * blockTime).Format(time.DateOnly)
}

// period says how long so many blocks take.
func period(blocks int) string {
	switch days := int(time.Duration(blocks) * blockTime / (24 * time.Hour)); {
	case days >= 2*365:
		return fmt.Sprintf("%d years", (days+182)/365)
	case days >= 60:
		return fmt.Sprintf("%d months", days/30)
	case days >= 2:
		return fmt.Sprintf("%d days", days)
	}
	return fmt.Sprintf("%d hours", blocks/6)
}

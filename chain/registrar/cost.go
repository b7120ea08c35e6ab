package registrar

import (
	"bytes"
	"context"
	"fmt"

	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/ops"
)

// A Cost is what one step of a goal takes, in satoshi.
type Cost struct {
	Op    string `json:"op"`
	Burnt int64  `json:"burnt"` // the price: nobody gets it
	Given int64  `json:"given"` // to another owner, with the name
	Fee   int64  `json:"fee"`   // to miners, as an estimate
	Size  int64  `json:"size"`  // of the transaction in bytes
}

// A Quote says what a goal costs, in satoshi.
type Quote struct {
	Address string `json:"address"` // that pays
	Balance int64  `json:"balance"` // of it, confirmed or not
	Rate    int64  `json:"rate"`    // of fees, per 1,000 bytes
	Steps   []Cost `json:"steps"`
	Burnt   int64  `json:"burnt"`
	Given   int64  `json:"given"`
	Fees    int64  `json:"fees"`
	Total   int64  `json:"total"`   // of these three
	Missing int64  `json:"missing"` // to be paid to Address before all steps can be made
}

// Quote says what is missing for a goal and what that costs. Nothing is sent or
// kept.
func (r *Registrar) Quote(ctx context.Context, g Goal) (Quote, error) {
	if err := g.check(r.Index.Params()); err != nil {
		return Quote{}, err
	}
	if err := r.Follower.Sync(ctx); err != nil {
		return Quote{}, err
	}
	r.since(&g)
	plan, err := r.plan(&g)
	if err != nil {
		return Quote{}, err
	}
	q, err := r.quote(ctx, &g, plan)
	if err != nil {
		return Quote{}, err
	}
	coins, err := r.Chain.Unspent(ctx, g.Owner)
	if err != nil {
		return Quote{}, fmt.Errorf("coins of %s: %w", q.Address, err)
	}
	for _, c := range coins {
		q.Balance += c.Value
	}
	q.Missing = max(0, q.Missing-q.Balance)
	return q, nil
}

// quote adds the costs of operations up. Missing is what they need in all.
func (r *Registrar) quote(ctx context.Context, g *Goal, plan []*operation) (Quote, error) {
	q := Quote{Address: r.address(g.Owner), Steps: []Cost{}}
	q.Rate, _ = r.rate(ctx)
	coins := 1 // that are left for a step if there is just enough
	for _, o := range plan {
		script, err := ops.Script(r.Index.Params().Magic, o.wire([16]byte{}))
		if err != nil {
			return Quote{}, err
		}
		d := draft{script: g.Owner, outs: append([]*wire.TxOut{wire.NewTxOut(0, script)}, o.outs...), change: o.change, rate: q.Rate}
		c := Cost{Op: o.what, Burnt: o.burnt, Fee: d.feeFor(1), Size: d.size(1)}
		pays := d.feeFor(coins) + Dust // the change
		for _, out := range o.outs {
			pays += out.Value
			if bytes.Equal(out.PkScript, g.Owner) {
				coins++
			} else {
				c.Given += out.Value
			}
		}
		c.Given -= c.Burnt
		q.Missing = max(q.Missing, q.Total+pays)
		q.Steps = append(q.Steps, c)
		q.Burnt += c.Burnt
		q.Given += c.Given
		q.Fees += c.Fee
		q.Total = q.Burnt + q.Given + q.Fees
	}
	return q, nil
}

// PriceList says what a registration or a namespace costs somebody who has done
// nothing for it yet, whoever has it now. Owner need not be set.
func (r *Registrar) PriceList(ctx context.Context, g Goal) (Quote, error) {
	g.Owner = valueScript(bytes.Repeat([]byte{1}, 20)) // who has done nothing
	if g.Op == OpRegister {
		g.Value = make([]byte, 20)
	}
	if err := g.check(r.Index.Params()); err != nil {
		return Quote{}, err
	}
	var plan []*operation
	var err error
	if g.Op == OpNamespace {
		plan, err = r.openNamespace(&g)
	} else {
		plan, err = r.create(&g, chain.Name(g.Subject))
	}
	if err != nil {
		return Quote{}, err
	}
	q, err := r.quote(ctx, &g, plan)
	q.Missing = 0
	return q, err
}

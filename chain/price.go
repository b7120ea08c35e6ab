package chain

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// price returns what a name costs before its epoch's factor, in satoshi as the
// old registry computed it, in double precision.
func price(n Name, ns *namespace) float64 {
	label := n.Label()
	e := int64(ns.Buckets[min(len(label), len(ns.Buckets))-1])
	units := new(big.Int).Exp(big.NewInt(int64(ns.Base)), big.NewInt(e), nil)
	units.Mul(units, big.NewInt(int64(ns.Coefficient)))
	f, _ := new(big.Float).SetInt(units).Float64()
	return max(priceUnit, f/float64(discount(label, ns))*priceUnit)
}

// discount is the larger of those that a label has earned.
func discount(label string, ns *namespace) (d byte) {
	d = 1
	if !strings.ContainsAny(label, "aeiouy") {
		d = max(d, ns.NoVowel)
	}
	if strings.ContainsAny(label, "0123456789-_") {
		d = max(d, ns.NonAlpha)
	}
	return d
}

// namespacePrice returns what a namespace costs, in satoshi.
func (p *Params) namespacePrice(id string) int64 {
	switch n := len(id); {
	case n <= 1:
		return p.NamespacePrice[0]
	case n <= 3:
		return p.NamespacePrice[1]
	case n <= 7:
		return p.NamespacePrice[2]
	}
	return p.NamespacePrice[3]
}

// satoshi rounds a price up to what can be paid.
func satoshi(price float64) int64 {
	if price >= math.MaxInt64 {
		return math.MaxInt64 // nobody has so much
	}
	return int64(math.Ceil(price))
}

// pythonFloat writes a fee as Python 2 does, since the text is hashed: 12
// digits, ".0" if it looks like an integer, an exponent from 1e+11 on.
func pythonFloat(f float64) string {
	s := strconv.FormatFloat(f, 'g', 12, 64)
	switch {
	case strings.ContainsAny(s, ".e"):
		return s
	case len(s) < 12:
		return s + ".0"
	}
	digits, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', 11, 64), "e")
	return strings.TrimRight(strings.TrimRight(digits, "0"), ".") + "e" + exponent
}

package main

import (
	"fmt"
	"io"
	"strconv"

	"satchel/chain/registrar"
)

// satoshi writes an amount for people, with its worth in BTC once it is much.
func satoshi(n int64) string {
	if n < 10_000 {
		return fmt.Sprintf("%d satoshi", n)
	}
	return fmt.Sprintf("%s satoshi (%s BTC)", grouped(n), btc(n))
}

func btc(n int64) string { return fmt.Sprintf("%d.%08d", n/1e8, n%1e8) }

// grouped writes a number with a comma every three digits.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// print shows each step and its cost.
func (q *quoteResult) print(w io.Writer) {
	if len(q.Steps) == 0 {
		fmt.Fprintf(w, "nothing to do: %s is done already, or under way\n", q.what())
		return
	}
	for _, s := range q.Steps {
		fmt.Fprintf(w, "%-20s", s.Op)
		if s.Burnt > 0 {
			fmt.Fprintf(w, "%s burnt, and ", satoshi(s.Burnt))
		}
		if s.Given > 0 {
			fmt.Fprintf(w, "%s to the new owner, and ", satoshi(s.Given))
		}
		fmt.Fprintf(w, "about %s to miners (%d bytes)\n", satoshi(s.Fee), s.Size)
	}
	fmt.Fprintf(w, "%-20s%s, at %d satoshi per 1,000 bytes\n", "in all", satoshi(q.Total), q.Rate)
	fmt.Fprintf(w, "%-20s%s, which has %s\n", "paid from", q.Address, satoshi(q.Balance))
	switch {
	case q.Missing > 0 && q.Gives:
		fmt.Fprintf(w, "%-20s%s, which this private chain gives\n", "missing", satoshi(q.Missing))
	case q.Missing > 0:
		fmt.Fprintf(w, "%-20s%s: send at least that to the address above\n", "missing", satoshi(q.Missing))
	}
}

// line says the same in one line.
func (q *quoteResult) line(w io.Writer) {
	cost := "about " + satoshi(q.Fees) + " in fees"
	if q.Total > q.Fees {
		cost = fmt.Sprintf("%s and %s", satoshi(q.Total-q.Fees), cost)
	}
	fmt.Fprintf(w, "%s costs %s; paid from %s, which has %s", q.what(), cost, q.Address, satoshi(q.Balance))
	if q.Missing > 0 && q.Gives {
		fmt.Fprint(w, "; this private chain gives what is missing")
	}
	fmt.Fprintln(w)
}

// what calls a goal by its name.
func (q *quoteResult) what() string {
	switch q.Op {
	case registrar.OpNamespace:
		return "namespace " + q.Name
	case registrar.OpReady:
		return "opening namespace " + q.Name
	}
	return q.Op + " of " + q.Name
}

package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"satchel/chain"
	"satchel/chain/ops"
)

func (a *app) nameHistoryCommand() *command {
	c := newCommand("name history", "NAME", 1, 1, "show what happened to a name, oldest first")
	c.long = `Shows each operation on the name that the chain accepted: height, what it was,
transaction, owner after it and hash of the zone file after it. Without a dot it is
about a namespace.`
	asJSON := c.flags.Bool("json", false, "print JSON")
	c.run = func(ctx context.Context, args []string) error {
		s, err := a.open(ctx, c.name)
		if err != nil {
			return err
		}
		defer s.Close()
		r, err := ask[[]historyLine](ctx, s, "history", nameArgs{args[0]})
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(a.out, r)
		}
		printHistory(a.out, r)
		return nil
	}
	return c
}

// A historyLine is one of the list that `name history --json` prints.
type historyLine struct {
	Height    int    `json:"height"`
	Op        string `json:"op"`   // as `name show` has it
	Word      string `json:"word"` // the same for people
	Txid      string `json:"txid"`
	Owner     string `json:"owner"`      // address, after it
	ValueHash string `json:"value_hash"` // of the zone file after it; empty: none
}

func printHistory(w io.Writer, lines []historyLine) {
	for _, l := range lines {
		value := l.ValueHash
		if value == "" {
			value = "-"
		}
		fmt.Fprintf(w, "%-8d %-19s %s %s %s\n", l.Height, l.Word, l.Txid, l.Owner, value)
	}
}

// opWords are what operations are called.
var opWords = map[string]string{
	"?": "preorder", ":": "register", "::": "renew", "+": "update", ">>": "transfer", ">~": "transfer, no value",
	"~": "revoke", ";": "import", "*": "namespace preorder", "&": "namespace reveal", "!": "namespace ready",
}

func opWord(op string) string {
	if w, ok := opWords[op]; ok {
		return w
	}
	return op
}

func (e *engine) history(ctx context.Context, args nameArgs, _ func(string)) ([]historyLine, error) {
	if strings.Contains(args.Name, ".") {
		if _, err := chain.ParseName(args.Name); err != nil {
			return nil, coded(exitName, err)
		}
	} else if !ops.ValidNamespace(args.Name) {
		return nil, failf(exitName, "%q is neither a name nor a namespace", args.Name)
	}
	n, err := e.openNames(ctx)
	if err != nil {
		return nil, err
	}
	if err := n.Sync(ctx); err != nil {
		return nil, err
	}
	list, err := n.index.History(args.Name, 0, 0)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: %w", args.Name, chain.ErrUnknownName)
	}
	lines := make([]historyLine, len(list))
	for i, o := range list {
		lines[i] = historyLine{Height: o.Height, Op: o.Op, Word: opWord(o.Op), Txid: o.Txid.String(), Owner: n.scriptAddress(o.Owner)}
		if o.Value != nil {
			lines[i].ValueHash = hex.EncodeToString(o.Value[:])
		}
	}
	return lines, nil
}

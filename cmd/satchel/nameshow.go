package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"satchel/chain"
)

type nameArgs struct {
	Name string `json:"name"`
}

// A nameInfo is the output of `name show --json`.
type nameInfo struct {
	Name         string    `json:"name"`
	Owner        string    `json:"owner"` // address
	ZonefileHash string    `json:"zonefile_hash"`
	Zonefile     string    `json:"zonefile"`
	Height       int       `json:"height"` // of the chain as it was asked
	Registered   int       `json:"registered"`
	Renewed      int       `json:"renewed"`
	Expires      int       `json:"expires"`
	Expired      bool      `json:"expired"`
	Revoked      bool      `json:"revoked"`
	Txid         string    `json:"txid"` // of the last operation
	Op           string    `json:"op"`
	State        string    `json:"state"`                  // registered, expired, revoked
	Date         string    `json:"expires_date,omitempty"` // about when it expires, where blocks have a pace
	Note         string    `json:"note,omitempty"`
	Asked        time.Time `json:"asked"`
}

func (a *app) nameShowCommand() *command {
	c := newCommand("name show", "NAME", 1, 1, "show what the chain says of a name")
	c.long = `Shows owner, zone file hash, zone file and the height of the chain.`
	asJSON := c.flags.Bool("json", false, "print JSON")
	c.run = func(ctx context.Context, args []string) error {
		s, err := a.open(ctx, c.name)
		if err != nil {
			return err
		}
		defer s.Close()
		r, err := ask[nameInfo](ctx, s, "show", nameArgs{args[0]})
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(a.out, r)
		}
		r.print(a.out)
		return nil
	}
	return c
}

func (r *nameInfo) print(w io.Writer) {
	fmt.Fprintf(w, "name           %s\nowner          %s\nheight         %d\nregistered     in block %d\n", r.Name, r.Owner, r.Height, r.Registered)
	if r.Renewed != r.Registered {
		fmt.Fprintf(w, "renewed        in block %d\n", r.Renewed)
	}
	fmt.Fprintf(w, "state          %s, %s\n", r.State, expiry(r.Expires, r.Height, r.Date))
	fmt.Fprintf(w, "last operation %s, transaction %s\n", opWord(r.Op), r.Txid)
	if r.ZonefileHash == "" {
		fmt.Fprintln(w, "zone file hash none")
		return
	}
	fmt.Fprintf(w, "zone file hash %s\n", r.ZonefileHash)
	if r.Note != "" {
		fmt.Fprintf(w, "zone file      %s\n", r.Note)
		return
	}
	fmt.Fprintf(w, "zone file\n\n%s\n", strings.TrimRight(r.Zonefile, "\n"))
}

func (e *engine) show(ctx context.Context, args nameArgs, _ func(string)) (nameInfo, error) {
	name, err := chain.ParseName(args.Name)
	if err != nil {
		return nameInfo{}, coded(exitName, err)
	}
	n, err := e.openNames(ctx)
	if err != nil {
		return nameInfo{}, err
	}
	if err := n.Sync(ctx); err != nil {
		return nameInfo{}, err
	}
	rec, err := n.lookup(ctx, name)
	if err != nil {
		return nameInfo{}, err
	}
	height, _ := n.index.Tip()
	r := nameInfo{
		Name: string(name), Owner: rec.Address, Height: height,
		Registered: rec.FirstRegistered, Renewed: rec.LastRenewed, Expires: rec.Expires,
		Expired: rec.Expired, Revoked: rec.Revoked,
		Txid: rec.Txid.String(), Op: rec.Op, Asked: time.Now().UTC(),
	}
	r.Date = n.date(rec.Expires, height)
	switch r.State = "registered"; {
	case rec.Expired:
		r.State = "expired"
	case rec.Revoked:
		r.State = "revoked"
	}
	if !rec.HasValue {
		return r, nil
	}
	r.ZonefileHash = hex.EncodeToString(rec.ValueHash[:])
	zone, err := n.Zonefile(ctx, rec.ValueHash)
	switch {
	case errors.Is(err, os.ErrNotExist):
		r.Note = "nobody serves it yet"
	case err != nil:
		r.Note = err.Error()
	default:
		r.Zonefile = string(zone)
	}
	return r, nil
}

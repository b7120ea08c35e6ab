package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"

	"satchel/chain"
	"satchel/chain/ops"
	"satchel/chain/registrar"
)

type nameArgs struct {
	Name string `json:"name"`
}

// A step is one transaction of a name operation.
type step struct {
	Op     string `json:"op"`
	Txid   string `json:"txid"`
	Height int    `json:"height"`
}

type stepsResult struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Steps   []step `json:"steps"`
}

func (a *app) nameRegisterCommand() *command {
	c := newCommand("name register", "NAME", 1, 1, "register the name of this home on the chain")
	c.long = `Puts the profile at the write quorum, then sends preorder, register and update and
waits until each is confirmed. Prints their transaction ids, one a line. What was
begun and broken off goes on where it stood.`
	c.run = func(ctx context.Context, args []string) error {
		s, err := a.open(ctx, c.name)
		if err != nil {
			return err
		}
		defer s.Close()
		r, err := ask[stepsResult](ctx, s, "register", nameArgs{args[0]})
		if err != nil {
			return err
		}
		printSteps(a.out, r)
		fmt.Fprintf(a.out, "%s is registered, owned by %s\n", r.Name, r.Address)
		return nil
	}
	return c
}

func printSteps(w io.Writer, r stepsResult) {
	for _, s := range r.Steps {
		fmt.Fprintf(w, "%s %s\n", s.Op, s.Txid)
	}
}

// own checks that a name is this home's and returns what signs for it.
func (e *engine) own(name string) (chain.Name, *btcec.PrivateKey, error) {
	n, err := chain.ParseName(name)
	if err != nil {
		return "", nil, coded(exitName, err)
	}
	if string(n) != e.cfg.Name {
		return "", nil, failf(exitName, "this home is %s's, so it can't sign for %s; give --home DIR of its home", e.cfg.Name, n)
	}
	ks, err := e.openKeys()
	if err != nil {
		return "", nil, err
	}
	if ks.Owner == nil {
		return "", nil, failf(exitName, "the keystore holds no owner key of %s, only its words do", n)
	}
	return n, ks.Owner, nil
}

// register puts the profile, registers the name and hands over its zone file.
func (e *engine) register(ctx context.Context, args nameArgs, say func(string)) (stepsResult, error) {
	name, key, err := e.own(args.Name)
	if err != nil {
		return stepsResult{}, err
	}
	d, err := e.openDrive(ctx)
	if err != nil {
		return stepsResult{}, err
	}
	if err := e.names.Sync(ctx); err != nil {
		return stepsResult{}, err
	}
	if err := e.mayRegister(name, key); err != nil {
		return stepsResult{}, err
	}
	if err := d.Publish(ctx); err != nil {
		return stepsResult{}, failf(exitStorage, "profile of %s: %w", name, err)
	}
	say("the profile is at the providers")
	zone, err := d.Zonefile()
	if err != nil {
		return stepsResult{}, err
	}
	if err := e.names.keep(zone); err != nil {
		return stepsResult{}, err
	}
	r := stepsResult{Name: string(name), Address: ownerAddress(key)}
	err = e.registrar().Register(ctx, name, key, zone, r.add(say))
	if err != nil {
		return stepsResult{}, e.nameError(err)
	}
	return r, e.offerZonefile(ctx, name)
}

// offerZonefile hands the zone file over, as soon as the chain process has read
// the block itself.
func (e *engine) offerZonefile(ctx context.Context, name chain.Name) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := e.names.keepOffering(ctx, name); err != nil {
		return failf(exitChain, "%s is registered, but its zone file isn't served yet: %w; each mount offers it again", name, err)
	}
	return nil
}

// mayRegister refuses early what the chain would refuse.
func (e *engine) mayRegister(name chain.Name, key *btcec.PrivateKey) error {
	rec, err := e.names.index.Lookup(name)
	switch {
	case errors.Is(err, chain.ErrUnknownName) || rec.Expired:
		return nil
	case err != nil:
		return err
	case rec.Revoked:
		return failf(exitName, "%s was revoked by its owner and can't be registered until it expires", name)
	case rec.Address != ownerAddress(key):
		return failf(exitName, "%s is registered already, by %s; choose another name", name, rec.Address)
	}
	return nil
}

// add records a step and says it.
func (r *stepsResult) add(say func(string)) func(registrar.Step) {
	return func(s registrar.Step) {
		r.Steps = append(r.Steps, step{s.Op, s.Txid.String(), s.Height})
		say(fmt.Sprintf("%s is confirmed in block %d", s.Op, s.Height))
	}
}

func (e *engine) registrar() *registrar.Registrar {
	return &registrar.Registrar{
		Chain:    e.names.src,
		Index:    e.names.index,
		Follower: e.names.follower,
		Dir:      filepath.Join(e.h.data, "registrar"),
	}
}

// nameError gives errors of the registrar their exit codes.
func (e *engine) nameError(err error) error {
	switch {
	case errors.Is(err, registrar.ErrTaken), errors.Is(err, registrar.ErrNotOwner):
		return coded(exitName, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return coded(exitChain, err)
}

func (a *app) nameTransferCommand() *command {
	c := newCommand("name transfer", "NAME ADDRESS", 2, 2, "give the name of this home to another owner")
	c.long = `Sends the transaction that makes ADDRESS the name's owner, without its zone file,
and waits until it is confirmed. Others stop at the name until they trust the new
owner (satchel trust).`
	c.run = func(ctx context.Context, args []string) error {
		s, err := a.open(ctx, c.name)
		if err != nil {
			return err
		}
		defer s.Close()
		r, err := ask[stepsResult](ctx, s, "transfer", transferArgs{args[0], args[1]})
		if err != nil {
			return err
		}
		printSteps(a.out, r)
		fmt.Fprintf(a.out, "%s belongs to %s now\n", r.Name, r.Address)
		return nil
	}
	return c
}

type transferArgs struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

func (e *engine) transfer(ctx context.Context, args transferArgs, say func(string)) (stepsResult, error) {
	if _, err := ops.PayTo(args.Address, &chaincfg.RegressionNetParams); err != nil {
		return stepsResult{}, usagef("address %q: %v", args.Address, err)
	}
	name, key, err := e.own(args.Name)
	if err != nil {
		return stepsResult{}, err
	}
	n, err := e.openNames(ctx)
	if err != nil {
		return stepsResult{}, err
	}
	if err := n.Sync(ctx); err != nil {
		return stepsResult{}, err
	}
	if _, err := n.index.Lookup(name); err != nil {
		return stepsResult{}, fmt.Errorf("%s: %w", name, err)
	}
	r := stepsResult{Name: string(name), Address: args.Address}
	err = e.registrar().Transfer(ctx, name, key, args.Address, false, r.add(say))
	return r, e.transferError(err)
}

func (e *engine) transferError(err error) error {
	if err == nil {
		return nil
	}
	return e.nameError(err)
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
	state := ""
	switch {
	case r.Revoked:
		state = "revoked"
	case r.Expired:
		state = "expired"
	}
	if state != "" {
		fmt.Fprintf(w, "state          %s\n", state)
	}
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
	rec, err := n.index.Lookup(name)
	if err != nil {
		return nameInfo{}, fmt.Errorf("%s: %w", name, err)
	}
	height, _ := n.index.Tip()
	r := nameInfo{
		Name: string(name), Owner: rec.Address, Height: height,
		Registered: rec.FirstRegistered, Renewed: rec.LastRenewed, Expires: rec.Expires,
		Expired: rec.Expired, Revoked: rec.Revoked,
		Txid: rec.Txid.String(), Op: rec.Op, Asked: time.Now().UTC(),
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

// printJSON prints a value as indented JSON.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

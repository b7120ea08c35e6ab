package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"satchel/chain/registrar"
)

// goalArgs say what is wanted of a name or a namespace.
type goalArgs struct {
	Op       string           `json:"op"`
	Name     string           `json:"name"`               // or a namespace's id
	To       string           `json:"to,omitempty"`       // address, or a name whose owner's is meant
	Keep     bool             `json:"keep,omitempty"`     // of a transfer: the zone file stays
	Zonefile []byte           `json:"zonefile,omitempty"` // none: the drive's own
	Rules    *registrar.Rules `json:"rules,omitempty"`
	Hold     bool             `json:"hold,omitempty"`
	Owner    string           `json:"owner,omitempty"` // address; none: the keystore's
	Again    bool             `json:"again,omitempty"` // renew what was renewed a moment ago
	Signed   []byte           `json:"signed,omitempty"`

	// Of a name below another one.
	Registrar string   `json:"registrar,omitempty"` // URL
	Via       []string `json:"via,omitempty"`       // names that may carry the next record
	NoWait    bool     `json:"no_wait,omitempty"`
	registrar.Terms
}

// A step is one transaction of a name operation.
type step struct {
	Op     string `json:"op"`
	Txid   string `json:"txid"`
	Height int    `json:"height"`
}

type stepsResult struct {
	Name    string `json:"name"`
	Address string `json:"address"` // of the owner
	Steps   []step `json:"steps"`
	PSBT    []byte `json:"psbt,omitempty"` // that has to be signed before it goes on
	Op      string `json:"op,omitempty"`   // of that
	Signer  string `json:"signer,omitempty"`
}

func printSteps(w io.Writer, r stepsResult) {
	for _, s := range r.Steps {
		fmt.Fprintf(w, "%s %s\n", s.Op, s.Txid)
	}
}

// nameFlags are those of all commands that pay.
type nameFlags struct {
	dry    bool
	yes    bool
	maxFee int64
	psbt   string
	owner  string

	registrar string
	via       string
	noWait    bool
}

func (f *nameFlags) add(fs *flag.FlagSet) {
	fs.BoolVar(&f.dry, "dry-run", false, "say what it takes, and send and keep nothing")
	fs.BoolVar(&f.yes, "yes", false, "agree without being asked")
	fs.Int64Var(&f.maxFee, "max-fee", registrar.DefaultMaxFee, "most `SATOSHI` that one transaction may leave to miners")
	fs.StringVar(&f.psbt, "psbt", "", "have transactions signed elsewhere: write the next one to `FILE` (- for stdout), or take it from there if it is signed")
	fs.StringVar(&f.owner, "owner", "", "`ADDRESS` that owns and pays, whose key is elsewhere (with --psbt)")
}

// addBelow adds those of names below others.
func (f *nameFlags) addBelow(fs *flag.FlagSet) {
	fs.StringVar(&f.registrar, "registrar", "", "`URL` that takes the record of a name such as ada.friends.id (default: the one that took the last)")
	fs.StringVar(&f.via, "via", "", "`NAMES`, comma between them, whose zone files may carry the next record of such a name (default: as it is)")
	fs.BoolVar(&f.noWait, "no-wait", false, "don't wait until such a name's record is on the chain")
}

// fill sets what flags say of a goal.
func (f *nameFlags) fill(args *goalArgs) error {
	if f.maxFee <= 0 {
		return usagef("--max-fee %d: it has to be positive", f.maxFee)
	}
	if f.owner != "" && f.psbt == "" {
		return usagef("--owner names a key that is elsewhere: give --psbt FILE too, for what it has to sign")
	}
	args.Terms = registrar.Terms{MaxFee: f.maxFee, PSBT: f.psbt != ""}
	args.Owner = f.owner
	var err error
	if f.psbt != "" && f.psbt != "-" && !f.dry {
		args.Signed, err = readPSBT(f.psbt)
	}
	return err
}

// readInput reads a file that the user names, of at most that many bytes.
func readInput(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return data, err
}

// errDry reports that there is nothing more to do, as it was asked for.
var errDry = errors.New("a dry run ends here")

// reach walks a goal to its end: it says what that costs, asks if it is real money
// or can't be undone, and prints the transactions. question is asked if it isn't
// empty, and wants the name as answer.
func (a *app) reach(ctx context.Context, c *command, f *nameFlags, args goalArgs, question string) (stepsResult, error) {
	if err := f.fill(&args); err != nil {
		return stepsResult{}, err
	}
	if hasParent(args.Name) {
		return a.reachBelow(ctx, c, f, args)
	}
	s, err := a.open(ctx, c.name)
	if err != nil {
		return stepsResult{}, err
	}
	defer s.Close()
	q, err := ask[quoteResult](ctx, s, "quote", args)
	if err != nil {
		return stepsResult{}, err
	}
	if f.dry {
		q.print(a.out)
		return stepsResult{}, errDry
	}
	if len(q.Steps) > 0 {
		if err := a.agreed(&q, f, question); err != nil {
			return stepsResult{}, err
		}
	}
	r, err := ask[stepsResult](ctx, s, "reach", args)
	if err != nil {
		return r, s.interrupted(ctx, err)
	}
	out := a.out
	if f.psbt == "-" {
		out = a.err
	}
	printSteps(out, r)
	if len(r.PSBT) > 0 {
		return r, a.writePSBT(s.h, f.psbt, &r)
	}
	return r, nil
}

// interrupted says of an error how what was begun goes on, if it is that the user
// has had enough.
func (s *session) interrupted(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return failf(exitInterrupt, "interrupted: %v\nWhat has begun stays in the queue: it goes on while the drive is mounted, or with the same command; `satchel %sname list` shows it",
		err, s.h.hint())
}

// done ends a command that reached its goal, or that only looked.
func done(err error, say func()) error {
	switch {
	case errors.Is(err, errDry), errors.Is(err, errGivenOut):
		return nil
	case err == nil:
		say()
	}
	return err
}

// agreed shows what it costs, and returns an error if nobody agrees to pay.
func (a *app) agreed(q *quoteResult, f *nameFlags, question string) error {
	switch {
	case q.Real:
		q.print(a.err)
	case !q.Begun:
		q.line(a.err)
	}
	if q.Missing > 0 && !q.Gives && !q.Begun {
		return failf(exitChain, "%w: send at least %s to %s, and come again when that is confirmed", registrar.ErrNoFunds, satoshi(q.Missing), q.Address)
	}
	if f.yes || q.Begun {
		return nil
	}
	if question != "" && a.answer(question) != q.Name {
		return usagef("nothing was done; --yes agrees without being asked")
	}
	if question == "" && q.Real && a.answer("Pay this? Type yes: ") != "yes" {
		return usagef("nothing was paid; --yes agrees without being asked")
	}
	return nil
}

// answer asks at the terminal; without one there is no answer.
func (a *app) answer(question string) string {
	defer onSignal(func() { os.Exit(exitInterrupt) })()
	fmt.Fprint(a.err, question)
	line, _ := bufio.NewReader(a.in).ReadString('\n')
	if line == "" {
		fmt.Fprintln(a.err)
	}
	return strings.TrimSpace(line)
}

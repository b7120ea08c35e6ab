package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"sort"
	"strings"
)

// A command is one word of satchel, or two ("name show").
type command struct {
	name     string
	args     string // "NAME", for the usage line
	min, max int    // how many arguments it takes
	short    string // one line
	long     string
	hidden   bool
	flags    *flag.FlagSet
	run      func(ctx context.Context, args []string) error
}

// newCommand returns a command with a set of flags that only has its own.
func newCommand(name, args string, min, max int, short string) *command {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return &command{name: name, args: args, min: min, max: max, short: short, flags: fs}
}

func (c *command) usage() string {
	return strings.TrimSpace("satchel " + c.name + " " + c.args)
}

// wants says how many arguments the command takes.
func (c *command) wants() string {
	n := fmt.Sprint(c.min)
	if c.max != c.min {
		n = fmt.Sprintf("%d to %d", c.min, c.max)
	}
	switch n {
	case "0":
		return "no argument"
	case "1":
		return "one argument"
	case "2":
		return "two arguments"
	}
	return n + " arguments"
}

// commands lists every command of this program.
func (a *app) commands() []*command {
	return []*command{
		a.initCommand(),
		a.nameRegisterCommand(),
		a.nameShowCommand(),
		a.nameListCommand(),
		a.namePriceCommand(),
		a.nameHistoryCommand(),
		a.nameVerifyCommand(),
		a.nameRenewCommand(),
		a.nameUpdateCommand(),
		a.nameTransferCommand(),
		a.nameRevokeCommand(),
		a.nameSendCommand(),
		a.nameCancelCommand(),
		a.nameServeCommand(),
		a.namespaceCreateCommand(),
		a.namespaceReadyCommand(),
		a.namespaceImportCommand(),
		a.namespaceShowCommand(),
		a.namespaceListCommand(),
		a.namespacePriceCommand(),
		a.mountCommand(),
		a.unmountCommand(),
		a.statusCommand(),
		a.waitCommand(),
		a.syncCommand(),
		a.pinCommand(),
		a.unpinCommand(),
		a.cacheCommand(),
		a.trustCommand(),
		a.serveCommand(),
		a.followCommand(),
		a.devnetCommand(),
		a.versionCommand(),
		a.helpCommand(),
		a.demoCommand(),
	}
}

// globals are the flags that every command takes and that may stand before it.
func (a *app) globals() *flag.FlagSet {
	fs := flag.NewFlagSet("satchel", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&a.homeFlag, "home", a.homeFlag, "`DIR` that holds config, data and cache of one identity (default $SATCHEL_HOME, else the XDG folders)")
	fs.StringVar(&a.passFile, "passphrase-file", a.passFile, "file whose first line is the passphrase (default $SATCHEL_PASSPHRASE, else a prompt)")
	return fs
}

var errHelp = errors.New("help wanted")

// isBool reports whether a flag takes no value.
func isBool(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// splitFlag takes "--name=value" apart; ok says whether arg is a flag at all.
func splitFlag(arg string) (name, value string, hasValue, ok bool) {
	if len(arg) < 2 || arg[0] != '-' || arg == "--" {
		return "", "", false, false
	}
	name, value, hasValue = strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
	return name, value, hasValue, true
}

// findCommand returns the command that args name and the arguments without its
// words. Flags may stand before it, so whether one takes a value is looked up
// among the flags of all commands.
func findCommand(cmds []*command, args []string) (*command, []string, error) {
	word, at := firstWord(cmds, args, 0)
	if word == "" {
		return noCommand(cmds, args)
	}
	rest := append(append([]string{}, args[:at]...), args[at+1:]...)
	if c := lookupCommand(cmds, word); c != nil {
		return c, rest, nil
	}
	group := subcommands(cmds, word)
	if len(group) == 0 {
		return nil, nil, usagef("unknown command %q; `satchel help` lists them", word)
	}
	sub, at := firstWord(cmds, rest, at)
	if c := lookupCommand(cmds, word+" "+sub); c != nil {
		return c, append(rest[:at], rest[at+1:]...), nil
	}
	for _, arg := range rest {
		if name, _, _, ok := splitFlag(arg); ok && (name == "h" || name == "help") {
			return lookupCommand(cmds, "help"), nil, nil
		}
	}
	return nil, nil, usagef("satchel %s: want one of %s; see `satchel help`", word, strings.Join(group, ", "))
}

// firstWord returns the first argument from start that is neither a flag nor a
// flag's value, and where it stands.
func firstWord(cmds []*command, args []string, start int) (string, int) {
	valued := map[string]bool{"home": true, "passphrase-file": true}
	for _, c := range cmds {
		c.flags.VisitAll(func(f *flag.Flag) { valued[f.Name] = valued[f.Name] || !isBool(f) })
	}
	for i := 0; i < len(args); i++ {
		name, _, hasValue, ok := splitFlag(args[i])
		switch {
		case args[i] == "--":
			return "", len(args)
		case !ok:
			return args[i], i
		case valued[name] && !hasValue:
			i++
		}
	}
	return "", len(args)
}

// noCommand answers a line of flags alone.
func noCommand(cmds []*command, args []string) (*command, []string, error) {
	for _, arg := range args {
		switch name, _, _, _ := splitFlag(arg); name {
		case "h", "help":
			return lookupCommand(cmds, "help"), nil, nil
		case "version":
			return lookupCommand(cmds, "version"), nil, nil
		}
	}
	return nil, nil, usagef("no command; `satchel help` lists them")
}

func lookupCommand(cmds []*command, name string) *command {
	for _, c := range cmds {
		if c.name == name {
			return c
		}
	}
	return nil
}

// subcommands returns the second words of the commands that begin with word.
func subcommands(cmds []*command, word string) []string {
	var subs []string
	for _, c := range cmds {
		if sub, ok := strings.CutPrefix(c.name, word+" "); ok {
			subs = append(subs, sub)
		}
	}
	sort.Strings(subs)
	return subs
}

// parse sets the command's flags, and the global ones, from args wherever they
// stand, and returns what is left. After "--" nothing is a flag.
func (a *app) parse(c *command, args []string) ([]string, error) {
	globals := a.globals()
	var pos []string
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			return append(pos, args[i+1:]...), nil
		}
		name, value, hasValue, ok := splitFlag(args[i])
		if !ok {
			pos = append(pos, args[i])
			continue
		}
		if name == "h" || name == "help" {
			return nil, errHelp
		}
		set := c.flags
		f := set.Lookup(name)
		if f == nil {
			set = globals
			f = set.Lookup(name)
		}
		switch {
		case f == nil:
			return nil, usagef("satchel %s has no flag --%s; it takes %s", c.name, name, flagNames(c.flags, globals))
		case !hasValue && isBool(f):
			value = "true"
		case !hasValue && i+1 == len(args):
			return nil, usagef("--%s wants a value: --%s %s", name, name, valueName(f))
		case !hasValue:
			i++
			value = args[i]
		}
		if err := set.Set(name, value); err != nil {
			return nil, usagef("--%s %q: %v", name, value, err)
		}
	}
	return pos, nil
}

func valueName(f *flag.Flag) string {
	name, _ := flag.UnquoteUsage(f)
	return name
}

// flagNames lists the flags of both sets.
func flagNames(sets ...*flag.FlagSet) string {
	var names []string
	for _, fs := range sets {
		fs.VisitAll(func(f *flag.Flag) {
			if !hiddenFlag(f) {
				names = append(names, "--"+f.Name)
			}
		})
	}
	return strings.Join(names, ", ")
}

// hiddenFlag reports a flag that one process of this program passes to another.
func hiddenFlag(f *flag.Flag) bool { return strings.HasPrefix(f.Usage, "(internal)") }

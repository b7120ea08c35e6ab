package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
)

func (a *app) helpCommand() *command {
	c := newCommand("help", "[COMMAND]", 0, 2, "list the commands, or explain one")
	c.run = func(ctx context.Context, args []string) error {
		return a.help(a.commands(), strings.Join(args, " "))
	}
	return c
}

// help explains the command called name, or lists all.
func (a *app) help(cmds []*command, name string) error {
	if name == "" || name == "help" {
		a.helpAll(cmds)
		return nil
	}
	if c := lookupCommand(cmds, name); c != nil {
		a.helpOne(c)
		return nil
	}
	found := false
	for _, c := range cmds {
		if strings.HasPrefix(c.name, name+" ") {
			a.helpOne(c)
			found = true
		}
	}
	if !found {
		return usagef("unknown command %q; `satchel help` lists them", name)
	}
	return nil
}

func (a *app) helpAll(cmds []*command) {
	fmt.Fprint(a.out, "Satchel is a personal drive that belongs to a name.\n\nusage: satchel COMMAND [ARGUMENTS] [FLAGS]\n\n")
	for _, c := range cmds {
		if !c.hidden {
			fmt.Fprintf(a.out, "  %-17s %s\n", c.name, c.short)
		}
	}
	fmt.Fprint(a.out, "\nFlags of every command, which may stand anywhere:\n")
	a.helpFlags(a.globals())
	fmt.Fprint(a.out, "\nExit codes:\n")
	for _, e := range exitCodes {
		fmt.Fprintf(a.out, "  %3d  %-12s %s\n", e.code, e.name, e.what)
	}
	fmt.Fprint(a.out, "\n`satchel help COMMAND` explains one. A first drive on a private chain:\n\n"+
		"  satchel init alice.id && satchel name register alice.id && mkdir -p ~/Satchel && satchel mount ~/Satchel\n")
}

func (a *app) helpOne(c *command) {
	fmt.Fprintf(a.out, "%s\n\n%s.\n", c.usage(), strings.ToUpper(c.short[:1])+c.short[1:])
	if c.long != "" {
		fmt.Fprintf(a.out, "\n%s\n", c.long)
	}
	fmt.Fprintln(a.out)
	a.helpFlags(c.flags)
}

func (a *app) helpFlags(fs *flag.FlagSet) {
	fs.VisitAll(func(f *flag.Flag) {
		if hiddenFlag(f) {
			return
		}
		name, usage := flag.UnquoteUsage(f)
		if isBool(f) {
			name = ""
		}
		fmt.Fprintf(a.out, "  %-24s %s\n", strings.TrimSpace("--"+f.Name+" "+name), usage)
	})
}

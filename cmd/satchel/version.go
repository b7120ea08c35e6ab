package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is what the program calls itself.
const version = "0.1"

func (a *app) versionCommand() *command {
	c := newCommand("version", "", 0, 0, "show which version this is")
	c.run = func(ctx context.Context, args []string) error {
		fmt.Fprintf(a.out, "satchel %s%s %s %s/%s\n", version, revision(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return nil
	}
	return c
}

// revision returns the commit that this was built from, if the build knows.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return " (" + s.Value[:12] + ")"
		}
	}
	return ""
}

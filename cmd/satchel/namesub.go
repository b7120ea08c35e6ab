package main

import (
	"context"
	"strings"
)

// hasParent says if a name lies below another one, as ada.friends.id lies below
// friends.id. Such a name has no transactions of its own.
func hasParent(name string) bool { return strings.Count(name, ".") == 2 }

// reachBelow is reach for a name that lies below another one.
func (a *app) reachBelow(_ context.Context, _ *command, _ *nameFlags, args goalArgs) (stepsResult, error) {
	_, parent, _ := strings.Cut(args.Name, ".")
	return stepsResult{}, failf(exitName, "%s lies below %s, whose owner gives it out; there is no transaction for it", args.Name, parent)
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"satchel/fs/drive"
)

func (a *app) cacheCommand() *command {
	c := newCommand("cache", "[SIZE]", 0, 1, "show how much disk the drive takes here, or limit it")
	c.long = `Limits the cache to SIZE, such as 5GiB, at once and from now on (cache_size in the
config); 0 is the default, 10 GiB or a tenth of the disk, the smaller. What was
used least recently leaves first. Only what has all its copies counts and can
leave: what is not stored yet stays whatever the size, and so does what is pinned.`
	asJSON := c.flags.Bool("json", false, "print JSON")
	c.run = func(ctx context.Context, args []string) error {
		var want *int64
		if len(args) > 0 {
			var n size
			if err := n.UnmarshalText([]byte(args[0])); err != nil {
				return usagef("%v", err)
			}
			want = (*int64)(&n)
		}
		s, err := a.open(ctx, c.name)
		if err != nil {
			return err
		}
		defer s.Close()
		st, err := ask[drive.CacheStatus](ctx, s, "cache", cacheArgs{want})
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(a.out, st)
		}
		fmt.Fprintln(a.out, cacheLine(st))
		return nil
	}
	return c
}

type cacheArgs struct {
	Size *int64 `json:"size"` // nil: only show
}

func (e *engine) cache(ctx context.Context, args cacheArgs, _ func(string)) (drive.CacheStatus, error) {
	d, err := e.openDrive(ctx)
	if err != nil {
		return drive.CacheStatus{}, err
	}
	if args.Size != nil {
		if err := setCacheSize(e.h.config, size(*args.Size)); err != nil {
			return drive.CacheStatus{}, err
		}
		d.SetCache(*args.Size)
	}
	st, err := d.Status(ctx)
	return st.Cache, err
}

// cacheLine says how much of the disk is in use, and for what.
func cacheLine(c drive.CacheStatus) string {
	return fmt.Sprintf("%s of %s used, beside %s pinned and %s not stored yet",
		bytesText(c.Used), bytesText(c.Cap), bytesText(c.Pinned), bytesText(c.Unstored))
}

// cacheKey is the line of the config that says how large the cache may be, or
// the comment that stands for it.
var cacheKey = regexp.MustCompile(`(?m)^[ \t]*#?[ \t]*cache_size[ \t]*=.*$`)

// firstTable is where the keys of the config's top end.
var firstTable = regexp.MustCompile(`(?m)^[ \t]*\[`)

// setCacheSize changes one line of a config and nothing else.
func setCacheSize(path string, n size) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	line := fmt.Appendf(nil, "cache_size = %q", n.String())
	end := len(old)
	if at := firstTable.FindIndex(old); at != nil {
		end = at[0]
	}
	var top []byte
	if lines := cacheKey.FindAllIndex(old[:end], -1); len(lines) > 0 {
		at := lines[0]
		for _, l := range lines { // the one that counts, if there is one
			if bytes.TrimSpace(old[l[0]:l[1]])[0] != '#' {
				at = l
			}
		}
		top = append(append(bytes.Clone(old[:at[0]]), line...), old[at[1]:end]...)
	} else {
		top = append(append(bytes.Clone(old[:end]), line...), "\n\n"...)
	}
	return replaceFile(path, append(top, old[end:]...))
}

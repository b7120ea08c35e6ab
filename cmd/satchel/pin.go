package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"satchel/fs/drive"
)

func (a *app) pinCommand() *command {
	c := newCommand("pin", "[PATH]", 0, 1, "keep a file or folder on this machine, or list what is kept")
	c.long = `Has a file or folder fetched whole and kept on this machine, whatever the size of
the cache: readable without a network. What comes new into a pinned folder, or
changes in it elsewhere, is fetched too. A pin follows its file when that is
renamed. Pins are this machine's own; the other devices don't learn of them.

PATH is a path in the mount, or one in the drive such as Private/photos. Without
it, what is pinned is listed, with how much of it is here. The same is set and
seen by the extended attribute user.satchel.pin.`
	wait := c.flags.Bool("wait", false, "return when all of it is here")
	asJSON := c.flags.Bool("json", false, "print JSON")
	c.run = func(ctx context.Context, args []string) error {
		s, err := a.open(ctx, c.name)
		if err != nil {
			return err
		}
		defer s.Close()
		var p pinArgs
		if len(args) > 0 {
			p = newPinArgs(args[0])
		}
		p.Wait = *wait
		list, err := ask[[]drive.PinStatus](ctx, s, "pin", p)
		switch {
		case err != nil:
			return err
		case *asJSON:
			return printJSON(a.out, list)
		case len(list) == 0:
			fmt.Fprintln(a.out, "nothing is pinned")
		}
		printPins(a.out, list)
		return nil
	}
	return c
}

func (a *app) unpinCommand() *command {
	c := newCommand("unpin", "PATH", 1, 1, "let a pinned file or folder leave this machine")
	c.long = `Ends a pin: what it kept on this machine may be evicted from the cache again.
PATH is as with satchel pin.`
	c.run = func(ctx context.Context, args []string) error {
		s, err := a.open(ctx, c.name)
		if err != nil {
			return err
		}
		defer s.Close()
		_, err = ask[none](ctx, s, "unpin", newPinArgs(args[0]))
		return err
	}
	return c
}

// A pinArgs says what to pin, as the user wrote it and as a path of this machine.
type pinArgs struct {
	Path string `json:"path"` // empty: only list
	File string `json:"file"` // without symbolic links, where it is there
	Wait bool   `json:"wait"`
}

func newPinArgs(path string) pinArgs {
	p := pinArgs{Path: path}
	file, err := filepath.Abs(path)
	if err != nil {
		return p
	}
	// The last part is the file itself, though it be a link. What was pinned and
	// is gone can still be unpinned.
	if dir, err := filepath.EvalSymlinks(filepath.Dir(file)); err == nil {
		file = filepath.Join(dir, filepath.Base(file))
	}
	p.File = file
	return p
}

// inDrive turns a path of this machine into one of the drive mounted at dir.
func (p pinArgs) inDrive(dir string) (string, error) {
	if dir != "" && p.File != "" {
		if rel, err := filepath.Rel(dir, p.File); err == nil && filepath.IsLocal(rel) && rel != "." {
			return filepath.ToSlash(rel), nil
		}
	}
	path := strings.Trim(filepath.ToSlash(filepath.Clean(p.Path)), "/")
	switch first, _, _ := strings.Cut(path, "/"); first {
	case "Private", "Public", "People":
		if !filepath.IsAbs(p.Path) {
			return path, nil
		}
	}
	if dir == "" {
		return "", usagef("%s is in no mount of this home; mount it, or give a path such as Private/photos", p.Path)
	}
	return "", usagef("%s is not below %s, where the drive is mounted", p.Path, dir)
}

func (e *engine) pin(ctx context.Context, args pinArgs, say func(string)) ([]drive.PinStatus, error) {
	d, path, err := e.pinPath(ctx, args)
	if err != nil {
		return nil, err
	}
	if path != "" {
		if err := d.Pin(ctx, path); err != nil {
			return nil, pinError(err)
		}
	}
	if args.Wait {
		told := time.Now()
		err := d.WaitPinned(ctx, path, func(p drive.PinStatus) {
			if time.Since(told) > time.Second {
				told = time.Now()
				say(pinLine(p))
			}
		})
		if err != nil {
			return nil, err
		}
	}
	list := []drive.PinStatus{}
	for _, p := range d.Pins() {
		if path == "" || p.Path == path {
			list = append(list, p)
		}
	}
	return list, nil
}

func (e *engine) unpin(ctx context.Context, args pinArgs, _ func(string)) (none, error) {
	d, path, err := e.pinPath(ctx, args)
	if err != nil {
		return none{}, err
	}
	return none{}, pinError(d.Unpin(path))
}

// pinPath opens the drive and finds what args mean in it.
func (e *engine) pinPath(ctx context.Context, args pinArgs) (*drive.Drive, string, error) {
	d, err := e.openDrive(ctx)
	if err != nil || args.Path == "" {
		return d, "", err
	}
	e.mu.Lock()
	dir := e.realDir
	e.mu.Unlock()
	path, err := args.inDrive(dir)
	return d, path, err
}

func pinError(err error) error {
	if errors.Is(err, os.ErrInvalid) {
		return coded(exitUsage, err)
	}
	return err
}

func printPins(w io.Writer, list []drive.PinStatus) {
	for _, p := range list {
		fmt.Fprintln(w, pinLine(p))
	}
}

// pinLine says how much of a pin is here.
func pinLine(p drive.PinStatus) string {
	line := fmt.Sprintf("%s: %d files, %s", p.Path, p.Files, bytesText(p.Bytes))
	if p.Here < p.Bytes {
		line += fmt.Sprintf(", %s of it here", bytesText(p.Here))
	} else if p.Error == "" {
		line += ", all here"
	}
	return line + because(p.Error)
}

// bytesText is a number of bytes for a person.
func bytesText(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d bytes", n)
	}
	f, i := float64(n)/1024, 0
	for f >= 1023.95 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	return fmt.Sprintf("%.1f %ciB", f, units[i])
}

package tree

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata anew")

// TestCases runs the scripts of testdata/cases, on the model and on stored
// trees beside it. Writers are a, b and c; "all" has all of them publish and
// merge everything.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/cases/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			script, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			h := newHistory(1, nothing, true)
			h.writers = nil
			store := newStore()
			for i := range 3 {
				w := &hand{h: h, i: i, store: store}
				w.t = New(writer(i), fmt.Sprintf("w%d.id", i), nil)
				w.s = w.fresh()
				h.writers = append(h.writers, w)
			}
			for i, line := range strings.Split(string(script), "\n") {
				if err := h.line(line); err != nil {
					t.Fatalf("line %d, %s: %v", i+1, line, err)
				}
			}
		})
	}
}

// line runs one line of a script.
func (h *history) line(line string) (err error) {
	defer func() {
		if b, ok := recover().(broken); ok {
			err = b.error
		}
	}()
	h.clock++
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "", "#":
		return nil
	case "all":
		for _, w := range h.writers {
			w.t.changed = true
			w.publish()
		}
		for _, w := range h.writers {
			for _, p := range h.heads {
				w.merge(p)
			}
			w.compare()
		}
		return nil
	case "want", "wantnot", "mode", "count":
		for _, w := range h.writers {
			if err := want(word, rest, w.shows(w.s)); err != nil {
				return fmt.Errorf("%s sees %w", w.t.name, err)
			}
		}
		return nil
	}
	w := h.writers[strings.Index("abc", word)]
	return w.command(rest)
}

func want(word, rest string, view map[string]seenFile) error {
	path, text := rest, ""
	if i := strings.LastIndexByte(rest, ' '); i > 0 && word != "wantnot" {
		path, text = rest[:i], rest[i+1:]
	}
	f, there := view[path]
	switch {
	case word == "count":
		if strconv.Itoa(len(view)) != rest {
			return fmt.Errorf("%d: %v", len(view), view)
		}
	case word == "wantnot" && there:
		return fmt.Errorf("it")
	case word == "want" && f.content != text:
		return fmt.Errorf("%q in %v", f.content, view)
	case word == "mode" && strconv.FormatUint(uint64(f.info.Mode), 8) != text:
		return fmt.Errorf("mode %o", f.info.Mode)
	}
	return nil
}

func (w *hand) command(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "publish":
		w.publish()
		return nil
	case "merge":
		w.merge(w.h.writers[strings.Index("abc", rest)].last)
		return nil
	}
	path, text := rest, ""
	if i := strings.LastIndexByte(rest, ' '); i > 0 && slices.Contains([]string{"create", "write", "chmod", "rename"}, verb) {
		path, text = rest[:i], rest[i+1:]
	}
	if i := strings.Index(rest, " /"); verb == "rename" {
		path, text = rest[:i], rest[i+1:]
	}
	w.h.ids++
	id := ident(w.h.ids)
	now := w.h.clock
	split := func(t *Tree, path string) (Identity, string, error) {
		i := strings.LastIndexByte(path, '/')
		in := Info{}
		for _, name := range strings.Split(path[:i], "/")[1:] {
			var err error
			if in, err = t.Lookup(in.ID, name); err != nil {
				return Root, "", err
			}
		}
		return in.ID, path[i+1:], nil
	}
	return w.both(func(t *Tree) error {
		dir, name, err := split(t, path)
		if err != nil {
			return err
		}
		in, _ := t.Lookup(dir, name)
		switch verb {
		case "create":
			_, err = t.Create(dir, name, Spec{ID: id, Now: now, Content: InlineContent([]byte(text))})
		case "mkdir":
			_, err = t.Create(dir, name, Spec{ID: id, Kind: Dir, Now: now})
		case "write":
			_, err = t.SetData(in, in.DataDot, InlineContent([]byte(text)), now, now)
		case "chmod":
			var mode uint64
			if mode, err = strconv.ParseUint(text, 8, 32); err == nil {
				_, err = t.SetAttr(in.ID, func(a *Attr) { a.Mode = uint32(mode) })
			}
		case "rm":
			_, err = t.Remove(dir, name, false, now)
		case "rmtree":
			err = t.RemoveAll(dir, name, now)
		case "rename":
			var to Identity
			var as string
			if to, as, err = split(t, text); err == nil {
				_, _, err = t.Rename(dir, name, to, as, false, now)
			}
		default:
			err = fmt.Errorf("unknown command")
		}
		return err
	})
}

// TestSeeds runs ten histories each that have a ring, an orphan, a taken copy
// name or a surviving unseen change; testdata/seeds.txt names them.
func TestSeeds(t *testing.T) {
	kinds := map[string]func(counts) int{
		"ring":     func(c counts) int { return c.rings },
		"orphan":   func(c counts) int { return c.orphans },
		"taken":    func(c counts) int { return c.taken },
		"survived": func(c counts) int { return c.survived },
	}
	const file = "testdata/seeds.txt"
	if *update {
		var out strings.Builder
		for _, kind := range []string{"ring", "orphan", "taken", "survived"} {
			out.WriteString(kind)
			for seed, n := uint64(0), 0; n < 10; seed++ {
				h := newHistory(seed, nothing, false)
				if err := h.run(); err == nil && kinds[kind](h.counts) > 0 {
					fmt.Fprintf(&out, " %d", seed)
					n++
				}
			}
			out.WriteString("\n")
		}
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		words := strings.Fields(line)
		for _, s := range words[1:] {
			seed, err := strconv.ParseUint(s, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			h := newHistory(seed, nothing, false)
			if err := h.run(); err != nil {
				t.Errorf("seed %d: %v\n%s", seed, err, strings.Join(h.log, "\n"))
			} else if kinds[words[0]](h.counts) == 0 {
				t.Errorf("seed %d has no %s", seed, words[0])
			}
		}
	}
}

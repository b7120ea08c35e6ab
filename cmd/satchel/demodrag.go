package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// drag copies a real file into the folder that alice shares with bob, sees it
// arrive, has bob change it and alice see the change. Programs of their own touch
// the mounts, as a file manager would.
func (d *demo) drag(ctx context.Context) error {
	src, err := d.realFile()
	if err != nil {
		return err
	}
	base := filepath.Base(src)
	mine := filepath.Join(d.alice.mount, "People", d.bob.name, base)
	theirs := filepath.Join(d.bob.mount, "People", d.alice.name, base)

	if err := d.shell(ctx, "cp", src, mine); err != nil {
		return err
	}
	d.say("alice copied %s into %s", base, filepath.Dir(mine))
	took, err := d.until(ctx, "cmp", "-s", src, theirs)
	if err != nil {
		return fmt.Errorf("%s did not arrive: %w", theirs, err)
	}
	d.say("%.1f s later it is at %s, byte for byte", took.Seconds(), theirs)

	line := fmt.Sprintf("bob was here, %s", time.Now().Format(time.RFC3339Nano))
	if err := d.shell(ctx, "sh", "-c", `printf '%s\n' "$1" >> "$2"`, "sh", line, theirs); err != nil {
		return err
	}
	d.say("bob added a line to it: %s", line)
	took, err = d.until(ctx, "grep", "-qxF", line, mine)
	if err != nil {
		return fmt.Errorf("bob's change did not arrive at %s: %w", mine, err)
	}
	d.say("%.1f s later alice reads bob's line in %s", took.Seconds(), mine)
	return nil
}

// realFile returns a file to copy: the README of this folder, or else our help.
func (d *demo) realFile() (string, error) {
	if readme, err := filepath.Abs("README.md"); err == nil {
		if _, err := os.Stat(readme); err == nil {
			return readme, nil
		}
	}
	var b bytes.Buffer
	a := &app{out: &b, err: &b}
	a.helpAll(a.commands())
	path := filepath.Join(d.world, "help.txt")
	return path, replaceFile(path, b.Bytes())
}

// shell runs a program that touches a mount.
func (d *demo) shell(ctx context.Context, name string, args ...string) error {
	out, err := group(exec.CommandContext(ctx, name, args...)).CombinedOutput()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}

// until runs a program again and again until it succeeds, for a minute at most,
// and returns how long that took.
func (d *demo) until(ctx context.Context, name string, args ...string) (time.Duration, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := d.shell(ctx, name, args...)
		if err == nil {
			return time.Since(start), nil
		}
		select {
		case <-ctx.Done():
			return 0, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// command is a run of this program, whose output comes to us.
func (d *demo) command(ctx context.Context, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return group(exec.CommandContext(ctx, self, args...))
}

// group has a command ignore our terminal's Ctrl-C: we stop things in order.
func group(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	return cmd
}

// demoPassphrase opens the keystores of the two: there is nothing to protect.
const demoPassphrase = "demo"

// satchel runs a command of this program in the person's home and returns what
// it printed.
func (d *demo) satchel(ctx context.Context, p person, args ...string) (string, error) {
	cmd := d.command(ctx, append([]string{"--home", p.home}, args...)...)
	cmd.Env = append(os.Environ(), "SATCHEL_PASSPHRASE="+demoPassphrase)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("satchel %s of %s: %s (%w)", args[0], p.name, bytes.TrimSpace(errs.Bytes()), err)
	}
	return out.String(), nil
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A process is a child that runs on its own until stop. While it runs a file says
// which process it is, by pid and start time, so that a later run can end it and
// never hits another one that got the same pid.
type process struct {
	cmd  *exec.Cmd
	file string
	done chan error
}

// startProcess starts a command that prints a line beginning with "ready" when
// it serves, and returns then.
func startProcess(ctx context.Context, cmd *exec.Cmd, file string) (*process, error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var complaint strings.Builder
	cmd.Stderr = &complaint
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, file: file, done: make(chan error, 1)}
	if err := p.record(); err != nil {
		_ = cmd.Process.Kill()
		return nil, errors.Join(err, cmd.Wait())
	}
	ready := make(chan bool, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		ready <- strings.HasPrefix(line, "ready")
	}()
	select {
	case ok := <-ready:
		go func() { p.done <- cmd.Wait() }()
		if ok {
			return p, nil
		}
		err = errors.Join(<-p.done, os.Remove(file))
		return nil, fmt.Errorf("%s: %s (%w)", strings.Join(cmd.Args[1:2], " "), strings.TrimSpace(complaint.String()), err)
	case <-ctx.Done():
		go func() { p.done <- cmd.Wait() }()
		stop, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return nil, errors.Join(ctx.Err(), p.stop(stop))
	}
}

func (p *process) record() error {
	pid := p.cmd.Process.Pid
	start, err := startTime(pid)
	if err != nil {
		return err
	}
	return replaceFile(p.file, fmt.Appendf(nil, "%d %s\n", pid, start))
}

// stop ends the process and waits for it.
func (p *process) stop(ctx context.Context) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	var err error
	select {
	case <-p.done:
	case <-ctx.Done():
		err = errors.Join(ctx.Err(), p.cmd.Process.Kill())
	}
	return errors.Join(err, os.Remove(p.file))
}

// startTime returns when a process started, in ticks since boot.
func startTime(pid int) (string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// The program's name, in brackets, may hold spaces and brackets.
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(f) < 20 {
		return "", fmt.Errorf("process %d: malformed stat", pid)
	}
	return f[19], nil
}

// sweepProcess ends the process that a file names, if that very one still runs.
func sweepProcess(ctx context.Context, file string) error {
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var pid int
	var start string
	if _, err := fmt.Sscan(string(data), &pid, &start); err == nil {
		if now, err := startTime(pid); err == nil && now == start {
			if err := endProcess(ctx, pid, func() bool { now, err := startTime(pid); return err != nil || now != start }); err != nil {
				return err
			}
		}
	}
	return os.Remove(file)
}

// endHolder ends the process that has the lock on path.
func endHolder(ctx context.Context, path string, pid int) error {
	return endProcess(ctx, pid, func() bool {
		_, held := heldBy(path)
		return !held
	})
}

// endProcess asks a process to end, and kills it if it doesn't within some time.
func endProcess(ctx context.Context, pid int, gone func() bool) error {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if gone() {
			return nil
		}
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
			if gone() {
				return nil
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return errors.New("it doesn't end")
}

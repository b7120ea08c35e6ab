package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// A process that starts itself detached talks to the new one through two pipes:
// on childIn it hands over the passphrase, so that it stands in no argument, file
// or environment, and on childOut it reads one line: "ready TEXT" or
// "error CODE MESSAGE".
const (
	childIn  = 3
	childOut = 4
)

// maxLog is the size at which a log is moved aside when a process starts.
const maxLog = 8 << 20

// openLog opens a log for appending, for the user alone.
func openLog(path string) (*os.File, error) {
	if st, err := os.Stat(path); err == nil && st.Size() > maxLog {
		_ = os.Rename(path, path+".old")
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}

// detach starts this program with args in a session of its own, its output going
// to log, and hands it secret. It returns what the child says when it is ready, or
// the child's error. When ctx ends before, the child is told to stop.
func detach(ctx context.Context, args []string, log string, secret []byte) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	out, err := openLog(log)
	if err != nil {
		return "", err
	}
	defer out.Close()
	inR, inW, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer inW.Close()
	outR, outW, err := os.Pipe()
	if err != nil {
		inR.Close()
		return "", err
	}
	defer outR.Close()

	cmd := exec.Command(self, args...)
	cmd.Dir = "/" // or the folder that we are in could not be unmounted
	cmd.Env = withoutPassphrase(os.Environ())
	cmd.Stdout, cmd.Stderr = out, out
	cmd.ExtraFiles = []*os.File{inR, outW}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	inR.Close()
	outW.Close()
	if err != nil {
		return "", fmt.Errorf("start %s: %w", self, err)
	}
	if _, err := inW.Write(secret); err == nil {
		inW.Close()
	}
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(outR).ReadString('\n')
		line <- strings.TrimSpace(text)
	}()
	select {
	case text := <-line:
		return childAnswer(text, log)
	case <-ctx.Done():
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-line // it closes the pipe when it ends
		return "", ctx.Err()
	}
}

// withoutPassphrase keeps the passphrase out of the environment of a process that
// lives long.
func withoutPassphrase(env []string) []string {
	return slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, "SATCHEL_PASSPHRASE=") })
}

// childAnswer takes a child's first line apart.
func childAnswer(line, log string) (string, error) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "ready":
		return rest, nil
	case "error":
		number, message, _ := strings.Cut(rest, " ")
		code, err := strconv.Atoi(number)
		if err != nil {
			code = exitFailed
		}
		return "", failf(code, "%s", message)
	}
	return "", fmt.Errorf("the new process ended without a word; its log is %s", log)
}

// A parent is the process that started this one detached; nil if none did.
type parent struct{ out *os.File }

// newParent returns the parent, for a process started with the internal flag.
func newParent(child bool) *parent {
	if !child {
		return nil
	}
	syscall.CloseOnExec(childOut)
	return &parent{os.NewFile(childOut, "parent")}
}

// secret reads what the parent hands over.
func (p *parent) secret() ([]byte, error) {
	syscall.CloseOnExec(childIn)
	f := os.NewFile(childIn, "secret")
	defer f.Close()
	buf := make([]byte, 1<<16)
	n := 0
	for n < len(buf) {
		m, err := f.Read(buf[n:])
		n += m
		if err != nil {
			break
		}
	}
	return buf[:n], nil
}

// ready tells the parent that all is well, and err, if any, why it is not.
func (p *parent) ready(text string, err error) {
	if p == nil || p.out == nil {
		return
	}
	if err != nil {
		text = strings.ReplaceAll(err.Error(), "\n", "; ")
		fmt.Fprintf(p.out, "error %d %s\n", exitCode(err), text)
	} else {
		fmt.Fprintf(p.out, "ready %s\n", text)
	}
	p.out.Close()
	p.out = nil
}

// onSignal runs f at the first Ctrl-C or SIGTERM, until the returned function
// is called.
func onSignal(f func()) (stop func()) {
	c := make(chan os.Signal, 1)
	done := make(chan struct{})
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-c:
			f()
		case <-done:
		}
	}()
	return func() {
		signal.Stop(c)
		close(done)
	}
}

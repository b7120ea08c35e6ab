package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What a killed run left behind is ended by pid and start time, and another
// process with that pid is not.
func TestSweepProcess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "process")
	start := func() *process {
		p, err := startProcess(context.Background(), exec.Command("sh", "-c", "echo ready; exec sleep 60"), file)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := start()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(data), " ", " 9", 1) // the same pid, started at another time
	if err := os.WriteFile(file, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := sweepProcess(context.Background(), file); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
		t.Fatal("another process was ended")
	case <-time.After(100 * time.Millisecond):
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := sweepProcess(context.Background(), file); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		t.Fatal("the process that the file names still runs")
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the file is still there")
	}
	if err := start().stop(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestStartProcessThatFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "process")
	_, err := startProcess(context.Background(), exec.Command("sh", "-c", "echo no such folder >&2; exit 3"), file)
	if err == nil || !strings.Contains(err.Error(), "no such folder") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := startProcess(ctx, exec.Command("sleep", "60"), file); err == nil {
		t.Error("a process that never was ready")
	}
}

package testenv

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
)

// A Server is a `satchel serve` process.
type Server struct {
	w          *World
	dir, token string
	addr       string
	cmd        *exec.Cmd
}

// Serve starts a blob server that ends with the test.
func (w *World) Serve(name string) *Server {
	w.t.Helper()
	s := &Server{w: w, dir: w.Path("served-" + name), token: w.Path("served-token-" + name), addr: "127.0.0.1:0"}
	s.Start()
	w.t.Cleanup(s.Stop)
	return s
}

// Start starts the server, again at the same address.
func (s *Server) Start() {
	s.w.t.Helper()
	s.cmd = exec.Command(s.w.bin, "serve", s.dir, "--listen", s.addr, "--token-file", s.token)
	s.cmd.Stderr = os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		s.w.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.w.t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if !ok {
		s.w.t.Fatalf("serve said %q", line)
	}
	s.addr = addr
}

// Stop ends the server.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(os.Interrupt)
	_ = s.cmd.Wait()
	s.cmd = nil
}

// Flags are init's flags for this provider.
func (s *Server) Flags() []string {
	return []string{"--provider", "http://" + s.addr, "--token-file", s.token}
}

package test

import (
	"fmt"
	"os/exec"
	"testing"

	"satchel/test/testenv"
)

// Every process is stopped and started again in the middle; nothing is lost.
func TestRestartEverything(t *testing.T) {
	w := testenv.New(t)
	server := w.Serve("bob")
	alice := w.Citizen("alice.id")
	bob := w.Citizen("bob.id", server.Flags()...)
	alice.Write("Private/mine", "only mine")
	alice.Write("People/bob.id/one", "first")
	bob.WantRead("People/alice.id/one", "first")
	bob.Write("People/alice.id/two", "second")

	alice.Unmount()
	bob.Unmount()
	server.Stop()
	w.StopChain()

	w.StartChain()
	server.Start()
	alice.MountDrive()
	bob.MountDrive()
	alice.WantRead("Private/mine", "only mine")
	alice.WantRead("People/bob.id/one", "first")
	alice.WantRead("People/bob.id/two", "second")
	bob.WantRead("People/alice.id/one", "first")
	bob.Sh(`printf %s "!" >> People/alice.id/two`)
	alice.WantRead("People/bob.id/two", "second!")
}

// A drive that is killed while it writes keeps all that was stored, and goes on.
func TestKilledDrive(t *testing.T) {
	w := testenv.New(t)
	alice := w.Citizen("alice.id")
	bob := w.Citizen("bob.id")
	for round := range 3 {
		file := fmt.Sprintf("People/bob.id/file%d", round)
		alice.Write(file, fmt.Sprintf("round %d", round))
		alice.Sh(`sync "$1"`, file)
		alice.Kill()
		alice.MountDrive() // over the dead mount
		for i := range round + 1 {
			alice.WantRead(fmt.Sprintf("People/bob.id/file%d", i), fmt.Sprintf("round %d", i))
		}
	}
	alice.Wait()
	for i := range 3 {
		bob.WantRead(fmt.Sprintf("People/alice.id/file%d", i), fmt.Sprintf("round %d", i))
	}
}

// What is written without a network is stored when it is back.
func TestOffline(t *testing.T) {
	w := testenv.New(t)
	blobs := w.Blobs("alice")
	alice := w.Citizen("alice.id", blobs.Flags()...)
	bob := w.Citizen("bob.id")
	alice.Write("People/bob.id/before", "before")
	alice.Wait()
	bob.WantRead("People/alice.id/before", "before")

	blobs.SetDown(true)
	w.StopChain()
	alice.Write("People/bob.id/during", "during")
	alice.Unmount()
	alice.MountDrive()
	alice.WantRead("People/bob.id/during", "during")
	alice.WantRead("People/bob.id/before", "before")
	bob.WantRead("People/alice.id/before", "before")
	alice.Satchel("wait", "--timeout", "1s").Want(t, 9)

	w.StartChain()
	blobs.SetDown(false)
	alice.Wait()
	bob.WantRead("People/alice.id/during", "during")
}

// SIGTERM unmounts, saves and ends.
func TestTerminated(t *testing.T) {
	w := testenv.New(t)
	alice := w.Citizen("alice.id")
	alice.Write("Private/last", "last words")
	pid := alice.PID()
	if out, err := exec.Command("kill", "-TERM", fmt.Sprint(pid)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w.Eventually(func() error {
		if alice.PID() != 0 {
			return fmt.Errorf("process %d still serves", pid)
		}
		return nil
	})
	alice.MountDrive()
	alice.WantRead("Private/last", "last words")
}

// A mount that a program uses isn't taken from it, unless by a signal.
func TestUnmountInUse(t *testing.T) {
	w := testenv.New(t)
	alice := w.Citizen("alice.id")
	user := exec.Command("sh", "-c", "exec 3>file; echo ready; read line; echo words >&3")
	user.Dir = alice.Path("Private")
	in, _ := user.StdinPipe()
	out, _ := user.StdoutPipe()
	if err := user.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	alice.Satchel("unmount", alice.Mount).Want(t, 6, "in use")
	in.Write([]byte("\n"))
	in.Close()
	if err := user.Wait(); err != nil {
		t.Errorf("the program was disturbed: %v", err)
	}
	alice.Unmount()
	alice.MountDrive()
	alice.WantRead("Private/file", "words\n")
}

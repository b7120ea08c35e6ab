package main

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"os"

	"golang.org/x/term"
)

// passphrase returns the passphrase of the keystore: the first line of
// --passphrase-file, else $SATCHEL_PASSPHRASE, else what is typed at a prompt
// without echo; for a new keystore it is asked for twice.
func (a *app) passphrase(isNew bool) ([]byte, error) {
	pass, err := a.givenPassphrase()
	if pass == nil && err == nil {
		pass, err = a.promptPassphrase(isNew)
	}
	if err != nil {
		return nil, err
	}
	if len(pass) == 0 {
		return nil, failf(exitPassphrase, "the passphrase is empty; it is all that protects the keystore")
	}
	return pass, nil
}

// givenPassphrase returns the passphrase of file or environment, nil without either.
func (a *app) givenPassphrase() ([]byte, error) {
	if a.passFile != "" {
		data, err := os.ReadFile(a.passFile)
		if err != nil {
			return nil, failf(exitPassphrase, "passphrase file: %w", err)
		}
		a.warnOpen(a.passFile)
		line, _, _ := bytes.Cut(data, []byte("\n"))
		return append([]byte{}, bytes.TrimSuffix(line, []byte("\r"))...), nil
	}
	if pass, ok := os.LookupEnv("SATCHEL_PASSPHRASE"); ok {
		return append([]byte{}, pass...), nil
	}
	return nil, nil
}

// warnOpen says that a file with a secret can be read by others.
func (a *app) warnOpen(path string) {
	if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o077 != 0 {
		fmt.Fprintf(a.err, "%s can be read by others on this machine: chmod 600 it\n", path)
	}
}

func (a *app) promptPassphrase(isNew bool) ([]byte, error) {
	pass, err := a.promptSecret("Passphrase: ")
	if err != nil || !isNew {
		return pass, err
	}
	again, err := a.promptSecret("Once more: ")
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(pass, again) != 1 {
		return nil, failf(exitPassphrase, "the two passphrases differ; nothing was made, try again")
	}
	return pass, nil
}

// promptSecret asks at the terminal, without echo.
func (a *app) promptSecret(prompt string) ([]byte, error) {
	tty := a.in
	if !term.IsTerminal(int(tty.Fd())) {
		return nil, failf(exitPassphrase, "no passphrase, and no terminal to ask at: give --passphrase-file F or set $SATCHEL_PASSPHRASE")
	}
	// A signal during the prompt must not leave the terminal without echo.
	state, err := term.GetState(int(tty.Fd()))
	if err != nil {
		return nil, err
	}
	restore := onSignal(func() { _ = term.Restore(int(tty.Fd()), state); os.Exit(exitInterrupt) })
	defer restore()
	fmt.Fprint(a.err, prompt)
	pass, err := term.ReadPassword(int(tty.Fd()))
	fmt.Fprintln(a.err)
	return pass, err
}

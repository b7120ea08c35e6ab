package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"satchel/chain/bitcoin/multi"
	"satchel/fs/drive"
	"satchel/storage"
)

// A status is the output of `status --json`; README describes it.
type status struct {
	Name     string       `json:"name"`
	Owner    string       `json:"owner"` // address of the owner key, if it is kept here
	Device   string       `json:"device"`
	Home     string       `json:"home"`
	Mount    string       `json:"mount"` // empty: not mounted
	PID      int          `json:"pid"`   // of the process that answers
	Chain    chainStatus  `json:"chain"`
	Drive    drive.Status `json:"drive"`
	Renewals []renewal    `json:"renewals,omitempty"` // names that expire soon
	Asked    time.Time    `json:"asked"`
}

// A chainStatus says how far the chain was followed.
type chainStatus struct {
	Address   string         `json:"address"`
	Height    int            `json:"height"`
	Consensus string         `json:"consensus"` // hash of that height, by which others can check theirs
	Best      int            `json:"best"`
	Reorgs    int            `json:"reorgs"`
	Seen      time.Time      `json:"seen"` // when it last answered
	Error     string         `json:"error,omitempty"`
	Sources   []multi.Status `json:"sources,omitempty"` // where blocks come from, if it is not a private chain
}

func (a *app) statusCommand() *command {
	c := newCommand("status", "", 0, 0, "show how drive, chain and providers are doing")
	asJSON := c.flags.Bool("json", false, "print JSON")
	c.run = func(ctx context.Context, args []string) error {
		s, err := a.open(ctx, c.name)
		if err != nil {
			return err
		}
		defer s.Close()
		st, err := ask[status](ctx, s, "status", none{})
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(a.out, st)
		}
		st.print(a.out)
		return nil
	}
	return c
}

func (e *engine) status(ctx context.Context, _ none, _ func(string)) (status, error) {
	d, err := e.openDrive(ctx)
	if err != nil {
		return status{}, err
	}
	e.mu.Lock()
	dir := e.dir
	e.mu.Unlock()
	look, cancel := context.WithTimeout(ctx, 3*time.Second)
	_ = e.names.follower.Sync(look) // an error shows below
	cancel()
	f := e.names.follower.Status()
	ds, err := d.Status(ctx)
	if err != nil {
		return status{}, err
	}
	st := status{
		Name:   e.cfg.Name,
		Home:   e.h.name(),
		Mount:  dir,
		PID:    os.Getpid(),
		Device: e.keys.Device().String(),
		Chain:  chainStatus{Address: e.names.src.address(), Height: f.Height, Best: f.Best, Reorgs: f.Reorgs, Seen: f.Time},
		Drive:  ds,
		Asked:  time.Now().UTC(),
	}
	if why := e.ownership(); why != "" {
		st.Drive.Problem = why
	}
	st.Renewals = e.renewals()
	if c, err := e.names.index.ConsensusHash(f.Height); err == nil {
		st.Chain.Consensus = hex.EncodeToString(c[:])
	}
	if s, ok := e.names.src.(*public); ok {
		st.Chain.Sources = s.Status()
	}
	if f.Err != nil {
		st.Chain.Error = f.Err.Error()
	}
	if e.keys.Owner != nil {
		st.Owner = e.names.address(e.keys.Owner)
	}
	return st, nil
}

// print shows the status to a person: first what is, then what is wrong.
func (s *status) print(w io.Writer) {
	d := &s.Drive
	fmt.Fprintf(w, "name      %s\n", s.Name)
	if s.Mount != "" {
		fmt.Fprintf(w, "mount     %s (process %d)\n", s.Mount, s.PID)
	} else {
		fmt.Fprintln(w, "mount     none")
	}
	fmt.Fprintf(w, "chain     block %d at %s, consensus hash %s\n", s.Chain.Height, s.Chain.Address, s.Chain.Consensus)
	for _, src := range s.Chain.Sources {
		fmt.Fprintf(w, "blocks    from %s%s\n", src.Name, because(src.Error))
	}
	fmt.Fprintf(w, "storage   %s\n", waitingLine(d))
	fmt.Fprintf(w, "traffic   %s\n", trafficText(d.Traffic))
	for _, p := range d.Providers {
		fmt.Fprintf(w, "provider  %s%s%s\n", storage.Redact(p.URL), providerText(p), because(p.Error))
	}
	fmt.Fprintf(w, "cache     %s\n", cacheLine(d.Cache))
	for _, p := range d.Pins {
		fmt.Fprintf(w, "pinned    %s\n", pinLine(p))
	}
	if d.Sync.Remote {
		fmt.Fprintln(w, "fsync     returns when all is at the write quorum")
	}
	for _, v := range d.Volumes {
		fmt.Fprintf(w, "folder    %s: %s%s\n", v.Folder, v.State, freshness(v))
	}
	for _, r := range s.Renewals {
		fmt.Fprintf(w, "renewal   %s\n", &r)
	}
	for _, line := range s.problems() {
		fmt.Fprintf(w, "problem   %s\n", line)
	}
}

// waitingLine says what is not stored yet.
func waitingLine(d *drive.Status) string {
	wt := d.Waiting
	if wt == (drive.Waiting{}) {
		return fmt.Sprintf("everything is stored (quorum %d, copies %d)", d.Quorum, d.Copies)
	}
	line := fmt.Sprintf("not stored yet: %d packs (%s), %d heads, %d folders with changes", wt.Packs, bytesText(wt.Bytes), wt.Heads, wt.Volumes)
	if wt.Files > 0 {
		line += fmt.Sprintf(", %d files being written", wt.Files)
	}
	if wt.Seconds > 0 {
		line += fmt.Sprintf("; about %v left", time.Duration(wt.Seconds)*time.Second)
	}
	return line
}

// trafficText says what goes over the network.
func trafficText(t drive.Traffic) string {
	return fmt.Sprintf("sent %s (%s/s), received %s (%s/s)",
		bytesText(t.Sent), bytesText(t.SendRate), bytesText(t.Received), bytesText(t.ReceiveRate))
}

// providerText says what a provider lacks, and what goes there.
func providerText(p drive.ProviderStatus) string {
	if p.Packs == 0 {
		return ", has everything"
	}
	return fmt.Sprintf(", lacks %d packs (%s), gets %s/s", p.Packs, bytesText(p.Bytes), bytesText(p.SendRate))
}

func because(err string) string {
	if err == "" {
		return ""
	}
	return ": " + err
}

func freshness(v drive.VolumeStatus) string {
	if v.Fresh == nil {
		return ""
	}
	return fmt.Sprintf(", fresh as of %s by %d providers", v.Fresh.Local().Format(time.DateTime), v.FreshBy)
}

// problems lists what somebody should look at.
func (s *status) problems() []string {
	d := &s.Drive
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if d.Problem != "" {
		add("%s", d.Problem)
	}
	if s.Chain.Error != "" {
		add("chain: %s", s.Chain.Error)
	}
	if d.Upload != "" {
		add("upload: %s", d.Upload)
	}
	if c := d.Cache; c.Unstored > c.Cap {
		add("cache: %s are not stored yet, more than the %s that the cache may have; they stay on this machine until the providers have them",
			bytesText(c.Unstored), bytesText(c.Cap))
	}
	if d.Sync.Error != "" {
		add("%s", d.Sync.Error)
	}
	for _, v := range d.Volumes {
		if v.CommitErr != "" {
			add("%s: %s", v.Folder, v.CommitErr)
		}
		for _, name := range slices.Sorted(maps.Keys(v.Problems)) {
			add("%s: %s: %s", v.Folder, name, v.Problems[name])
		}
	}
	for _, f := range d.Faults {
		add("provider %s at %s: %s", storage.Redact(f.URL), f.Time.Local().Format(time.TimeOnly), f.Error)
	}
	for _, f := range d.Forks {
		add("%s", f)
	}
	return lines
}

// printJSON prints a value as indented JSON.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

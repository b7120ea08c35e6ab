package drive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"satchel/chain"
	"satchel/fs/profile"
	"satchel/fs/tree"
	"satchel/fs/volume"
)

// A Status is what "satchel status" shows of a drive.
type Status struct {
	Name       chain.Name       `json:"name"`
	Device     string           `json:"device"`
	Registered bool             `json:"registered"`        // the name is this drive's on the chain
	Problem    string           `json:"problem,omitempty"` // why nothing is written any more, or the name is gone
	Providers  []ProviderStatus `json:"providers"`
	Quorum     int              `json:"quorum"`
	Copies     int              `json:"copies"`
	Waiting    Waiting          `json:"waiting"`
	Traffic    Traffic          `json:"traffic"` // with all providers, others' too
	Cache      CacheStatus      `json:"cache"`
	Pins       []PinStatus      `json:"pins,omitempty"`
	Sync       SyncStatus       `json:"sync"`
	Upload     string           `json:"upload_error,omitempty"`
	Volumes    []VolumeStatus   `json:"volumes"`
	Faults     []Fault          `json:"faults,omitempty"` // providers, own and others', that failed or lied last
	Forks      []string         `json:"forks,omitempty"`
}

// A ProviderStatus is one of the own providers.
type ProviderStatus struct {
	URL   string `json:"url"`
	Error string `json:"error,omitempty"`
	Packs int    `json:"packs"` // that this machine still has to send there
	Bytes int64  `json:"bytes"` // of those
	Traffic
}

// Waiting counts what has not reached the quorum.
type Waiting struct {
	Packs   int   `json:"packs"`
	Heads   int   `json:"heads"`
	Volumes int   `json:"volumes"`           // with changes that are not committed
	Files   int   `json:"files"`             // of which data is not committed
	Bytes   int64 `json:"bytes"`             // of the packs
	Seconds int64 `json:"seconds,omitempty"` // that it takes at the present rate
}

// A VolumeStatus is one open folder.
type VolumeStatus struct {
	Folder    string            `json:"folder"`
	Members   []chain.Name      `json:"members,omitempty"` // but me
	State     string            `json:"state"`             // changing, uploading, stored; held: on this machine only; damaged: can't be opened
	Held      string            `json:"held,omitempty"`    // why
	Fresh     *time.Time        `json:"fresh,omitempty"`   // last confirmed fresh for all members
	FreshBy   int               `json:"fresh_by,omitempty"`
	Problems  map[string]string `json:"problems,omitempty"` // by member
	CommitErr string            `json:"commit_error,omitempty"`
}

// Status says how the drive is. It asks nobody.
func (d *Drive) Status(ctx context.Context) (Status, error) {
	s := Status{Name: d.opt.Name, Device: d.self.String(), Quorum: d.own.Quorum(), Copies: d.own.Copies()}
	s.Registered, s.Problem = d.ownRecord(ctx)
	d.mu.Lock()
	if d.ownErr != nil {
		s.Problem = d.ownErr.Error()
	}
	d.mu.Unlock()
	left, err := d.leftover()
	if err != nil {
		return s, err
	}
	s.Waiting = Waiting{Packs: left.packs, Heads: left.heads}
	s.Traffic, s.Cache, s.Pins = d.traffic.status(), d.cacheStatus(), d.Pins()
	waiting, err := d.waitingVolumes()
	if err != nil {
		return s, err
	}
	for _, v := range d.openVolumes() {
		vs := v.status(waiting[v.of.Key()])
		if vs.State == "changing" {
			s.Waiting.Volumes++
		}
		s.Volumes = append(s.Volumes, vs)
	}
	d.mu.Lock()
	for label, err := range d.damaged {
		s.Volumes = append(s.Volumes, VolumeStatus{Folder: label, State: "damaged", CommitErr: err.Error()})
	}
	d.mu.Unlock()
	d.statusMu.Lock()
	if d.upErr != nil {
		s.Upload = d.upErr.Error()
	}
	if s.Sync.Remote = d.opt.SyncRemote > 0; d.syncErr != nil {
		s.Sync.Error = d.syncErr.Error()
	}
	for _, u := range d.opt.Providers {
		s.Providers = append(s.Providers, ProviderStatus{URL: u.URL, Error: d.faults[u.URL].Error, Traffic: d.with[u.URL].status()})
	}
	for _, f := range d.faults {
		s.Faults = append(s.Faults, f)
	}
	d.statusMu.Unlock()
	if err := d.countWaiting(&s); err != nil {
		return s, err
	}
	forks, err := d.pins.Forks()
	for _, f := range forks {
		s.Forks = append(s.Forks, f.Error())
	}
	return s, err
}

// ownRecord tells whether the chain binds the own name to this drive's data key.
func (d *Drive) ownRecord(ctx context.Context) (bool, string) {
	rec, err := d.opt.Names.Record(ctx, d.opt.Name)
	switch {
	case errors.Is(err, chain.ErrUnknownName):
		return false, fmt.Sprintf("%s is not registered: satchel name register %s", d.opt.Name, d.opt.Name)
	case err != nil:
		return false, err.Error()
	case rec.Revoked || rec.Expired:
		return false, fmt.Sprintf("%s has expired or was revoked", d.opt.Name)
	case !rec.HasValue:
		return false, fmt.Sprintf("%s has no zone file: satchel name register %s", d.opt.Name, d.opt.Name)
	}
	raw, err := d.zoneOf(ctx, rec)
	if err != nil {
		return true, err.Error()
	}
	f, _, err := profile.FactsOf(d.net, rec, raw)
	if err != nil {
		return true, err.Error()
	}
	if f.DataKey != d.dataKey() {
		return false, fmt.Sprintf("%s belongs to another key now (owner %s)", d.opt.Name, rec.Address)
	}
	return true, ""
}

// waitingVolumes returns the volumes with heads that have not reached the quorum.
func (d *Drive) waitingVolumes() (map[string]bool, error) {
	urls := d.own.URLs()
	list, err := d.outbox.Pending(urls)
	if err != nil {
		return nil, err
	}
	m := make(map[string]bool)
	for _, p := range list {
		if len(urls)-len(p.Missing) < d.own.Quorum() {
			m[p.Volume] = true
		}
	}
	return m, nil
}

func (v *openVolume) status(uploading bool) VolumeStatus {
	s := VolumeStatus{Folder: v.Label(), Members: v.members, State: "stored"}
	if uploading {
		s.State = "uploading"
	}
	if dirty, _, _ := v.Dirty(); dirty {
		s.State = "changing"
	}
	if at, by := v.freshness(); !at.IsZero() {
		s.Fresh, s.FreshBy = &at, by
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for n, err := range v.errs {
		if s.Problems == nil {
			s.Problems = make(map[string]string)
		}
		s.Problems[string(n)] = problem(n, err)
	}
	if v.heldWhy != nil {
		s.State, s.Held = "held", v.heldWhy.Error()
	}
	if v.failure != nil {
		s.CommitErr = v.failure.Error()
	}
	return s
}

// problem says what is wrong with a member and what to do.
func problem(n chain.Name, err error) string {
	switch {
	case errors.Is(err, profile.ErrChanged):
		return fmt.Sprintf("%v; to go on with its new owner: satchel trust %s", err, n)
	case errors.Is(err, chain.ErrUnknownName):
		return fmt.Sprintf("%s is not registered any more: stopped", n)
	}
	return err.Error()
}

// state is user.satchel.state: saved on this machine, uploading, or stored with
// the copies reached and wanted.
func (d *Drive) state(n *volume.Node, i tree.Info) string {
	v := d.opened(n.Volume().Label())
	if v == nil {
		return "stored"
	}
	if i.By != d.self && !pending(i) {
		return "stored"
	}
	if pending(i) || n.Dirty() {
		return "saved"
	}
	waiting, err := d.waitingVolumes()
	if err != nil || waiting[v.of.Key()] {
		return "uploading"
	}
	return fmt.Sprintf("stored %d/%d", d.own.Copies(), d.own.Copies())
}

// by is user.satchel.by: who wrote what the file shows. What stands in that
// device's own newest head is certain; else it is what a member says.
func (d *Drive) by(ctx context.Context, n *volume.Node, i tree.Info) string {
	v := n.Volume()
	if i.By == d.self || pending(i) {
		return string(d.opt.Name)
	}
	name := v.Writer(i.By)
	if name == "" {
		return "unknown"
	}
	if v.Vouched(ctx, i) {
		return name
	}
	return "according to " + name
}

// Facts are what the chain says of a name, as shown before it is trusted.
type Facts struct {
	Owner       string `json:"owner"`
	Registered  int    `json:"registered"`
	Fingerprint string `json:"fingerprint"`
}

func shown(f *profile.Facts) *Facts {
	if f == nil {
		return nil
	}
	return &Facts{f.Owner, f.Registered, f.Fingerprint()}
}

// Trust returns what is pinned of a name, nil if nothing is, and what the chain
// says now.
func (d *Drive) Trust(ctx context.Context, n chain.Name) (old *Facts, now Facts, err error) {
	pinned, err := d.pins.Facts(n)
	if err != nil {
		return nil, now, err
	}
	f, err := d.factsNow(ctx, n)
	if err != nil {
		return nil, now, err
	}
	return shown(pinned), *shown(&f), nil
}

func (d *Drive) factsNow(ctx context.Context, n chain.Name) (profile.Facts, error) {
	rec, err := d.opt.Names.Record(ctx, n)
	if err != nil {
		return profile.Facts{}, fmt.Errorf("%s: %w", n, err)
	}
	if !rec.HasValue {
		return profile.Facts{}, fmt.Errorf("%s has no zone file yet: its owner %s has to publish one first: %w", n, rec.Address, profile.ErrNoKey)
	}
	raw, err := d.zoneOf(ctx, rec)
	if err != nil {
		return profile.Facts{}, err
	}
	f, _, err := profile.FactsOf(d.net, rec, raw)
	return f, err
}

// AcceptTrust pins what the chain says now if it is what the user was shown, and
// opens the name's folders again.
func (d *Drive) AcceptTrust(ctx context.Context, n chain.Name, seen Facts) error {
	f, err := d.factsNow(ctx, n)
	if err != nil {
		return err
	}
	if *shown(&f) != seen {
		return fmt.Errorf("%s changed again meanwhile: run satchel trust %s once more", n, n)
	}
	if err := d.pins.Trust(n, f); err != nil {
		return err
	}
	d.mu.Lock()
	delete(d.contacts, n)
	d.mu.Unlock()
	if err := d.round(ctx, true); err != nil {
		d.opt.Log.Warn("after trust", "name", n, "err", err)
	}
	return nil
}

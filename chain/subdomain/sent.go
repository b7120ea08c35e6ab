package subdomain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"satchel/chain/zonefile"
)

// A sending is a zone file with records, and the file of more records that it names
// if there is one. It is on disk from before its transaction until everybody can
// have it: whoever lacks a zone file of the chain knows no later name.
type sending struct {
	Zone    []byte `json:"zone"`
	Records []byte `json:"records,omitempty"`
}

const sentSuffix = ".sent" // behind the hash of the zone file

func (s *sending) has(line string) bool {
	end := []byte(line + "\n")
	return bytes.Contains(s.Zone, end) || bytes.Contains(s.Records, end)
}

func (g *Registrar) sentPath(s *sending) string {
	return filepath.Join(g.Dir, fmt.Sprintf("%x%s", zonefile.Hash(s.Zone), sentSuffix))
}

// sent returns what was sent and is not handed over.
func (g *Registrar) sent() (list []*sending, err error) {
	files, err := g.files(sentSuffix)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(g.Dir, f.Name()))
		s := new(sending)
		if err == nil {
			err = json.Unmarshal(b, s)
		}
		if err != nil {
			g.Log.Warn("a zone file that was sent can't be read", "file", f.Name(), "err", err)
			continue
		}
		list = append(list, s)
	}
	return list, nil
}

// onChain returns the hashes of the name's zone files that reached the chain.
func (g *Registrar) onChain() (map[[20]byte]bool, error) {
	list, err := g.Resolver.Table.History(string(g.Name), 0, 0)
	if err != nil {
		return nil, fmt.Errorf("history of %s: %w", g.Name, err)
	}
	has := make(map[[20]byte]bool)
	for _, o := range list {
		if o.Value != nil {
			has[*o.Value] = true
		}
	}
	return has, nil
}

// handOver gives what was sent and has reached the chain to where everybody has
// zone files from, however often the process ended since.
func (g *Registrar) handOver(ctx context.Context) error {
	list, err := g.sent()
	if err != nil || len(list) == 0 {
		return err
	}
	has, err := g.onChain()
	if err != nil {
		return err
	}
	var late error
	for _, s := range list {
		if !has[zonefile.Hash(s.Zone)] {
			continue
		}
		err := g.Put(ctx, s.Zone)
		if err == nil && s.Records != nil {
			err = g.Put(ctx, s.Records)
		}
		if err == nil {
			err = os.Remove(g.sentPath(s))
		}
		if err != nil { // others need not wait for it
			late = errors.Join(late, fmt.Errorf("zone file %x: %w", zonefile.Hash(s.Zone), err))
		}
	}
	return late
}

// prepare makes what gives the name records, and keeps that on disk. Something
// that was sent already and has some of them, for the zone file that the name has
// now, is taken instead: its transaction may be confirmed any time.
func (g *Registrar) prepare(zone []byte, next []*submission) (*sending, error) {
	has, err := g.onChain()
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	list, err := g.sent()
	if err != nil {
		return nil, err
	}
	for _, s := range list {
		if !has[zonefile.Hash(s.Zone)] && sameButRecords(s.Zone, zone) && s.hasAny(next) {
			return s, nil
		}
	}
	records := g.fitting(next)
	if len(records) == 0 {
		return nil, nil
	}
	s := new(sending)
	if s.Zone, s.Records, err = With(zone, records); err != nil {
		return nil, err
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return s, g.write(g.sentPath(s), b)
}

// fitting returns the first records, as many as one file of them holds, but for
// those in whose place another one came.
func (g *Registrar) fitting(next []*submission) (records []*Record) {
	size := 0
	for _, s := range next {
		if now, err := g.read(s.r.Name); err != nil || now.Record != s.Record {
			continue
		}
		if size += len(s.Record) + 1; size > MaxBatch {
			break
		}
		records = append(records, s.r)
	}
	return records
}

func (s *sending) hasAny(list []*submission) bool {
	for _, one := range list {
		if s.has(one.Record) {
			return true
		}
	}
	return false
}

// sameButRecords says if zone files differ in nothing but the records they carry.
func sameButRecords(a, b []byte) bool {
	return bytes.Equal(bytes.TrimRight(Without(a), "\n"), bytes.TrimRight(Without(b), "\n"))
}

// isSent says if a record is, perhaps, on its way to the chain.
func (g *Registrar) isSent(record string) (bool, error) {
	list, err := g.sent()
	for _, s := range list {
		if s.has(record) {
			return true, nil
		}
	}
	return false, err
}

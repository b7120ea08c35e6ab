package devnet

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"satchel/chain/subdomain"
	"satchel/chain/zonefile"
)

// What the hash of a file was named as by another one.
const (
	namedBatch = 1 + iota
	namedZone
)

// named says as what a hash stands in the files that were kept; 0 for none.
func (n *Node) named(hash [20]byte) int {
	n.namesMu.Lock()
	defer n.namesMu.Unlock()
	if n.namedFiles == nil {
		n.namedFiles = make(map[[20]byte]int)
		files, _ := os.ReadDir(n.zonefiles()) // what can't be read names nothing
		for _, f := range files {
			if b, err := os.ReadFile(filepath.Join(n.zonefiles(), f.Name())); err == nil {
				n.name(b)
			}
		}
	}
	return n.namedFiles[hash]
}

// learn takes note of what a file that was kept names.
func (n *Node) learn(b []byte) {
	n.namesMu.Lock()
	defer n.namesMu.Unlock()
	if n.namedFiles != nil {
		n.name(b)
	}
}

func (n *Node) name(b []byte) {
	f := subdomain.Parse(b)
	if f.Batch != nil {
		n.namedFiles[*f.Batch] = namedBatch
	}
	for _, r := range f.Records {
		if n.namedFiles[r.Value] == 0 {
			n.namedFiles[r.Value] = namedZone
		}
	}
}

func (n *Node) zonefiles() string { return filepath.Join(n.dir, "zonefiles") }

func (n *Node) zonePath(hash [20]byte) string {
	return filepath.Join(n.zonefiles(), hex.EncodeToString(hash[:]))
}

func parseHash(s string) (h [20]byte, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(h) {
		return h, errors.New("a zone file's hash is 40 hex digits")
	}
	return [20]byte(b), nil
}

func (n *Node) serveZonefile(w http.ResponseWriter, r *http.Request) {
	hash, err := parseHash(r.PathValue("hash"))
	if err != nil {
		refuse(w, err)
		return
	}
	b, err := os.ReadFile(n.zonePath(hash))
	if errors.Is(err, fs.ErrNotExist) {
		http.Error(w, "no such zone file here", http.StatusNotFound)
		return
	}
	if err != nil {
		http.Error(w, "zone file can't be read", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(b)
}

// takeZonefile keeps a zone file if its hash is the current value of a name, or
// stands in a file that was kept: that of a file of records, or of the zone file of
// a name below another one.
func (n *Node) takeZonefile(w http.ResponseWriter, r *http.Request) {
	hash, err := parseHash(r.PathValue("hash"))
	if err != nil {
		refuse(w, err)
		return
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, subdomain.MaxBatch+1))
	switch {
	case err != nil:
		refuse(w, err)
		return
	case len(b) > subdomain.MaxBatch:
		http.Error(w, fmt.Sprintf("a file of records has at most %d bytes", subdomain.MaxBatch), http.StatusRequestEntityTooLarge)
		return
	case zonefile.Hash(b) != hash:
		refuse(w, errors.New("the file's hash is another one"))
		return
	}
	if err := n.follower.Sync(r.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	switch kind := n.named(hash); {
	case kind != namedBatch && len(b) > zonefile.MaxSize:
		http.Error(w, fmt.Sprintf("a zone file has at most %d bytes", zonefile.MaxSize), http.StatusRequestEntityTooLarge)
		return
	case kind == 0 && !n.names.HasValue(hash):
		http.Error(w, "no name has that value", http.StatusConflict)
		return
	}
	if err := writeFile(n.zonePath(hash), b); err != nil {
		n.log.Error("zone file", "err", err)
		http.Error(w, "zone file can't be kept", http.StatusInsufficientStorage)
		return
	}
	n.learn(b)
	reply(w, "kept")
}

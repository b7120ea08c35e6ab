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

	"satchel/chain/zonefile"
)

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

// takeZonefile keeps a zone file if its hash is the current value of a name.
func (n *Node) takeZonefile(w http.ResponseWriter, r *http.Request) {
	hash, err := parseHash(r.PathValue("hash"))
	if err != nil {
		refuse(w, err)
		return
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, zonefile.MaxSize+1))
	switch {
	case err != nil:
		refuse(w, err)
		return
	case len(b) > zonefile.MaxSize:
		http.Error(w, fmt.Sprintf("a zone file has at most %d bytes", zonefile.MaxSize), http.StatusRequestEntityTooLarge)
		return
	case zonefile.Hash(b) != hash:
		refuse(w, errors.New("the file's hash is another one"))
		return
	}
	if err := n.follower.Sync(r.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	if !n.names.HasValue(hash) {
		http.Error(w, "no name has that value", http.StatusConflict)
		return
	}
	if err := writeFile(n.zonePath(hash), b); err != nil {
		n.log.Error("zone file", "err", err)
		http.Error(w, "zone file can't be kept", http.StatusInsufficientStorage)
		return
	}
	reply(w, "kept")
}

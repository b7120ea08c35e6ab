package testenv

import (
	"io"
	"net/http"
)

// post has the private chain do something that only a test asks for.
func (w *World) post(path string) string {
	w.t.Helper()
	resp, err := http.Post("http://"+w.Chain+path, "text/plain", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		w.t.Fatalf("POST %s: %s: %s", path, resp.Status, body)
	}
	return string(body)
}

// Mine mines empty blocks.
func (w *World) Mine(n string) { w.post("/mine?n=" + n) }

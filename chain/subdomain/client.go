package subdomain

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Submit hands a record and the zone file that it names to a registrar. That
// keeps it until it is published; taking it again is no error.
func Submit(ctx context.Context, url string, r *Record, zone []byte) error {
	body, err := json.Marshal(submissionOf(r, zone))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(url, "/")+"/record", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("registrar: %w", err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	switch resp.StatusCode {
	case http.StatusAccepted:
		return nil
	case http.StatusConflict, http.StatusBadRequest:
		return fmt.Errorf("%w: the registrar at %s says: %s", ErrRecord, url, bytes.TrimSpace(text))
	}
	return fmt.Errorf("the registrar at %s answers %s: %s", url, resp.Status, bytes.TrimSpace(text))
}

package fs

import (
	"log/slog"
	"sync"
	"time"
)

// complaints writes errors of which programs see a number only to the log. What
// is said again and again, as when a network is down, is said once in a while.
type complaints struct {
	mu   sync.Mutex
	said map[string]time.Time
}

const (
	complainEvery = 10 * time.Second
	maxComplaints = 1000
)

func (c *complaints) log(l *slog.Logger, op string, err error) {
	if c.fresh(op+err.Error(), time.Now()) {
		l.Error("request failed", "op", op, "err", err)
	}
}

// fresh tells whether text was not said lately, and notes that it is now.
func (c *complaints) fresh(text string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.said[text]) < complainEvery {
		return false
	}
	if c.said == nil || len(c.said) >= maxComplaints {
		c.said = make(map[string]time.Time)
	}
	c.said[text] = now
	return true
}

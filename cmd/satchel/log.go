package main

import "log/slog"

// logger returns the log of this run: what the follower, the drive and the
// mount have to tell goes to stderr, of a daemon to its log file.
func (a *app) logger() *slog.Logger {
	level := slog.LevelWarn
	if a.verbose {
		level = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level}))
}

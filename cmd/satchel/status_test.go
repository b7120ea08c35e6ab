package main

import (
	"strings"
	"testing"

	"satchel/fs/drive"
)

func TestStatusSaysWhatWaits(t *testing.T) {
	s := status{Name: "alice.id", Drive: drive.Status{
		Quorum: 1, Copies: 1,
		Providers: []drive.ProviderStatus{
			{URL: "https://user:secret@h/", Packs: 3, Bytes: 5 << 20, Traffic: drive.Traffic{SendRate: 2 << 20}},
			{URL: "file:///p"},
		},
		Waiting: drive.Waiting{Packs: 3, Bytes: 5 << 20, Files: 7, Seconds: 90},
		Traffic: drive.Traffic{Sent: 1 << 30, SendRate: 2 << 20, ReceiveRate: 1 << 10},
		Cache:   drive.CacheStatus{Used: 1 << 20, Cap: 2 << 20, Pinned: 3 << 20, Unstored: 4 << 20},
		Pins:    []drive.PinStatus{{Path: "Private/a", Files: 2, Bytes: 2048, Here: 1024}, {Path: "Private/b", Error: "gone"}},
		Sync:    drive.SyncStatus{Remote: true, Error: "fsync in Private: late"},
	}}
	var b strings.Builder
	s.print(&b)
	for _, want := range []string{
		"not stored yet: 3 packs (5.0 MiB), 0 heads, 0 folders with changes, 7 files being written; about 1m30s left\n",
		"traffic   sent 1.0 GiB (2.0 MiB/s), received 0 bytes (1.0 KiB/s)\n",
		", lacks 3 packs (5.0 MiB), gets 2.0 MiB/s\n",
		"provider  file:///p, has everything\n",
		"cache     1.0 MiB of 2.0 MiB used, beside 3.0 MiB pinned and 4.0 MiB not stored yet\n",
		"pinned    Private/a: 2 files, 2.0 KiB, 1.0 KiB of it here\n",
		"pinned    Private/b: 0 files, 0 bytes: gone\n",
		"problem   cache: 4.0 MiB are not stored yet, more than the 2.0 MiB",
		"problem   fsync in Private: late\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("want %q in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "secret") {
		t.Error("a secret is shown")
	}
}

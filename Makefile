# Satchel. What is missing is installed as root, or through sudo; else the
# message says what to install.

PACKAGES = ./cmd/... ./fs/... ./chain/... ./storage/... ./crypto/... ./test/...
DEBIAN   = fuse3
GO       = go

.PHONY: demo test lint build bench nightly clean deps

# Two people, a private chain, one dragged file. Ctrl-C ends it; with DEMO_EXIT=1
# it ends after the tour.
demo: build
	@exec bin/satchel demo demo

test: lint
	$(GO) test -count=1 -timeout 30m $(PACKAGES)

lint: deps
	@files=$$(gofmt -l cmd fs chain storage crypto test); test -z "$$files" || { echo "gofmt -l: $$files"; exit 1; }
	$(GO) vet $(PACKAGES)
	$(GO) tool staticcheck $(PACKAGES)

build: deps
	$(GO) build -o bin/satchel ./cmd/satchel

# Names and the drive, the latter beside its peers, which are Debian packages.
PEERS = gocryptfs securefs rclone sqlite3
bench: build
	@for p in $(PEERS); do command -v $$p >/dev/null || apt-get install -y -q $$p >/dev/null || echo "missing: $$p"; done
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 120m ./test/bench

# What takes too long for each time: many crashes, power cuts and histories.
nightly: build
	SATCHEL_CRASHES=200 $(GO) test -count=1 -timeout 60m -run TestCrashes -v ./test
	SATCHEL_POWERCUTS=200 $(GO) test -count=1 -timeout 60m -run TestPowerCut ./fs/volume
	SATCHEL_HISTORIES=40000 $(GO) test -count=1 -timeout 120m -run Histories ./fs/tree

clean:
	@test ! -x bin/satchel || bin/satchel demo --clean demo
	rm -rf --one-file-system demo bin

deps:
	@command -v $(GO) >/dev/null || { echo "Go 1.26 or later is missing: https://go.dev/dl/"; exit 1; }
	@command -v fusermount3 >/dev/null || { \
		if [ "$$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi; \
		if ! command -v apt-get >/dev/null || { [ -n "$$sudo" ] && ! command -v sudo >/dev/null; }; then \
			echo "missing: $(DEBIAN). Install it, on Debian as root with: apt-get install $(DEBIAN)"; exit 1; fi; \
		echo "installing $(DEBIAN)"; \
		{ $$sudo apt-get install -y -q $(DEBIAN) || { $$sudo apt-get update -q && $$sudo apt-get install -y -q $(DEBIAN); }; } || { \
			echo "$(DEBIAN) could not be installed; as root: apt-get install $(DEBIAN)"; exit 1; }; }

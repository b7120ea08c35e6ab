package mem_test

import (
	"testing"

	"satchel/storage"
	"satchel/storage/mem"
	"satchel/storage/storagetest"
)

func TestDriver(t *testing.T) {
	storagetest.Test(t, func(t *testing.T) storage.Driver { return mem.New() })
}

func TestHosts(t *testing.T) {
	var h mem.Hosts
	if h.At("mem://a") != h.At("mem://a") || h.At("mem://a") == h.At("mem://b") {
		t.Error("one driver per URL was expected")
	}
}

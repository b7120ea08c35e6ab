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
	a, b := h.At("mem://a"), h.At("mem://b")
	if a == b || a != h.At("mem://a") {
		t.Error("one driver per URL was expected")
	}
}

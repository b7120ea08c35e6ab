package storage

import "testing"

func TestMeterRate(t *testing.T) {
	var m Meter
	for i, c := range []struct{ now, add, want int64 }{
		{1000, 500, 0}, // this second doesn't count yet
		{1001, 0, 50},
		{1001, 500, 50},
		{1002, 0, 100},
		{1010, 0, 100},
		{1011, 0, 50},
		{1012, 0, 0},
		{1013, 1000, 0},
		{1200, 0, 0},
		{1201, 70, 0},
		{1202, 0, 7},
		{1150, 0, 0}, // the clock was set back
	} {
		m.add(c.add, c.now)
		if got := m.rate(c.now); got != c.want && c.now >= m.newest {
			t.Errorf("step %d at %d: got %d, want %d", i, c.now, got, c.want)
		}
	}
	if m.Total() != 2070 {
		t.Errorf("got %d in total", m.Total())
	}
}

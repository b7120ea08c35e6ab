package storage

import (
	"context"
	"io"
	"sync"
	"time"
)

// meterTime is over how many seconds a Meter's rate is taken.
const meterTime = 10

// A Meter counts bytes and says how many there were lately. The zero Meter is
// ready; it is safe for concurrent use.
type Meter struct {
	mu      sync.Mutex
	total   int64
	newest  int64                // second
	seconds [meterTime + 1]int64 // bytes of each, a ring
}

// Add counts n bytes, now.
func (m *Meter) Add(n int64) { m.add(n, time.Now().Unix()) }

func (m *Meter) add(n, now int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now)
	m.total += n
	m.seconds[now%int64(len(m.seconds))] += n
}

// turn empties the seconds that have passed since the newest, with the lock held.
func (m *Meter) turn(now int64) {
	for s := max(m.newest+1, now-meterTime); s <= now; s++ {
		m.seconds[s%int64(len(m.seconds))] = 0
	}
	m.newest = max(m.newest, now)
}

// Total returns how many bytes were counted.
func (m *Meter) Total() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.total
}

// Rate returns the bytes a second of the last ten whole seconds.
func (m *Meter) Rate() int64 { return m.rate(time.Now().Unix()) }

func (m *Meter) rate(now int64) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now)
	sum := int64(0)
	for s := now - meterTime; s < now; s++ {
		sum += m.seconds[s%int64(len(m.seconds))]
	}
	return sum / meterTime
}

// Metered returns a driver that does as d does and counts the bytes that it
// sends and receives.
func Metered(d Driver, sent, received *Meter) Driver { return &metered{d, sent, received} }

type metered struct {
	Driver
	sent, received *Meter
}

func (m *metered) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	r, err := m.Driver.Get(ctx, key, off, n)
	if err != nil {
		return nil, err
	}
	return &meteredReader{meteredBytes{r, m.received}, r}, nil
}

func (m *metered) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	return m.Driver.Put(ctx, key, meteredBytes{r, m.sent}, size)
}

// Stat implements Stater as well as the driver below can.
func (m *metered) Stat(ctx context.Context, key string) (int64, error) {
	return Stat(ctx, m.Driver, key)
}

type meteredBytes struct {
	io.Reader
	m *Meter
}

func (b meteredBytes) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.m.Add(int64(n))
	return n, err
}

type meteredReader struct {
	meteredBytes
	c io.ReadCloser
}

func (r *meteredReader) Close() error { return r.c.Close() }
func (r *meteredReader) Size() int64  { return SizeOf(r.c) }

package drive

import (
	"time"

	"satchel/storage"
)

// Traffic is what goes to and comes from providers, since the start and lately.
type Traffic struct {
	Sent        int64 `json:"sent"` // bytes, in headers and retries too as far as a driver reads them
	Received    int64 `json:"received"`
	SendRate    int64 `json:"send_rate"` // bytes a second, of the last ten seconds
	ReceiveRate int64 `json:"receive_rate"`
}

// A CacheStatus is how much of this machine's disk the drive takes.
type CacheStatus struct {
	Used     int64 `json:"used"`     // what counts towards the cap: stored, and not pinned
	Cap      int64 `json:"cap"`      // of that
	Pinned   int64 `json:"pinned"`   // packs with something pinned
	Unstored int64 `json:"unstored"` // what lacks copies; never evicted
	Memory   int64 `json:"memory"`   // written, and not on disk yet
}

// A traffic counts what goes to and comes from somebody.
type traffic struct{ sent, received storage.Meter }

func (t *traffic) status() Traffic {
	return Traffic{t.sent.Total(), t.received.Total(), t.sent.Rate(), t.received.Rate()}
}

// metered has what goes through drv counted; url is that of an own provider, or "".
func (d *Drive) metered(url string, drv storage.Driver) storage.Driver {
	drv = storage.Metered(drv, &d.traffic.sent, &d.traffic.received)
	if url == "" {
		return drv
	}
	t := d.with[url]
	if t == nil {
		t = new(traffic)
		d.with[url] = t
	}
	return storage.Metered(drv, &t.sent, &t.received)
}

// SetCache limits what is kept on this machine beside what is pinned and what is
// not stored yet, from now on; 0 is the default of Options.CacheBytes.
func (d *Drive) SetCache(n int64) {
	d.packs.SetCap(capBytes(d.opt.Dir, n))
}

func (d *Drive) cacheStatus() CacheStatus {
	u := d.packs.Usage()
	return CacheStatus{Used: u.Cached, Cap: u.Cap, Pinned: u.Kept, Unstored: u.Pinned + u.Open, Memory: d.budget.InUse()}
}

// countWaiting counts the packs that lack copies: at each own provider, and those
// that are not at the quorum.
func (d *Drive) countWaiting(s *Status) error {
	at := make(map[string]*ProviderStatus)
	for i := range s.Providers {
		at[d.opt.Providers[i].URL] = &s.Providers[i]
	}
	for id := range d.staged() {
		have, err := d.holders(id)
		if err != nil {
			return err
		}
		size := d.packs.Size(id)
		if d.count(have) < d.own.Quorum() {
			s.Waiting.Bytes += size
		}
		for url, p := range at {
			if !have[url] {
				p.Packs++
				p.Bytes += size
			}
		}
	}
	for _, v := range d.openVolumes() {
		s.Waiting.Files += v.Changing()
	}
	if rate := s.Traffic.SendRate; rate > 0 && s.Waiting.Bytes > 0 {
		left := time.Duration(float64(s.Waiting.Bytes) * float64(d.own.Quorum()) / float64(rate) * float64(time.Second))
		s.Waiting.Seconds = int64(left / time.Second)
	}
	return nil
}

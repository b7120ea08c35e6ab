package chain

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
)

// override sets what a scenario's environment changed, and returns what of it
// this has no use for. That is no error: were it to matter, the hashes would
// tell. Known to make no difference are NUM_CONFIRMATIONS, which says when a
// block is read and not what it does, the two expiries of preorders, whose test
// is always true, and the first block, which the run's blocks tell.
func override(p *Params, env map[string]any) (ignored []string) {
	for _, k := range slices.Sorted(maps.Keys(env)) { // "…_id" sets "test" too, "…_test" afterwards that alone
		v := fmt.Sprint(env[k])
		n, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		name := strings.TrimPrefix(strings.TrimPrefix(k, "BLOCKSTACK_"), "TESTNET_")
		if err != nil || !p.setEpoch(name, n) && !p.setConstant(name, n) {
			ignored = append(ignored, k+"="+v)
		}
	}
	return ignored
}

var epochVariable = regexp.MustCompile(`^EPOCH_([1-9])_(END_BLOCK|NAMESPACE_LIFETIME_MULTIPLIER|PRICE_MULTIPLIER|NAMESPACE_LIFETIME_GRACE_PERIOD)(?:_([a-z0-9_-]+))?$`)

func (p *Params) setEpoch(name string, n float64) bool {
	m := epochVariable.FindStringSubmatch(name)
	if m == nil {
		return false
	}
	number, _ := strconv.Atoi(m[1])
	for len(p.Epochs) < number {
		last := p.Epochs[len(p.Epochs)-1]
		last.Lifetime, last.Price = maps.Clone(last.Lifetime), maps.Clone(last.Price)
		p.Epochs = append(p.Epochs, last)
	}
	e := &p.Epochs[number-1]
	namespaces := []string{m[3]}
	if m[3] == "" || m[3] == "id" {
		namespaces = []string{"id", "test"} // that had the same rules in tests
	}
	switch m[2] {
	case "END_BLOCK":
		if e.Last = int(n); n < 0 {
			e.Last = math.MaxInt
		}
	case "NAMESPACE_LIFETIME_GRACE_PERIOD":
		e.Grace = int(n)
	case "NAMESPACE_LIFETIME_MULTIPLIER":
		e.Lifetime = with(e.Lifetime, namespaces, int(n))
	case "PRICE_MULTIPLIER":
		e.Price = with(e.Price, namespaces, n)
	}
	return true
}

func with[V any](m map[string]V, keys []string, v V) map[string]V {
	if m == nil {
		m = make(map[string]V)
	}
	for _, k := range keys {
		m[k] = v
	}
	return m
}

func (p *Params) setConstant(name string, n float64) bool {
	switch name {
	case "NAMESPACE_REVEAL_EXPIRE":
		p.RevealExpiry = int(n)
	case "NAME_IMPORT_KEYRING_SIZE":
		p.ImportKeys = int(n)
	case "MAX_NAMES_PER_SENDER":
		p.Quota = int(n)
	case "NAMESPACE_1_CHAR_COST":
		p.NamespacePrice[0] = int64(n)
	case "NAMESPACE_23_CHAR_COST":
		p.NamespacePrice[1] = int64(n)
	case "NAMESPACE_4567_CHAR_COST":
		p.NamespacePrice[2] = int64(n)
	case "NAMESPACE_8UP_CHAR_COST":
		p.NamespacePrice[3] = int64(n)
	default:
		return false
	}
	return true
}

func TestOverride(t *testing.T) {
	p := Blockstack(&chaincfg.RegressionNetParams)
	ignored := override(p, map[string]any{
		"EPOCH_1_END_BLOCK": "250", "EPOCH_2_END_BLOCK": 300, "EPOCH_3_END_BLOCK": "-1",
		"BLOCKSTACK_EPOCH_1_PRICE_MULTIPLIER_id": "1.5", "EPOCH_1_PRICE_MULTIPLIER_test": 0.5,
		"EPOCH_2_NAMESPACE_LIFETIME_MULTIPLIER_id": "3", "EPOCH_3_NAMESPACE_LIFETIME_MULTIPLIER": 4.0,
		"EPOCH_3_NAMESPACE_LIFETIME_GRACE_PERIOD_id": "7",
		"NAMESPACE_REVEAL_EXPIRE":                    "2", "NAME_IMPORT_KEYRING_SIZE": 9, "MAX_NAMES_PER_SENDER": 3,
		"NUM_CONFIRMATIONS": "0", "TEST_DEBUG": "yes", "NOTHING": nil,
	})
	if len(ignored) != 3 {
		t.Errorf("ignored: %v", ignored)
	}
	for height, want := range map[int]string{
		250: "{250 false map[] map[id:1.5 test:0.5] 0}",
		251: "{300 true map[id:3 test:3] map[] 0}",
		301: "{9223372036854775807 true map[id:4 test:4] map[] 7}",
	} {
		if got := fmt.Sprint(*p.epoch(height)); got != want {
			t.Errorf("height %d: %s, want %s", height, got, want)
		}
	}
	if p.RevealExpiry != 2 || p.ImportKeys != 9 || p.Quota != 3 {
		t.Errorf("got %+v", p)
	}
}

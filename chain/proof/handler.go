package proof

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"

	"github.com/btcsuite/btcd/chainhash/v2"

	"satchel/chain"
	"satchel/chain/bitcoin"
)

// A Table is what proofs are made from: a chain.Index is one.
type Table interface {
	Params() *chain.Params
	Tip() (height int, hash chainhash.Hash)
	ConsensusHash(height int) ([16]byte, error)
	OpsHash(height int) ([32]byte, error)
	HeightOf(c [16]byte) (int, error)
	Operations(height int) ([]chain.Operation, error)
	History(subject string, from, limit int) ([]chain.Operation, error)
}

var _ Table = (*chain.Index)(nil)

// Handler answers the questions of clients, see the package comment. Transactions
// come from prev, which may be nil.
func Handler(t Table, prev bitcoin.PrevTxer) http.Handler {
	h := &handler{t, prev}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/consensus/{hash}", h.answer(h.consensus))
	mux.HandleFunc("GET /v1/proof/{height}", h.answer(h.proof))
	mux.HandleFunc("GET /v1/operations/{height}", h.answer(h.operations))
	mux.HandleFunc("GET /v1/tx/{txid}", h.answer(h.tx))
	mux.HandleFunc("GET /v1/names/{name}", h.answer(h.name))
	mux.HandleFunc("GET /v1/tip", h.answer(h.tip))
	return mux
}

type handler struct {
	t    Table
	prev bitcoin.PrevTxer
}

// errBad reports a question that makes no sense.
var errBad = errors.New("bad request")

func (h *handler) answer(f func(r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := f(r)
		switch {
		case errors.Is(err, os.ErrNotExist):
			http.Error(w, "not found", http.StatusNotFound)
		case errors.Is(err, errBad):
			http.Error(w, err.Error(), http.StatusBadRequest)
		case err != nil:
			http.Error(w, "this server can't say", http.StatusInternalServerError)
		default:
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			_ = json.NewEncoder(w).Encode(v) // the client may have gone
		}
	}
}

func (h *handler) consensus(r *http.Request) (any, error) {
	var c Hash
	if err := c.UnmarshalText([]byte(r.PathValue("hash"))); err != nil {
		return nil, fmt.Errorf("%w: %w", errBad, err)
	}
	height, err := h.t.HeightOf(c)
	return map[string]int{"height": height}, err
}

func height(r *http.Request) (int, error) {
	n, err := strconv.ParseUint(r.PathValue("height"), 10, 28)
	if err != nil {
		return 0, fmt.Errorf("%w: a height is a number", errBad)
	}
	return int(n), nil
}

// proof gives the opening of a height, those of its earlier hashes, and those
// that show their order: of the one between each and the next.
func (h *handler) proof(r *http.Request) (any, error) {
	n, err := height(r)
	if err != nil {
		return nil, err
	}
	var s step
	if s.opening, err = h.opening(n); err != nil {
		return nil, err
	}
	list := jumps(n, h.t.Params().FirstBlock)
	for i, j := range list {
		at := []int{n - j + 1, n - j}
		if i == 0 {
			at = at[1:]
		}
		for _, height := range at {
			o, err := h.opening(height)
			if err != nil {
				return nil, err
			}
			s.Openings = append(s.Openings, o)
		}
	}
	return s, nil
}

func (h *handler) opening(n int) (o opening, err error) {
	if o.Ops, err = h.t.OpsHash(n); err != nil {
		return o, err
	}
	o.Earlier = []Hash{}
	for _, j := range jumps(n, h.t.Params().FirstBlock) {
		c, err := h.t.ConsensusHash(n - j)
		if err != nil {
			return o, err
		}
		o.Earlier = append(o.Earlier, c)
	}
	return o, nil
}

// maxPage is about how long the records of one page are together.
const maxPage = 4 << 20

func (h *handler) operations(r *http.Request) (any, error) {
	n, err := height(r)
	if err != nil {
		return nil, err
	}
	from := 0
	if text := r.URL.Query().Get("from"); text != "" {
		if from, err = strconv.Atoi(text); err != nil || from < 0 {
			return nil, fmt.Errorf("%w: from is a number", errBad)
		}
	}
	list, err := h.t.Operations(n)
	if err != nil {
		return nil, err
	}
	p := page{Total: len(list), Records: []string{}}
	for size := 0; from < len(list) && size < maxPage; from++ {
		p.Records = append(p.Records, list[from].Record)
		size += len(list[from].Record)
	}
	return p, nil
}

func (h *handler) tx(r *http.Request) (any, error) {
	txid, err := chainhash.NewHashFromStr(r.PathValue("txid"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBad, err)
	}
	if h.prev == nil {
		return nil, os.ErrNotExist
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTime)
	defer cancel()
	raw, err := h.prev.PrevTx(ctx, *txid)
	return map[string]string{"raw": hex.EncodeToString(raw)}, err
}

func (h *handler) name(r *http.Request) (any, error) {
	name, err := chain.ParseName(r.PathValue("name"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBad, err)
	}
	list, err := h.t.History(string(name), 0, 10_000)
	if err != nil {
		return nil, err
	}
	v := heights{Heights: []int{}}
	for _, o := range list {
		if n := len(v.Heights); n == 0 || v.Heights[n-1] != o.Height {
			v.Heights = append(v.Heights, o.Height)
		}
	}
	return v, nil
}

func (h *handler) tip(r *http.Request) (any, error) {
	n, _ := h.t.Tip()
	c, err := h.t.ConsensusHash(n)
	return tip{n, c}, err
}

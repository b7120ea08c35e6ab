// Package p2p fetches headers and blocks from peers of the Bitcoin network.
package p2p

import _ "github.com/btcsuite/btcd/peer"

// Package chaintest makes regtest blocks in memory: it mines, registers names
// and reorganises, and is a bitcoin.Source, so that a test can have a chain.
package chaintest

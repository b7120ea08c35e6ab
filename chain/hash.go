package chain

// OpsHash returns the hash of a block's accepted operations, serialised, in any
// order.
func OpsHash(records []string) [32]byte { return opsHash(records) }

// ConsensusHash returns the consensus hash of a block from its ops hash and the
// consensus hashes of one block before it, three, seven, and so on, as far as the
// registry's first block.
func ConsensusHash(ops [32]byte, earlier [][16]byte) [16]byte { return consensusHash(ops, earlier) }

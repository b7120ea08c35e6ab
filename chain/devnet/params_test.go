package devnet

import "github.com/btcsuite/btcd/chaincfg/v2"

func testParams() *chaincfg.Params { p := chaincfg.RegressionNetParams; return &p }

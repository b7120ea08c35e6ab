package registrar

import _ "github.com/btcsuite/btcd/psbt/v2"

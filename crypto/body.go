package crypto

import "errors"

var errTodo = errors.New("not written yet")

// SealBody seals a head's body to readers.
func SealBody(h Header, plain []byte, readers []SealPublic) ([]byte, error) { return nil, errTodo }

// OpenBody opens what SealBody sealed to one of keys.
func OpenBody(h Header, sealed []byte, keys ...*SealKey) ([]byte, error) { return nil, errTodo }

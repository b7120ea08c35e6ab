package ops

import "errors"

// Code returns '?'.
func (NamePreorder) Code() byte { return '?' }

// Code returns ':'.
func (Registration) Code() byte { return ':' }

// Code returns '+'.
func (Update) Code() byte { return '+' }

// Code returns '>'.
func (Transfer) Code() byte { return '>' }

// Code returns '~'.
func (Revoke) Code() byte { return '~' }

// Code returns ';'.
func (Import) Code() byte { return ';' }

// Code returns '*'.
func (NamespacePreorder) Code() byte { return '*' }

// Code returns '&'.
func (NamespaceReveal) Code() byte { return '&' }

// Code returns '!'.
func (NamespaceReady) Code() byte { return '!' }

// Code returns '#'.
func (Announce) Code() byte { return '#' }

var errTodo = errors.New("todo")

func (NamePreorder) appendPayload(b []byte) ([]byte, error)      { return nil, errTodo }
func (Registration) appendPayload(b []byte) ([]byte, error)      { return nil, errTodo }
func (Update) appendPayload(b []byte) ([]byte, error)            { return nil, errTodo }
func (Transfer) appendPayload(b []byte) ([]byte, error)          { return nil, errTodo }
func (Revoke) appendPayload(b []byte) ([]byte, error)            { return nil, errTodo }
func (Import) appendPayload(b []byte) ([]byte, error)            { return nil, errTodo }
func (NamespacePreorder) appendPayload(b []byte) ([]byte, error) { return nil, errTodo }
func (NamespaceReveal) appendPayload(b []byte) ([]byte, error)   { return nil, errTodo }
func (NamespaceReady) appendPayload(b []byte) ([]byte, error)    { return nil, errTodo }
func (Announce) appendPayload(b []byte) ([]byte, error)          { return nil, errTodo }

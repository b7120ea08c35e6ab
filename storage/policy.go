package storage

// A Policy says which URLs that somebody else wrote may be opened. The zero
// value allows public addresses only.
type Policy struct {
	AllowFiles    []string // folders below which file: URLs may point
	AllowHosts    []string // hosts, or host:port, that may be private or loopback
	AllowLoopback bool     // any loopback address
	AllowFile     bool     // any file: URL
}

// Package bench measures; `make bench` runs it. What a figure means is told by
// the function that takes it.
package bench

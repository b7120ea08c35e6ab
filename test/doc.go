// Package test tells stories over all layers: each one reads like what people
// did, on a private chain, with drives that are really mounted.
package test

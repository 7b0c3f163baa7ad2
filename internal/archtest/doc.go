// Package archtest has a test of the module's package graph, and nothing else.
package archtest

// Package rawcall passes on calls of gRPC without reading their messages. It judges nothing: its
// caller says which calls it passes on, with which headers, and what becomes of errors.
package rawcall

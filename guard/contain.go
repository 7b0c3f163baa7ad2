package guard

import (
	"fmt"
	"runtime/debug"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// errPanic is what a client is told about a panic.
var errPanic = status.Error(codes.Internal,
	"policy-guard: "+internalError)

// contain makes a panic the error of what was done for a client. Otherwise it would end the
// program, and with it the builds of everybody. It is deferred. what is a method of the table,
// [aSource], or what else was done.
func (g *Guard) contain(who Identity, what string, err *error) {
	g.contained(recover(), who, what, err)
}

// contain contains a panic in what is done for the call. It is deferred.
func (c *call) contain(err *error) { c.guard.contained(recover(), c.who, c.method, err) }

// contained makes the value of a panic an error. Nil is none.
func (g *Guard) contained(p any, who Identity, what string, err *error) {
	if p == nil {
		return
	}
	g.log.Error("panic", "client", safetext.Printable(string(who)), "what",
		safetext.Printable(what), "why", logText(fmt.Sprint(p)), "stack", string(debug.Stack()))
	*err = errPanic
}

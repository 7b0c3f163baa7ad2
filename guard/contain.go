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
	"policy-guard: internal error; the log of policy-guard has more about it")

// contain makes a panic the error of what was done for a client. Otherwise it would end the
// program, and with it the builds of everybody. It is deferred. what is a method of the table, or
// [aSource].
func (g *Guard) contain(who Identity, what string, err *error) {
	p := recover()
	if p == nil {
		return
	}
	g.log.Error("panic", "client", safetext.Printable(string(who)), "what",
		safetext.Printable(what), "why", logText(fmt.Sprint(p)), "stack", string(debug.Stack()))
	*err = errPanic
}

// Command echofrontend is a frontend whose image records the options and inputs that it got. Its
// image declares the caps inputs, subrequests and contexts.
package main

import (
	"fmt"
	"os"

	"github.com/moby/buildkit/frontend/gateway/grpcclient"
	"github.com/moby/buildkit/util/appcontext"
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto"

	"github.com/policy-frontend/policy-frontend/integration/frontends/internal/echo"
)

func main() {
	if err := grpcclient.RunFromEnvironment(appcontext.Context(), echo.Build(map[string]string{
		"echo": "1",
	})); err != nil {
		fmt.Fprintln(os.Stderr, "echofrontend:", err)
		os.Exit(1)
	}
}

// Command evilfrontend is a frontend that no policy of the tests allows. An image with the label
// evil=1 proves that it ran, and so does a pull of its own image in a registry's log.
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
		"evil": "1",
	})); err != nil {
		fmt.Fprintln(os.Stderr, "evilfrontend:", err)
		os.Exit(1)
	}
}

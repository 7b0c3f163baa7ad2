// Command evilfrontend is a frontend that no policy of the tests allows: an
// image with the label evil=1, or an image of it in a registry's log, proves
// that it ran.
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

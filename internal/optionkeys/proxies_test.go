package optionkeys

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhichOptionsAreProxies(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]bool{
		"build-arg:HTTP_PROXY": true, "build-arg:http_proxy": true, "build-arg:No_Proxy": true,
		"build-arg:all_proxy": true, "build-arg:ftp_proxy": true, "build-arg:https_proxy": true,
		"http_proxy": false, "build-arg:proxy": false, "BUILD-ARG:http_proxy": false, "": false,
	} {
		require.Equal(t, want, IsProxy(key), key)
	}
}

package gatewayopts

import (
	"encoding/json"
	"fmt"
	"strings"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
)

// NamedCaches returns the build caches to import that options name (frontend/dockerui/config.go,
// Client.init). value returns the value of an option. The error completes "it asks for …".
func NamedCaches(value func(key string) string) ([]*gwpb.CacheOptionsEntry, error) {
	var named []*gwpb.CacheOptionsEntry
	if list := value(CacheImports); list != "" {
		var entries []struct {
			Type  string
			Attrs map[string]string
		}
		if err := json.Unmarshal([]byte(list), &entries); err != nil {
			return nil, fmt.Errorf("build caches with an option %s that can't be read", CacheImports)
		}
		for _, e := range entries {
			named = append(named, &gwpb.CacheOptionsEntry{Type: e.Type, Attrs: e.Attrs})
		}
	}
	if list := value(CacheFrom); list != "" {
		for ref := range strings.SplitSeq(list, ",") {
			attrs := map[string]string{"ref": ref}
			named = append(named, &gwpb.CacheOptionsEntry{Type: "registry", Attrs: attrs})
		}
	}
	return named, nil
}

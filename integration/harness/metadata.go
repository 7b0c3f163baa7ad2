package harness

import (
	"encoding/json"
	"os"
)

// ReadMetadata reads the file that buildx writes for --metadata-file.
func ReadMetadata(t T, file string) map[string]json.RawMessage {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v", err)
	}
	var metadata map[string]json.RawMessage
	if err := json.Unmarshal(data, &metadata); err != nil {
		t.Fatalf("read %s: %v", file, err)
	}
	return metadata
}

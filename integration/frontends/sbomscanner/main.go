// Command sbomscanner is a BuildKit SBOM generator (docs/attestations/sbom-protocol.md). It lists
// the files of the image with their SHA-256.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

type statement struct {
	Type          string   `json:"_type"`
	PredicateType string   `json:"predicateType"`
	Predicate     document `json:"predicate"`
}

type document struct {
	SPDXVersion       string       `json:"spdxVersion"`
	DataLicense       string       `json:"dataLicense"`
	SPDXID            string       `json:"SPDXID"`
	Name              string       `json:"name"`
	DocumentNamespace string       `json:"documentNamespace"`
	CreationInfo      creationInfo `json:"creationInfo"`
	Files             []file       `json:"files"`
}

type creationInfo struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type file struct {
	FileName  string     `json:"fileName"`
	SPDXID    string     `json:"SPDXID"`
	Checksums []checksum `json:"checksums"`
}

type checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

func main() {
	if err := scan(os.Getenv("BUILDKIT_SCAN_SOURCE"), os.Getenv("BUILDKIT_SCAN_DESTINATION")); err !=
		nil {
		fmt.Fprintln(os.Stderr, "sbomscanner:", err)
		os.Exit(1)
	}
}

// scan writes the SBOM of the folder source to the folder destination. The file is named after the
// source: NAME.spdx.json.
func scan(source, destination string) error {
	if source == "" || destination == "" {
		return errors.New("BUILDKIT_SCAN_SOURCE and BUILDKIT_SCAN_DESTINATION must be set")
	}
	name := filepath.Base(source)
	from, err := os.OpenRoot(source)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenRoot(destination)
	if err != nil {
		return err
	}
	defer to.Close()
	files, err := list(from.FS())
	if err != nil {
		return err
	}
	data, err := json.Marshal(statement{
		Type:          "https://in-toto.io/Statement/v0.1",
		PredicateType: "https://spdx.dev/Document",
		Predicate: document{
			SPDXVersion:       "SPDX-2.3",
			DataLicense:       "CC0-1.0",
			SPDXID:            "SPDXRef-DOCUMENT",
			Name:              name,
			DocumentNamespace: "https://example.com/sbomscanner/" + name,
			// The value is fixed, so that the same image has the same SBOM.
			CreationInfo: creationInfo{
				Created:  "1970-01-01T00:00:00Z",
				Creators: []string{"Tool: sbomscanner"},
			},
			Files: files,
		},
	})
	if err != nil {
		return err
	}
	return to.WriteFile(name+".spdx.json", data, 0o644)
}

func list(source fs.FS) ([]file, error) {
	files := []file{}
	err := fs.WalkDir(source, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		sum, err := sha256Of(source, name)
		if err != nil {
			return err
		}
		files = append(files, file{
			FileName:  "./" + name,
			SPDXID:    fmt.Sprintf("SPDXRef-File-%d", len(files)),
			Checksums: []checksum{{Algorithm: "SHA256", Value: sum}},
		})
		return nil
	})
	return files, err
}

func sha256Of(source fs.FS, name string) (string, error) {
	f, err := source.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

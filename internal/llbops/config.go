package llbops

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// maxConfig bounds the configuration of an image, in bytes.
const maxConfig = 4 << 20

// imageConfig is what is read of the configuration of an image, as in the OCI image
// specification (config.md); the rest of it is of no concern.
type imageConfig struct {
	Config struct {
		User         string
		Env          []string
		Labels       map[string]string
		ExposedPorts map[string]any
		Volumes      map[string]any
	} `json:"config"`
}

// FromConfig reads the configuration of an image for a platform, "" if there is only
// one; an empty one is that of an image that says nothing. It is at most 4 MiB.
//
// Keys that are there twice, or once in upper case and once not, are unknown: programs
// differ in which of them they take.
func FromConfig(platform string, config []byte) buildrules.Operation {
	if len(config) == 0 {
		return buildrules.Operation{Config: &buildrules.Config{Platform: platform}}
	}
	if len(config) > maxConfig {
		return unknown(
			fmt.Sprintf("an image with a configuration of %d bytes, more than %d", len(config), maxConfig))
	}
	var c imageConfig
	if err := errors.Join(unambiguous(config), json.Unmarshal(config, &c)); err != nil {
		return unknown("an image with a configuration that can't be read: " + quote(err.Error()))
	}
	f := buildrules.Config{
		Platform: platform,
		User:     c.Config.User,
		Labels:   c.Config.Labels,
		Ports:    slices.Sorted(maps.Keys(c.Config.ExposedPorts)),
		Volumes:  slices.Sorted(maps.Keys(c.Config.Volumes)),
	}
	for _, e := range c.Config.Env {
		name, _, _ := strings.Cut(e, "=")
		f.Env = append(f.Env, name)
	}
	return buildrules.Operation{Config: &f}
}

// unambiguous fails if the document, or its config, has a key in two spellings or
// twice, or one that we read in another spelling.
func unambiguous(doc []byte) error {
	top, err := keys(doc, "config")
	if err != nil || top["config"] == nil {
		return err
	}
	_, err = keys(top["config"], "User", "Env", "Labels", "ExposedPorts", "Volumes")
	return err
}

// keys returns the members of a JSON object, or nil for null.
func keys(doc []byte, spelled ...string) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(doc))
	first, err := d.Token()
	if err != nil || first == nil {
		return nil, err
	}
	if first != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	found := map[string]json.RawMessage{}
	folded := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		key, ok := t.(string)
		if !ok {
			return nil, errors.New("a key that is no text")
		}
		if folded[strings.ToLower(key)] {
			return nil, fmt.Errorf("%s is there twice", key)
		}
		folded[strings.ToLower(key)] = true
		for _, s := range spelled {
			if key != s && strings.EqualFold(key, s) {
				return nil, fmt.Errorf("%s is spelled %s", s, key)
			}
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, err
		}
		found[key] = v
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows it")
	}
	return found, nil
}

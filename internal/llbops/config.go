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

// maxConfig is the largest size of an image configuration, in bytes.
const maxConfig = 4 << 20

// imageConfig has the fields of an image configuration that build rules check. The OCI image
// specification describes them (config.md).
type imageConfig struct {
	Config struct {
		User         string
		Env          []string
		Labels       map[string]string
		ExposedPorts map[string]any
		Volumes      map[string]any
		Entrypoint   []string
		Cmd          []string
	} `json:"config"`
}

// FromConfig reads the configuration of an image for a platform. The platform is "" if there is
// only one. The target is the option of the build, or "". An empty configuration sets nothing. The
// largest size is 4 MiB.
//
// A configuration is unknown if a key is there twice, or in two spellings that differ only in case.
// Programs differ in which one they use.
func FromConfig(target, platform string, config []byte) buildrules.Operation {
	if len(config) == 0 {
		return buildrules.Operation{Config: &buildrules.Config{Target: target, Platform: platform}}
	}
	if len(config) > maxConfig {
		return unknown(
			fmt.Sprintf("an image with a configuration of %d bytes, more than %d", len(config), maxConfig))
	}
	var c imageConfig
	if err := errors.Join(unambiguous(config), json.Unmarshal(config, &c)); err != nil {
		return unknown("an image with a configuration that can't be read: " + quote(err.Error()))
	}
	op := buildrules.Config{
		Target: target, Platform: platform,
		User:       c.Config.User,
		Labels:     c.Config.Labels,
		Ports:      slices.Sorted(maps.Keys(c.Config.ExposedPorts)),
		Volumes:    slices.Sorted(maps.Keys(c.Config.Volumes)),
		Entrypoint: c.Config.Entrypoint,
		Cmd:        c.Config.Cmd,
	}
	for _, e := range c.Config.Env {
		name, _, _ := strings.Cut(e, "=")
		op.Env = append(op.Env, name)
	}
	return buildrules.Operation{Config: &op}
}

// unambiguous returns an error if the document, or its config, has a key twice or in two spellings.
// It also returns one if a key that is read here has another spelling.
func unambiguous(doc []byte) error {
	top, err := keys(doc, "config")
	if err != nil || top["config"] == nil {
		return err
	}
	_, err = keys(top["config"], "User", "Env", "Labels", "ExposedPorts", "Volumes",
		"Entrypoint", "Cmd")
	return err
}

// keys returns the members of a JSON object, or nil for null. A key that differs from one of
// spelled only in case is an error.
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

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// wishFlags are the flags for what a client wants of the daemon besides a frontend.
type wishFlags struct {
	exports, annotations, cachesFrom, cachesTo, sboms, administration []string
	debug                                                             bool
}

func (f *wishFlags) add(cmd *cobra.Command) {
	for _, flag := range []struct {
		values      *[]string
		name, usage string
	}{
		{
			&f.exports, "export", "where the result goes, which only policy-guard sees: `TO` is local, tar, " +
				"oci, docker,\npush=NAME or store=NAME; repeatable",
		},
		{&f.annotations, "annotation", "the `KEY` of an annotation, for each --export; repeatable"},
		{
			&f.cachesFrom, "cache-from",
			"a build `CACHE` to import, which only policy-guard sees: registry=NAME or local;\nrepeatable",
		},
		{&f.cachesTo, "cache-to", "a build `CACHE` to export, as for --cache-from; repeatable"},
		{
			&f.sboms, "sbom", "an `IMAGE` that makes an SBOM, which only policy-guard judges; repeatable",
		},
	} {
		cmd.Flags().StringArrayVar(flag.values, flag.name, nil, flag.usage)
		noCompletions(cmd, flag.name)
	}
	cmd.Flags().BoolVar(&f.debug, "debug", false,
		"the client runs containers of its own, which only policy-guard judges")
	cmd.Flags().StringArrayVar(&f.administration, "administration", nil,
		"what the client wants of the builder, which only policy-guard judges: `WHAT` is\n"+
			safetext.Or(opcheck.Administering())+"; repeatable")
	complete(cmd, "administration", opcheck.Administering())
}

// given reports whether there is anything to answer.
func (f *wishFlags) given() bool {
	return f.debug ||
		len(f.exports)+len(f.cachesFrom)+len(f.cachesTo)+len(f.sboms)+len(f.administration) > 0
}

// read returns the wishes in the order of the flags in the help.
func (f *wishFlags) read() ([]opcheck.Wish, error) {
	if len(f.annotations) > 0 && len(f.exports) == 0 {
		return nil, errors.New("--annotation is about an export; give --export too")
	}
	var out []opcheck.Wish
	for _, text := range f.exports {
		e, err := opcheck.ParseExport(text)
		if err != nil {
			return nil, fmt.Errorf("--export: %w", err)
		}
		e.Annotations = f.annotations
		out = append(out, opcheck.WishExport(e))
	}
	for _, side := range []struct {
		flag   string
		export bool
		texts  []string
	}{{"cache-from", false, f.cachesFrom}, {"cache-to", true, f.cachesTo}} {
		for _, text := range side.texts {
			use, err := opcheck.ParseCache(text)
			if err != nil {
				return nil, fmt.Errorf("--%s: %w", side.flag, err)
			}
			use.Export = side.export
			out = append(out, opcheck.WishCache(use))
		}
	}
	for _, text := range f.sboms {
		image, err := imageref.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("--sbom: %w", err)
		}
		out = append(out, opcheck.WishSBOM(image))
	}
	if f.debug {
		out = append(out, opcheck.WishDebug())
	}
	for _, text := range f.administration {
		what, err := opcheck.ParseAdministering(text)
		if err != nil {
			return nil, fmt.Errorf("--administration: %w", err)
		}
		out = append(out, opcheck.WishAdministration(what))
	}
	return out, nil
}

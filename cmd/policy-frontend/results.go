package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/policy"
)

// resultFlags are the flags for what a build asks of the daemon besides its frontend.
type resultFlags struct{ exports, cachesFrom, cachesTo, sboms []string }

func (f *resultFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.exports, "export", nil,
		"where the result goes, which only policy-guard sees: `TO` is local, tar, oci, docker,\n"+
			"push=NAME or store=NAME; repeatable")
	cmd.Flags().StringArrayVar(&f.cachesFrom, "cache-from", nil,
		"a build `CACHE` to import, which only policy-guard sees: registry=NAME or local;\nrepeatable")
	cmd.Flags().StringArrayVar(&f.cachesTo, "cache-to", nil,
		"a build `CACHE` to export, as for --cache-from; repeatable")
	cmd.Flags().StringArrayVar(&f.sboms, "sbom", nil,
		"an `IMAGE` that makes an SBOM, which only policy-guard judges; repeatable")
	for _, flag := range []string{"export", "cache-from", "cache-to", "sbom"} {
		noCompletions(cmd, flag)
	}
}

// given reports whether there is anything to answer.
func (f *resultFlags) given() bool {
	return len(f.exports)+len(f.cachesFrom)+len(f.cachesTo)+len(f.sboms) > 0
}

// answers returns the answers of the layers, in the order of the flags in the help.
func (f *resultFlags) answers(l policy.Layers) ([]opcheck.Answer, error) {
	var out []opcheck.Answer
	each := func(flag string, texts []string, check func(string) (opcheck.Answer, error)) error {
		for _, text := range texts {
			a, err := check(text)
			if err != nil {
				return fmt.Errorf("--%s: %w", flag, err)
			}
			out = append(out, a)
		}
		return nil
	}
	if err := each("export", f.exports, func(s string) (opcheck.Answer, error) {
		return opcheck.CheckExport(l, s)
	}); err != nil {
		return nil, err
	}
	if err := each("cache-from", f.cachesFrom, func(s string) (opcheck.Answer, error) {
		return opcheck.CheckCache(l, false, s)
	}); err != nil {
		return nil, err
	}
	if err := each("cache-to", f.cachesTo, func(s string) (opcheck.Answer, error) {
		return opcheck.CheckCache(l, true, s)
	}); err != nil {
		return nil, err
	}
	err := each("sbom", f.sboms, func(s string) (opcheck.Answer, error) {
		return opcheck.CheckSBOM(l, s)
	})
	return out, err
}

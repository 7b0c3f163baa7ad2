//go:build !image

package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/policy-frontend/policy-frontend/frontend"
	"github.com/policy-frontend/policy-frontend/internal/buildfiles"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/internal/survey"
	"github.com/policy-frontend/policy-frontend/policy"
)

// checkFlags are the flags of check.
type checkFlags struct {
	requestFlags

	buildArgs        []string
	target, platform string
}

func newCheckCommand() *cobra.Command {
	var f checkFlags
	out := newOutput("the findings",
		asText(checkReport.text),
		asJSON(checkReport.json),
		format[checkReport]{formatSARIF, func(w io.Writer, r checkReport) error {
			return printJSON(w, r.sarif())
		}},
		format[checkReport]{formatJUnit, func(w io.Writer, r checkReport) error { return r.junit(w) }},
		format[checkReport]{formatGitHub, func(w io.Writer, r checkReport) error {
			_, err := io.WriteString(w, r.github())
			return err
		}},
	)
	cmd := &cobra.Command{
		Use:   "check [flags] [PATH...]",
		Short: "Say what a policy would refuse in build files, without a build",
		Long: `check reads build files and says for each line what the policy would refuse or warn
about. It needs no network and no build.

PATH is a build file, a bake file or a compose file, - for a build file on stdin, or a
directory. In a directory, check reads

  - Dockerfiles: Dockerfile, Containerfile, *.Dockerfile, Dockerfile.*, and so on,
  - Dockerfile-*, Dockerfile_* and the like, if they have a FROM line,
  - other files that begin with a syntax line,
  - what bake files (docker-bake.hcl, docker-bake.json) and compose files build.

It skips .git, .hg, .svn, node_modules and vendor. The default is the current directory.

check reads Dockerfiles with the code of BuildKit, so ARG, stages, heredocs and mounts
mean what they mean in a build. It checks the default target, and each stage that no
other stage uses. Variables of bake and compose files have their defaults. Overrides such
as compose.override.yaml are merged.

What can't be known without a registry or a build is "unknown", with the reason: the user
or the labels that a base image sets, a build-arg without a default, or what another
frontend does. ONBUILD instructions of base images are unknown too. Only a build can
tell.

Where a policy has rules for some clients, --client says who builds. Without it, the
client is unknown: what is allowed to some is refused, and so is what is denied to some.

If syntax lines name the policy frontend itself, give its name with --opt source=REF. For
files without a syntax line, give --build-arg BUILDKIT_SYNTAX=REF.

Exit codes:
  0  nothing is refused
  1  something is refused
  2  wrong usage, an invalid policy, or a file that can't be checked`,
		Example: `  policy-frontend check --policy policy.yaml
  policy-frontend check --policy policy.yaml Dockerfile docker-bake.hcl
  policy-frontend check --policy policy.yaml --build-arg VERSION=1.22 --target app Dockerfile
  policy-frontend check --policy policy.yaml --client spiffe://corp/ci/app Dockerfile
  policy-frontend check --policy policy.yaml --format github .
  policy-frontend check --policy policy.yaml --format json repositories > survey.json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			if len(args) == 0 {
				args = []string{"."}
			}
			r, err := f.run(cmd.Context(), args, cmd.InOrStdin(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if err := out.print(cmd.OutOrStdout(), r); err != nil {
				return err
			}
			return exitWith(r.code())
		},
	}
	f.add(cmd)
	out.add(cmd)
	return cmd
}

func (f *checkFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.policy, "policy", "p", frontend.DefaultPolicyPath, "the policy `FILE`")
	cmd.Flags().StringVar(&f.overlay, "overlay", "",
		"an overlay `FILE`, like one that a client may send")
	f.addClient(cmd)
	f.addNames(cmd)
	addAtFlag(cmd, &f.at)
	completeYAML(cmd, "policy", "overlay")
}

// addClient adds the flags for what a client would send.
func (f *checkFlags) addClient(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.options, "opt", nil,
		"a frontend option `KEY=VALUE` of all builds; repeatable")
	cmd.Flags().StringArrayVar(&f.buildArgs, "build-arg", nil,
		"a build-arg `NAME=VALUE` of all builds; repeatable")
	cmd.Flags().StringVar(&f.target, "target", "", "check only this `STAGE` of each file")
	cmd.Flags().StringVar(&f.platform, "platform", "",
		"the `PLATFORMS` that are built, such as linux/amd64,linux/arm64")
	for _, name := range []string{"opt", "build-arg", "target", "platform"} {
		noCompletions(cmd, name)
	}
}

// clientOptions returns the frontend options of all builds, and the overlay if an option has one.
func (f *checkFlags) clientOptions() (map[string]string, error) {
	opts, err := f.parseOptions()
	if err != nil {
		return nil, err
	}
	for _, a := range f.buildArgs {
		name, value, ok := strings.Cut(a, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--build-arg needs NAME=VALUE, not %q", a)
		}
		opts[optionkeys.BuildArgPrefix+name] = value
	}
	if f.target != "" {
		opts["target"] = f.target
	}
	if f.platform != "" {
		opts["platform"] = f.platform
	}
	return opts, nil
}

// run checks all builds at the paths.
func (f *checkFlags) run(
	ctx context.Context, paths []string, stdin io.Reader, stderr io.Writer,
) (checkReport, error) {
	opts, err := f.clientOptions()
	if err != nil {
		return checkReport{}, err
	}
	s, err := f.survey(opts)
	if err != nil {
		return checkReport{}, err
	}
	for k := range opts {
		if optionkeys.IsOwn(k) {
			delete(opts, k)
		}
	}
	found, err := findAll(paths, opts, stdin)
	if err != nil {
		return checkReport{}, err
	}
	results := checkBuilds(ctx, s, found.Builds, newProgress(stderr, len(found.Builds)))
	return newCheckReport(results, found.Problems), nil
}

// survey reads the policies. An error that isn't one of usage is an *exitError.
func (f *checkFlags) survey(opts map[string]string) (*survey.Survey, error) {
	at, err := parseAt(f.at)
	if err != nil {
		return nil, err
	}
	sent, isSent := opts[optionkeys.Overlay]
	if isSent && f.overlay != "" {
		return nil, fmt.Errorf("--overlay and --opt %s both give an overlay; give only one",
			optionkeys.Overlay)
	}
	s := survey.Survey{Time: at}
	embedded, overlay, err := f.policies(sent, isSent)
	if err == nil {
		s.Layers, err = f.stack(embedded, overlay)
	}
	s.Policies = []*policy.Policy{embedded}
	if overlay != nil {
		s.Policies = append(s.Policies, overlay)
	}
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return &s, nil
}

// findAll returns the builds at all paths. The error is an *exitError.
func findAll(paths []string, opts map[string]string, stdin io.Reader) (buildfiles.Found, error) {
	var found buildfiles.Found
	for _, p := range paths {
		g, err := findBuilds(p, opts, stdin)
		if err != nil {
			return found, &exitError{exitUsage, err}
		}
		found.Builds = append(found.Builds, g.Builds...)
		found.Problems = append(found.Problems, g.Problems...)
	}
	if len(found.Builds)+len(found.Problems) == 0 {
		return found, &exitError{
			exitUsage,
			fmt.Errorf("there is no build file in %s", strings.Join(paths, ", ")),
		}
	}
	return found, nil
}

// findBuilds returns the builds at a path. File names in them are relative to the working
// directory, as the path is.
func findBuilds(p string, opts map[string]string, stdin io.Reader) (buildfiles.Found, error) {
	if p == "-" {
		return readStream(p, stdin, opts)
	}
	info, err := os.Stat(p)
	if err != nil {
		return buildfiles.Found{}, err
	}
	if info.Mode()&os.ModeNamedPipe != 0 { // such as <(command) in a shell
		pipe, err := os.Open(p)
		if err != nil {
			return buildfiles.Found{}, err
		}
		defer pipe.Close()
		return readStream(p, pipe, opts)
	}
	dir := p
	if !info.IsDir() {
		dir = filepath.Dir(p)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return buildfiles.Found{}, err
	}
	defer root.Close()
	tree := buildfiles.Tree{
		FS: root.FS(), Dir: filepath.ToSlash(dir), Options: opts, Syntax: survey.Syntax,
		MaxTime: survey.MaxTime,
	}
	var found buildfiles.Found
	if info.IsDir() {
		found, err = tree.Find()
	} else {
		found = tree.One(filepath.Base(p))
	}
	for i := range found.Builds {
		found.Builds[i].File = filepath.Join(dir, filepath.FromSlash(found.Builds[i].File))
	}
	for i := range found.Problems {
		found.Problems[i].File = filepath.Join(dir, filepath.FromSlash(found.Problems[i].File))
	}
	return found, err
}

// readStream reads a build file that isn't in a directory.
func readStream(
	name string, stream io.Reader, opts map[string]string,
) (buildfiles.Found, error) {
	data, err := io.ReadAll(io.LimitReader(stream, buildfiles.MaxSize+1))
	if err != nil {
		return buildfiles.Found{}, err
	}
	if len(data) > buildfiles.MaxSize {
		return buildfiles.Found{}, fmt.Errorf("%s has more than %d bytes", name, buildfiles.MaxSize)
	}
	b := buildfiles.Build{File: name, Data: data, Options: map[string]string{"filename": "Dockerfile"}}
	maps.Copy(b.Options, opts)
	return buildfiles.Found{Builds: []buildfiles.Build{b}}, nil
}

// checkBuilds checks the builds, several at a time. The results are in the order of the builds.
func checkBuilds(
	ctx context.Context, s *survey.Survey, builds []buildfiles.Build, p *progress,
) []survey.Result {
	results := make([]survey.Result, len(builds))
	each(builds, p, func(i int, b buildfiles.Build) { results[i] = s.Check(ctx, b) })
	return results
}

// each calls the function for each build, several at a time.
func each(builds []buildfiles.Build, p *progress, do func(int, buildfiles.Build)) {
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, b := range builds {
		group.Go(func() error {
			do(i, b)
			p.step()
			return nil
		})
	}
	_ = group.Wait() // no function fails
	p.end()
}

// checkReport is the result of check.
type checkReport struct {
	results  []survey.Result
	findings []survey.Finding // of all results, each once, by file and line
	broken   []brokenFile
	problems int // how many of broken, at its end, are of files without a build
}

// brokenFile is a file that can't be checked.
type brokenFile struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Message string `json:"message"`
}

func newCheckReport(results []survey.Result, problems []buildfiles.Problem) checkReport {
	r := checkReport{results: results}
	described := map[string]bool{} // build files that another file gives their build-args
	for _, res := range results {
		described[res.File] = described[res.File] || res.Build != ""
	}
	seen := map[string]bool{}
	for _, res := range results {
		if res.Error != "" {
			r.broken = append(r.broken, brokenFile{res.File, res.Line, inBuild(res.Error, res.Build)})
		}
		for _, f := range res.Findings {
			if f.Kind == "file" && f.Build == "" && described[f.File] {
				continue
			}
			if key := f.Key(); !seen[key] {
				seen[key] = true
				r.findings = append(r.findings, f)
			}
		}
	}
	for _, p := range problems {
		if p.Unknown {
			r.findings = append(r.findings, survey.Finding{
				Verdict: policy.Undecidable, File: p.File, Line: p.Line, Kind: "file",
				Asked: "the build file", Reason: p.Message,
			})
			continue
		}
		r.problems++
		r.broken = append(r.broken, brokenFile{p.File, p.Line, p.Message})
	}
	slices.SortStableFunc(r.findings, func(a, b survey.Finding) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		return a.Line - b.Line
	})
	return r
}

// inBuild names the part of another file that describes the build.
func inBuild(message, build string) string {
	if build == "" {
		return message
	}
	return message + " (in " + build + ")"
}

func (r checkReport) count(v policy.Verdict) int {
	n := 0
	for _, f := range r.findings {
		if f.Verdict == v {
			n++
		}
	}
	return n
}

func (r checkReport) code() int {
	switch {
	case len(r.broken) > 0:
		return exitUsage
	case r.count(policy.Deny) > 0:
		return exitRefused
	}
	return exitOK
}

// files returns the number of different build files.
func (r checkReport) files() int {
	files := map[string]bool{}
	for _, res := range r.results {
		files[res.File] = true
	}
	return len(files)
}

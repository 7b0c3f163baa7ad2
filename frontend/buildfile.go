package frontend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	fstypes "github.com/tonistiigi/fsutil/types"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// directive is a request for a frontend as a build writes it: REFERENCE [args…].
type directive struct {
	value  string
	origin origin
}

// buildFile is the file that the build names with --file, a Dockerfile or any other. It is read at
// most once, and only when it is needed.
type buildFile struct {
	client client.Client
	read   bool
	src    *dockerui.Source
	err    error
}

func newBuildFile(c client.Client) *buildFile {
	return &buildFile{client: c}
}

// load reads the file as docker/dockerfile does. So --file, git, tar and http contexts, stdin and
// frontend inputs all work.
func (f *buildFile) load(ctx context.Context) (*dockerui.Source, error) {
	if !f.read {
		f.read = true
		f.src, f.err = readEntrypoint(ctx, f.client)
	}
	return f.src, f.err
}

func readEntrypoint(ctx context.Context, c client.Client) (*dockerui.Source, error) {
	dc, err := dockerui.NewClient(fileClient{c})
	if err != nil {
		return nil, err
	}
	return dc.ReadEntrypoint(ctx, dockerui.DefaultDockerfileName)
}

// fileClient is the client with which dockerui reads the build file.
type fileClient struct{ client.Client }

// BuildOpts implements [client.Client]. It hands out a copy of the options, because
// dockerui.NewClient writes to them.
func (c fileClient) BuildOpts() client.BuildOpts {
	o := c.Client.BuildOpts()
	o.Opts = maps.Clone(o.Opts)
	return o
}

// Solve implements [client.Client]. An empty result is an error: dockerui would read the file from
// it all the same, and panic (frontend/dockerui/readfile.go).
func (c fileClient) Solve(
	ctx context.Context, req client.SolveRequest,
) (*client.Result, error) {
	res, err := c.Client.Solve(ctx, req)
	if err != nil {
		return nil, err
	}
	if res.Ref == nil {
		return nil, errors.New("what the build file would be read from is empty")
	}
	res.SetRef(&fileRef{Reference: res.Ref})
	return res, nil
}

// fileRef is what the build file is read from. After that one, dockerui reads the ignore file
// beside it, which only a frontend needs. Each read is a call to the daemon.
type fileRef struct {
	client.Reference
	done bool
}

var errNotNeeded = errors.New("internal: only the build file is needed")

// StatFile implements [client.Reference].
func (r *fileRef) StatFile(
	ctx context.Context, req client.StatRequest,
) (*fstypes.Stat, error) {
	if r.done {
		return nil, errNotNeeded
	}
	return r.Reference.StatFile(ctx, req)
}

// ReadFile implements [client.Reference].
func (r *fileRef) ReadFile(ctx context.Context, req client.ReadRequest) ([]byte, error) {
	if r.done {
		return nil, errNotNeeded
	}
	data, err := r.Reference.ReadFile(ctx, req)
	r.done = err == nil
	return data, err
}

// directive returns the file's syntax directive. It takes all forms that BuildKit knows, also after
// a shebang or a byte order mark:
//
//	# syntax=…
//	// syntax=…
//	{"syntax": …}
//
// ok is false if the file has none or can't be read.
func (f *buildFile) directive(ctx context.Context) (directive, bool) {
	src, err := f.load(ctx)
	if err != nil {
		return directive{}, false
	}
	_, value, where, ok := parser.DetectSyntax(src.Data)
	if !ok {
		return directive{}, false
	}
	from := origin{kind: fromFile, where: where, filename: src.Filename}
	return directive{value: value, origin: from}, true
}

// originKind is the kind of place that asked for a frontend or an operation.
type originKind int

const (
	fromNowhere   originKind = iota
	fromCmdline              // second field of cmdline; locate finds out who wrote it
	fromSyntaxArg            // build-arg BUILDKIT_SYNTAX
	fromFile                 // syntax directive of the build file
	fromDefault              // the policy's defaultFrontend
	fromStep                 // a line of the build file that the inner frontend names for a step
	fromInner                // the inner frontend, which names no line; locate looks for names
	fromName                 // the only line of the build file that has one of the names
	fromFrontend             // another frontend; filename is its name
)

// origin is the place that asked for a frontend, or for something that a frontend does.
type origin struct {
	kind      originKind
	cmdline   string // fromCmdline: the whole option
	syntaxArg string // fromCmdline: the build-arg BUILDKIT_SYNTAX of the same build
	filename  string
	where     []parser.Range
	place     *llbops.Place // fromStep
	names     []string      // fromInner: how the build file may name what is asked for
}

func (o origin) String() string {
	switch {
	case o.kind == fromFile && len(o.where) > 0:
		line := max(1, o.where[0].Start.Line)
		return fmt.Sprintf("line %d of %s", line, safetext.Plain(o.filename))
	case o.kind == fromSyntaxArg:
		return "the build-arg BUILDKIT_SYNTAX"
	case o.kind == fromDefault:
		return "defaultFrontend in the policy"
	case o.kind == fromNowhere:
		return ""
	case o.kind == fromStep:
		line := o.place.Ranges[0].GetStart().GetLine()
		return fmt.Sprintf("line %d of %s", line, safetext.Plain(o.place.Info.GetFilename()))
	case o.kind == fromFrontend:
		return "the frontend " + safetext.Plain(o.filename)
	case o.kind == fromInner:
		return "the frontend, which names no line"
	case o.kind == fromName:
		return fmt.Sprintf("line %d of %s, the only one that names it", o.where[0].Start.Line,
			safetext.Plain(o.filename))
	default:
		return "the cmdline option"
	}
}

// locate finds the line of the build file behind an origin. BuildKit passes a directive as the
// option cmdline and doesn't say whether the file or BUILDKIT_SYNTAX contained it. Many frontends
// don't say for which line they ask for something. Only messages need to know, so the file is read
// only for them.
func (o origin) locate(ctx context.Context, file *buildFile) (origin, *errdefs.Source) {
	if o.kind == fromCmdline {
		if o.syntaxArg == o.cmdline {
			return origin{kind: fromSyntaxArg}, nil
		}
		d, ok := file.directive(ctx)
		if !ok || d.value != o.cmdline {
			return o, nil
		}
		o = d.origin
	}
	if o.kind == fromInner && len(o.names) > 0 {
		src, err := file.load(ctx)
		if err != nil {
			return o, nil
		}
		where, ok := onlyLine(src.Data, o.names)
		if !ok {
			return o, nil
		}
		o = origin{kind: fromName, where: where, filename: src.Filename}
	}
	if o.kind != fromFile && o.kind != fromName {
		return o, o.step()
	}
	return o, sourceOf(file.src, o.where)
}

// step returns the lines that an inner frontend names for a step. It is nil for other origins.
func (o origin) step() *errdefs.Source {
	if o.kind != fromStep {
		return nil
	}
	return &errdefs.Source{Info: o.place.Info, Ranges: o.place.Ranges}
}

// sourceOf returns the file and the lines in it. An error with a large file doesn't reach the
// client: it travels in the headers of an answer. So it returns the beginning of a large file, or
// nil if the lines aren't in it.
func sourceOf(src *dockerui.Source, where []parser.Range) *errdefs.Source {
	data := src.Data[:min(len(src.Data), llbops.MaxSource)]
	if len(data) < len(src.Data) {
		data = data[:bytes.LastIndexByte(data, '\n')+1]
		lines := bytes.Count(data, []byte("\n"))
		beyond := func(r parser.Range) bool { return max(1, r.End.Line) > lines }
		if slices.ContainsFunc(where, beyond) {
			return nil
		}
	}
	s := &errdefs.Source{Info: &pb.SourceInfo{
		Data:       data,
		Filename:   src.Filename,
		Language:   src.Language,
		Definition: src.Definition.ToPB(),
	}}
	for _, r := range where {
		s.Ranges = append(s.Ranges, &pb.Range{Start: position(r.Start), End: position(r.End)})
	}
	return s
}

// position converts a position in a file. BuildKit gives line 0 to the JSON form of a directive,
// but lines of a snippet count from 1.
func position(p parser.Position) *pb.Position {
	return &pb.Position{Line: int32(max(1, p.Line)), Character: int32(p.Character)}
}

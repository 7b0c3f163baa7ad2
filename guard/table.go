package guard

import (
	"strings"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Names of the services that a daemon serves (cmd/buildkitd/main.go, control/control.go).
const (
	control  = "/moby.buildkit.v1.Control/"
	bridge   = "/moby.buildkit.v1.frontend.LLBBridge/"
	contents = "/containerd.services.content.v1.Content/"
	healths  = "/grpc.health.v1.Health/"
	traces   = "/opentelemetry.proto.collector.trace.v1.TraceService/"
)

// verdict is what becomes of the calls of a method.
type verdict string

const (
	// pass lets all calls through as they are. The method tells and changes nothing that belongs
	// to one client.
	pass verdict = "pass"
	// judge reads the request. Its fields, and what they mean, decide; see fields.
	judge verdict = "judge"
	// ownOnly lets calls through that are about a build or session of the caller. Only their
	// headers are read.
	ownOnly verdict = "own-only"
	// answer lets no call through. The guard answers about itself.
	answer verdict = "answer"
	// refuse lets no call through.
	refuse verdict = "refuse"
)

// row is what becomes of the calls of a method.
type row struct {
	verdict verdict
	serve   func(*call) error // nil for refuse
	why     string            // for refuse: why, as a sentence without a full stop
}

// methods is the table of all methods that the daemon serves. A method that isn't here is refused.
// A test compares it with the services of the BuildKit that this module requires.
func methods(method string) (row, bool) {
	r, ok := table[method]
	return r, ok
}

const (
	everybodys = "it shows or changes what belongs to all clients"
	notYet     = "this version of policy-guard doesn't support it yet"
	readOnly   = "the daemon's content is read-only"
)

var table = map[string]row{
	control + "DiskUsage":          {verdict: judge, serve: (*call).diskUsage},
	control + "Prune":              {verdict: judge, serve: (*call).prune},
	control + "Solve":              {verdict: judge, serve: (*call).solve},
	control + "Status":             {verdict: judge, serve: (*call).status},
	control + "Session":            {verdict: ownOnly, serve: (*call).session},
	control + "ListWorkers":        {verdict: pass, serve: (*call).pass},
	control + "Info":               {verdict: pass, serve: (*call).pass},
	control + "ListenBuildHistory": {verdict: judge, serve: (*call).listenHistory},
	control + "UpdateBuildHistory": {verdict: judge, serve: (*call).updateHistory},

	bridge + "Ping":   {verdict: ownOnly, serve: (*call).ofBuild},
	bridge + "Warn":   {verdict: judge, serve: (*call).warn},
	bridge + "Solve":  {verdict: judge, serve: (*call).bridgeSolve},
	bridge + "Return": {verdict: judge, serve: (*call).bridgeReturn},
	bridge + "ReadFile": {
		verdict: judge, serve: read(&gwpb.ReadFileRequest{}, &gwpb.ReadFileResponse{}),
	},
	bridge + "ReadDir": {
		verdict: judge, serve: read(&gwpb.ReadDirRequest{}, &gwpb.ReadDirResponse{}),
	},
	bridge + "StatFile": {
		verdict: judge, serve: read(&gwpb.StatFileRequest{}, &gwpb.StatFileResponse{}),
	},
	bridge + "Evaluate": {
		verdict: judge, serve: read(&gwpb.EvaluateRequest{}, &gwpb.EvaluateResponse{}),
	},
	bridge + "Inputs":             {verdict: refuse, why: notYet},
	bridge + "ResolveImageConfig": {verdict: judge, serve: (*call).resolveImageConfig},
	bridge + "ResolveSourceMeta":  {verdict: judge, serve: (*call).resolveSourceMeta},
	bridge + "NewContainer":       {verdict: judge, serve: (*call).newContainer},
	bridge + "ReleaseContainer":   {verdict: judge, serve: (*call).releaseContainer},
	bridge + "ExecProcess":        {verdict: judge, serve: (*call).execProcess},
	bridge + "ReadFileContainer": {
		verdict: judge, serve: readContainer(&gwpb.ReadFileRequest{}, &gwpb.ReadFileResponse{}),
	},
	bridge + "ReadDirContainer": {
		verdict: judge, serve: readContainer(&gwpb.ReadDirRequest{}, &gwpb.ReadDirResponse{}),
	},
	bridge + "StatFileContainer": {
		verdict: judge, serve: readContainer(&gwpb.StatFileRequest{}, &gwpb.StatFileResponse{}),
	},

	// Logs and attestations of a build are contents. Anybody may name the digest of anything.
	contents + "Info":         {verdict: judge, serve: (*call).contentInfo},
	contents + "Read":         {verdict: judge, serve: (*call).contentRead},
	contents + "List":         {verdict: refuse, why: everybodys},
	contents + "Status":       {verdict: refuse, why: everybodys},
	contents + "ListStatuses": {verdict: refuse, why: everybodys},
	contents + "Update":       {verdict: refuse, why: readOnly},
	contents + "Delete":       {verdict: refuse, why: readOnly},
	contents + "Write":        {verdict: refuse, why: readOnly},
	contents + "Abort":        {verdict: refuse, why: readOnly},

	// A client could forge what others did.
	traces + "Export": {verdict: judge, serve: (*call).dropTraces},

	healths + "Check": {verdict: answer, serve: (*call).healthCheck},
	healths + "Watch": {verdict: answer, serve: (*call).healthWatch},
	healths + "List":  {verdict: answer, serve: (*call).healthList},

	"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      {verdict: refuse, why: notYet},
	"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": {verdict: refuse, why: notYet},
}

// maxWhy bounds the reason of a refusal, in bytes. A client may have written part of it.
const maxWhy = 16 << 10

// refused is the error of a call that isn't let through.
func refused(method, why string) error {
	return status.Errorf(codes.PermissionDenied, "policy-guard refuses %s: %s", method,
		strings.ToValidUTF8(why[:min(len(why), maxWhy)], ""))
}

package guard

import (
	"slices"
	"strings"
	"testing"

	_ "github.com/containerd/containerd/api/services/content/v1"
	_ "github.com/moby/buildkit/api/services/control"
	_ "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/stretchr/testify/require"
	_ "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	_ "google.golang.org/grpc/health/grpc_health_v1"
	_ "google.golang.org/grpc/reflection/grpc_reflection_v1"
	_ "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// served are the services of a daemon. TestGuardKnowsAllServices in package integration asks a real
// one for them.
var served = []protoreflect.FullName{
	"moby.buildkit.v1.Control",
	"moby.buildkit.v1.frontend.LLBBridge",
	"containerd.services.content.v1.Content",
	"opentelemetry.proto.collector.trace.v1.TraceService",
	"grpc.health.v1.Health",
	"grpc.reflection.v1.ServerReflection",
	"grpc.reflection.v1alpha.ServerReflection",
}

// byClients are services of BuildKit that clients serve to the daemon.
var byClients = []protoreflect.FullName{
	"moby.buildkit.v1.sourcepolicy.policysession.PolicyVerifier",
}

func methodsServed(t *testing.T) map[string]protoreflect.MethodDescriptor {
	t.Helper()
	found := map[string]protoreflect.MethodDescriptor{}
	for _, name := range served {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
		require.NoError(t, err)
		of := d.(protoreflect.ServiceDescriptor).Methods()
		for i := range of.Len() {
			found["/"+string(name)+"/"+string(of.Get(i).Name())] = of.Get(i)
		}
	}
	return found
}

func TestEachMethodOfTheDaemonHasARow(t *testing.T) {
	t.Parallel()
	of := methodsServed(t)
	for method := range of {
		r, ok := methods(method)
		require.True(t, ok, "give the method %s a row", method)
		require.Equal(t, r.verdict == refuse, r.serve == nil, method)
		require.Equal(t, r.verdict == refuse, r.why != "", method)
	}
	for method := range table {
		require.Contains(t, of, method, "the daemon has no such method")
	}
}

func TestEachServiceOfBuildKitIsKnown(t *testing.T) {
	t.Parallel()
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if !strings.HasPrefix(string(f.Package()), "moby.") {
			return true
		}
		for i := range f.Services().Len() {
			name := f.Services().Get(i).FullName()
			known := slices.Contains(served, name) || slices.Contains(byClients, name) ||
				strings.HasPrefix(string(name), "moby.filesync.") ||
				strings.HasPrefix(string(name), "moby.buildkit.secrets.") ||
				strings.HasPrefix(string(name), "moby.sshforward.") ||
				strings.HasPrefix(string(name), "moby.upload.") ||
				strings.HasPrefix(string(name), "moby.exporter.")
			require.True(t, known, "say who serves %s", name)
		}
		return true
	})
}

// enums are the values of enums in judged messages. A new value needs a new look.
var enums = map[protoreflect.FullName]int{
	"moby.buildkit.v1.sourcepolicy.PolicyAction":  3,
	"moby.buildkit.v1.sourcepolicy.MatchType":     3,
	"moby.buildkit.v1.sourcepolicy.AttrMatch":     3,
	"moby.buildkit.v1.frontend.AttestationKind":   2,
	"moby.buildkit.v1.frontend.InTotoSubjectKind": 2,

	"moby.buildkit.v1.frontend.ChecksumRequest.ChecksumAlgo": 3,

	"pb.NetMode":   3,
	"pb.MountType": 5,
}

func TestEachFieldOfAJudgedMessageIsAccountedFor(t *testing.T) {
	t.Parallel()
	seen := map[protoreflect.FullName]bool{}
	seenEnums := map[protoreflect.FullName]bool{}
	var visit func(m protoreflect.MessageDescriptor)
	visit = func(m protoreflect.MessageDescriptor) {
		if seen[m.FullName()] {
			return
		}
		seen[m.FullName()] = true
		fields, ok := shapes[m.FullName()]
		require.True(t, ok, "list the fields of %s", m.FullName())
		for i := range m.Fields().Len() {
			field := m.Fields().Get(i)
			require.Contains(t, fields, field.Name(), "say what becomes of %s", field.FullName())
			if fields[field.Name()] != take {
				continue
			}
			if field.IsMap() {
				field = field.MapValue()
			}
			switch field.Kind() {
			case protoreflect.MessageKind:
				visit(field.Message())
			case protoreflect.EnumKind:
				seenEnums[field.Enum().FullName()] = true
				require.Equal(t, enums[field.Enum().FullName()], field.Enum().Values().Len(),
					"account for the values of %s", field.Enum().FullName())
			}
		}
		require.Len(t, fields, m.Fields().Len(), "%s has fields that don't exist", m.FullName())
	}
	for method, d := range methodsServed(t) {
		r := table[method]
		if (r.verdict == judge || r.verdict == answer) && !strings.HasPrefix(method, traces) {
			visit(d.Input())
		}
	}
	require.Len(t, seen, len(shapes), "a message is listed and never judged")
	require.Len(t, seenEnums, len(enums), "an enum is listed and never judged")
}

package guard

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// use is what becomes of a field in a message that is judged.
type use int

const (
	// take lets the field through. If its value has a meaning that the policy is about, code judges
	// it too.
	take use = iota + 1
	// drop removes the field.
	drop
	// forbid refuses a message that sets the field.
	forbid
)

// shapes says for each field of the messages that are judged what becomes of it. A message with any
// other field is refused. A test compares it with the messages of the BuildKit that this module
// requires.
var shapes = map[protoreflect.FullName]map[protoreflect.Name]use{
	"moby.buildkit.v1.SolveRequest": {
		"Ref": take, "ExporterDeprecated": take, "ExporterAttrsDeprecated": take, "Session": take,
		"FrontendAttrs": take, "Cache": take, "Entitlements": take, "Internal": take,
		"SourcePolicy": take, "Exporters": take, "EnableSessionExporter": take,
		"SourcePolicySession": take, "CompatibilityVersion": take, "ProxyNetwork": take,
		"Frontend": take, "FrontendInputs": take, "Definition": take,
	},
	"moby.buildkit.v1.Exporter": {"Type": take, "Attrs": take},
	"moby.buildkit.v1.CacheOptions": {
		"ExportRefDeprecated": take, "ImportRefsDeprecated": take, "ExportAttrsDeprecated": take,
		"Exports": take, "Imports": take,
	},
	"moby.buildkit.v1.CacheOptionsEntry": {"Type": take, "Attrs": take},

	"moby.buildkit.v1.sourcepolicy.Policy": {"version": take, "rules": take},
	"moby.buildkit.v1.sourcepolicy.Rule": {
		"action": take, "selector": take, "updates": take,
	},
	"moby.buildkit.v1.sourcepolicy.Update": {"identifier": take, "attrs": take},
	"moby.buildkit.v1.sourcepolicy.Selector": {
		"identifier": take, "match_type": take, "constraints": take,
	},
	"moby.buildkit.v1.sourcepolicy.AttrConstraint": {
		"key": take, "value": take, "condition": take,
	},

	"moby.buildkit.v1.frontend.SolveRequest": {
		"Frontend": take, "FrontendOpt": take, "allowResultReturn": take,
		"allowResultArrayRef": take, "Evaluate": take, "Definition": take, "SourcePolicies": take,
		"CacheImports": take, "FrontendInputs": take,
		// They set a result without Return (frontend/gateway/gateway.go).
		"Final": forbid, "ExporterAttr": forbid,
	},
	"pb.Definition": {"def": take, "metadata": take, "Source": take},
	"pb.OpMetadata": {
		"ignore_cache": take, "description": take, "export_cache": take, "caps": take,
		"progress_group": take, "linux_resources": take,
	},
	"pb.ExportCache":   {"Value": take},
	"pb.ProgressGroup": {"id": take, "name": take, "weak": take},
	"pb.LinuxResources": {
		"memory": take, "memorySwap": take, "cpuShares": take, "cpuPeriod": take, "cpuQuota": take,
		"cpusetCpus": take, "cpusetMems": take,
	},
	"pb.Source":    {"locations": take, "infos": take},
	"pb.Locations": {"locations": take},
	"pb.Location":  {"sourceIndex": take, "ranges": take},
	"pb.Range":     {"start": take, "end": take},
	"pb.Position":  {"line": take, "character": take},
	"pb.SourceInfo": {
		"filename": take, "data": take, "language": take,
		"definition": drop, // it only tells where the file came from
	},
	"pb.SourceOp": {"identifier": take, "attrs": take},
	"pb.Platform": {
		"Architecture": take, "OS": take, "Variant": take, "OSVersion": take, "OSFeatures": take,
	},
	"moby.buildkit.v1.frontend.ResolveImageConfigRequest": {
		"Ref": take, "Platform": take, "ResolveMode": take, "LogName": take, "ResolverType": take,
		"SessionID": take, "StoreID": take, "SourcePolicies": take,
	},
	"moby.buildkit.v1.frontend.ResolveSourceMetaRequest": {
		"Source": take, "Platform": take, "LogName": take, "ResolveMode": take, "Git": take,
		"Image": take, "HTTP": take, "SourcePolicies": take,
	},
	"moby.buildkit.v1.frontend.ResolveSourceGitRequest": {"ReturnObject": take},
	"moby.buildkit.v1.frontend.ResolveSourceImageRequest": {
		"NoConfig": take, "AttestationChain": take, "ResolveAttestations": take,
	},
	"moby.buildkit.v1.frontend.ResolveSourceHTTPRequest": {"ChecksumRequest": take},
	"moby.buildkit.v1.frontend.ChecksumRequest":          {"Algo": take, "Suffix": take},
	"moby.buildkit.v1.frontend.CacheOptionsEntry":        {"Type": take, "Attrs": take},
	"moby.buildkit.v1.frontend.WarnRequest": {
		"digest": take, "level": take, "short": take, "detail": take, "url": take, "info": take,
		"ranges": take,
	},
	"moby.buildkit.v1.frontend.ReturnRequest": {"result": take, "error": take},
	"moby.buildkit.v1.frontend.Result": {
		"ref": take, "refs": take, "metadata": take, "attestations": take,
		// Forms from before v0.9.
		"refDeprecated": forbid, "refsDeprecated": forbid,
	},
	"moby.buildkit.v1.frontend.Ref": {
		"id":  take,
		"def": drop, // the daemon has the true one
	},
	"moby.buildkit.v1.frontend.RefMap":       {"refs": take},
	"moby.buildkit.v1.frontend.Attestations": {"attestation": take},
	"moby.buildkit.v1.frontend.Attestation": {
		"kind": take, "metadata": take, "ref": take, "path": take, "inTotoPredicateType": take,
		"inTotoSubjects": take,
	},
	"moby.buildkit.v1.frontend.InTotoSubject": {"kind": take, "digest": take, "name": take},
	"google.rpc.Status":                       {"code": take, "message": take, "details": take},
	"google.protobuf.Any":                     {"type_url": take, "value": take},
	"moby.buildkit.v1.frontend.ReadFileRequest": {
		"Ref": take, "FilePath": take, "Range": take, "MountIndex": take,
	},
	"moby.buildkit.v1.frontend.FileRange": {"Offset": take, "Length": take},
	"moby.buildkit.v1.frontend.ReadDirRequest": {
		"Ref": take, "DirPath": take, "IncludePattern": take, "MountIndex": take,
	},
	"moby.buildkit.v1.frontend.StatFileRequest": {"Ref": take, "Path": take, "MountIndex": take},
	"moby.buildkit.v1.frontend.EvaluateRequest": {"Ref": take},

	"moby.buildkit.v1.frontend.NewContainerRequest": {
		"ContainerID": take, "Mounts": take, "Network": take, "platform": take,
		"constraints": forbid, "extraHosts": forbid, "hostname": forbid,
	},
	"pb.Mount": {
		"selector": take, "dest": take, "readonly": take, "mountType": take, "resultID": take,
		// Those of build steps. The daemon ignores them here.
		"input": forbid, "output": forbid, "TmpfsOpt": forbid, "contentCache": forbid,
		"cacheOpt": forbid, "secretOpt": forbid, "SSHOpt": forbid,
	},
	"moby.buildkit.v1.frontend.ReleaseContainerRequest": {"ContainerID": take},
	"moby.buildkit.v1.frontend.ExecMessage": {
		"ProcessID": take, "Init": take, "File": take, "Resize": take, "Signal": take,
		// The daemon's answers.
		"Started": forbid, "Exit": forbid, "Done": forbid,
	},
	"moby.buildkit.v1.frontend.InitMessage": {
		"ContainerID": take, "Meta": take, "Fds": take, "Tty": take,
		"Security": forbid, "secretenv": forbid,
	},
	"pb.Meta": {
		"args": take, "env": take, "cwd": take, "user": take, "removeMountStubsRecursive": take,
		// Those of build steps. The daemon ignores them here.
		"proxy_env": forbid, "extraHosts": forbid, "hostname": forbid, "ulimit": forbid,
		"cgroupParent": forbid, "validExitCodes": forbid,
	},
	"moby.buildkit.v1.frontend.FdMessage":     {"Fd": take, "EOF": take, "Data": take},
	"moby.buildkit.v1.frontend.ResizeMessage": {"Rows": take, "Cols": take},
	"moby.buildkit.v1.frontend.SignalMessage": {"Name": take},

	"grpc.health.v1.HealthCheckRequest": {"service": take},
	"grpc.health.v1.HealthListRequest":  {},

	// What an administrator asks for concerns all clients anyway.
	"moby.buildkit.v1.DiskUsageRequest": {"filter": take, "ageLimit": take},
	"moby.buildkit.v1.PruneRequest": {
		"filter": take, "all": take, "keepDuration": take, "reservedSpace": take,
		"maxUsedSpace": take, "minFreeSpace": take,
	},

	"moby.buildkit.v1.StatusRequest": {"Ref": take},
	"moby.buildkit.v1.BuildHistoryRequest": {
		"ActiveOnly": take, "Ref": take, "EarlyExit": take, "Filter": take, "Limit": take,
	},
	"containerd.services.content.v1.InfoRequest": {"digest": take},
	"containerd.services.content.v1.ReadContentRequest": {
		"digest": take, "offset": take, "size": take,
	},
	"moby.buildkit.v1.UpdateBuildHistoryRequest": {
		"Ref": take, "Pinned": take, "Delete": take, "Finalize": take,
	},
}

// whyForbidden completes the refusal of fields that clients set in order to run containers.
var whyForbidden = map[protoreflect.FullName]string{
	"moby.buildkit.v1.frontend.NewContainerRequest.extraHosts": "; containers of clients have no " +
		"added hosts",
	"moby.buildkit.v1.frontend.NewContainerRequest.hostname": "; containers of clients have no host " +
		"name of their own",
	"moby.buildkit.v1.frontend.InitMessage.Security": "; containers of clients run no insecure " +
		"commands, whatever the build may run",
	"moby.buildkit.v1.frontend.InitMessage.secretenv": "; containers of clients get no secrets",
	"pb.Mount.cacheOpt": "; containers of clients have no cache mounts, which are one for all " +
		"clients",
	"pb.Mount.secretOpt": "; containers of clients get no secrets",
	"pb.Mount.SSHOpt":    "; containers of clients get no SSH agents",
}

// checkShape refuses a message with fields that no part of this package knows, at any depth. It
// removes fields that have no effect.
func checkShape(m proto.Message) error {
	return checkMessage(m.ProtoReflect())
}

func checkMessage(m protoreflect.Message) error {
	name := m.Descriptor().FullName()
	if len(m.GetUnknown()) > 0 {
		return fmt.Errorf("the message %s has fields that this version doesn't know", name)
	}
	fields, known := shapes[name]
	if !known {
		return fmt.Errorf("this version doesn't know the message %s", name)
	}
	var err error
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch fields[field.Name()] {
		case take:
			err = checkValue(field, v)
		case drop:
			m.Clear(field)
		case forbid:
			err = fmt.Errorf("the request sets %s of %s, which isn't allowed%s", field.Name(), name,
				whyForbidden[field.FullName()])
		default:
			err = fmt.Errorf("this version doesn't know the field %s of %s", field.Name(), name)
		}
		return err == nil
	})
	return err
}

// checkValue checks the messages and enum values in a field.
func checkValue(field protoreflect.FieldDescriptor, v protoreflect.Value) error {
	var err error
	switch {
	case field.IsMap():
		v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
			err = checkOne(field.MapValue(), v)
			return err == nil
		})
	case field.IsList():
		for i := 0; i < v.List().Len() && err == nil; i++ {
			err = checkOne(field, v.List().Get(i))
		}
	default:
		return checkOne(field, v)
	}
	return err
}

func checkOne(field protoreflect.FieldDescriptor, v protoreflect.Value) error {
	switch field.Kind() {
	case protoreflect.MessageKind:
		return checkMessage(v.Message())
	case protoreflect.EnumKind:
		if field.Enum().Values().ByNumber(v.Enum()) == nil {
			return fmt.Errorf("this version doesn't know the value %d of %s", v.Enum(), field.FullName())
		}
	}
	return nil
}

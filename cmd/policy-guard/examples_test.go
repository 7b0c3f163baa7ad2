package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/go-units"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

const examples = "../../examples/guard/"

func readExample(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(examples + name)
	require.NoError(t, err)
	return string(data)
}

// requireFlags fails the test unless policy-guard accepts the flags, and gets to end before whoever
// runs it kills it.
func requireFlags(t *testing.T, args []string, grace time.Duration) flags {
	t.Helper()
	f, _, err := parse(args)
	require.NoError(t, err)
	require.Greater(t, grace, f.drain+lastCalls)
	return f
}

// requireRoom fails the test unless a limit on the process is above what it takes at most.
func requireRoom(t *testing.T, f flags, limit string) {
	t.Helper()
	most, err := units.RAMInBytes(strings.TrimSuffix(limit, "i"))
	require.NoError(t, err)
	memory, err := f.memoryBytes()
	require.NoError(t, err)
	require.GreaterOrEqual(t, most, 2*memory+100<<20+memory/8)
}

// offered matches a flag that an example has as a comment.
var offered = regexp.MustCompile(`--image[ =](\S+)`)

// requireOffers fails the test unless the example shows the flag --image, which the policy without
// build rules doesn't need, and unless the flags with it are accepted too.
func requireOffers(t *testing.T, text string, args []string) {
	t.Helper()
	shown := offered.FindStringSubmatch(text)
	require.NotNil(t, shown)
	f, _, err := parse(append(slices.Clone(args), "--image", shown[1]))
	require.NoError(t, err)
	_, err = imageref.Parse(f.image)
	require.NoError(t, err)
	require.NotEmpty(t, f.metrics)
}

func TestThePoliciesOfTheExamplesAreValid(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(examples + "*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		name := filepath.Base(file)
		if strings.HasSuffix(name, ".test.yaml") { // tests of a policy
			continue
		}
		_, err := policy.Parse(name, []byte(readExample(t, name)))
		require.NoError(t, err, name)
	}
}

func TestThePoliciesOfThePageAreValid(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/guard.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	require.Len(t, blocks, 3)
	for _, b := range blocks {
		_, err := policy.Parse("policy.yaml", []byte(b[1]))
		require.NoError(t, err, b[1])
	}
}

// directives are those of a unit, by section, that the examples use (systemd.exec(5) and others).
var directives = map[string][]string{
	"Unit": {"Description", "Documentation", "Requires", "After", "Wants"},
	"Service": {
		"Type", "ExecStart", "LoadCredential", "User", "Group", "Restart", "RestartSec",
		"RestartPreventExitStatus", "TimeoutStopSec", "NoNewPrivileges", "CapabilityBoundingSet",
		"AmbientCapabilities", "ProtectSystem", "ProtectHome", "ProtectProc", "ProtectClock",
		"ProtectControlGroups", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules",
		"ProtectKernelTunables", "PrivateDevices", "PrivateTmp", "LockPersonality",
		"MemoryDenyWriteExecute", "RemoveIPC", "RestrictAddressFamilies", "RestrictNamespaces",
		"RestrictRealtime", "RestrictSUIDSGID", "SystemCallArchitectures", "SystemCallErrorNumber",
		"SystemCallFilter", "UMask", "LimitNOFILE", "MemoryMax", "TasksMax",
	},
	"Socket": {
		"ListenStream", "DirectoryMode", "SocketUser", "SocketGroup", "SocketMode", "RemoveOnStop",
	},
	"Install": {"WantedBy"},
}

// parseUnit returns the values of a unit file by SECTION.NAME.
func parseUnit(t *testing.T, text string) map[string][]string {
	t.Helper()
	values, section := map[string][]string{}, ""
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
			require.Contains(t, directives, section)
		default:
			name, value, ok := strings.Cut(line, "=")
			require.True(t, ok, line)
			require.Contains(t, directives[section], name, "in [%s]", section)
			values[section+"."+name] = append(values[section+"."+name], value)
		}
	}
	return values
}

func TestTheUnitsOfSystemd(t *testing.T) {
	t.Parallel()
	service := readExample(t, "systemd/policy-guard.service")
	socket := readExample(t, "systemd/policy-guard.socket")
	values := parseUnit(t, service)
	line := strings.Fields(values["Service.ExecStart"][0])
	grace, err := time.ParseDuration(values["Service.TimeoutStopSec"][0])
	require.NoError(t, err)
	f := requireFlags(t, line[1:], grace)
	requireRoom(t, f, values["Service.MemoryMax"][0])
	require.Equal(t, []string{passedSockets}, f.listen)
	requireOffers(t, service, line[1:])
	require.Equal(t, []string{fmt.Sprint(exitUsage)}, values["Service.RestartPreventExitStatus"])
	require.Equal(t, []string{"notify"}, values["Service.Type"])
	require.NotContains(t, values, "Service.PrivateUsers", "clients would look like one user")
	require.Equal(t, []string{"0660"}, parseUnit(t, socket)["Socket.SocketMode"])

	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd isn't there, which knows more about units")
	}
	dir := t.TempDir()
	program, err := exec.LookPath("true")
	require.NoError(t, err)
	files := map[string]string{
		"policy-guard.service": strings.Replace(service, line[0], program, 1),
		"policy-guard.socket":  socket,
	}
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	cmd := exec.CommandContext(t.Context(), analyze, "verify", "--man=no",
		filepath.Join(dir, "policy-guard.service"), filepath.Join(dir, "policy-guard.socket"))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for said := range strings.Lines(string(out)) {
		require.NotContains(t, said, "policy-guard", "it warns: %s", out)
	}
}

// decode reads the next YAML document into v, and fails the test for fields that v doesn't have. It
// returns false at the end.
func decode(t *testing.T, d *yaml.Decoder, v any) bool {
	t.Helper()
	err := d.Decode(v)
	if errors.Is(err, io.EOF) {
		return false
	}
	require.NoError(t, err)
	return true
}

func strictly(text string) *yaml.Decoder {
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	return d
}

// composeService has the fields of a service that the example uses (compose-spec, 05-services.md).
type composeService struct {
	Image       string   `yaml:"image"`
	Command     []string `yaml:"command"`
	Privileged  bool     `yaml:"privileged"`
	Restart     string   `yaml:"restart"`
	StopGrace   string   `yaml:"stop_grace_period"`
	Volumes     []string `yaml:"volumes"`
	DependsOn   []string `yaml:"depends_on"`
	User        string   `yaml:"user"`
	ReadOnly    bool     `yaml:"read_only"`
	CapDrop     []string `yaml:"cap_drop"`
	SecurityOpt []string `yaml:"security_opt"`
	MemLimit    string   `yaml:"mem_limit"`
	Ports       []string `yaml:"ports"`
}

func TestTheComposeFile(t *testing.T) {
	t.Parallel()
	var file struct {
		Services map[string]composeService `yaml:"services"`
		Volumes  map[string]struct{}       `yaml:"volumes"`
	}
	require.True(t, decode(t, strictly(readExample(t, "compose/compose.yaml")), &file))
	require.Len(t, file.Services, 2)
	guard, daemon := file.Services["policy-guard"], file.Services["buildkitd"]
	grace, err := time.ParseDuration(guard.StopGrace)
	require.NoError(t, err)
	f := requireFlags(t, guard.Command, grace)
	requireRoom(t, f, guard.MemLimit)
	requireOffers(t, readExample(t, "compose/compose.yaml"), guard.Command)
	require.Contains(t, guard.Volumes, "./"+filepath.Base(filepath.Dir(f.cert))+":"+
		filepath.Dir(f.cert)+":ro", "a directory, so that renewed certificates are seen")
	require.Contains(t, daemon.Command, f.upstream)
	require.Empty(t, daemon.Ports, "clients can't reach the daemon")
	require.False(t, guard.Privileged)
	require.True(t, guard.ReadOnly)
	require.Equal(t, []string{"ALL"}, guard.CapDrop)
	for _, s := range file.Services {
		for _, v := range s.Volumes {
			if name, _, _ := strings.Cut(v, ":"); !strings.HasPrefix(name, ".") {
				require.Contains(t, file.Volumes, name)
			}
		}
	}
}

// The fields of Kubernetes' API that the example uses.
type (
	kubeMeta struct {
		Name   string            `yaml:"name"`
		Labels map[string]string `yaml:"labels"`
	}
	kubeSelector struct {
		MatchLabels map[string]string `yaml:"matchLabels"`
	}
	kubeProbe struct {
		Exec *struct {
			Command []string `yaml:"command"`
		} `yaml:"exec"`
		HTTPGet *struct {
			Path string `yaml:"path"`
			Port string `yaml:"port"`
		} `yaml:"httpGet"`
		PeriodSeconds    int `yaml:"periodSeconds"`
		FailureThreshold int `yaml:"failureThreshold"`
	}
	kubeResources struct {
		Requests map[string]string `yaml:"requests"`
		Limits   map[string]string `yaml:"limits"`
	}
	kubeContainer struct {
		Name            string   `yaml:"name"`
		Image           string   `yaml:"image"`
		RestartPolicy   string   `yaml:"restartPolicy"`
		Args            []string `yaml:"args"`
		SecurityContext struct {
			Privileged               bool `yaml:"privileged"`
			RunAsNonRoot             bool `yaml:"runAsNonRoot"`
			RunAsUser                int  `yaml:"runAsUser"`
			RunAsGroup               int  `yaml:"runAsGroup"`
			ReadOnlyRootFilesystem   bool `yaml:"readOnlyRootFilesystem"`
			AllowPrivilegeEscalation bool `yaml:"allowPrivilegeEscalation"`
			Capabilities             struct {
				Drop []string `yaml:"drop"`
			} `yaml:"capabilities"`
			SeccompProfile struct {
				Type string `yaml:"type"`
			} `yaml:"seccompProfile"`
		} `yaml:"securityContext"`
		Ports []struct {
			Name          string `yaml:"name"`
			ContainerPort int    `yaml:"containerPort"`
		} `yaml:"ports"`
		StartupProbe   *kubeProbe    `yaml:"startupProbe"`
		LivenessProbe  *kubeProbe    `yaml:"livenessProbe"`
		ReadinessProbe *kubeProbe    `yaml:"readinessProbe"`
		Resources      kubeResources `yaml:"resources"`
		VolumeMounts   []struct {
			Name      string `yaml:"name"`
			MountPath string `yaml:"mountPath"`
			ReadOnly  bool   `yaml:"readOnly"`
		} `yaml:"volumeMounts"`
	}
	kubePod struct {
		Automount     *bool `yaml:"automountServiceAccountToken"`
		GraceSeconds  int   `yaml:"terminationGracePeriodSeconds"`
		SecurityGroup struct {
			FSGroup int `yaml:"fsGroup"`
		} `yaml:"securityContext"`
		InitContainers []kubeContainer `yaml:"initContainers"`
		Containers     []kubeContainer `yaml:"containers"`
		Volumes        []struct {
			Name      string `yaml:"name"`
			ConfigMap *struct {
				Name string `yaml:"name"`
			} `yaml:"configMap"`
			Secret *struct {
				SecretName  string `yaml:"secretName"`
				DefaultMode int    `yaml:"defaultMode"`
			} `yaml:"secret"`
			EmptyDir *struct{} `yaml:"emptyDir"`
		} `yaml:"volumes"`
	}
	kubeSet struct {
		ServiceName string       `yaml:"serviceName"`
		Replicas    int          `yaml:"replicas"`
		Selector    kubeSelector `yaml:"selector"`
		Template    struct {
			Metadata kubeMeta `yaml:"metadata"`
			Spec     kubePod  `yaml:"spec"`
		} `yaml:"template"`
		Claims []struct {
			Metadata kubeMeta `yaml:"metadata"`
			Spec     struct {
				AccessModes []string      `yaml:"accessModes"`
				Resources   kubeResources `yaml:"resources"`
			} `yaml:"spec"`
		} `yaml:"volumeClaimTemplates"`
	}
	kubeService struct {
		ClusterIP string            `yaml:"clusterIP"`
		Selector  map[string]string `yaml:"selector"`
		Ports     []struct {
			Name string `yaml:"name"`
			Port int    `yaml:"port"`
		} `yaml:"ports"`
	}
	kubePolicy struct {
		PodSelector kubeSelector `yaml:"podSelector"`
		PolicyTypes []string     `yaml:"policyTypes"`
		Ingress     []struct {
			From []struct {
				NamespaceSelector kubeSelector `yaml:"namespaceSelector"`
			} `yaml:"from"`
			Ports []struct {
				Port int `yaml:"port"`
			} `yaml:"ports"`
		} `yaml:"ingress"`
	}
)

func TestTheManifestsOfKubernetes(t *testing.T) {
	t.Parallel()
	var set kubeSet
	var service kubeService
	var network kubePolicy
	seen := map[string]bool{}
	for d := strictly(readExample(t, "kubernetes/policy-guard.yaml")); ; {
		var doc struct {
			APIVersion string            `yaml:"apiVersion"`
			Kind       string            `yaml:"kind"`
			Metadata   kubeMeta          `yaml:"metadata"`
			Data       map[string]string `yaml:"data"`
			Spec       yaml.Node         `yaml:"spec"`
		}
		if !decode(t, d, &doc) {
			break
		}
		require.Equal(t, "policy-guard", doc.Metadata.Name)
		kind := doc.APIVersion + " " + doc.Kind
		seen[kind] = true
		into := map[string]any{
			"apps/v1 StatefulSet": &set, "v1 Service": &service,
			"networking.k8s.io/v1 NetworkPolicy": &network,
		}[kind]
		if kind == "v1 ConfigMap" {
			_, err := policy.Parse("policy.yaml", []byte(doc.Data["policy.yaml"]))
			require.NoError(t, err)
			continue
		}
		require.NotNil(t, into, kind)
		var spec bytes.Buffer
		require.NoError(t, yaml.NewEncoder(&spec).Encode(&doc.Spec))
		require.True(t, decode(t, strictly(spec.String()), into))
	}
	require.Len(t, seen, 4)

	pod := set.Template.Spec
	require.Len(t, pod.Containers, 1)
	require.Len(t, pod.InitContainers, 1)
	guard, daemon := pod.Containers[0], pod.InitContainers[0]
	f := requireFlags(t, guard.Args, time.Duration(pod.GraceSeconds)*time.Second)
	requireRoom(t, f, guard.Resources.Limits["memory"])
	requireOffers(t, readExample(t, "kubernetes/policy-guard.yaml"), guard.Args)
	require.Contains(t, daemon.Args, f.upstream)
	require.Empty(t, daemon.Ports, "clients can't reach the daemon")
	require.Equal(t, "Always", daemon.RestartPolicy, "it goes on beside policy-guard")
	require.True(t, guard.SecurityContext.RunAsNonRoot)
	require.False(t, guard.SecurityContext.Privileged)
	require.False(t, *pod.Automount)

	labels := set.Template.Metadata.Labels
	require.Equal(t, labels, set.Selector.MatchLabels)
	require.Equal(t, labels, service.Selector)
	require.Equal(t, labels, network.PodSelector.MatchLabels)
	require.Equal(t, "None", service.ClusterIP)
	var ports, served []int
	for _, p := range guard.Ports {
		ports = append(ports, p.ContainerPort)
	}
	for _, p := range service.Ports {
		served = append(served, p.Port)
	}
	require.Equal(t, ports, served)
	for _, in := range network.Ingress {
		require.NotEmpty(t, in.From)
		require.Contains(t, ports, in.Ports[0].Port)
	}
	require.Equal(t, "/healthz", guard.LivenessProbe.HTTPGet.Path)
	require.Equal(t, "/readyz", guard.ReadinessProbe.HTTPGet.Path)

	var volumes []string
	for _, v := range pod.Volumes {
		volumes = append(volumes, v.Name)
	}
	for _, c := range set.Claims {
		volumes = append(volumes, c.Metadata.Name)
	}
	for _, c := range slices.Concat(pod.Containers, pod.InitContainers) {
		for _, m := range c.VolumeMounts {
			require.Contains(t, volumes, m.Name)
		}
	}
}
